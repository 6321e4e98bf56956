"""The local engine on small made-up workers: two at a time, what waits for what, workers that die, stopping."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from harness.app.grid import engine
from harness.app.grid.engine import RETRIES, LocalEngine
from harness.app.grid.orders import Answer, Order, Queue

WORKER = """
import json, os, signal, sys, time
home = sys.argv[1]
def note(text):
    with open(os.path.join(home, "notes"), "a") as file:
        file.write(text + "\\n")
for line in sys.stdin:
    order = json.loads(line)
    name, cell = order["name"], order["cell"]
    note(f"begin {name}")
    if cell.get("dies", 0) > sum(n == f"begin {name}\\n" for n in open(os.path.join(home, "notes"))) - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    interrupted = []
    signal.signal(signal.SIGINT, lambda *_: interrupted.append(1))
    ends_at = time.monotonic() + cell.get("seconds", 0)
    while time.monotonic() < ends_at and not interrupted:
        time.sleep(0.01)
    note(f"end {name}")
    error = "interrupted" if interrupted else cell.get("error", "")
    print(json.dumps({"seconds": 0.0, "error": error, "interrupted": bool(interrupted)}), flush=True)
"""


def order(name: str, after: str = "", **cell: object) -> Order:
    return Order(kind="study", name=name, directory=name, cell=cell, after=after)


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the workers note what they begin and end."""
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(engine, "WORKER", (sys.executable, "-S", str(tmp_path / "worker.py"), str(tmp_path)))
    return tmp_path / "notes"


def played(orders: list[Order], processes: int = 2) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}

    def done(order: Order, answer: Answer) -> None:
        assert order.name not in answers, "an order has one answer"
        answers[order.name] = answer

    async def main() -> None:
        with trio.fail_after(30):
            await LocalEngine(processes).work(orders, done)

    trio.run(main)
    return answers


def test_orders_are_played_two_at_a_time(workers: Path) -> None:
    answers = played([order("a", seconds=0.5), order("b", seconds=0.5), order("c")])
    assert set(answers) == {"a", "b", "c"}
    assert not any(answer.error for answer in answers.values())
    assert set(workers.read_text().splitlines()[:2]) == {"begin a", "begin b"}


def test_an_order_waits_for_the_one_that_it_needs_and_others_go_first(workers: Path) -> None:
    played([order("training", seconds=0.3), order("cell", after="training"), order("other")])
    notes = workers.read_text().splitlines()
    assert notes.index("begin other") < notes.index("end training") < notes.index("begin cell")


def test_what_waits_for_a_failed_training_is_not_played_and_says_why(workers: Path) -> None:
    answers = played([order("training", error="no films."), order("cell", after="training"), order("other")])
    assert answers["cell"].error == "what it plays with was not trained: no films."
    assert answers["other"].error == ""
    assert "begin cell" not in workers.read_text()


def test_a_worker_that_dies_is_replaced_and_its_order_played_again(workers: Path) -> None:
    answers = played([order("a", dies=RETRIES), order("b")])
    assert answers["a"].error == ""
    assert workers.read_text().count("begin a") == 1 + RETRIES


def test_an_order_that_kills_every_worker_fails_and_the_others_are_played(workers: Path) -> None:
    answers = played([order("a", dies=99), order("b"), order("c")], processes=1)
    assert answers["a"].error == "its worker process died 3 times, the last time with exit code -9"
    assert (answers["b"].error, answers["c"].error) == ("", "")
    assert workers.read_text().count("begin a") == 1 + RETRIES


@pytest.mark.parametrize("dies", [0, 99])
def test_a_stop_reaches_the_workers_and_nothing_further_begins(workers: Path, dies: int) -> None:
    answers: dict[str, Answer] = {}
    local = LocalEngine(2)

    def both_began() -> None:
        while not (workers.exists() and workers.read_text().count("begin") == 2):
            time.sleep(0.01)
        time.sleep(0.1)  # the handlers are there

    async def main() -> None:
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                orders = [order("a", seconds=20), order("b", seconds=20), order("c", after="a")]
                nursery.start_soon(local.work, orders, lambda order, answer: answers.update({order.name: answer}))
                await trio.to_thread.run_sync(both_began)
                local.stop(signal.SIGKILL if dies else signal.SIGINT)

    began = time.monotonic()
    trio.run(main)
    assert time.monotonic() - began < 15
    assert answers["a"].interrupted
    assert answers["b"].interrupted
    assert workers.read_text().count("begin") == 2


def test_the_workers_are_gone_at_the_end(workers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    open_process: Callable[..., object] = trio.lowlevel.open_process

    async def noted(*arguments: object, **options: object) -> object:
        process = await open_process(*arguments, **options)  # type: ignore[misc]
        started.append(process.pid)
        return process

    monkeypatch.setattr(trio.lowlevel, "open_process", noted)
    played([order("a"), order("b"), order("c")])
    assert started
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_closed_queue_gives_nothing_more() -> None:
    async def main() -> None:
        queue = Queue([order("a"), order("b", after="a")], lambda order, answer: None)
        assert (await queue.next()) is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits, queue)
            await trio.testing.wait_all_tasks_blocked()
            queue.close()

    async def waits(queue: Queue) -> None:
        assert await queue.next() is None

    trio.run(main)
