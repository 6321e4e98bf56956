"""Conversations in the scripted world without HTTP and without a learner: the workbench its numbers were tuned on.

``python -m simulator.scripted.trial --graph FILE`` plays policies given as Python functions against the very role
functions that the server calls, with a stand-in for the fact retriever (items by how many inferred wishes they have),
and prints a table: uniform, each strategy alone, human label frequencies by turn, the best open-loop schedule that a
greedy search finds, a hand rule that reads the seeker's words, and the same rule told the persona. What must hold
between them is in docs/world.md and in tests. Left out: everything that `harness.app` does with real runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from harness.core.messages import Goal, Persona, Struct, Utterance
from harness.core.sections import render_dialogue
from harness.core.seeds import request_seed, uniform
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import STRATEGIES
from simulator.goals import draw_goals
from simulator.personas import PERSONAS
from simulator.scripted import actor, judge, reasoner, rules, user
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear
from simulator.scripted.rules import View
from simulator.seeker import parse_reply, render_goal

Policy = Callable[[View], str]

TAU = 0.75
SAMPLES = 10
CANDIDATES = 5


@lru_cache(maxsize=64)
def _line(utterance: Utterance) -> str:
    return render_dialogue((utterance,))


def _rendered(history: Sequence[Utterance]) -> str:
    return "\n".join(map(_line, history))


class Played(Struct, frozen=True, kw_only=True):
    """One conversation. Rewards are in [0, 1]."""

    stop: str
    rewards: tuple[float, ...]
    evaluation: float
    strategies: tuple[str, ...]
    history: tuple[Utterance, ...]
    recall_1: bool
    recall_5: bool
    true_claims: int
    false_claims: int

    @property
    def turns(self) -> int:
        return len(self.rewards)


class Trial:
    """Plays conversations. ``facts`` and ``reasoning`` off are the ablations of CANDIDATES and PREFERENCES."""

    def __init__(
        self, ear: Ear, goals: Sequence[Goal], *, max_turns: int = 10, facts: bool = True, reasoning: bool = True
    ) -> None:
        self._ear = ear
        self._goals = goals
        self._max_turns = max_turns
        self._facts = facts
        self._reasoning = reasoning

    def many(self, policy: Policy, count: int, seed: int = 0) -> list[Played]:
        """``count`` conversations; the same seed gives the same scenarios and luck to every policy."""
        return [
            self.play(
                policy,
                PERSONAS[(index + seed) % len(PERSONAS)],
                self._goals[(7 * index + seed) % len(self._goals)],
                1_000_000 * seed + index,
            )
            for index in range(count)
        ]

    def play(self, policy: Policy, persona: Persona, goal: Goal, seed: int) -> Played:
        """One conversation, as Algorithm 1 runs it."""
        ear = self._ear
        private = {"PERSONA": persona.text, "GOAL": render_goal(goal)}
        history = [self._hear(private, [], seed, 0)]
        strategies: list[str] = []
        rewards: list[float] = []
        true = false = 0
        stop, ranking = "turns", []
        for turn in range(1, self._max_turns + 1):
            dialogue = {"DIALOGUE": _rendered(history)}
            view = View(
                turn=turn,
                history=tuple(history),
                strategies=tuple(strategies),
                luck=uniform(seed, turn, "planner"),
                traits=persona.traits,
            )
            strategy = policy(view)
            strategies.append(strategy)
            preferences = reasoner.infer(history, ear) if self._reasoning else ""
            ranking = self._rank(preferences or history[-1].text)
            said = actor.write(
                {
                    **dialogue,
                    "TURN": f"turn {turn} of {self._max_turns}",
                    "PREFERENCES": preferences,
                    "CANDIDATES": self._candidates(ranking) if self._facts else "",
                    "STRATEGY": _STRATEGY[strategy],
                },
                Dice(request_seed(seed, turn, "actor")),
                ear,
            )
            history.append(Utterance(speaker="recommender", text=said.text))
            heard = ear.recommender(said.text)
            true, false = true + heard.true_claims, false + heard.false_claims
            reply = parse_reply(user.answer(self._private(private, history), self._dice(seed, turn, "seeker"), ear))
            assert reply is not None
            history.append(Utterance(speaker="seeker", text=reply.text))
            rewards.append(self._score("reward", history, seed, turn))
            if reply.accepted or reply.quit or rewards[-1] > TAU:
                stop = "judge" if rewards[-1] > TAU else "user" if reply.accepted else "quit"
                break
        matches = set(goal.matches)
        return Played(
            stop=stop,
            rewards=tuple(rewards),
            evaluation=self._score("evaluator", history, seed, len(rewards)),
            strategies=tuple(strategies),
            history=tuple(history),
            recall_1=bool(matches & set(ranking[:1])),
            recall_5=bool(matches & set(ranking[:5])),
            true_claims=true,
            false_claims=false,
        )

    def _dice(self, seed: int, turn: int, role: str) -> Dice:
        return Dice(request_seed(seed, turn, role))

    def _private(self, private: dict[str, str], history: Sequence[Utterance]) -> dict[str, str]:
        return {**private, "DIALOGUE": _rendered(history)}

    def _hear(self, private: dict[str, str], history: Sequence[Utterance], seed: int, turn: int) -> Utterance:
        reply = parse_reply(user.answer(self._private(private, history), self._dice(seed, turn, "seeker"), self._ear))
        assert reply is not None
        return Utterance(speaker="seeker", text=reply.text)

    def _score(self, role: str, history: Sequence[Utterance], seed: int, turn: int) -> float:
        probabilities = judge.distribution(role, {"DIALOGUE": _rendered(history)}, self._ear)
        first = request_seed(seed, turn, role)
        scores = [int(judge.sample(probabilities, 1.0, Dice(first + index))) for index in range(SAMPLES)]
        return (sum(scores) / SAMPLES - 1.0) / 4.0

    def _rank(self, preferences: str) -> list[str]:
        """Items by the share of inferred wishes that they have."""
        lines = preferences.split("\n")
        wishes = self._ear.graph.attributes_in(lines[0].removeprefix("Wants: "))
        names = [name for line in lines if line.startswith("Seen: ") for name in line[len("Seen: ") :].split("; ")]
        seen = set(self._ear.graph.listed(names))
        counts: dict[str, int] = {}
        for wish in wishes:
            for item in self._ear.covering(frozenset((wish,))):
                counts[item] = counts.get(item, 0) + 1
        pool = counts if counts else {item.id: 0 for item in self._ear.graph.items[:200]}
        query = lines[0]  # ties are broken at random, but always alike for one query, as by a rough embedding
        top = sorted(pool, key=lambda item: -pool[item])[:400]
        ranked = sorted(top, key=lambda item: (-pool[item], crc32(f"{query}{item}".encode())))
        return [item for item in ranked if item not in seen][:10]

    def _candidates(self, ranking: Sequence[str]) -> str:
        lines = []
        for number, item_id in enumerate(ranking[:CANDIDATES], start=1):
            item = self._ear.graph.item(item_id)
            lines.append(
                f"[{number}] {item.name} | genres: {', '.join(item.genres)} | "
                f"directors: {', '.join(item.directors)} | stars: {', '.join(item.stars)}"
            )
        return "\n".join(lines)


_STRATEGY = {strategy.key: f"{strategy.name}: {strategy.description}" for strategy in STRATEGIES}


class TrialRow(Struct, frozen=True, kw_only=True):
    """Means over conversations. ``conv_sr``: the evaluator's score above tau; ``judge_sr``: stopped by the judge."""

    conv_sr: float
    judge_sr: float
    accepted: float
    quit: float
    turns: float
    first_return: float
    """Mean R_1 with the absorbing horizon, gamma .99."""
    recall_1: float
    recall_5: float
    truthful: float
    """Share of true facts among those stated."""


