"""The Preference Reasoner (C1): what the seeker wants, in up to three lines, read from the dialogue alone.

One model call a turn. A blank reply is asked for once more with another seed, then the turn fails. While the seeker has
said nothing there is nothing to infer and no call is made. Left out: what the lines mean to the search
(``experts.fact_retriever``).
"""

from __future__ import annotations

from experts.prompts import reasoner_messages
from experts.replies import NOTHING_KNOWN, tidy_preferences
from harness.core import seeds
from harness.core.messages import ChatRequest, State
from harness.core.model.asking import ask
from harness.core.seams import ChatModel

ROLE = "preference_reasoner"
PATTERN = r"Wants: \S[^\n]{0,199}(\nAvoids: \S[^\n]{0,199})?(\nSeen: \S[^\n]{0,199})?"
"""The reply's form, which servers that can enforce: a very small model repeats its lines until the token limit."""
_STOP = ("\n###", "\nSeeker:")


class PreferenceReasoner:
    """Infers preferences."""

    def __init__(self, model: ChatModel, *, temperature: float, max_tokens: int) -> None:
        self._model = model
        self._temperature = temperature
        self._max_tokens = max_tokens

    async def infer(self, state: State) -> str:
        """Lines ``Wants: a; b``, ``Avoids: ...``, ``Seen: ...``, or one line of free text.

        `ReplyError` if the reply is blank twice, `CallError` if the call failed.
        """
        if not any(utterance.speaker == "seeker" for utterance in state.history):
            return NOTHING_KNOWN
        messages = reasoner_messages(state)
        return await ask(
            self._model,
            lambda attempt: ChatRequest(
                role=ROLE,
                episode=state.episode,
                turn=state.turn,
                messages=messages,
                max_tokens=self._max_tokens,
                temperature=self._temperature,
                seed=seeds.request_seed(state.seed, state.turn, ROLE, attempt),
                stop=_STOP,
                pattern=PATTERN,
            ),
            lambda reply: tidy_preferences(reply.texts[0]),
        )
