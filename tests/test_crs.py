"""UniCRS and BARCOR on a small made-up corpus: parts, training, and the shapes of the paper's backbones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import InputError, RunStopped
from harness.core.messages import Item, RecommendationTurn, State, Turn
from harness.domain.entities import Entities, LinkedTurn
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.ranking import Query
from harness.domain.splits import Part
from learner.crs import backbones, fit, make, store
from learner.crs.barcor import BARCOR as BARCORSystem
from learner.crs.copying import WithCopy, count_copies
from learner.crs.rgcn import RelationalLayer
from learner.crs.settings import SLOT, BARCORSettings, Schedule, Settings, UniCRSSettings, kind_of
from learner.crs.texts import Vocabulary, dialogue_ids, greedy, padded, replies, with_slots
from learner.crs.unicrs import UniCRS

GRAPH = KnowledgeGraph(
    Item(id=str(n), title=f"Film {'abcdefghijkl'[n]}", year=1990 + n, genres=("comedy" if n % 2 else "crime",))
    for n in range(12)
)
ENTITIES = Entities(GRAPH)
COMEDY, CRIME = (ENTITIES.node(name) for name in ("comedy", "crime"))
ONE = Schedule(epochs=1, rate=3e-3)
QUICK: dict[str, Any] = {"tokens": 40, "batch": 8, "language": ONE, "align": ONE, "talk": ONE}
UNICRS = UniCRSSettings(reader="minilm", speaker="", recommend=Schedule(epochs=8, rate=3e-3), **QUICK)
BARCOR = BARCORSettings(model="", tokens=40, batch=8, talk=ONE, recommend=Schedule(epochs=8, rate=3e-3))
SETTINGS = pytest.mark.parametrize("settings", [UNICRS, BARCOR], ids=kind_of)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WIDTH", 32), ("LAYERS", 2), ("HEADS", 2)):
        monkeypatch.setattr(backbones, name, value)


def turn(number: int, wish: str, film: int) -> LinkedTurn:
    name = GRAPH.items[film].name
    state = State(episode=f"d{number}", seed=0, max_turns=10, opening=f"I like {wish} films.")
    said = RecommendationTurn(state=state, named=(wish,), items=(name,), response=f"Have you seen {name}? Good {wish}.")
    node = ENTITIES.node(wish)
    assert node is not None
    return LinkedTurn(f"d{number}", said, (node,), (film,))


TURNS = [turn(n, *((("comedy", 1), ("crime", 2))[n % 2])) for n in range(32)]
PART = Part(tuple(TURNS[:24]), tuple(TURNS[24:]), ())
QUERIES = [
    Query(State(episode="q", seed=0, max_turns=10, opening=f"I like {wish} films."), (node,))
    for wish, node in (("comedy", COMEDY), ("crime", CRIME))
    if node is not None
]


def fresh(settings: Settings) -> make.System:
    written = backbones.tokenizer_of(make.texts_of(PART.training)).backend_tokenizer.to_str()
    return make.make(settings, ENTITIES, written, seed=0).system


def trained(settings: Settings, folder: Path) -> make.System:
    return make.train_on(settings, PART, ENTITIES, graph=GRAPH.sha256, seed=0, folder=folder)


def test_the_layer_is_the_mean_over_neighbours_with_one_matrix_a_relation_and_direction() -> None:
    layer = RelationalLayer(ENTITIES, len(ENTITIES) + 1, 6, bases=2).double()
    x = torch.randn(len(ENTITIES) + 1, 6, dtype=torch.float64)
    weights = torch.einsum("rb,bij->rij", layer.mixture, layer.bases)
    expected = layer.own(x)
    directions = [d for pairs in ENTITIES.edges.values() if pairs for d in (pairs, [(b, a) for a, b in pairs])]
    for node, (number, pairs) in itertools.product(range(len(ENTITIES)), enumerate(directions)):
        near = [b for a, b in set(map(tuple, pairs)) if a == node]
        if near:
            expected[node] = expected[node] + x[near].mean(dim=0) @ weights[number]
    assert torch.allclose(layer(x), expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(1, 30))
def test_greedy_writes_no_run_of_three_twice(likes: list[int], limit: int) -> None:
    def scores(token: int) -> torch.Tensor:
        row = torch.zeros(6)
        row[likes[token % len(likes)]] = 2.0
        row[4] = 1.0
        return row

    written = greedy(scores, scores(0), end=5, limit=limit)
    runs = list(zip(written, written[1:], written[2:], strict=False))
    assert len(runs) == len(set(runs))
    assert len(written) <= limit


def test_the_newest_words_stay_and_slots_stand_for_names() -> None:
    words = Vocabulary(backbones.tokenizer_of(make.texts_of(PART.training)))
    state = QUERIES[0].state.after(Turn(strategy=None, preferences="", response="one two three"))
    whole = dialogue_ids(state, words.encode, words.separator, 1000)
    assert dialogue_ids(state, words.encode, words.separator, 4) == whole[-4:]
    assert with_slots("See Film b (1991) or Film b.", ["Film b", "Film b (1991)"]) == f"See {SLOT} or {SLOT}."
    assert words.decode([*words.encode("see "), words.slot, *words.encode(" now"), words.end]) == f"see {SLOT} now"


def test_replies_between_recommendations_are_trained_on_too() -> None:
    state = State(episode="d", seed=0, max_turns=10, opening="Hello")
    state = state.after(Turn(strategy=None, preferences="", response="What do you like?", reply="comedy"))
    naming = RecommendationTurn(state=state, named=("comedy",), items=("Film b (1991)",), response="Film b (1991)!")
    found = replies([LinkedTurn("d", naming, (12,), (1,))])
    assert [(reply.text, reply.state.turn) for reply in found] == [("What do you like?", 1), (f"{SLOT}!", 2)]


@SETTINGS
def test_a_result_does_not_depend_on_its_batch(settings: Settings) -> None:
    system = fresh(settings).eval()
    long = State(episode="q", seed=0, max_turns=10, opening="crime " * 30)
    queries = [*QUERIES, Query(long, (12, 13, 3)), Query(long, ())]
    examples: list[Any] = (
        [system.example(q.state, q.context) for q in queries]
        if isinstance(system, UniCRS)
        else [system.example(q.state) for q in queries]
    )
    with torch.no_grad():
        if isinstance(system, UniCRS):
            nodes = system.recommend.nodes()
            batched = system._node_scores(system.recommend, system.recommending_speaker, nodes, examples, soft=True)
        else:
            batched = system._node_scores(examples)
    alone = np.concatenate([system.rank([query]) for query in queries])
    assert np.array_equal(alone, system.rank(queries))
    assert np.allclose(alone, batched[:, : len(ENTITIES.item_ids)].numpy(), atol=1e-4)


@SETTINGS
def test_training_learns_and_two_runs_give_one_digest_and_the_folder_gives_the_same_system(
    settings: Settings, tmp_path: Path
) -> None:
    one, two = (trained(settings, tmp_path / name) for name in ("one", "two"))
    metas = [store.read_meta(tmp_path / name) for name in ("one", "two")]
    assert metas[0] == metas[1]
    assert metas[0].name.endswith("-lite")
    assert not (tmp_path / "one" / store.TRAINING).exists()
    missed = [epoch.tuning for epoch in metas[0].curve if epoch.stage == "recommend" and epoch.tuning is not None]
    assert min(missed) < 0.5  # by chance .74
    scores = one.rank(QUERIES)
    assert np.array_equal(scores, two.rank(QUERIES))
    meta, again = make.load(tmp_path / "one", ENTITIES, graph=GRAPH.sha256)
    assert meta.training == tuple(sorted(f"d{n}" for n in range(24)))
    assert np.array_equal(again.rank(QUERIES), scores)
    assert again.write(QUERIES[0]) == one.write(QUERIES[0])


class Killed(Exception):
    pass


@SETTINGS
def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(settings, tmp_path / "whole")
    monkeypatch.setattr(fit, "KEEP_EVERY_S", -1.0)
    steps = 0

    def die(stage: str, done: int, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps in (2, 9):
            raise Killed

    folder = tmp_path / "killed"
    for _ in range(2):
        with pytest.raises(Killed):
            make.train_on(settings, PART, ENTITIES, graph=GRAPH.sha256, seed=0, folder=folder, show=die)
    make.train_on(settings, PART, ENTITIES, graph=GRAPH.sha256, seed=0, folder=folder, show=die)
    assert store.read_meta(folder).digest == store.read_meta(tmp_path / "whole").digest


def test_a_damaged_or_foreign_system_is_refused_by_name(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(BARCOR, talk=Schedule(epochs=0, rate=1e-3), recommend=ONE)
    trained(settings, tmp_path)
    with pytest.raises(InputError, match="another film graph"):
        make.load(tmp_path, ENTITIES, graph="other")
    weights = tmp_path / store.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged"):
        make.load(tmp_path, ENTITIES, graph=GRAPH.sha256)
    with pytest.raises(InputError, match="train-crs"):
        store.read(tmp_path / "nothing")


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, batch: Sequence[Any]) -> tuple[torch.Tensor, int]:
        return self.head[1].weight.sum() * torch.nan, 1

    monkeypatch.setattr(BARCORSystem, "_recommend_loss", broken)
    with pytest.raises(RunStopped, match="recommend: the loss is no number at step 1"):
        trained(msgspec.structs.replace(BARCOR, talk=Schedule(epochs=0, rate=1e-3)), tmp_path)


def test_copies_are_counted_by_how_long_ago_a_film_was_named_and_mixed_in() -> None:
    turns = [TURNS[0]._replace(context=(3, 5, 13), targets=(5, 7)), TURNS[0]._replace(context=(3, 5), targets=(3, 8))]
    share, *places = count_copies(turns, 12)
    assert share == pytest.approx(0.5)
    assert places[0] == places[1] > places[2]

    class Flat:
        def rank(self, queries: Sequence[Query]) -> Any:
            return np.zeros((len(queries), 12))

    rows = np.exp(WithCopy(Flat(), (share, *places)).rank([Query(TURNS[0].turn.state, (3, 5, 13)), QUERIES[0]]))
    assert rows.sum(axis=1) == pytest.approx(1.0)
    assert rows[0, 5] == rows[0, 3] > rows[0, 0]
    assert rows[1] == pytest.approx(1 / 12)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=4))
def test_padding_stands_on_the_right_and_is_told_apart(rows: list[list[int]]) -> None:
    ids, there = padded(rows, 0, torch.device("cpu"))
    assert [row[mask].tolist() for row, mask in zip(ids, there, strict=True)] == rows


@pytest.mark.parametrize("name", ["unicrs", "barcor"])
def test_the_shapes_of_the_papers_backbones_run_end_to_end(name: str, tmp_path: Path) -> None:
    """RoBERTa-base, DialoGPT-small and BART-base, one layer deep and with random weights, by folder as a user has them.

    Width, heads, positions and special tokens are the paper's; the vocabulary is that of a small tokenizer.
    """
    import transformers as t

    words = backbones.tokenizer_of(make.texts_of(PART.training))
    size = len(words)

    def put(folder: str, model: Any) -> str:
        model.save_pretrained(tmp_path / folder)
        words.save_pretrained(tmp_path / folder)
        return str(tmp_path / folder)

    settings: Settings
    if name == "unicrs":
        reader = put(
            "roberta-base",
            t.RobertaModel(
                t.RobertaConfig(
                    vocab_size=size, num_hidden_layers=1, max_position_embeddings=514, type_vocab_size=1,
                    pad_token_id=1, bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5,
                )
            ),
        )  # fmt: skip
        speaker = put("DialoGPT-small", t.GPT2LMHeadModel(t.GPT2Config(vocab_size=size, n_layer=1, eos_token_id=2)))
        settings = UniCRSSettings(reader=reader, speaker=speaker, talk=ONE, align=ONE, recommend=ONE)
    else:
        config = t.BartConfig(
            vocab_size=size, d_model=768, encoder_layers=1, decoder_layers=1, encoder_attention_heads=12,
            decoder_attention_heads=12, encoder_ffn_dim=3072, decoder_ffn_dim=3072, max_position_embeddings=1024,
            bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2,
        )  # fmt: skip
        settings = BARCORSettings(
            model=put("bart-base", t.BartForConditionalGeneration(config)), talk=ONE, recommend=ONE
        )
    system = trained(settings, tmp_path / "trained")
    meta, again = make.load(tmp_path / "trained", ENTITIES, graph=GRAPH.sha256)
    assert meta.name == name
    assert len(meta.backbones) == (2 if name == "unicrs" else 1)
    scores = system.rank(QUERIES)
    assert scores.shape == (2, 12)
    assert np.isfinite(scores).all()
    assert np.array_equal(again.rank(QUERIES), scores)
    assert again.write(QUERIES[0]) == system.write(QUERIES[0])
