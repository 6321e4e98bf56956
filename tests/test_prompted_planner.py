"""The planner that is a prompted language model: its distribution, its failures, its runs, its part in the world."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.fakes import FILMS, FakeChatModel, in_order, run_on_fake_clock, state_of

from experts.planner import PlannerQuery
from experts.prompted_planner import PromptedPlanner
from experts.prompts import planner_messages, strategy_letters
from experts.replies import read_letter
from harness.app.commands import run as running
from harness.app.commands.replay import Question, replay
from harness.app.settings.configfile import load_config
from harness.core.errors import ConfigError, ReplyError
from harness.core.log.loggedepisodes import read_episodes
from harness.core.messages import Decision, State
from harness.core.model.llm import OpenAIChat
from harness.core.seams import Capabilities
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import STRATEGIES, strategy_set
from simulator.scripted.roles import World, read

TINY = Path(__file__).parent.parent / "experiments" / "tiny.toml"
LETTERS = strategy_letters(STRATEGIES)
EVEN = dict.fromkeys(LETTERS, math.log(0.5 / 13))


def choose(model: FakeChatModel, *, labels: bool = True, temperature: float = 1.0, seed: int = 7) -> Decision:
    planner = PromptedPlanner(model, STRATEGIES, labels=labels, temperature=temperature, mass_floor=0.05)
    query = PlannerQuery(state=state_of("Hi, something funny?", seed=seed), policy_version=3)
    decision: Decision = run_on_fake_clock(planner.choose, query)
    return decision


def test_one_decode_step_gives_the_distribution_over_all_strategies() -> None:
    model = FakeChatModel(lambda _: EVEN | {"B": math.log(0.45), "D": -math.inf})
    decision = choose(model)
    weights = [0.5 / 13] * 13
    weights[1], weights[3] = 0.45, 0.0
    assert decision.probabilities == pytest.approx([w / sum(weights) for w in weights])
    assert decision.label_mass == pytest.approx(sum(weights))
    assert decision.strategy == STRATEGIES[decision.index].key
    assert decision.policy_version == 3
    (request,) = model.requests
    assert (request.max_tokens, request.label_logprobs, request.role) == (1, LETTERS, "planner")


def test_the_temperature_sharpens_and_the_conversations_luck_draws() -> None:
    skewed = EVEN | {"B": math.log(0.3)}
    warm, cool = (choose(FakeChatModel(lambda _: skewed), temperature=t) for t in (1.0, 0.25))
    assert cool.probabilities[1] > 0.9 > warm.probabilities[1]
    drawn = {choose(FakeChatModel(lambda _: EVEN), seed=seed).strategy for seed in range(40)}
    assert len(drawn) > 8


def test_without_label_probabilities_ten_replies_stand_for_the_distribution() -> None:
    texts = ["B"] * 5 + ["(D)", "D = EXPERIENCE INQUIRY", "A film with a star", "I'd ask", ""]
    model = FakeChatModel(lambda _: texts)
    decision = choose(model, labels=False)
    assert decision.probabilities[1] == pytest.approx(5 / 7)
    assert decision.probabilities[3] == pytest.approx(2 / 7)
    assert (decision.invalid, decision.label_mass) == (3, None)
    assert (model.requests[0].n, model.requests[0].choices) == (10, LETTERS)


@pytest.mark.parametrize(("labels", "answer"), [(False, ["none"] * 10), (True, {"A": -1.0})])
def test_no_strategy_named_twice_fails_the_turn(labels: bool, answer: Any) -> None:
    model = FakeChatModel(lambda _: answer)
    with pytest.raises(ReplyError, match="planner"):
        choose(model, labels=labels)
    first, second = model.requests
    assert first.seed != second.seed


def test_letters_without_mass_are_no_choice() -> None:
    with pytest.raises(ReplyError, match=r"letters are 0 of the planner's next token .* reward\.mass_floor = 0\.05"):
        choose(FakeChatModel(lambda request: dict.fromkeys(request.label_logprobs, -9999.0)))


def test_the_second_try_counts_the_first_ones_waste() -> None:
    decision = choose(FakeChatModel(in_order(["?"] * 10, ["M"] * 10)), labels=False)
    assert (decision.strategy, decision.invalid) == ("no_strategy", 10)


@pytest.mark.parametrize(
    ("text", "letter"),
    [("B", "B"), (" b", None), ("B.", "B"), ("**B**", "B"), ("'B'", "B"), ("B) CREDIBILITY", "B"), ("N", None),
     ("Because", None), ("B is best", None), ("", None)],
)  # fmt: skip
def test_letters_are_read_strictly(text: str, letter: str | None) -> None:
    assert read_letter(text, LETTERS) == letter


def test_the_prompt_starts_with_what_never_changes() -> None:
    early, late = state_of("Hi"), state_of("Hi", "Hello\n### TASK\nplay M", "Fine")
    (system, user), (same, longer) = (planner_messages(state, STRATEGIES) for state in (early, late))
    assert system == same
    assert all(strategy.description in system.content for strategy in STRATEGIES)
    assert longer.content.startswith(user.content.partition("\n\n")[0])
    assert longer.content.count("\n### TASK") == 1
    assert "NO STRATEGY" in longer.content


def run(folder: Path, *more: str) -> tuple[dict[str, Any], str]:
    said = Console(file=StringIO(), width=120)
    keys = ["planner.kind=prompted", "conversation.max_turns=2", "evaluation.dialogues=3", *more]
    running.run(TINY, folder, keys, said, quiet=True)
    return json.loads((folder / "summary.json").read_bytes()), said.file.getvalue()  # type: ignore[attr-defined]


def test_a_run_evaluates_it_over_http_and_its_tape_gives_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    summary, shown = run(
        folder, "models.default.backend=scripted", "models.other.backend=scripted", "roles.planner=other"
    )
    (phase,) = summary["phases"]
    assert (phase["name"], phase["episodes"], phase["errors"]) == ("before", 3, 0)
    assert summary["tokens"]["planner"]["calls"] == 6
    assert list(summary["serving"]["other"]["roles"]) == ["planner"]
    assert "planner" in shown
    moves = [t for episode in read_episodes(folder / "episodes.jsonl") for t in episode.transitions]
    assert len(moves) == 6
    for move in moves:
        assert move.decision is not None
        assert len(set(move.decision.probabilities)) > 5
        assert move.decision.label_mass == pytest.approx(0.985)
    replay(folder, Question(verify=True), Console(quiet=True), phases=[], file=None, overrides=[], out=None, quiet=True)


def test_a_server_without_label_probabilities_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def poor(self: OpenAIChat) -> Capabilities:
        return Capabilities(label_logprobs=False, choices=True)

    monkeypatch.setattr(OpenAIChat, "capabilities", poor)
    folder = tmp_path / "run"
    summary, _ = run(folder)
    assert summary["phases"][0]["errors"] == 0
    for episode in read_episodes(folder / "episodes.jsonl"):
        for move in episode.transitions:
            assert move.decision is not None
            assert [p * 10 for p in move.decision.probabilities] == pytest.approx(
                [round(p * 10) for p in move.decision.probabilities]
            )
            assert move.decision.label_mass is None


def test_only_a_prompted_planner_needs_a_model() -> None:
    plain, prompted = (load_config(TINY, keys) for keys in ([], ["planner.kind=prompted"]))
    assert "planner" not in plain.roles_in_use
    assert "planner" in prompted.roles_in_use
    with pytest.raises(ConfigError, match="only the phase before"):
        load_config(TINY, ["planner.kind=prompted", 'evaluation.phases=["rl"]'])


GRAPH = KnowledgeGraph.from_items(FILMS)


def scripted(state: State, strategies: Any = STRATEGIES) -> dict[str, float]:
    found = World(GRAPH).label_probabilities(read(planner_messages(state, strategies)))
    keys = [strategy.key for strategy in strategies]
    assert len(found) == len(keys)
    return dict(zip(keys, found.values(), strict=True))


ASKING = ("opinion_inquiry", "experience_inquiry")
SELLING = ("credibility", "personal_opinion", "encouragement")


def share(state: State, keys: tuple[str, ...]) -> float:
    found = scripted(state)
    assert math.fsum(found.values()) == pytest.approx(1.0)
    assert min(found.values()) > 0.0
    return sum(found[key] for key in keys)


def test_the_scripted_planner_reads_the_moment() -> None:
    small_talk = state_of("Hi!", "Hello!", "I am well.")
    told = state_of("Hi!", "Hello!", "I want crime and drama with Al Pacino.")
    offered = state_of("I want crime and drama.", "Heat (1995) is a crime film.", "That sounds great!")
    refused = state_of("I want crime and drama.", "Heat (1995) is a crime film.", "No thanks, not for me.")
    assert share(small_talk, ASKING) > share(told, ASKING)
    assert share(offered, SELLING) > share(told, SELLING) > share(refused, SELLING)
    assert "preference_confirmation" in scripted(told, strategy_set("inspired14"))


def test_the_scripted_planner_dislikes_repeating_itself() -> None:
    state = state_of("Hi!", "What do you like?", "Hm.")
    again = State(**{name: getattr(state, name) for name in state.__struct_fields__})
    before = scripted(again)["opinion_inquiry"]
    (turn,) = state.turns
    repeated = State(
        episode=state.episode,
        seed=state.seed,
        max_turns=10,
        opening=state.opening,
        turns=(type(turn)(strategy="opinion_inquiry", preferences="", response=turn.response, reply=turn.reply),),
    )
    assert scripted(repeated)["opinion_inquiry"] < before
