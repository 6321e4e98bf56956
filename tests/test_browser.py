"""The report in a real browser: it is quick, quiet and usable by keyboard, and hostile text stays text.

Chromium is looked for in ``RSO_CHROMIUM`` and on the path; without one these tests are skipped and say so.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from support.rundirs import WORLD, write_run
from test_report import HOSTILE, write_comparison

from harness.app.report.comparison_page import render_comparison
from harness.app.report.record import read_record
from harness.app.report.run_page import render_run

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("RSO_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
INTERACTIVE_MS = 1_000
INTRUDER = """() => {
  const script = document.createElement("script"), image = document.createElement("img");
  script.textContent = "window.hacked = 1";
  image.src = "http://127.0.0.1:9/x";
  document.body.append(script, image);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install Debian's package chromium, or set RSO_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    plain = write_run(folder / "plain", dialogues=8)
    hostile = write_run(folder / "hostile", texts=HOSTILE, persona=HOSTILE[0])
    large = write_run(folder / "large", dialogues=300, turns=6)
    written = {}
    for name, text in (
        ("plain", render_run(read_record(plain))),
        ("hostile", render_run(read_record(hostile))),
        ("large", render_run(read_record(large))),
        ("comparison", render_comparison(write_comparison(folder / "comparison"))),
    ):
        written[name] = folder / f"{name}.html"
        written[name].write_text(text, encoding="utf-8")
    return written


def until(page: Page, expression: str, timeout_s: float = 10.0) -> None:
    """Wait for an expression (Playwright's own waiting uses eval, which the page's policy forbids)."""
    deadline = time.monotonic() + timeout_s
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"not so within {timeout_s:g} s: {expression}"
        page.wait_for_timeout(20)


class Opened:
    """A page from ``file://`` with everything that it said and asked for."""

    def __init__(self, browser: Browser, path: Path, *, width: int = 1280, dark: bool = False, hash: str = "") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 850}, color_scheme="dark" if dark else "light"
        )
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", lambda dialog: self.said.append(f"dialog: {dialog.message}"))
        self.page.goto(f"{path.as_uri()}{hash}")
        self.page.wait_for_selector("html[data-ready]")

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *raised: object) -> None:
        self.context.close()
        if raised[0] is None:
            assert self.said == []
            assert [url for url in self.asked if not url.startswith(("file://", "data:"))] == []

    def rows(self) -> int:
        return self.page.locator("#list .row").count()

    def count(self) -> str:
        return self.page.locator("#count").inner_text()


