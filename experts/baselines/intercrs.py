"""InterCRS: the chat recommender of iEvaLM (Wang et al., EMNLP 2023): it clarifies, or lists ten films from memory.

From its source: one prompt with the dialogue, which says that the model either asks about the wishes or lists ten
titles that fit. The titles are the model's own, no candidates are shown, and nobody checks them. Films that were named
before may be among them. Its ranking, from which R@k is read, is a search beside the chat that the chat never sees: the
items nearest to the embedded last two messages.

The other reading of this system: PC-CRS (Qin et al., 2024) compares with a ChatGPT recommender of its own, which is
shown the five candidates of a search with the last two messages and picks one. The paper describes the first and cites
another work for it in its table than in its text, so which of the two its figures belong to cannot be told.

What differs from the source: the instruction is in our own words; the decoding is that of all systems (the source
decodes at temperature 0); a list is one line of the dialogue; films are recorded as recommended where the graph knows
them; refused and seen films move down in the ranking, as for all systems.
"""

from __future__ import annotations

from experts.baselines.asking import Search, ask, films_named, said
from experts.wishes import RetrieverQuery
from harness.core.messages import RecommenderTurn, State
from harness.core.seams import ChatModel
from harness.core.sections import one_line, prompt, render_dialogue
from harness.domain.knowledge_graph import KnowledgeGraph

ROLE = "lister"
LISTED = 10

INSTRUCTIONS = f"""\
You are a film recommender in a chat with a seeker. Do one of two things in your next message:
- If you know too little of what the seeker likes, ask about it in one or two short sentences.
- If you know enough, recommend a list of {LISTED} films that fit what the seeker said. Films that were named in the
  dialogue may be in it.
Write a list as numbered lines, each a title with its year, and nothing about the films beside their titles.
Answer with the message alone."""

_TASK = "Write the recommender's next message."


class InterCRS:
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
            self._model,
            ROLE,
            state,
            prompt(ROLE, INSTRUCTIONS, {"DIALOGUE": render_dialogue(state.history), "TASK": _TASK}),
            said,
            temperature=self._temperature,
            max_tokens=self._max_tokens,
        )
        return RecommenderTurn(
            response=one_line(text), recommended=films_named(text, self._graph), ranking=evidence.ranking
        )
