"""A gymnasium environment: choose the recommender's strategy, turn by turn, in conversations with simulated users.

``CRSPlannerEnv`` plays one conversation at a time through the very code of a run (`harness.core.conversation.converse`,
the experts, the seeker, the judge); only the planner is the caller's. So any RL code can use this simulator, with the
scripted world or with any model that the experiment file names.

- Observation: the text that the planner of a run reads (`learner.state_text`), as printable ASCII (accents are folded).
- Action: index of a strategy, in the order of ``env.strategies``.
- Reward: r_t in [0, 1]. With ``horizon="absorbing"`` (as `rl.horizon`, docs/decisions.md 22) a success is also
  credited with its last reward for the turns that it made needless; ``literal`` rewards stalling.
- ``terminated``: success by the judge, acceptance, or the user leaves; ``truncated``: turn limit or a failed turn.
- ``info``: ``stop``, ``turn``, ``response``, ``recommended``, ``reply``; ``info["missing"]``: True where a turn failed
  or the judge could not be read. The reward is then 0.0 for want of a number in the interface: leave the episode out.
- ``env.events``: the conversation's events, of the log's types.

The models live in a background thread with its own event loop; `close` ends it and the servers that it started.
"""

from __future__ import annotations

import atexit
import queue
import string
import threading
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import trio
from gymnasium import spaces
from rich.console import Console

from harness.app.console.progress import Progress
from harness.app.settings.configfile import load_config
from harness.app.setup.inputs import read_inputs
from harness.app.setup.playground import open_playground
from harness.app.setup.wiring import check_models, with_given_policy
from harness.core.conversation import converse
from harness.core.errors import ExpertError, HarnessError
from harness.core.log.episode import build
from harness.core.messages import EpisodeEnded, EpisodeStarted, Event, Opening, State, Struct, Transition
from harness.core.seeds import derive
from learner.returns import absorbed_weight
from learner.state_text import state_text

MAX_LENGTH = 8192
"""Characters of an observation; the newest turns come first, so what is cut is the oldest."""
_CHARSET = string.ascii_letters + string.digits + string.punctuation + " "
_START_S, _TURN_S = 900.0, 600.0


class _Asked(Struct, frozen=True, kw_only=True):
    """The conversation stands at a state and wants a strategy."""

    state: State


class _Over(Struct, frozen=True, kw_only=True):
    """The conversation has ended."""

    ended: EpisodeEnded


class Abandoned(ExpertError):
    """The caller reset or closed the environment in mid-conversation."""

    kind = "abandoned"


