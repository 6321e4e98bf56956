"""A language model that is simply prompted to be a recommender, with in-context examples: QwenCRS and LlamaCRS.

From the paper (section IV, baselines): a general chat model in the role of the recommender, once Qwen, once Llama. The
config chooses the model; the code is the same.

Decided here: the prompt has two example exchanges of our own (one that asks, one that recommends). The candidates come
from the shared retriever, which searches with the seeker's last messages: without them a model recommends films that
the graph does not know. There are no strategies and no inferred preferences. Reply format and decoding are the RSO
actor's, so the format does not cause a difference.
"""

from __future__ import annotations

from experts.actor import reply_schema
from experts.baselines.asking import Search, ask
from experts.prompts import render_candidates
from experts.replies import read_spoken
from experts.wishes import RetrieverQuery
from harness.core.messages import Item, Message, RecommenderTurn, State
from harness.core.seams import ChatModel
from harness.core.sections import prompt, render_dialogue

ROLE = "actor"

INSTRUCTIONS = """\
You are a film recommender in a chat with a seeker. Write your next message.
- Find out what the seeker wants, recommend a film that fits, and answer questions about it.
- Use two or three short, natural sentences.
- Recommend only films listed under CANDIDATES, and name a film with its year.
EXAMPLES shows two messages of good recommenders in other conversations.
Reply with one JSON object: {"text": "your message", "items": [numbers of the candidates you recommend in it]}
Use "items": [] if you recommend none."""

EXAMPLES = """\
Seeker says: Hi, I need something for a quiet evening with my father.
Reply: {"text": "With pleasure! Which kinds of film does he enjoy, and is there an actor you both like?", "items": []}
Seeker says: We love slow westerns, the older the better.
Reply: {"text": "Then try High Noon (1952): a western with Gary Cooper that takes its time. How does it sound?", \
"items": [1]}"""

_TASK = "Write the recommender's next message as one JSON object."


class PromptedCRS:
    """One retrieval and one call a turn."""

    def __init__(self, model: ChatModel, search: Search, *, temperature: float, max_tokens: int) -> None:
        self._model = model
        self._search = search
        self._temperature = temperature
        self._max_tokens = max_tokens

    async def respond(self, state: State) -> RecommenderTurn:
        evidence = await self._search(RetrieverQuery(state=state, words="last_two"))
        candidates = evidence.candidates
        spoken = await ask(
            self._model,
            ROLE,
            state,
            _messages(state, candidates),
            lambda reply: read_spoken(reply, candidates, state),
            temperature=self._temperature,
            max_tokens=self._max_tokens,
            json_schema=reply_schema(len(candidates)),
        )
        return RecommenderTurn(
            response=spoken.text, recommended=spoken.recommended, ranking=evidence.ranking, facts=evidence.facts
        )


def _messages(state: State, candidates: tuple[Item, ...]) -> tuple[Message, ...]:
    return prompt(
        ROLE,
        INSTRUCTIONS,
        {
            "EXAMPLES": EXAMPLES,
            "DIALOGUE": render_dialogue(state.history),
            "TURN": f"turn {state.turn} of {state.max_turns}",
            "CANDIDATES": render_candidates(candidates),
            "TASK": _TASK,
        },
    )
