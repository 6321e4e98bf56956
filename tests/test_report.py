"""The report: its figures are right, its page is self-contained, and nothing that was said can act in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support.episodes import events_of
from support.rundirs import WORLD, write_run

from harness.app.commands.report import report
from harness.app.drawing import palette
from harness.app.evaluation import shares
from harness.app.evaluation.measures import MEASURES, PARTS
from harness.app.evaluation.persuasion import PersuasionCounts
from harness.app.evaluation.shares import shares_over_progress, stop_shares, strategy_shares
from harness.app.evaluation.statistics import Estimate
from harness.app.evaluation.two_way import Difference
from harness.app.grid.comparison.measures import Faults
from harness.app.grid.comparison.plan import ComparisonFile, DatasetSettings, Paper, System
from harness.app.grid.comparison.results import Comparison, Row
from harness.app.report.costs import costs_by_role
from harness.app.report.curves import pass_series, unlearned_turns, update_returns
from harness.app.report.health import flaws, simulator_health
from harness.app.report.judging import judge_beside_evaluator, read_judge, repeatability
from harness.app.report.record import read_record, visible
from harness.app.report.run_page import STOP_TITLES, _clear, render_run
from harness.core.errors import InputError
from harness.core.log.episode import Episode, build
from harness.core.messages import Item, Score, SeekerReply, StopCause
from harness.domain.strategies import STRATEGIES

HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script><img src=x onerror=window.hacked=1>",
    '"><svg onload=window.hacked=1> javascript:window.hacked=1',
    "{{ 7 * 7 }} \x1b[31m \u202e ]]> --> \x00",
)


def episode(turns: int, strategies: list[str] | None = None, name: str = "e") -> Episode:
    built = build(events_of(name, 0, turns=turns))
    if strategies is None:
        return built
    changed = [
        msgspec.structs.replace(t, decision=msgspec.structs.replace(t.decision, strategy=strategy))
        for t, strategy in zip(built.transitions, strategies, strict=True)
        if t.decision is not None
    ]
    return msgspec.structs.replace(built, transitions=tuple(changed))


# Fig. 3 ---------------------------------------------------------------------------------------------------------------


def test_a_turn_counts_where_it_lies_in_its_conversation() -> None:
    parts = shares_over_progress([episode(2, ["credibility", "similarity"])], STRATEGIES, bins=4)
    assert [part["credibility"] for part in parts] == [1.0, 1.0, 0.0, 0.0]
    assert [part["similarity"] for part in parts] == [0.0, 0.0, 1.0, 1.0]


keys = [strategy.key for strategy in STRATEGIES]


@given(st.lists(st.lists(st.sampled_from(keys), min_size=1, max_size=12), min_size=1, max_size=8))
def test_every_part_adds_up_and_every_conversation_weighs_the_same(conversations: list[list[str]]) -> None:
    parts = shares_over_progress([episode(len(c), c) for c in conversations], STRATEGIES)
    for part in parts:
        assert sum(part.values()) == pytest.approx(1.0)
    for key in keys:
        expected = sum(c.count(key) / len(c) for c in conversations) / len(conversations)
        assert sum(part[key] for part in parts) / len(parts) == pytest.approx(expected)


def test_no_decision_has_no_shares() -> None:
    empty = msgspec.structs.replace(episode(2), transitions=())
    assert strategy_shares([empty], STRATEGIES) == {}
    assert shares_over_progress([empty], STRATEGIES) == [{}] * 10


def test_stops_are_shares_of_all_conversations() -> None:
    stops: tuple[StopCause, ...] = ("judge", "error", "judge", "quit")
    ended = [build(events_of(f"e{n}", n, turns=1, stop=stop)) for n, stop in enumerate(stops)]
    shares = stop_shares(ended)
    assert shares["judge"] == 0.5
    assert shares["error"] == 0.25
    assert sum(shares.values()) == 1.0


# Judge ----------------------------------------------------------------------------------------------------------------


def test_samples_that_agree_within_turns_and_differ_between_them_are_repeatable() -> None:
    icc, reliability = repeatability([(1, 1, 1), (3, 3, 3), (5, 5, 5)])
    assert icc == pytest.approx(1.0)
    assert reliability == pytest.approx(1.0)


def test_icc_is_shrout_and_fleiss_one() -> None:
    # Shrout & Fleiss (1979), table 2: ICC(1,1) of these six targets by four judges is .17, ICC(1,4) is .44.
    table = [(9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7)]
    icc, reliability = repeatability(table)
    assert icc == pytest.approx(0.17, abs=0.005)
    assert reliability == pytest.approx(0.44, abs=0.005)


def test_nothing_that_varies_has_no_repeatability() -> None:
    assert repeatability([(3, 3), (3, 3)]) == (None, None)
    assert repeatability([(3,)]) == (None, None)


def test_a_judge_that_says_one_thing_raises_alarms() -> None:
    reading = read_judge([Score(raw=(3, 3), reward=0.5, label_mass=0.2)] * 20)
    assert [alarm.split(":")[0] for alarm in reading.alarms] == [
        "flat rewards",
        "nearly constant scores",
        "low label mass",
    ]
    lively = read_judge([Score(raw=(n % 5 + 1,), reward=n % 5 / 4, label_mass=0.99) for n in range(20)])
    assert lively.alarms == ()
    assert lively.histogram == (0.2,) * 5


def test_missing_rewards_are_counted_and_in_no_mean() -> None:
    reading = read_judge([Score(raw=(5, 5), reward=1.0), Score(raw=(1,), invalid=9, reward=None)])
    assert (reading.missing, reading.invalid, reading.samples) == (1, 9, 12)
    assert reading.reward_mean == 1.0


def test_the_distribution_stands_in_for_samples() -> None:
    reading = read_judge([Score(distribution=(0.0, 0.5, 0.5, 0.0, 0.0), reward=0.375)])
    assert reading.histogram == (0.0, 0.5, 0.5, 0.0, 0.0)
    assert not reading.from_samples


def test_judge_and_evaluator_meet_on_final_states(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run"))
    rows = judge_beside_evaluator(record.episodes)
    assert sum(row.n for row in rows) == 12
    assert rows[-1].evaluator == 1.0


# Health and cost ------------------------------------------------------------------------------------------------------

FILMS = {"1": Item(id="1", title="Heat"), "2": Item(id="2", title="Ronin")}


def with_reply(
    text: str, *, response: str = "hm", accepted: bool = False, recommended: tuple[str, ...] = ()
) -> Episode:
    built = episode(1)
    turn = msgspec.structs.replace(
        built.transitions[0],
        reply=SeekerReply(text=text, accepted=accepted),
        response=response,
        recommended=recommended,
    )
    return msgspec.structs.replace(built, transitions=(turn,))


@pytest.mark.parametrize(
    ("played", "expected"),
    [
        (with_reply("I want Heat!"), ["leaks"]),
        (with_reply("Heat sounds good", response="Take Heat (1995)."), []),
        (with_reply("Fine.", accepted=True), ["early"]),
        (with_reply("Fine.", accepted=True, recommended=("2",)), []),
        (with_reply("I recommend you Ronin, it is great."), ["confused"]),
        (with_reply("hello"), ["seeker_repeats"]),
    ],
)
def test_flaws(played: Episode, expected: list[str]) -> None:
    assert flaws(played, FILMS) == expected


def test_leaks_cannot_be_told_without_titles() -> None:
    health = simulator_health([with_reply("I want Heat!")], {})
    assert health.counts["leaks"] is None
    assert health.counts["early"] == 0


def test_costs_add_up_by_role(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run"))
    actor = costs_by_role(record.episodes)["actor"]
    assert actor.usage.calls == 4 * 4 * 3
    assert actor.cached_share == pytest.approx(0.6)
    assert actor.p50_s == 0.25


def test_the_band_of_the_learning_curve_is_over_an_updates_episodes(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run"))
    [(reached, estimate)] = update_returns(record, "literal")
    # Four episodes, one failed and one with a missing reward: two returns are left.
    assert (reached, estimate.n) == (4.0, 2)


class Told:
    """A record of these update lines."""

    def __init__(self, *lines: dict[str, Any]) -> None:
        self._lines = lines

    def lines(self, kind: str) -> list[dict[str, Any]]:
        return list(self._lines) if kind == "update" else []


def test_passes_are_drawn_from_first_and_last_and_a_refused_update_is_a_gap() -> None:
    record: Any = Told(
        {"episodes": 16, "passes": [{"kl": 0.0}, {"kl": 0.01}, {"kl": 0.02}], "turns_without_return": {"error": 2}},
        {"episodes": 16, "passes": [], "turns_without_return": {"error": 1, "turns": 4, "quit": 0}},
        {"episodes": 8, "passes": [{"kl": 0.03}]},
    )
    first, last = pass_series(record, "kl", ("blue", "red"))
    assert first.x == last.x == (16.0, 32.0, 40.0)
    assert first.y == (0.0, None, 0.03)
    assert last.y == (0.02, None, 0.03)
    assert unlearned_turns(record) == {"error": 3, "turns": 4}
    older: Any = Told({"episodes": 4})
    assert pass_series(older, "kl", ("blue", "red")) == []


def test_the_learning_curve_is_over_the_newest_episodes(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run"))
    alone, smooth = update_returns(record, "literal", over=1), update_returns(record, "literal", over=10**6)
    assert [reached for reached, _ in alone] == [reached for reached, _ in smooth]
    assert smooth[-1][1].n == sum(estimate.n for _, estimate in alone)


# Page -----------------------------------------------------------------------------------------------------------------


def data_of(page: str) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    head = re.search(r'id="head">([^<]*)<', page)
    assert head is not None
    chunks = re.findall(r'class="chunk">([^<]*)<', page)
    unpack = lambda text: msgspec.json.decode(gzip.decompress(base64.b64decode(text)))  # noqa: E731
    return unpack(head[1]), [unpack(chunk) for chunk in chunks]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_run(tmp_path_factory.mktemp("r") / "run", texts=HOSTILE, persona=HOSTILE[0])
    return render_run(read_record(folder))


def test_only_the_pages_own_script_and_style_may_act(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = policy[1].replace("&#39;", "'")
    script = re.search(r"<script>(.*?)</script>\n</body>", page, re.DOTALL)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert script is not None
    assert style is not None
    for text, kind in ((script[1], "script-src"), (style[1], "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in rules
    assert "default-src 'none'" in rules
    assert "unsafe" not in rules


def test_the_page_asks_for_nothing_outside_of_itself(page: str) -> None:
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert "@import" not in page
    assert "url(" not in page


def test_no_word_of_a_model_is_markup(page: str) -> None:
    assert len(re.findall(r"<script[ >]", page)) == 2 + len(re.findall(r'class="chunk"', page)) + 1
    for text in HOSTILE[:3]:
        assert text not in page
    assert "<img" not in page
    assert " style=" not in page
    assert not re.search(r"<[^>]* on\w+=", page)


def test_the_reader_holds_every_word_with_control_characters_written_out(page: str) -> None:
    head, chunks = data_of(page)
    dialogues = [dialogue for chunk in chunks for dialogue in chunk]
    assert len(dialogues) == len(head["index"]) == 16
    said = [turn["a"] for dialogue in dialogues for turn in dialogue["turns"]]
    assert f"{HOSTILE[1]} 1" in said
    assert any("⟨U+001B⟩[31m ⟨U+202E⟩" in text and "⟨U+0000⟩" in text for text in said)


def test_the_world_and_the_intervals_are_named(page: str) -> None:
    assert page.count(WORLD) >= 2
    assert "Wilson for rates" in page
    assert "Conv-SR is read by the held-out evaluator (tau 0.75)" in page


def test_only_differences_clear_of_zero_are_coloured(tmp_path: Path) -> None:
    shown = render_run(read_record(write_run(tmp_path / "run")))
    rows = dict(
        re.findall(r'<tr(?: class="level")?><th scope="row" title="[^"]+">([^<]+)</th>(.*?)</tr>', shown, re.DOTALL)
    )
    # Every reward of the last phase is higher by the same amount: a difference, and nothing to make an interval from.
    assert '<td class=""><b>+0.74' in rows["R_1 (Eq. 8)"]
    assert "[all alike]" in rows["R_1 (Eq. 8)"]
    assert [_clear(Estimate(mean=0.2, low=low, high=0.3, n=9)) for low in (0.1, -0.1, None)] == [True, False, False]


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert render_run(read_record(folder)) == render_run(read_record(folder))


def test_a_run_without_a_summary_is_shown_from_its_log(tmp_path: Path) -> None:
    shown = render_run(read_record(write_run(tmp_path / "run", summary=False)))
    assert "This run is incomplete" in shown
    assert "scripted world" in shown
    assert "No evaluation has been finished yet" in shown


def test_items_keep_their_ids_without_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "run")
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    config["config"]["data"]["knowledge_graph"] = str(tmp_path / "gone.json")
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    head, _ = data_of(render_run(read_record(folder)))
    assert all(item.startswith("tt") for item in head["items"])


def test_the_command_writes_into_the_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    path = report(folder, None, Console(quiet=True), show=False)
    with pytest.raises(InputError, match="--out: there is no folder"):
        report(folder, tmp_path / "nowhere" / "page.html", Console(quiet=True), show=False)
    assert path == folder / "report.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_cautions_stand_above_the_numbers(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    summary = msgspec.json.decode((folder / "summary.json").read_bytes())
    (folder / "summary.json").write_bytes(
        msgspec.json.encode({**summary, "seal": "", "cautions": ["the judge < people"]})
    )
    assert '<p class="alarm">the judge &lt; people</p>' in render_run(read_record(folder))


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory"):
        report(tmp_path, None, Console(quiet=True), show=False)
    (tmp_path / "run").mkdir()
    folder = write_run(tmp_path / "run" / "x")
    (folder / "summary.json").write_bytes(b"{")
    with pytest.raises(InputError, match=r"summary\.json cannot be read"):
        report(folder, None, Console(quiet=True), show=False)


@given(st.text())
def test_visible_text_holds_no_control_character(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert "\u202e" not in shown


# Comparison -----------------------------------------------------------------------------------------------------------


def write_comparison(folder: Path) -> Path:
    (folder / "cells").mkdir(parents=True)
    plan = ComparisonFile(
        comparison=Paper(reference="rso"),
        systems={"rso": System(), "without": System(group="ablation", title=HOSTILE[0])},
        datasets={"synthetic": DatasetSettings(experiment="tiny.toml")},
    )
    (folder / "config.json").write_bytes(msgspec.json.encode(plan))
    names = [name for name in MEASURES if name not in PARTS]
    better = Difference(mean=0.3, low=0.1, high=0.5, n=9, p=0.001, p_holm=0.002)
    rows = tuple(
        Row(
            system=system,
            title=title,
            group=group,
            model="m-7B",
            dataset="synthetic",
            seeds=(0,),
            dialogues=10,
            failed=1,
            failed_cells={1: HOSTILE[1]} if group == "ablation" else {},
            metrics={name: Estimate(mean=mean, low=mean - 0.1, high=mean + 0.1, n=9) for name in names},
            differences={"conv_sr": better} if group == "ablation" else {},
            persuasion=PersuasionCounts(**dict.fromkeys(PersuasionCounts.__struct_fields__, 0)),
            faults=Faults(failed={}, **{name: 0 for name in Faults.__struct_fields__ if name != "failed"}),
            usage={},
            cost_per_dialogue=None,
        )
        for system, title, group, mean in (("rso", "RSO", "system", 0.4), ("without", HOSTILE[0], "ablation", 0.7))
    )
    made = Comparison(
        world=WORLD, reference="rso", seeds=(0, 1), scenarios=10, complete=False, seconds=1.0, rows=rows, groups=()
    )
    (folder / "comparison.json").write_bytes(msgspec.json.encode(made))
    return folder


def test_a_comparison_has_tables_figures_and_its_gaps(tmp_path: Path) -> None:
    path = report(write_comparison(tmp_path / "cmp"), None, Console(quiet=True), show=False)
    shown = path.read_text(encoding="utf-8")
    for heading in ("Table IV", "Table V", "Fig. 5, ablations", "This comparison is incomplete", WORLD):
        assert heading in shown
    assert "Fig. 4" not in shown
    assert 'class="better"' in shown
    assert HOSTILE[0] not in shown
    assert HOSTILE[1] not in shown


def test_every_stop_cause_has_its_place_in_shares_colours_and_titles() -> None:
    causes = set(get_args(StopCause))
    assert set(shares.STOPS) == set(palette.STOPS) == set(STOP_TITLES) == causes