class CRSPlannerEnv(gymnasium.Env[str, int]):
    """See the module's docstring. ``experiment``: an experiment file; ``overrides``: ``key=value`` as for ``--set``."""

    metadata = {"render_modes": ["ansi"]}

    def __init__(
        self, experiment: str | Path, *, overrides: Sequence[str] = (), render_mode: str | None = None
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode {render_mode!r} is not one of: None, 'ansi'")
        self.render_mode = render_mode
        self._config = load_config(Path(experiment), overrides)
        check_models(self._config)
        self._inputs = read_inputs(self._config)
        self.strategies = tuple(strategy.key for strategy in self._inputs.strategies)
        self.observation_space = spaces.Text(min_length=0, max_length=MAX_LENGTH, charset=_CHARSET)
        self.action_space = spaces.Discrete(len(self.strategies))  # type: ignore[assignment]
        self._jobs: queue.Queue[EpisodeStarted | None] = queue.Queue()
        self._moments: queue.Queue[_Asked | _Over | BaseException] = queue.Queue()
        self._actions: queue.Queue[int | None] = queue.Queue()
        self._events: list[Event] = []
        self._asked: State | None = None
        self._episodes = 0
        self._thread: threading.Thread | None = None

    @property
    def events(self) -> tuple[Event, ...]:
        """The current conversation as a run would log it."""
        return tuple(self._events)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin a conversation. ``options["scenario"]``: index into the training scenarios instead of a random one."""
        super().reset(seed=seed)
        self._abandon()
        self._start_thread()
        scenarios = self._inputs.training
        place = int(self.np_random.integers(len(scenarios)))
        luck = int(self.np_random.integers(2**31))
        if options and "scenario" in options:
            place = int(options["scenario"])
        self._episodes += 1
        self._events = []
        self._jobs.put(
            EpisodeStarted(
                episode=f"gym-{self._episodes:06d}",
                phase="train",
                index=self._episodes - 1,
                policy_version=0,
                scenario=scenarios[place],
                seed=derive(self._config.run.seed, "gym", luck),
                max_turns=self._config.conversation.max_turns,
            )
        )
        moment = self._next(_START_S)
        if isinstance(moment, _Over):
            failure = moment.ended.failure
            raise ExpertError(f"the conversation failed before its first turn: {failure.message if failure else '?'}")
        self._asked = moment.state
        return _plain(state_text(moment.state).text), self._info(None)

    def step(self, action: int) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Play one turn with the strategy of this index."""
        if self._asked is None:
            raise RuntimeError("call reset before step")
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        self._actions.put(int(action))
        moment = self._next(_TURN_S)
        state = moment.state if isinstance(moment, _Asked) else self._final_state()
        stop = moment.ended.stop if isinstance(moment, _Over) else None
        self._asked = moment.state if isinstance(moment, _Asked) else None
        reward, missing = self._reward(stop)
        info = self._info(stop)
        info["missing"] = missing
        ended_well = stop in ("judge", "user", "quit")
        return _plain(state_text(state).text), reward, ended_well, stop is not None and not ended_well, info

    def render(self) -> str:
        """The conversation so far as text."""
        lines = []
        for event in self._events:
            if isinstance(event, Transition):
                strategy = event.decision.strategy if event.decision is not None else "?"
                lines += [f"recommender ({strategy}): {event.response}", f"seeker: {event.reply.text}"]
            elif isinstance(event, Opening):
                lines.append(f"seeker: {event.text}")
        return "\n".join(lines)

    def close(self) -> None:
        """End the background thread and its servers; the environment cannot be used afterwards."""
        self._abandon()
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(timeout=60.0)
            self._thread = None
            atexit.unregister(self.close)

    def distribution(self, state: State) -> tuple[float, ...]:
        """The `Policy` seam, called by the planner's worker thread: waits for the caller's next action."""
        self._moments.put(_Asked(state=state))
        action = self._actions.get()
        if action is None:
            raise Abandoned("the environment was reset or closed")
        return tuple(float(place == action) for place in range(len(self.strategies)))

    def _reward(self, stop: str | None) -> tuple[float, bool]:
        played = [event for event in self._events if isinstance(event, Transition)]
        if stop == "error" or not played or played[-1].score.reward is None:
            return 0.0, True
        reward, horizon = played[-1].score.reward, self._config.rl.horizon
        if horizon == "terminal" and stop is None:
            return 0.0, False
        if horizon == "absorbing" and stop in ("judge", "user"):
            reward += reward * absorbed_weight(
                self._config.rl.gamma, self._config.conversation.max_turns - played[-1].turn
            )
        return reward, False

    def _info(self, stop: str | None) -> dict[str, Any]:
        # No times and no ids: the same seed and actions give the same info.
        played = [event for event in self._events if isinstance(event, Transition)]
        last = played[-1] if played else None
        return {
            "stop": stop,
            "turn": len(played),
            "response": last.response if last is not None else "",
            "recommended": last.recommended if last is not None else (),
            "reply": last.reply.text if last is not None else "",
        }

    def _final_state(self) -> State:
        return build(self._events).states()[-1]

    def _next(self, timeout_s: float) -> _Asked | _Over:
        try:
            moment = self._moments.get(timeout=timeout_s)
        except queue.Empty:
            raise HarnessError(f"the models gave no answer within {timeout_s:.0f} s") from None
        if isinstance(moment, BaseException):
            self._thread = None
            raise moment
        return moment

    def _abandon(self) -> None:
        """Let a conversation that waits for an action end as abandoned."""
        while self._asked is not None:
            self._asked = None
            self._actions.put(None)
            if isinstance(self._next(_TURN_S), _Over):
                return

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rso-gym", daemon=True)
            self._thread.start()
            # Close the server at exit, even if the caller forgot to close the environment.
            atexit.register(self.close)

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:
            self._moments.put(error)

    async def _serve(self) -> None:
        progress = Progress(Console(quiet=True), quiet=True)
        async with open_playground(with_given_policy(self._config), self._inputs, self, progress) as players:
            while True:
                job = await trio.to_thread.run_sync(self._jobs.get, abandon_on_cancel=True)
                if job is None:
                    return
                ended = await converse(
                    job,
                    players.cast(0, evaluating=False),
                    threshold=self._config.reward.threshold,
                    record=self._record,
                    spent=players.spent,
                )
                self._moments.put(_Over(ended=ended))

    async def _record(self, event: Event) -> None:
        self._events.append(event)


def _plain(text: str) -> str:
    """Printable ASCII, accents folded, other characters as ``?``."""
    folded = unicodedata.normalize("NFKD", text)
    known = set(_CHARSET)
    kept = (c for c in folded if not unicodedata.combining(c))
    return "".join(c if c in known else "?" for c in kept)[:MAX_LENGTH]


gymnasium.register(id="CRSPlanner-v0", entry_point="harness.gym:CRSPlannerEnv", disable_env_checker=True)