def summary(played: Sequence[Played], max_turns: int = 10) -> TrialRow:
    """One row of the table."""
    count = len(played)
    claims = sum(p.true_claims + p.false_claims for p in played)
    return TrialRow(
        conv_sr=sum(p.evaluation > TAU for p in played) / count,
        judge_sr=sum(p.stop == "judge" for p in played) / count,
        accepted=sum(p.stop == "user" for p in played) / count,
        quit=sum(p.stop == "quit" for p in played) / count,
        turns=sum(p.turns for p in played) / count,
        first_return=sum(_absorbed(p, max_turns) for p in played) / count,
        recall_1=sum(p.recall_1 for p in played) / count,
        recall_5=sum(p.recall_5 for p in played) / count,
        truthful=sum(p.true_claims for p in played) / claims if claims else 1.0,
    )


def _absorbed(played: Played, max_turns: int, gamma: float = 0.99) -> float:
    rewards = list(played.rewards)
    if played.stop in ("judge", "user"):
        rewards += [rewards[-1]] * (max_turns - len(rewards))
    return sum(gamma**index * reward for index, reward in enumerate(rewards))


def best_schedule(trial: Trial, *, count: int, sweeps: int = 2, max_turns: int = 10) -> tuple[str, ...]:
    """Greedy coordinate search for the best strategy of each turn index, by return; starts from a sensible order."""
    schedule = list(rules.SCHEDULE[:max_turns])
    keys = [strategy.key for strategy in STRATEGIES]
    best = summary(trial.many(rules.open_loop(schedule), count, seed=1), max_turns).first_return
    for _ in range(sweeps):
        for turn in range(max_turns):
            for key in keys:
                tried = [*schedule[:turn], key, *schedule[turn + 1 :]]
                value = summary(trial.many(rules.open_loop(tried), count, seed=1), max_turns).first_return
                if value > best:
                    schedule, best = tried, value
    return tuple(schedule)


