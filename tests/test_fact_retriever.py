"""The fact retriever: named attributes first, avoided and used-up items last, each query a pure function."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experts import a_retriever
from support.fakes import FILMS, hashed_words, state_of

from experts import fact_retriever
from experts.entity_index import Vectors, build_index
from experts.fact_retriever import RANKED, FactRetriever
from experts.wishes import QueryRule, RetrieverQuery, WishReader, Words
from harness.core.errors import ExpertError
from harness.core.messages import Evidence, Item
from harness.domain.knowledge_graph import KnowledgeGraph

GENRES = ("crime", "drama", "comedy", "horror", "romance")
PEOPLE = ("Ada Stone", "Bo Rivers", "Cy Winter", "Di Harbour")
MORE = tuple(
    Item(
        id=f"f{i}",
        title=f"Number {i}",
        year=1960 + i % 50,
        genres=(GENRES[i % 5], GENRES[(i // 5) % 5]) if i % 5 != (i // 5) % 5 else (GENRES[i % 5],),
        directors=(PEOPLE[i % 4],),
        stars=(PEOPLE[(i // 4) % 4],) if i % 4 != (i // 4) % 4 else (),
    )
    for i in range(120)
)
GRAPH = KnowledgeGraph.from_items((*FILMS, *MORE))
INDEX = build_index(GRAPH, hashed_words, model_sha256="m")
RETRIEVER = a_retriever(GRAPH, INDEX, hashed_words)
ASKED = state_of("Hello")


def retrieve(preferences: str, state=ASKED, retriever=RETRIEVER) -> Evidence:
    (evidence,) = retriever.retrieve([RetrieverQuery(state=state, preferences=preferences)])
    assert isinstance(evidence, Evidence)
    return evidence


def values(item_id: str) -> set[str]:
    return {attribute.value for attribute in GRAPH.attributes(item_id)}


def test_evidence_is_a_ranking_its_head_and_the_heads_facts():
    evidence = retrieve("Wants: crime; Al Pacino")
    assert evidence.ranking[0] == "heat"
    assert (len(evidence.ranking), len(evidence.candidates)) == (RANKED, 5)
    assert [item.id for item in evidence.candidates] == list(evidence.ranking[:5])
    assert evidence.facts == tuple(fact for item in evidence.candidates for fact in GRAPH.facts(item.id))


def test_only_new_wishes_and_large_graphs_hold_the_event_loop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded: list[str] = []

    def embed(text: str) -> Vectors:
        embedded.append(text)
        return hashed_words(text)

    monkeypatch.setattr(fact_retriever, "_CACHED_QUERIES", 2)
    retriever = a_retriever(GRAPH, INDEX, embed)
    first, second, third = (RetrieverQuery(state=ASKED, preferences=f"Wants: {g}") for g in ("crime", "drama", "war"))
    assert retriever.blocks([first])
    retriever.retrieve([first, second, first])
    assert embedded == ["crime", "drama"]
    assert not retriever.blocks([first, second])
    assert retriever.blocks([first, third])
    retriever.retrieve([third])
    assert retriever.blocks([first])  # the cache was full and began anew
    assert not retriever.blocks([third])
    monkeypatch.setattr(fact_retriever, "_MANY_ITEMS", len(INDEX.ids) - 1)
    assert retriever.blocks([third])


@pytest.mark.parametrize("candidates", [1, 12])
def test_as_many_candidates_as_wanted_head_the_ranking(candidates: int) -> None:
    retriever = a_retriever(GRAPH, INDEX, hashed_words, candidates=candidates)
    (evidence,) = retriever.retrieve([RetrieverQuery(state=ASKED, preferences="Wants: crime")])
    assert isinstance(evidence, Evidence)
    assert [item.id for item in evidence.candidates] == list(evidence.ranking[:candidates])
    assert len(evidence.candidates) == candidates
    assert len(evidence.ranking) == max(RANKED, candidates)


@given(st.sets(st.sampled_from(GENRES), min_size=1, max_size=2), st.sampled_from(PEOPLE), st.sampled_from("678"))
def test_items_that_have_all_that_is_named_come_first(genres, person, decade):
    wishes = (*sorted(genres), person, f"19{decade}0s")
    ranking = retrieve(f"Wants: {'; '.join(wishes)}").ranking
    shares = [len(values(item_id) & set(wishes)) for item_id in ranking]
    most = max(len(values(item.id) & set(wishes)) for item in GRAPH.items)
    assert shares[0] == most
    full = sum(len(values(item.id) & set(wishes)) == most for item in GRAPH.items)
    assert shares[: min(full, RANKED)] == [most] * min(full, RANKED)


def test_avoided_attributes_push_items_down():
    liked = retrieve("Wants: Ada Stone").ranking
    genre = min(values(liked[0]) & set(GENRES))
    ranking = retrieve(f"Wants: Ada Stone\nAvoids: {genre}").ranking
    assert all("Ada Stone" in values(item_id) and genre not in values(item_id) for item_id in ranking)


@pytest.mark.parametrize("line", ["Avoids", "Seen"])
def test_items_that_were_ruled_out_come_last(line):
    ranking = retrieve(f"Wants: crime; Al Pacino\n{line}: Heat (1995)").ranking
    assert "heat" not in ranking


def test_a_film_left_behind_yields_to_fresh_ones_that_fit_as_well():
    best = retrieve("Wants: comedy; Bo Rivers").ranking
    moved_on = state_of("hi", "A", "no", "B", "hm", recommended=[best[:1], best[1:2]])
    ranking = retrieve("Wants: comedy; Bo Rivers", moved_on).ranking
    assert ranking[0] == best[1]
    assert {"comedy", "Bo Rivers"} <= values(best[9]), "there are fresh ones that fit as well"
    assert best[0] not in ranking


def test_the_item_on_the_table_keeps_its_place():
    best = retrieve("Wants: comedy; Bo Rivers").ranking
    discussed = state_of("hi", "A", "why?", "Because", "hm", recommended=[best[:1], ()])
    assert retrieve("Wants: comedy; Bo Rivers", discussed).ranking == best


def test_films_like_a_named_one_are_found():
    def shared(item_id: str) -> int:
        return len(values(item_id) & values("f7"))

    ranking = [item_id for item_id in retrieve("Wants: something like Number 7 (1967)").ranking if item_id != "f7"]
    assert shared(ranking[0]) == max(shared(item.id) for item in GRAPH.items if item.id != "f7") == 4


def test_without_preferences_all_of_the_seekers_words_serve():
    state = state_of("A crime film please", "Hm", "no", "Ok", "well", "So?", "so", "Well?", "with Al Pacino")
    assert retrieve("", state).ranking == retrieve("Wants: nothing known yet", state).ranking
    assert retrieve("", state).ranking[0] == "heat"


NEAREST = a_retriever(GRAPH, INDEX, hashed_words, ranking="embedding")


def test_the_mode_embedding_ranks_by_the_embedded_wishes_alone() -> None:
    wishes = "crime; Al Pacino"
    evidence = retrieve(f"Wants: {wishes}\nAvoids: drama", retriever=NEAREST)
    by_cosine = INDEX.nearest(hashed_words(wishes), RANKED)
    assert evidence.ranking == tuple(INDEX.ids[row] for row in by_cosine)
    assert [item.id for item in evidence.candidates] == list(evidence.ranking[:5])


@pytest.mark.parametrize("retriever", [RETRIEVER, NEAREST], ids=["attributes", "embedding"])
@pytest.mark.parametrize(
    "no", ["I've seen that.", "Not that one.", "{} is not for me.", "I don't like {}.", "No, thanks."]
)
def test_a_refused_film_comes_last_for_a_system_without_preferences(retriever: FactRetriever, no: str) -> None:
    asked = "A crime film with Al Pacino"
    first = retrieve("", state_of(asked), retriever)
    refused = state_of(asked, "Try it.", no.format(first.candidates[0].name), recommended=[first.ranking[:1]])
    assert first.ranking[0] not in retrieve("", refused, retriever).ranking
    assert first.ranking[0] not in retrieve("Wants: crime; Al Pacino", refused, retriever).ranking
    kept = state_of(asked, "Try it.", "Who plays in it?", recommended=[first.ranking[:1]])
    assert first.ranking[0] in retrieve("", kept, retriever).ranking


def test_what_the_seeker_turns_away_is_no_wish() -> None:
    ranking = retrieve("", state_of("A film with Ada Stone. I really don't like horror, though.")).ranking
    assert all("Ada Stone" in values(item) and "horror" not in values(item) for item in ranking)


def test_the_rule_own_searches_with_the_words_of_the_systems_source() -> None:
    state = state_of("A western with Bo Rivers", "Which period?", "the 1960s", "Hm", "a crime film with Al Pacino")

    def texts(rule: QueryRule) -> dict[Words, str]:
        reader = WishReader(GRAPH, rule)
        return {words: reader.text(RetrieverQuery(state=state, words=words)) for words in get_args(Words)}

    own, shared = texts("own"), texts("shared")
    seeker = "A western with Bo Rivers\nthe 1960s\na crime film with Al Pacino"
    assert shared == {"seeker": seeker, "last_two": seeker}
    assert own["seeker"] == seeker
    assert own["last_two"] == "Hm\na crime film with Al Pacino"


def test_a_silent_seeker_still_gets_a_ranking():
    assert len(retrieve("", state_of("")).ranking) == RANKED


def test_a_query_does_not_depend_on_its_batch():
    queries = [
        RetrieverQuery(state=ASKED, preferences=text)
        for text in ("Wants: crime", "Wants: Cy Winter; 1960s\nAvoids: crime", "free words of a small model", "")
    ]
    together = RETRIEVER.retrieve(queries)
    assert together == tuple(RETRIEVER.retrieve([query])[0] for query in queries)
    assert RETRIEVER.retrieve(queries[::-1]) == together[::-1]


def test_equal_wishes_are_embedded_once():
    texts = []

    def embed(text):
        texts.append(text)
        return hashed_words(text)

    retriever = a_retriever(GRAPH, INDEX, embed)
    retriever.retrieve([RetrieverQuery(state=ASKED, preferences="Wants: crime\nSeen: Heat (1995)")] * 3)
    assert texts == ["crime"]


def test_a_vector_that_is_not_finite_fails_its_own_query_only():
    def embed(text):
        return np.full(64, np.nan, dtype=np.float32) if text == "bad" else hashed_words(text)

    queries = [RetrieverQuery(state=ASKED, preferences=text) for text in ("bad", "crime")]
    bad, good = a_retriever(GRAPH, INDEX, embed).retrieve(queries)
    assert isinstance(bad, ExpertError)
    assert isinstance(good, Evidence)


def test_an_index_of_another_graph_is_refused():
    with pytest.raises(ValueError, match="different items"):
        a_retriever(KnowledgeGraph.from_items(FILMS), INDEX, hashed_words)
