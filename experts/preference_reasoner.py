"""The Preference Reasoner (C1): what the seeker wants, in up to three lines, read from the dialogue alone.

One model call a turn. A blank reply is asked for once more with another seed, then the turn fails. While the seeker has
said nothing there is nothing to infer and no call is made. Left out: what the lines mean to the search
(``experts.fact_retriever``).
"""

from __future__ import annotations

from experts.prompts import reasoner_messages
from experts.replies import NOTHING_KNOWN, tidy_preferences
from harness.core import seeds
from harness.core.errors import ReplyError
from harness.core.messages import ChatRequest, State
from harness.core.model.glimpse import glimpse_of
from harness.core.seams import ChatModel

ROLE = "preference_reasoner"
PATTERN = r"Wants: \S[^\n]{0,199}(\nAvoids: \S[^\n]{0,199})?(\nSeen: \S[^\n]{0,199})?"
"""The reply's form, which servers that can enforce: a very small model repeats its lines until the token limit."""
_TRIES = 2


class PreferenceReasoner:
    """Infers preferences; nearly greedy by default, since it reports rather than invents."""

    def __init__(
        self,
        model: ChatModel,
        *,
        temperature: float = 0.2,
        max_tokens: int = 120,
        stop: tuple[str, ...] = ("\n###", "\nSeeker:"),
    ) -> None:
        self._model = model
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._stop = stop

    async def infer(self, state: State) -> str:
        """Lines ``Wants: a; b``, ``Avoids: ...``, ``Seen: ...``, or one line of free text.

        `ReplyError` if the reply is blank twice, `CallError` if the call failed.
        """
        if not any(utterance.speaker == "seeker" for utterance in state.history):
            return NOTHING_KNOWN
        messages = reasoner_messages(state)
        for attempt in range(_TRIES):
            reply = await self._model.complete(
                ChatRequest(
                    role=ROLE,
                    episode=state.episode,
                    turn=state.turn,
                    messages=messages,
                    max_tokens=self._max_tokens,
                    temperature=self._temperature,
                    seed=seeds.request_seed(state.seed, state.turn, ROLE, attempt),
                    stop=self._stop,
                    pattern=PATTERN,
                )
            )
            preferences = tidy_preferences(reply.texts[0]) if reply.texts else None
            if preferences:
                return preferences
        raise ReplyError(
            f"the preference reasoner gave no words in {_TRIES} tries in turn {state.turn}; it said {glimpse_of(reply)}"
        )