@pytest.mark.parametrize("name", ["plain", "hostile", "comparison"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_opens_quietly_and_fits(
    browser: Browser, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    with Opened(browser, pages[name], width=width, dark=dark) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert WORLD in opened.page.locator(".top").inner_text()


def test_filters_search_and_sort(browser: Browser, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["plain"]) as opened:
        page = opened.page
        assert opened.count() == "32 of 32 episodes"
        page.select_option("#f-phase", "rl")
        assert opened.count() == "8 of 32 episodes"
        page.select_option("#f-phase", "")
        page.select_option("#f-stop", "error")
        assert opened.rows() == 1
        page.select_option("#f-stop", "")
        page.fill("#f-low", "0.8")
        assert opened.count() == "8 of 32 episodes"
        page.fill("#f-low", "")
        page.select_option("#f-strategy", label="CREDIBILITY")
        assert 0 < opened.rows() < 32
        page.select_option("#f-strategy", "")
        page.select_option("#f-persona", "p1")
        assert opened.count().startswith("12 of")
        page.select_option("#f-persona", "")
        # Words that only the dialogues hold: the chunks are inflated for them.
        page.fill("#q", "not for me. 1")
        until(page, "document.querySelector('#count').textContent.startsWith('32 of')")
        page.fill("#q", "no such words anywhere")
        until(page, "document.querySelector('#count').textContent.startsWith('0 of')")
        assert page.locator("#list").inner_text() == "No episode fits these filters."
        page.fill("#q", "rl-000002")
        until(page, "document.querySelector('#count').textContent.startsWith('1 of')")
        page.fill("#q", "")
        page.select_option("#f-sort", "return, high first")
        assert page.locator("#list .row").first.get_attribute("data-id", timeout=5_000).startswith("rl-")  # type: ignore[union-attr]


def test_an_episode_turn_by_turn(browser: Browser, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["plain"]) as opened:
        page = opened.page
        page.locator('.row[data-id="before-000001"]').click()
        page.wait_for_selector("#dialogue h3")
        assert page.locator("#dialogue h3").inner_text() == "before-000001"
        assert page.locator("#dialogue .turn").count() == 3
        turn = page.locator("#dialogue .turn").first
        assert turn.locator("svg rect.track").count() == 13
        assert "60.0%" in (turn.locator("svg").text_content() or "")
        for words in ("preferences", "reward", "ranking", "1 facts", "time and tokens", "100 + 20 (60 cached)"):
            assert words.lower() in turn.inner_text().lower()
        page.keyboard.press("d")
        assert not turn.locator(".more").is_visible()


def test_two_episodes_of_one_scenario_side_by_side(browser: Browser, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["plain"], hash="#e/rl-000002") as opened:
        page = opened.page
        page.get_by_role("button", name="beside before warm-up").click()
        page.wait_for_selector(".pair")
        assert page.locator(".pair h3").all_inner_texts() == ["before-000002", "rl-000002"]
        assert page.locator(".pair .turn").count() == 6
        page.keyboard.press("c")
        until(page, "document.querySelector('.pair h3').textContent === 'warmup-000002'")
        page.keyboard.press("Escape")
        page.wait_for_selector("#dialogue > .turn")
        assert page.url.endswith("#e/rl-000002")


def test_a_pinned_episode_stands_beside_any_other(browser: Browser, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["plain"], hash="#e/train-000001") as opened:
        page = opened.page
        page.keyboard.press("p")
        page.locator('.row[data-id="rl-000004"]').click()
        page.wait_for_selector(".pair")
        assert page.locator(".pair h3").all_inner_texts() == ["train-000001", "rl-000004"]
        assert "two different scenarios" in page.locator("#dialogue").inner_text()


def test_everything_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["plain"]) as opened:
        page = opened.page
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        page.keyboard.type("warmup")
        until(page, "document.querySelector('#count').textContent.startsWith('8 of')")
        page.keyboard.press("Escape")
        for expected in ("warmup-000000", "warmup-000001"):
            page.keyboard.press("j")
            until(page, f"document.querySelector('#dialogue h3')?.textContent === '{expected}'")
        page.keyboard.press("k")
        until(page, "document.querySelector('#dialogue h3')?.textContent === 'warmup-000000'")
        page.locator("#list").focus()
        page.keyboard.press("ArrowDown")
        until(page, "document.querySelector('#dialogue h3')?.textContent === 'warmup-000001'")
        assert page.locator('.row[aria-selected="true"]').get_attribute("data-id") == "warmup-000001"
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("t")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.keyboard.press("t")
        assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_phone_goes_from_the_list_to_a_dialogue_and_back(browser: Browser, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["plain"], width=390, hash="#episodes") as opened:
        page = opened.page
        assert not page.locator("#dialogue").is_visible()
        page.locator('.row[data-id="before-000003"]').click()
        page.wait_for_selector("#dialogue h3")
        assert not page.locator("#list").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("button", name="← list").click()
        page.wait_for_selector("#list")
        assert page.locator("#list").is_visible()


@pytest.mark.parametrize("where", ["#overview", "#e/before-000000", "#e/train-000003", "#c/before-000001/rl-000001"])
def test_hostile_text_is_inert(browser: Browser, pages: dict[str, Path], where: str) -> None:
    with Opened(browser, pages["hostile"], hash=where) as opened:
        page = opened.page
        page.fill("#q", "onerror")
        until(page, "document.querySelector('#count').textContent.startsWith('16 of')")
        assert page.evaluate("window.hacked") is None
        assert page.locator("#main img, #main iframe, #main a[href^='javascript']").count() == 0
        if where.startswith("#e"):
            assert HOSTILE[0] in page.locator("#dialogue").inner_text()


def test_the_policy_stops_a_script_that_got_in_all_the_same(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["plain"])
    opened.page.evaluate(INTRUDER)
    opened.page.wait_for_timeout(200)
    assert opened.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in text for text in opened.said)
    opened.context.close()


def test_a_thousand_episodes_stay_quick(browser: Browser, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["large"], hash="#episodes") as opened:
        page = opened.page
        took = page.evaluate("performance.getEntriesByName('ready')[0].startTime")
        assert took < INTERACTIVE_MS
        assert opened.count() == "1,200 of 1,200 episodes"
        assert opened.rows() < 400
        page.locator("#list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
        until(page, "document.querySelectorAll('#list .row').length > 150")
        page.fill("#q", "tell me more")
        until(page, "!document.querySelector('#count').textContent.includes('searching')")
        assert opened.count() == "1,200 of 1,200 episodes"


def test_a_comparison_without_dialogues_still_opens(browser: Browser, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["comparison"]) as opened:
        assert opened.page.locator("#episodes").count() == 0
        assert opened.page.evaluate("window.hacked") is None
        assert opened.page.locator("td.better").count() == 1
