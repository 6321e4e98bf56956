"""The entity index: nearest items, exact and approximate alike, and a cache that never loads what it did not write."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from structlog.testing import capture_logs
from support.fakes import ALIEN, FILMS, HEAT, hashed_words

from experts import entity_index
from experts.entity_index import build_index, item_text
from harness.core.errors import InputError
from harness.core.messages import Item
from harness.domain.knowledge_graph import KnowledgeGraph

GRAPH = KnowledgeGraph.from_items(FILMS)


def many(n: int = 300) -> KnowledgeGraph:
    words = ["night", "river", "stone", "glass", "winter", "train", "garden", "letter", "shadow", "bridge", "harbour"]
    titles = itertools.islice(itertools.product(words, words, words), n)
    return KnowledgeGraph.from_items(
        Item(id=f"i{i}", title=" ".join(title), year=1950 + i % 70, genres=(words[i % 7],))
        for i, title in enumerate(titles)
    )


class Counting:
    """An embedding that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, text):
        self.calls += 1
        return hashed_words(text)


@pytest.fixture
def large(monkeypatch):
    """Every graph above 10 items counts as large."""
    monkeypatch.setattr(entity_index, "EXACT_UP_TO", 10)


def test_item_text_holds_the_facts():
    assert item_text(HEAT) == "Heat (1995). crime, drama. Michael Mann. Al Pacino, Robert De Niro"
    assert item_text(Item(id="x", title="Pulse")) == "Pulse"


def test_nearest_is_the_order_of_cosines():
    index = build_index(GRAPH, hashed_words, model_sha256="m")
    query = hashed_words("horror sci-fi by Ridley Scott")
    rows = index.nearest(query, 10)
    assert index.ids[rows[0]] == ALIEN.id
    cosines = index.cosines(query, rows)
    assert list(cosines) == sorted(cosines, reverse=True)
    assert len(rows) == len(FILMS)


def test_ties_keep_the_graphs_order():
    twins = KnowledgeGraph.from_items(Item(id=f"t{i}", title="Twin") for i in range(6))
    index = build_index(twins, hashed_words, model_sha256="m")
    assert list(index.nearest(hashed_words("Twin"), 3)) == [0, 1, 2]


@pytest.mark.usefixtures("large")
def test_approximate_search_finds_what_exact_search_finds(tmp_path):
    graph = many()
    approximate = build_index(graph, hashed_words, model_sha256="m", cache_dir=tmp_path)
    assert any(path.suffix == ".hnsw" for path in tmp_path.iterdir())
    vectors = np.stack([hashed_words(item_text(item)) for item in graph.items])
    hits = 0
    for i in range(0, 300, 10):
        query = hashed_words(graph.items[i].title)
        exact = np.sort(vectors @ query)[-10:].sum()
        hits += bool(np.isclose(approximate.cosines(query, approximate.nearest(query, 10)).sum(), exact))
    assert hits >= 29


@pytest.mark.usefixtures("large")
def test_the_cache_gives_the_same_answers_without_embedding(tmp_path):
    graph, embed = many(), Counting()
    built = build_index(graph, embed, model_sha256="m", cache_dir=tmp_path)
    assert embed.calls == 300
    loaded = build_index(graph, embed, model_sha256="m", cache_dir=tmp_path)
    assert embed.calls == 300
    query = hashed_words("river stone")
    assert list(loaded.nearest(query, 10)) == list(built.nearest(query, 10))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_another_model_or_graph_is_another_entry(tmp_path):
    embed = Counting()
    for _ in range(2):
        build_index(GRAPH, embed, model_sha256="m", cache_dir=tmp_path)
        build_index(GRAPH, embed, model_sha256="n", cache_dir=tmp_path)
        build_index(KnowledgeGraph.from_items(FILMS[:2]), embed, model_sha256="m", cache_dir=tmp_path)
    assert embed.calls == 4 + 4 + 2


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("kind", ["npy", "hnsw", "json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_entry_is_rejected_with_a_warning_and_built_anew(tmp_path, kind, damage):
    graph, embed = many(60), Counting()
    first = build_index(graph, embed, model_sha256="m", cache_dir=tmp_path)
    (path,) = tmp_path.glob(f"*.{kind}")
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(content) // 2
        broken = {"flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], "cut": content[:-9]}
        path.write_bytes(broken.get(damage, b""))
    with capture_logs() as logs:
        second = build_index(graph, embed, model_sha256="m", cache_dir=tmp_path)
    assert embed.calls == 120
    if (kind, damage) != ("json", "gone"):
        assert [log["event"] for log in logs] == ["entity_index.cache_rejected"]
    assert np.array_equal(first.vectors, second.vectors)
    build_index(graph, embed, model_sha256="m", cache_dir=tmp_path)
    assert embed.calls == 120


def test_an_entry_of_another_model_under_this_name_is_rejected(tmp_path):
    embed = Counting()
    build_index(GRAPH, embed, model_sha256="m", cache_dir=tmp_path)
    (path,) = tmp_path.glob("*.json")
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"model_sha256": "n"}))
    with capture_logs() as logs:
        build_index(GRAPH, embed, model_sha256="m", cache_dir=tmp_path)
    assert "another graph or encoder" in logs[0]["reason"]
    assert embed.calls == 8


def test_an_unwritable_cache_costs_a_warning_only(tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("in the way")
    with capture_logs() as logs:
        index = build_index(GRAPH, hashed_words, model_sha256="m", cache_dir=occupied)
    assert [log["event"] for log in logs] == ["entity_index.cache_not_written"]
    assert index.ids == tuple(item.id for item in FILMS)


def test_progress_counts_every_item():
    seen = []
    build_index(GRAPH, hashed_words, model_sha256="m", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("vector", [[0.0, 0.0], [float("nan"), 1.0], [3.0, 4.0]])
def test_an_encoder_without_unit_vectors_is_refused(vector):
    with pytest.raises(InputError, match=r"Heat \(1995\)"):
        build_index(GRAPH, lambda _: np.array(vector, dtype=np.float32), model_sha256="m")
