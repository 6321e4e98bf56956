"""`chat`: play the seeker by hand against RSO or a baseline; strategy, preferences and facts stand beside each reply.

Nothing is logged and nothing is learned. The judge reads each turn, as in a run, but its reward does not end the
conversation. Model text is shown on one line each, without markup and without control characters.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio
from rich.console import Console
from rich.text import Text

from harness.app.console.live_view import harmless
from harness.app.console.progress import Progress
from harness.app.settings.config import Config
from harness.app.settings.configfile import load_config
from harness.app.setup.baselines import SYSTEMS
from harness.app.setup.inputs import Inputs, read_inputs
from harness.app.setup.playground import open_playground
from harness.app.setup.trained import TRAINED, corpus_of, folder_of, with_roles
from harness.app.setup.wiring import NetworkPlayers, check_models, fixed_planner_of, with_given_policy
from harness.core.errors import ExpertError, HarnessError, InputError
from harness.core.messages import Goal, RecommenderTurn, State, Turn
from harness.core.seams import Policy
from harness.core.seeds import derive
from learner.crs.store import read_meta

LISTED = 3
"""Strategies with their probabilities, and films with their facts, that are shown beside a reply."""
HELP = "Write what the seeker says. /facts lists all facts of the last reply, /again starts over, /quit ends."


def chat(
    file: Path,
    checkpoint: Path | None,
    baseline: str,
    overrides: list[str],
    console: Console,
    *,
    read: Callable[[str], str] = input,
) -> int:
    """Talk until ``/quit`` or the end of the input; returns the turns played. ``read`` prompts for one line."""
    config = load_config(file, overrides)
    if baseline and baseline not in SYSTEMS:
        raise InputError(f"--system {baseline}: known are rso, {', '.join(SYSTEMS)}")
    if baseline and checkpoint is not None:
        raise InputError("a baseline has no planner: --checkpoint goes with RSO alone")
    config = with_roles(config, baseline)
    check_models(config)
    inputs = read_inputs(config)
    if baseline in TRAINED:
        read_meta(folder_of(config, baseline, corpus_of(config, inputs.graph)))
    policy = _policy(config, inputs, checkpoint)
    talk = _Talk(with_given_policy(config) if checkpoint else config, inputs, console, read)
    try:
        trio.run(talk.main, policy, baseline)
    except BaseExceptionGroup as group:
        expected = [error for error in group.exceptions if isinstance(error, HarnessError | KeyboardInterrupt)]
        if len(expected) != len(group.exceptions):
            raise
        raise expected[0] from None
    return talk.played


def _policy(config: Config, inputs: Inputs, checkpoint: Path | None) -> Policy:
    if checkpoint is None:
        return fixed_planner_of(config, inputs)
    from learner.checkpoint import load_checkpoint

    saved = load_checkpoint(checkpoint)
    known = tuple(strategy.key for strategy in inputs.strategies)
    if saved.meta.strategies != known:
        raise InputError(f"{checkpoint} is a planner of other strategies than the experiment's")
    return saved.policy()


class _Talk:
    """One person at one table."""

    def __init__(self, config: Config, inputs: Inputs, console: Console, read: Callable[[str], str]) -> None:
        self._config = config
        self._inputs = inputs
        self._console = console
        self._read = read
        self._titles = {item.id: item.name for item in inputs.graph.items}
        self.played = 0

    async def main(self, policy: Policy, baseline: str) -> None:
        quiet = Progress(self._console, quiet=True)
        self._say("starting the models", "dim")
        async with open_playground(self._config, self._inputs, policy, quiet, baseline=baseline) as players:
            for number in range(len(self._inputs.held_out)):
                self._suggest(self._inputs.held_out[number].goal)
                if not await self._conversation(players, number):
                    return

    async def _conversation(self, players: NetworkPlayers, number: int) -> bool:
        """One dialogue; False where the person wants to stop."""
        state = State(
            episode=f"chat-{number}",
            seed=derive(self._config.run.seed, "chat", number),
            max_turns=self._config.conversation.max_turns,
        )
        recommender = players.cast(0, evaluating=False).recommender
        last: RecommenderTurn | None = None
        while True:
            said = await self._line()
            if said is None or said == "/quit":
                return False
            if said == "/again":
                return True
            if said == "/facts":
                self._facts(last, everything=True)
                continue
            if not said:
                continue
            state = _with(state, said)
            if last is not None:
                await self._judge(players, state)
            if state.turn > state.max_turns:
                self._say(f"the turn limit of {state.max_turns} is reached", "dim")
                return True
            try:
                last = await recommender.respond(state)
            except ExpertError as error:
                self._say(f"this turn failed: {error}", "red")
                return True
            self._show(last)
            self.played += 1
            state = state.after(
                Turn(
                    strategy=last.decision.strategy if last.decision else None,
                    preferences=last.preferences,
                    response=last.response,
                    recommended=last.recommended,
                    persuasion=last.persuasion,
                )
            )

    async def _line(self) -> str | None:
        try:
            said: str = await trio.to_thread.run_sync(self._read, "you: ", abandon_on_cancel=True)
        except EOFError:
            return None
        return said.strip()

    async def _judge(self, players: NetworkPlayers, state: State) -> None:
        try:
            score = await players.network.score(state)
        except ExpertError as error:
            self._say(f"the judge failed: {error}", "dim")
            return
        self._say("judge: " + ("no readable score" if score.reward is None else f"{score.reward:.2f}"), "dim")

    def _show(self, move: RecommenderTurn) -> None:
        self._console.print(
            Text.assemble(("recommender: ", "bold cyan"), (harmless(move.response), "cyan")), soft_wrap=True
        )
        if move.decision is not None:
            keys = [strategy.key for strategy in self._inputs.strategies]
            ranked = sorted(zip(move.decision.probabilities, keys, strict=True), reverse=True)[:LISTED]
            likely = ", ".join(f"{key} {p:.2f}" for p, key in ranked)
            mine = move.decision.probabilities[move.decision.index]
            self._say(f"  strategy {move.decision.strategy} {mine:.2f} (likeliest: {likely})", "dim")
        if move.preferences:
            self._say(f"  preferences {' | '.join(move.preferences.splitlines())}", "dim")
        if move.recommended:
            self._say("  recommends " + ", ".join(self._titles.get(item, item) for item in move.recommended), "dim")
        self._facts(move, everything=False)

    def _facts(self, move: RecommenderTurn | None, *, everything: bool) -> None:
        if move is None or not move.facts:
            return
        films: dict[str, list[str]] = {}
        for fact in move.facts:
            films.setdefault(fact.item, []).append(f"{fact.relation} {fact.value}")
        for film, facts in list(films.items())[: None if everything else LISTED]:
            self._say(f"  fact {self._titles.get(film, film)}: {'; '.join(facts)}", "dim")

    def _suggest(self, goal: Goal) -> None:
        wishes = ", ".join(f"{attribute.kind} {attribute.value}" for attribute in goal.attributes)
        self._say(f"{HELP}\nYou might look for: {wishes}.", "dim")

    def _say(self, text: str, style: str) -> None:
        for line in text.split("\n"):
            self._console.print(
                Text(" " * (len(line) - len(line.lstrip())) + harmless(line), style=style), soft_wrap=True
            )


def _with(state: State, said: str) -> State:
    if not state.turns:
        return State(episode=state.episode, seed=state.seed, max_turns=state.max_turns, opening=said)
    return state.answered(said)
