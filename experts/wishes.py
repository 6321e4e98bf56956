"""What a system searches with: the one rule of the query, from a state to wishes.

A system with a preference reasoner searches with its preferences (Eq. 4). Every other system searches with words of the
dialogue, and which ones decides the run, not the system, so that rankings of different systems can be compared:

- ``shared``: all that the seeker has said, for every system.
- ``own``: what the system's source searches with (`Words`), for rows beside the headline ones.

Wherever the seeker's own words are read, what they turn away is no wish (`harness.domain.stances`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from experts.refusals import FilmTalk
from experts.replies import read_preferences
from harness.core.messages import State, Struct, Utterance
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.stances import covered, parts, wanted

QueryRule = Literal["shared", "own"]
Words = Literal["seeker", "last_two"]
"""All of the seeker's words, or the last two messages of the dialogue, whoever said them."""
NO_WISH = "a good film"
"""What is searched for where nothing is wished for yet."""


class RetrieverQuery(Struct, frozen=True, kw_only=True):
    """A state and the preferences inferred from it (``""``: none, words of the dialogue serve)."""

    state: State
    preferences: str = ""
    words: Words = "seeker"
    """Which words the system's source searches with; counts under the rule ``own``."""


class Wishes(Struct, frozen=True, kw_only=True):
    """A query, taken apart."""

    text: str
    """What is embedded."""
    named: str
    """Where wished-for genres, people and decades are looked up."""
    avoided: str
    """Where those are looked up that the seeker turns away."""
    models: tuple[str, ...]
    """Ids of films named as models of what is wanted."""
    out: frozenset[str]
    """Ids of refused and seen films."""


class _Heard(NamedTuple):
    """A message: what of it is embedded, and where wished-for and turned-away attributes are looked up."""

    text: str
    named: str
    avoided: str


class WishReader:
    """Takes queries apart by one rule; remembers messages, not conversations.

    Args:
        graph: whose films, people and genres the words may name.
        rule: which words serve where there are no preferences.
    """

    def __init__(self, graph: KnowledgeGraph, rule: QueryRule) -> None:
        self._graph = graph
        self._rule = rule
        self._films = FilmTalk(graph)
        self._heard = lru_cache(maxsize=20_000)(self._hear)

    def text(self, query: RetrieverQuery) -> str:
        """What is embedded."""
        told = read_preferences(query.preferences)
        if told.wants:
            return "; ".join(told.wants)
        return "\n".join(heard.text for heard in self._words(query) if heard.text) or NO_WISH

    def read(self, query: RetrieverQuery) -> Wishes:
        """What the query wishes for."""
        told = read_preferences(query.preferences)
        known = self._films.known(query.state)
        graph = self._graph
        out = known.out.union(graph.titles_in("; ".join(told.avoids)), graph.listed(told.seen))
        text = self.text(query)
        if told.wants:
            return Wishes(text=text, named=text, avoided="; ".join(told.avoids), models=graph.titles_in(text), out=out)
        heard = self._words(query)
        return Wishes(
            text=text,
            named="\n".join(message.named for message in heard),
            avoided="\n".join((*told.avoids, *(message.avoided for message in heard if message.avoided))),
            models=known.liked,
            out=out,
        )

    def _words(self, query: RetrieverQuery) -> tuple[_Heard, ...]:
        offered = frozenset(item for turn in query.state.turns for item in turn.recommended)
        return tuple(self._heard(utterance, offered) for utterance in self._utterances(query))

    def _utterances(self, query: RetrieverQuery) -> tuple[Utterance, ...]:
        history = query.state.history
        if self._rule == "own" and query.words == "last_two":
            return history[-2:]
        return tuple(utterance for utterance in history if utterance.speaker == "seeker")

    def _hear(self, utterance: Utterance, offered: frozenset[str]) -> _Heard:
        text = utterance.text
        # Titles hold genre words and negations ("The Crime ...", "No Country ..."), which are no wishes.
        bare = covered(text, ((m.start, m.end) for m in self._graph.titles.mentions(text, offered)))
        if utterance.speaker == "recommender":
            return _Heard(text, bare, "")
        some = parts(bare)
        avoided = "; ".join(bare[part.start : part.end] for part in some if part.stance == "avoids")
        return _Heard(wanted(text, some), wanted(bare, some), avoided)
