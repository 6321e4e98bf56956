"""`replay --evaluate POLICY`: the results that another planner would have had, estimated from the log.

The target is a checkpoint (a folder, or a name such as ``v000020`` in the run) or a planner that does not learn
(``uniform``, ``fixed:STRATEGY``). Its probabilities are computed for every logged state; `learner.offpolicy` does the
rest. Episodes that failed, and those with a missing reward, have no return and are left out, counted. Everything but
the planner is as in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.decisions import stands_on
from harness.app.evaluation.measures import scale_of
from harness.app.evaluation.metrics import conversation_success
from harness.app.evaluation.statistics import estimate_text, on_scale
from harness.app.replay.recorded_run import RecordedRun
from harness.app.settings.config import Config
from harness.app.setup.wiring import planner_of
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.log.episode import Episode
from harness.core.messages import TRAIN, Struct
from harness.core.seams import Policy
from learner.checkpoint import load_checkpoint
from learner.offpolicy import EPSILON, LoggedEpisode, OffPolicy, OffPolicyEstimate, off_policy, softened, stepwise
from learner.policy import FixedPolicy, UniformPolicy

WORDS = {"report": "", "flag": " !", "refuse": " !!"}
LEGEND = (
    "95% intervals over scenarios. ESS: effective sample size of whole episodes' weights; ! below 100: intervals may "
    "be too short; !! below 30: no estimate. [too few]: it would leave the outcome's scale."
)


class Target(Struct, frozen=True, kw_only=True):
    """A planner to be evaluated."""

    name: str
    policy: Policy
    epsilon: float
    """Share of uniform mixed in."""


class Evaluated(Struct, frozen=True, kw_only=True):
    """Estimates by outcome, the plain means of the log beside them, and what was left out."""

    estimates: dict[str, OffPolicy]
    logged: dict[str, float]
    left_out: int


def evaluate(run: RecordedRun, wanted: str, console: Console) -> Evaluated:
    """Print the estimates of all outcomes."""
    target = target_of(run, wanted)
    if target.epsilon:
        console.print(Text(f"{target.name} rules strategies out, so {target.epsilon:g} of uniform is mixed in"))
    episodes = [episode for episode in run.episodes if usable(episode)]
    found = estimates(episodes, target, run.config, tuple(strategy.key for strategy in run.inputs.strategies))
    result = Evaluated(estimates=found[0], logged=found[1], left_out=len(run.episodes) - len(episodes))
    phases = ", ".join(sorted({episode.started.phase for episode in episodes}))
    console.print(
        Text(
            f"{target.name} from {len(episodes)} logged episodes ({phases}); {result.left_out} left out "
            "(failed, a reward missing, or no decision)"
        ),
        soft_wrap=True,
    )
    console.print(values_table(result))
    console.print(Text(f"Logged in this world. {stands_on(run.config)}"), soft_wrap=True)
    return result


def target_of(run: RecordedRun, wanted: str) -> Target:
    """The planner by the name given; `InputError` where there is none."""
    strategies = tuple(strategy.key for strategy in run.inputs.strategies)
    if wanted == "uniform":
        return Target(name=wanted, policy=UniformPolicy(strategies), epsilon=0.0)
    if wanted.startswith("fixed:"):
        return Target(name=wanted, policy=FixedPolicy(strategies, wanted.removeprefix("fixed:")), epsilon=EPSILON)
    inside = run.folder / rundir.CHECKPOINTS / wanted
    folder = inside if inside.is_dir() else Path(wanted)
    if not folder.is_dir():
        there = sorted(entry.name for entry in (run.folder / rundir.CHECKPOINTS).glob("v*"))
        raise InputError(
            f"--evaluate: {wanted!r} is no checkpoint folder, none of {', '.join(there) or 'no'} checkpoints of the "
            "run, and neither uniform nor fixed:STRATEGY"
        )
    planner = planner_of(run.config, run.inputs.strategies)
    if planner is None:
        raise InputError("--evaluate: the run's planner does not learn, so no checkpoint fits it")
    load_checkpoint(folder).restore(planner)
    return Target(name=str(wanted), policy=planner, epsilon=0.0)


def usable(episode: Episode) -> bool:
    """Whether the episode came to its end with every reward and decision."""
    return (
        not episode.failed
        and bool(episode.transitions)
        and None not in episode.rewards
        and all(transition.decision is not None for transition in episode.transitions)
    )


def estimates(
    episodes: Sequence[Episode], target: Target, config: Config, strategies: tuple[str, ...]
) -> tuple[dict[str, OffPolicy], dict[str, float]]:
    """Off-policy estimates and plain logged means by outcome; episodes must be `usable`."""
    if not episodes:
        raise InputError("there is no finished episode with all its rewards and decisions")
    targets = {episode.id: _probabilities(episode, target) for episode in episodes}
    found: dict[str, OffPolicy] = {}
    logged: dict[str, float] = {}
    for name, rewards in outcomes(episodes, config).items():
        there = [episode for episode in episodes if episode.id in rewards]
        if len({episode.started.scenario.id for episode in there}) < 2:
            continue
        gamma = 1.0 if name == "conv_sr" else config.rl.gamma
        found[name] = off_policy(
            [logged_episode(episode, rewards[episode.id]) for episode in there],
            [targets[episode.id] for episode in there],
            strategies,
            gamma=gamma,
        )
        sums = [sum(gamma**t * reward for t, reward in enumerate(rewards[episode.id])) for episode in there]
        logged[name] = sum(sums) / len(sums)
    return found, logged


def outcomes(episodes: Sequence[Episode], config: Config) -> Mapping[str, Mapping[str, tuple[float, ...]]]:
    """Outcome -> episode id -> rewards whose discounted sum it is; Conv-SR is undiscounted and of evaluations only."""
    by_outcome: dict[str, dict[str, tuple[float, ...]]] = {"mean_return": {}, "mean_objective": {}, "conv_sr": {}}
    for episode in episodes:
        assert episode.ended is not None
        rewards = [reward for reward in episode.rewards if reward is not None]
        for name, horizon in (("mean_return", "literal"), ("mean_objective", config.rl.horizon)):
            by_outcome[name][episode.id] = stepwise(
                rewards,
                gamma=config.rl.gamma,
                horizon=horizon,  # type: ignore[arg-type]  # a literal of the same three
                stop=episode.ended.stop,
                max_turns=episode.started.max_turns,
            )
        success = conversation_success(episode, config.reward.threshold)
        if success is not None and episode.started.phase != TRAIN:
            by_outcome["conv_sr"][episode.id] = (*(0.0,) * (len(rewards) - 1), success)
    return by_outcome


def logged_episode(episode: Episode, rewards: tuple[float, ...]) -> LoggedEpisode:
    """An episode as the estimators read it."""
    decisions = [transition.decision for transition in episode.transitions if transition.decision is not None]
    return LoggedEpisode(
        scenario=episode.started.scenario.id,
        states=episode.states()[:-1],
        actions=tuple(decision.index for decision in decisions),
        behaviour=tuple(decision.probabilities[decision.index] for decision in decisions),
        rewards=rewards,
    )


def _probabilities(episode: Episode, target: Target) -> list[tuple[float, ...]]:
    rows = [tuple(target.policy.distribution(state)) for state in episode.states()[:-1]]
    return [softened(row, target.epsilon) if target.epsilon else row for row in rows]


def values_table(result: Evaluated) -> Table:
    """A row an outcome; estimates of a refused outcome are not shown."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 0), caption=LEGEND, caption_justify="left")
    for title in ("", "logged", "weighted\nIS", "doubly\nrobust", "diagnostic: per-\ndecision IS", "ESS"):
        shown.add_column(title, justify="left" if not title else "right", no_wrap=True)
    for name, found in result.estimates.items():
        refused = found.verdict == "refuse"
        cells = [
            Text("–" if refused else _cell(one, name, found.episodes))
            for one in (found.weighted, found.doubly_robust, found.per_decision)
        ]
        size = f"{found.effective:.0f}{WORDS[found.verdict]}\nof {found.episodes}"
        shown.add_row(name, f"{result.logged[name]:.2f}", *cells, size)
    return shown


def _cell(value: OffPolicyEstimate, outcome: str, n: int) -> str:
    return estimate_text(on_scale(value.value, value.low, value.high, n, scale_of(outcome)), between="\n")
