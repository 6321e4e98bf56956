"""What a run shows at its end beside its table: one conversation that succeeded, and the commands that look further."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.app.console.live_view import harmless
from harness.app.evaluation.metrics import conversation_success
from harness.core.log import rundir
from harness.core.log.episode import Episode
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.messages import TRAIN


def say_farewell(folder: Path, threshold: float, console: Console) -> None:
    """Print a success of the newest planner, if there was one, and what to do next."""
    found = _success(EpisodeIndex(folder / rundir.EPISODES), threshold)
    lines = ["No evaluated conversation succeeded, so none is shown."] if found is None else list(_said(found))
    lines += ["Next:", f"  python -m harness report {folder}", "    one page: curves, intervals, every dialogue"]
    if found is not None:
        lines += [f"  python -m harness replay {folder} --transcript {found.id}", "    this one with facts and scores"]
    for line in lines:
        indent = line[: len(line) - len(line.lstrip(" "))]
        console.print(Text(indent + harmless(line)), soft_wrap=True)


def _success(episodes: EpisodeIndex, threshold: float) -> Episode | None:
    """The first success by the held-out evaluator under the highest policy version that has one."""
    best: Episode | None = None
    for episode in episodes:
        if episode.started.phase == TRAIN or episode.failed or not conversation_success(episode, threshold):
            continue
        if best is None or episode.started.policy_version > best.started.policy_version:
            best = episode
    return best


def _said(episode: Episode) -> Iterator[str]:
    scenario = episode.started.scenario
    wishes = ", ".join(attribute.value for attribute in scenario.goal.attributes)
    yield f"A conversation that succeeded: {episode.id}; {scenario.persona.name} wants {wishes}."
    if episode.opening is not None:
        yield f"  seeker: {episode.opening.text}"
    for transition in episode.transitions:
        strategy = f" ({transition.decision.strategy.replace('_', ' ')})" if transition.decision is not None else ""
        yield f"  recommender{strategy}: {transition.response}"
        yield f"  seeker: {transition.reply.text}"
