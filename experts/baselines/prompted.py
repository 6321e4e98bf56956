"""A language model that is simply prompted to be a recommender, with in-context examples: QwenCRS and LlamaCRS.

From the paper (section IV, baselines, and Table III): a general chat model in the role of the recommender, once Qwen,
once Llama, without inferred preferences, without facts and without strategies. The config chooses the model; the code
is the same. So it is one prompt with the dialogue: no candidates are shown, films come from the model's memory, and
nobody checks them. The paper's R@5 of these rows is far above their Rec-SR, so it cannot be read from the films that
they name: R@k is that of the shared retriever's ranking, which the model never sees.

What differs from the source: there is none to compare with. The two example exchanges (one that asks, one that
recommends) are ours. Films are recorded as recommended where the graph knows them. The other reading is PC-CRS's own
ChatGPT system, which is shown five candidates; the query ``own`` is that system's, the last two messages.
"""

from __future__ import annotations

from experts.baselines.asking import Search, ask, films_named, said
from experts.wishes import RetrieverQuery
from harness.core.messages import Message, RecommenderTurn, State
from harness.core.seams import ChatModel
from harness.core.sections import one_line, prompt, render_dialogue
from harness.domain.knowledge_graph import KnowledgeGraph

ROLE = "prompted"

INSTRUCTIONS = """\
You are a film recommender in a chat with a seeker. Write your next message.
- Find out what the seeker wants, recommend a film that fits, and answer questions about it.
- Use two or three short, natural sentences, and name a film with its year.
EXAMPLES shows two messages of good recommenders in other conversations.
Answer with the message alone."""

EXAMPLES = """\
Seeker says: Hi, I need something for a quiet evening with my father.
Reply: With pleasure! Which kinds of film does he enjoy, and is there an actor you both like?
Seeker says: We love slow westerns, the older the better.
Reply: Then try High Noon (1952): a western with Gary Cooper that takes its time. How does it sound?"""

_TASK = "Write the recommender's next message."


class PromptedCRS:
    """One search and one call a turn."""

    def __init__(
        self, model: ChatModel, search: Search, graph: KnowledgeGraph, *, temperature: float, max_tokens: int
    ) -> None:
        self._model = model
        self._search = search
        self._graph = graph
        self._temperature = temperature
        self._max_tokens = max_tokens

    async def respond(self, state: State) -> RecommenderTurn:
        evidence = await self._search(RetrieverQuery(state=state, words="last_two"))
        text = await ask(
            self._model, ROLE, state, _messages(state), said, temperature=self._temperature, max_tokens=self._max_tokens
        )
        return RecommenderTurn(
            response=one_line(text), recommended=films_named(text, self._graph), ranking=evidence.ranking
        )


def _messages(state: State) -> tuple[Message, ...]:
    return prompt(
        ROLE,
        INSTRUCTIONS,
        {
            "EXAMPLES": EXAMPLES,
            "DIALOGUE": render_dialogue(state.history),
            "TURN": f"turn {state.turn} of {state.max_turns}",
            "TASK": _TASK,
        },
    )
