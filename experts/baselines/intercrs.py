"""InterCRS: the interactive recommender of iEvaLM (Wang et al., EMNLP 2023): recommends every turn, clarifies by chat.

From that paper: recommendation and conversation are two modules. The ranking is a nearest-neighbour search with the
embedded dialogue, made again each turn. The model's text is free-form chat that clarifies.

Decided here: the query is the seeker's side of the dialogue, since its own suggestions would pull the ranking towards
themselves. The pick is the first item of the shared retriever's ranking. A fixed sentence after the chat names it, so
that no model call can lose it, and names it again while it stays first. The paper's chat sees no items, so it states no
facts about them.
"""

from __future__ import annotations

from experts.baselines.asking import Search
from experts.baselines.clarifying import clarify
from experts.wishes import RetrieverQuery
from harness.core.messages import RecommenderTurn, State
from harness.core.seams import ChatModel
from harness.domain.titles import spoken_name

PICK = "My pick for you is {item}."


class InterCRS:
    """One retrieval and one call a turn."""

    def __init__(self, model: ChatModel, search: Search, *, temperature: float, max_tokens: int) -> None:
        self._model = model
        self._search = search
        self._temperature = temperature
        self._max_tokens = max_tokens

    async def respond(self, state: State) -> RecommenderTurn:
        evidence = await self._search(RetrieverQuery(state=state, words="dialogue"))
        chat = await clarify(self._model, state, temperature=self._temperature, max_tokens=self._max_tokens)
        if not evidence.candidates:
            return RecommenderTurn(response=chat, ranking=evidence.ranking)
        best = evidence.candidates[0]
        return RecommenderTurn(
            response=f"{chat} {PICK.format(item=spoken_name(best))}",
            recommended=(best.id,),
            ranking=evidence.ranking,
            facts=evidence.facts,
        )
