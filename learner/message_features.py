"""How the newest messages look: lengths, questions, the place in the dialogue; for imitating people.

Which strategy a person plays depends on how much was said and whether a question is open, which a whitened sentence
vector hardly tells. On INSPIRED's dev split such numbers lowered a logistic regression's NLL of the labels from 2.23 to
2.17 nats in 5-fold cross-validation.
"""

from __future__ import annotations

import math

from harness.core.messages import State

MESSAGE_FEATURES = 12
_QUESTIONS = 3


def message_features(state: State) -> list[float]:
    """(12,): the dialogue's length in three shapes, the two newest messages' lengths and signs."""
    said = (state.turns[-1].reply if state.turns else state.opening).strip()
    answered = (state.turns[-1].response if state.turns else "").strip()
    words, turns = len(said.split()), len(state.turns)
    return [
        math.log1p(turns),
        math.exp(-turns / 3),
        float(turns == 0),
        math.log1p(words),
        math.log1p(len(answered.split())),
        float(words <= 1),
        float(words <= 3),
        float("?" in said),
        float(said.endswith("?")),
        float("!" in said),
        float(min(answered.count("?"), _QUESTIONS)),
        float(answered.endswith("?")),
    ]
