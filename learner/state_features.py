"""What a state shows without reading: how far it is, what was played, whether an item is on the table.

A linear head cannot read a number out of a mean of word vectors, so the encoder's head gets these beside the text
(5-fold by dialogue on INSPIRED's dev split: NLL 2.12 with them, 2.15 without). The tabular planner uses only these.
"""

from __future__ import annotations

from harness.core.messages import State

DECILES = 10
STAGES = 3


def progress(state: State) -> int:
    """t / T_max in tenths, 0..9; for T_max = 10 the turn index from 0."""
    return min(DECILES * (state.turn - 1) // state.max_turns, DECILES - 1)


def stage(state: State) -> int:
    """0: nothing was recommended yet; 1: something was, earlier; 2: the last turn put an item on the table."""
    if state.turns and state.turns[-1].recommended:
        return 2
    return int(any(turn.recommended for turn in state.turns))


def feature_count(strategies: tuple[str, ...]) -> int:
    """Length of `state_features`."""
    return 2 * len(strategies) + DECILES + STAGES


def state_features(state: State, strategies: tuple[str, ...]) -> list[float]:
    """Times each strategy was played (K), the last one (K, one-hot), progress (one-hot), stage (one-hot)."""
    index = {strategy: position for position, strategy in enumerate(strategies)}
    played, last = [0.0] * len(strategies), [0.0] * len(strategies)
    for turn in state.turns:
        if turn.strategy in index:
            played[index[turn.strategy]] += 1.0
    if state.turns and state.turns[-1].strategy in index:
        last[index[state.turns[-1].strategy]] = 1.0
    reached, shown = [0.0] * DECILES, [0.0] * STAGES
    reached[progress(state)] = 1.0
    shown[stage(state)] = 1.0
    return [*played, *last, *reached, *shown]
