"""Made-up labelled dialogues whose strategies can be learned: early turns inquire, late ones recommend."""

from __future__ import annotations

import random

from harness.core.messages import Dialogue, LabelledTurn, State, Turn

KEYS = ("opinion_inquiry", "credibility", "encouragement", "no_strategy")


def dialogue(number: int, turns: int = 6) -> Dialogue:
    """Turn 1-2: inquiry; then credibility where the seeker asks for facts, else encouragement; some noise."""
    draw = random.Random(number)
    state = State(episode=f"d{number}", seed=0, max_turns=10, opening=f"hello number {number}")
    found: list[LabelledTurn] = []
    for t in range(turns):
        facts = draw.random() < 0.5
        strategy = KEYS[0] if t < 2 else KEYS[1] if found and "facts" in state.turns[-1].reply else KEYS[2]
        if draw.random() < 0.125:
            strategy = draw.choice(KEYS)
        found.append(LabelledTurn(state=state, labels={strategy: 2, KEYS[3]: 1}, first_label=strategy))
        reply = "tell me the facts" if facts else "that sounds lovely"
        state = state.after(Turn(strategy=strategy, preferences="", response=f"answer {t}", reply=reply))
    return Dialogue(id=f"d{number}", labelled_turns=tuple(found))


def dialogues(count: int) -> list[Dialogue]:
    return [dialogue(number) for number in range(count)]