def trial_rows(graph: KnowledgeGraph, *, count: int, search: int) -> list[tuple[str, TrialRow]]:
    """The calibration table; ``search`` conversations a candidate in the schedule search (0: the plain schedule)."""
    ear = Ear(graph)
    goals = draw_goals(graph, (), count=200, seed=11, beyond=True).goals
    trial = Trial(ear, goals)
    rows = [("uniform", summary(trial.many(rules.uniform_choice, count)))]
    rows += [(f"fixed {s.key}", summary(trial.many(rules.open_loop([s.key]), count // 2))) for s in STRATEGIES]
    rows.append(("human by turn", summary(trial.many(rules.human_choice, count))))
    schedule = best_schedule(trial, count=search) if search else rules.SCHEDULE
    rows.append(("open loop", summary(trial.many(rules.open_loop(schedule), count))))
    rows.append(("reads", summary(trial.many(rules.reading_rule, count))))
    rows.append(("knows persona", summary(trial.many(rules.knowing_rule, count))))
    for name, ablated in (
        ("reads, no facts", Trial(ear, goals, facts=False)),
        ("reads, no reasoner", Trial(ear, goals, reasoning=False)),
    ):
        rows.append((name, summary(ablated.many(rules.reading_rule, count))))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulator.scripted.trial", description=__doc__)
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--conversations", type=int, default=400)
    parser.add_argument("--search", type=int, default=0, help="conversations a candidate in the schedule search")
    options = parser.parse_args()
    rows = trial_rows(KnowledgeGraph.load(options.graph), count=options.conversations, search=options.search)
    print(f"{'policy':<28}" + "".join(f"{name:>13}" for name in TrialRow.__struct_fields__))
    for name, row in rows:
        print(f"{name:<28}" + "".join(f"{getattr(row, field):>13.3f}" for field in TrialRow.__struct_fields__))


if __name__ == "__main__":
    main()
