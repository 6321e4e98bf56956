"""Settings -> a system: fresh to be trained, or read from its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import torch

from harness.core.errors import InputError
from harness.core.seeds import derive
from harness.domain.entities import Entities, LinkedTurn
from harness.domain.splits import Part
from harness.domain.text_encoder import TextEncoder, load_encoder
from learner.crs.backbones import (
    Backbone,
    bart,
    gpt2,
    small_bart,
    small_gpt2,
    tokenizer_from,
    tokenizer_of,
)
from learner.crs.barcor import BARCOR
from learner.crs.copying import count_copies
from learner.crs.fit import Show, train
from learner.crs.settings import BARCORSettings, Settings, UniCRSSettings, kind_of, name_of
from learner.crs.speaker import Speaker
from learner.crs.store import FolderKeeper, Meta, digest_of, is_saved, read, save
from learner.crs.texts import Vocabulary
from learner.crs.unicrs import ALIGNMENT, UniCRS

System = UniCRS | BARCOR


def texts_of(turns: Iterable[LinkedTurn]) -> list[str]:
    """Every message of the dialogues once, for a tokenizer."""
    last = {turn.dialogue: turn for turn in turns}
    found: list[str] = []
    for turn in last.values():
        found += [utterance.text for utterance in turn.turn.state.history]
        found.append(turn.turn.response)
    return found


class Made:
    """A system with what it stands on."""

    def __init__(self, system: System, tokenizer: str, backbones: dict[str, str]) -> None:
        self.system, self.tokenizer, self.backbones = system, tokenizer, backbones


def make(settings: Settings, entities: Entities, tokenizer: str, *, seed: int, device: str = "cpu") -> Made:
    """A system of random weights, but for what is pretrained.

    Args:
        settings: of either system.
        entities: the graph's nodes.
        tokenizer: text of the tokenizer, where the model is a small one of our own.
        seed: of the weights.
        device: of torch.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, kind_of(settings), "weights"))
        made = (
            _unicrs(settings, entities, tokenizer, device)
            if isinstance(settings, UniCRSSettings)
            else _barcor(settings, entities, tokenizer)
        )
    made.system.to(device)
    return made


def _unicrs(settings: UniCRSSettings, entities: Entities, tokenizer: str, device: str) -> Made:
    reader: TextEncoder = load_encoder(settings.reader)
    reader.model.to(device)
    backbones = {settings.reader: reader.sha256}
    if settings.speaker:
        found: Backbone = gpt2(settings.speaker)
        backbones[settings.speaker] = found.sha256
        words, model, tokenizer = Vocabulary(found.tokenizer), found.model, ""
    else:
        words = Vocabulary(tokenizer_from(tokenizer))
        model = small_gpt2(len(words))
    system = UniCRS(reader, Speaker(model, words), entities, settings, pretrained=bool(settings.speaker))
    return Made(system, tokenizer, backbones)


def _barcor(settings: BARCORSettings, entities: Entities, tokenizer: str) -> Made:
    backbones = {}
    if settings.model:
        talker, recommender = bart(settings.model), bart(settings.model)
        backbones[settings.model] = talker.sha256
        words, tokenizer = Vocabulary(talker.tokenizer), ""
        models = talker.model, recommender.model
        for model in models:
            if len(words) > model.config.vocab_size:
                model.resize_token_embeddings(len(words), mean_resizing=False)
    else:
        words = Vocabulary(tokenizer_from(tokenizer))
        models = small_bart(len(words)), small_bart(len(words))
    return Made(BARCOR(*models, words, entities, settings, pretrained=bool(settings.model)), tokenizer, backbones)


def train_on(
    settings: Settings,
    part: Part,
    entities: Entities,
    *,
    graph: str,
    seed: int,
    folder: Path,
    device: str = "cpu",
    show: Show | None = None,
) -> System:
    """Train a system on a part's turns into a folder, or read it where it is there already.

    A training that was stopped in the folder goes on if its settings and turns are these.

    Args:
        settings: of either system.
        part: its training turns; its tuning turns choose the epoch.
        entities: the graph's nodes.
        graph: SHA-256 of the graph.
        seed: of weights, order and dropout.
        folder: where it is kept.
        device: of torch. Two trainings on one CPU are equal to the bit.
        show: is told how far it is.
    """
    key = key_of(settings, part, graph, seed)
    if is_saved(folder):
        return load(folder, entities, graph=graph, device=device)[1]
    own = not (settings.speaker if isinstance(settings, UniCRSSettings) else settings.model)
    tokenizer = tokenizer_of(texts_of(part.training)).backend_tokenizer.to_str() if own else ""
    made = make(settings, entities, tokenizer, seed=seed, device=device)
    system = made.system.on(part)
    curve = train(system, seed=seed, keeper=FolderKeeper(folder, key), show=show)
    weights = {name: tensor for name, tensor in system.weights().items() if not name.startswith(ALIGNMENT)}
    meta = Meta(
        kind=kind_of(settings),
        name=name_of(settings),
        unicrs=settings if isinstance(settings, UniCRSSettings) else None,
        barcor=settings if isinstance(settings, BARCORSettings) else None,
        seed=seed,
        graph=graph,
        backbones=made.backbones,
        training=tuple(sorted({turn.dialogue for turn in part.training})),
        tuning=tuple(sorted({turn.dialogue for turn in part.tuning})),
        curve=curve,
        copy=count_copies(part.training, len(entities.item_ids)),
        digest=digest_of(weights),
        files={},
    )
    save(folder, meta, weights, made.tokenizer)
    system.eval()
    return system


def key_of(settings: Settings, part: Part, graph: str, seed: int) -> str:
    """SHA-256 of all that a training depends on."""
    turns = [(turn.dialogue, turn.turn, turn.context, turn.targets) for turn in (*part.training, *part.tuning)]
    content = (kind_of(settings), settings, graph, seed, len(part.training), turns)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def load(folder: Path, entities: Entities, *, graph: str, device: str = "cpu") -> tuple[Meta, System]:
    """A trained system; `InputError` where it is damaged, or of another graph or other pretrained weights."""
    meta, weights, tokenizer = read(folder)
    if meta.graph != graph:
        raise InputError(f"{folder} was trained on another film graph")
    settings = meta.unicrs or meta.barcor
    if settings is None:
        raise InputError(f"{folder}: crs.json tells no settings")
    made = make(settings, entities, tokenizer, seed=meta.seed, device=device)
    changed = [name for name, sha256 in meta.backbones.items() if made.backbones.get(name) != sha256]
    if changed:
        raise InputError(f"{folder} was trained on other weights of {changed[0]}")
    try:
        made.system.load_weights(weights)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{folder}: its weights do not fit ({error})") from error
    made.system.eval()
    return meta, made.system
