"""A run played again from its tape is the run; what differs is named; other judges, experts and planners are asked."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from support.episodes import UNIFORM, events_of

from harness.app.commands import run as running
from harness.app.commands.replay import Question, replay
from harness.app.console.progress import Progress
from harness.app.replay import evaluate, rescore, transcript
from harness.app.replay.recorded_run import LoggedPolicy, RecordedRun, Unlogged, open_recorded_run
from harness.app.replay.rescore import TwoRewards, agreement
from harness.app.replay.verify import compare, verified
from harness.core.errors import CheckFailed, InputError
from harness.core.log.episode import Assembler, build
from harness.core.messages import EpisodeEnded, Event, Failure, Transition

TINY = Path(__file__).parent.parent / "experiments" / "tiny.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 18 short episodes."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    keys = ["planner.kind=tabular", "warmup.epochs=1", "conversation.max_turns=3", "evaluation.dialogues=4"]
    running.run(
        TINY, folder, [*keys, "rl.dialogues_per_epoch=6", "rl.batch_episodes=6"], Console(quiet=True), quiet=True
    )
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> RecordedRun:
    return open_recorded_run(folder)


def ask(folder: Path, question: Question, **how: Any) -> str:
    """What replay prints."""
    console = Console(file=StringIO(), width=120)
    more: dict[str, Any] = {"phases": [], "file": None, "overrides": [], "out": None, "quiet": True}
    try:
        replay(folder, question, console, **(more | how))
    finally:
        said: str = console.file.getvalue()  # type: ignore[attr-defined]
    return said


def quiet() -> Progress:
    return Progress(Console(quiet=True), quiet=True)


def test_an_overview_tells_bytes_a_turn(folder: Path) -> None:
    said = ask(folder, Question())
    assert "18 finished episodes (before 4, rl 4, train 6, warmup 4)" in said
    assert "a turn; tape" in said


def test_the_tape_gives_the_whole_run_again(folder: Path) -> None:
    said = ask(folder, Question(verify=True))
    summary = msgspec.json.decode((folder / "summary.json").read_bytes())
    assert "0 differ" in said
    assert summary["digest"] in said


def changed_log(run: RecordedRun, tmp_path: Path, change: Callable[[Event], Event]) -> RecordedRun:
    """The run with other events in its log."""
    events = [change(event) for episode in run.episodes for event in episode.events]
    assembler = Assembler()
    episodes = tuple(episode for event in events if (episode := assembler.add(event)) is not None)
    return msgspec.structs.replace(run, episodes=episodes)


def edited(name: str, turn: int, **fields: Any) -> Callable[[Event], Event]:
    def change(event: Event) -> Event:
        if isinstance(event, Transition) and (event.episode, event.turn) == (name, turn):
            return msgspec.structs.replace(event, **fields)
        return event

    return change


@pytest.mark.parametrize(
    ("fields", "turn", "role", "sentence"),
    [
        ({"ranking": ("x",)}, 1, "fact_retriever", "ranking is "),
        ({"preferences": "Wants: horror"}, 1, "preference_reasoner", "preferences is Wants: "),
        ({"recommended": ("zz",)}, 1, "actor", "recommended"),
        ({"stop": "quit"}, 1, "conversation", "stop is null, logged was quit"),
    ],
)
def test_what_the_code_now_reads_otherwise_is_named(
    run: RecordedRun, tmp_path: Path, fields: dict[str, Any], turn: int, role: str, sentence: str
) -> None:
    found = verified(changed_log(run, tmp_path, edited("before-000001", 1, **fields)), quiet())
    (divergence,) = found.divergences
    assert (divergence.episode, divergence.turn, divergence.role) == ("before-000001", turn, role)
    assert divergence.field.startswith(sentence)
    assert not found.digest


def test_a_changed_prompt_is_named_and_ends_in_exit_code_1(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experts.prompts.ACTOR_INSTRUCTIONS", "Speak.")
    with pytest.raises(CheckFailed, match="4 of 4 episodes") as caught:
        ask(folder, Question(verify=True), phases=["rl"])
    assert caught.value.exit_code == 1
    found = verified(open_recorded_run(folder, ["rl"]), quiet())
    assert {(one.turn, one.role) for one in found.divergences} == {(1, "actor")}
    assert found.divergences[0].field == "the system message differs from the recorded one"


def test_a_changed_decision_changes_the_actors_section(run: RecordedRun, tmp_path: Path) -> None:
    episode = run.episode("rl-000000")
    decision = episode.transitions[1].decision
    assert decision is not None
    certain = tuple(float(index == (decision.index + 1) % 13) for index in range(13))
    other = msgspec.structs.replace(decision, probabilities=certain)
    found = verified(changed_log(run, tmp_path, edited("rl-000000", 2, decision=other)), quiet())
    (divergence,) = found.divergences
    assert (divergence.turn, divergence.role) == (2, "actor")
    assert divergence.field == "section STRATEGY of the prompt differs from the recorded one"


def test_a_turn_that_failed_is_no_difference_but_another_end_is() -> None:
    events = events_of("e", 0, turns=2)[:-1]
    failure = Failure(kind="call", message="status 400", turn=3)
    failed = build([*events, EpisodeEnded(episode="e", stop="error", turns=2, failure=failure)])
    unlogged = Failure(kind=Unlogged.kind, message="no decision", turn=3)
    again = build([*events, EpisodeEnded(episode="e", stop="error", turns=2, failure=unlogged)])
    assert compare(failed, again) is None
    whole = build(events_of("e", 0, turns=2))
    longer = compare(whole, again)
    assert longer is not None
    assert longer.field.startswith("stop is error")


def test_the_logged_planner_knows_its_turns_only() -> None:
    policy, episode = LoggedPolicy(), build(events_of("e", 0, turns=1))
    first, second = episode.states()
    with policy.repeating(episode):
        assert policy.distribution(first) == UNIFORM
        with pytest.raises(Unlogged, match="turn 2 of episode e"):
            policy.distribution(second)
    with pytest.raises(Unlogged, match="turn 1 of episode e"):
        policy.distribution(first)


def test_the_same_judge_says_the_same(folder: Path, tmp_path: Path) -> None:
    said = ask(folder, Question(rescore="reward"), out=tmp_path / "readings.jsonl")
    assert "scripted-world" in said
    readings = [msgspec.json.decode(line) for line in (tmp_path / "readings.jsonl").read_bytes().splitlines()]
    assert len(readings) == sum(len(episode.transitions) for episode in open_recorded_run(folder).episodes)
    assert all(reading["old"] == reading["new"] for reading in readings)


def test_another_prompt_and_mode_say_something_else(folder: Path, run: RecordedRun, tmp_path: Path) -> None:
    console = Console(quiet=True)
    (tmp_path / "logs").mkdir()
    exact = msgspec.structs.replace(run.config, reward=msgspec.structs.replace(run.config.reward, mode="expected"))
    found = rescore.rescore(run, "reward", exact, tmp_path, None, console, quiet=True)
    assert found.new_missing == 0
    assert 0 < found.absolute < 0.2
    assert found.pearson is not None
    assert found.pearson > 0.5
    other = rescore.rescore(run, "evaluator", run.config, tmp_path, None, console, quiet=True)
    assert other.absolute > 0


def test_agreement_in_numbers() -> None:
    old = [0.1, 0.2, 0.9, 0.8, None, 0.4]
    new = [0.2, 0.3, 0.8, 0.1, 0.5, None]
    pairs = enumerate(zip(old, new, strict=True))
    readings = [TwoRewards(episode=f"e{turn // 3}", turn=turn % 3 + 1, old=a, new=b) for turn, (a, b) in pairs]
    found = agreement(readings, 0.75)
    assert (found.states, found.both, found.old_missing, found.new_missing) == (6, 4, 1, 1)
    assert found.old_mean == pytest.approx(0.5)
    assert found.new_mean == pytest.approx(0.35)
    assert found.absolute == pytest.approx((0.1 + 0.1 + 0.1 + 0.7) / 4)
    assert found.same_side == pytest.approx(0.75)
    # Expected agreement .5 * .25 + .5 * .75 = .5.
    assert found.kappa == pytest.approx(0.5)
    assert found.stops_differ == 1
    assert found.difference.mean == pytest.approx(((1.3 - 1.2) / 3 + (0.1 - 0.8)) / 2)


def test_a_swapped_expert_that_says_the_same_never_leaves_the_record(folder: Path) -> None:
    said = ask(folder, Question(swap="actor=default"))
    assert "left the record in turn" in said
    assert re.search(r"never +18 +1\.00", said)
    assert "episode" not in said.split("left the record")[0]


def test_a_swapped_expert_that_says_less_leaves_it_at_the_next_prompt(folder: Path) -> None:
    said = ask(folder, Question(swap="actor=default"), overrides=["decoding.actor.max_tokens=20"])
    assert "left the record in turn 1 (seeker)" in said


def test_swaps_that_cannot_be(folder: Path) -> None:
    for assignment, sentence in (
        ("actor", "wants ROLE=MODEL"),
        ("planner=default", "wants ROLE=MODEL with a role of"),
        ("actor=big", r"there is no \[models.big\]"),
    ):
        with pytest.raises(InputError, match=sentence):
            ask(folder, Question(swap=assignment))
    with pytest.raises(InputError, match="--rescore reads the dialogues with others"):
        ask(folder, Question(swap="reward=default"), overrides=["reward.mode=expected"])


def test_a_small_log_gives_no_estimate_and_says_so(folder: Path) -> None:
    said = ask(folder, Question(evaluate="uniform"))
    assert "Seed 0. Decisions: horizon absorbing" in said
    assert "!! below 30: no estimate" in said
    assert "18 logged episodes" in said
    assert "[" not in said.split("ESS")[1].split("95% intervals")[0]


def test_planners_are_found_by_name(folder: Path, run: RecordedRun) -> None:
    assert evaluate.target_of(run, "fixed:credibility").epsilon > 0
    by_name, by_path = evaluate.target_of(run, "v000001"), evaluate.target_of(run, str(folder / "checkpoints/v000001"))
    state = run.episodes[0].states()[0]
    assert by_name.policy.distribution(state) == by_path.policy.distribution(state)
    with pytest.raises(InputError, match="v000000, v000001"):
        evaluate.target_of(run, "v000009")


def test_the_logging_planner_evaluates_to_what_was_logged(run: RecordedRun) -> None:
    before = [episode for episode in run.episodes if episode.started.phase == "before"]
    strategies = tuple(strategy.key for strategy in run.inputs.strategies)
    found, logged = evaluate.estimates(before, evaluate.target_of(run, "uniform"), run.config, strategies)
    for name in ("mean_return", "mean_objective", "conv_sr"):
        assert found[name].weighted.value == pytest.approx(logged[name]), name
        assert found[name].effective == pytest.approx(len(before))


def test_a_transcript_shows_text_and_nothing_else(run: RecordedRun) -> None:
    episode = run.episodes[0]
    hostile = "[bold red]\x1b[2J\x07a\x00b\u2028c[/] \u202e"
    first = episode.transitions[0]
    reply = msgspec.structs.replace(first.reply, text=hostile)
    shown = msgspec.structs.replace(
        episode, transitions=(msgspec.structs.replace(first, reply=reply, response=hostile), *episode.transitions[1:])
    )
    console = Console(file=StringIO(), width=100, force_terminal=True, color_system="standard")
    for line in transcript.lines(shown, {}, tuple("abc")):
        console.print(line, soft_wrap=True)
    said: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold red]" in said
    assert "\x1b[2J" not in said
    assert not set(said) & set("\x07\x00\u2028\u202e")


def test_a_transcript_has_every_part_of_a_turn(folder: Path, run: RecordedRun) -> None:
    episode = next(e for e in run.episodes if e.transitions[0].facts)
    said = ask(folder, Question(transcript=episode.id))
    for part in ("persona", "goal", "strategy", "preferences", "facts", "recommender", "seeker", "scores", "timing"):
        assert part in said, part
    assert episode.transitions[0].reply.text in said.replace("\n", " ")
    with pytest.raises(InputError, match="no finished episode 'nobody'"):
        ask(folder, Question(transcript="nobody"))


def test_one_question_at_a_time_and_only_of_runs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--verify and --swap"):
        ask(folder, Question(verify=True, swap="x"))
    with pytest.raises(InputError, match="not a run directory"):
        ask(tmp_path, Question())
    with pytest.raises(InputError, match="phases with any: before, rl, train, warmup"):
        ask(folder, Question(verify=True), phases=["nothing"])


def test_nothing_is_written_into_the_run(folder: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    before = content()
    ask(folder, Question(verify=True))
    ask(folder, Question(rescore="reward"))
    assert content() == before
