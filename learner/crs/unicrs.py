"""UniCRS: one frozen language model, steered by prompts made of knowledge and dialogue, recommends and talks.

Wang et al., "Towards Unified Conversational Recommender Systems via Knowledge-Enhanced Prompt Learning", KDD 2022
(arXiv 2206.09363), and the behaviour of its public code. Three stages are trained: entity alignment (dialogue and true
response -> the films in it; the answer stands in the response, by design), a language model of responses, and
recommendation. The last two begin from the first one's prompt encoder, each with its own copy.

What is done otherwise than in the public code: padding is masked wherever something attends; the slot's vector learns
(there it keeps its random value); the nodes named last are kept where there are too many (there, any in hash order). A
speaker that is not pretrained first learns the language of the training dialogues; in the stage of recommendation it
learns along.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.core.messages import State, Turn
from harness.domain.entities import Entities, LinkedTurn
from harness.domain.ranking import Query, Scores
from harness.domain.splits import Part
from harness.domain.text_encoder import TextEncoder
from learner.crs.fit import Stage
from learner.crs.fusion import Fusion, NodeVectors
from learner.crs.prefix import Prompt, ToPrompt
from learner.crs.ranking_loss import missed, named_films
from learner.crs.reader import Reader
from learner.crs.settings import UniCRSSettings
from learner.crs.speaker import Speaker
from learner.crs.texts import dialogue_ids, padded, replies, with_slots

ALIGNMENT = "align."
"""Names of the weights that only training needs."""
LONGEST_REPLY = 64
"""Tokens of a response, in training and when it is written."""


class Example(NamedTuple):
    """A dialogue as ids, with what is to be predicted."""

    heard: tuple[int, ...]
    """For the reader."""
    words: tuple[int, ...]
    """For the speaker."""
    nodes: tuple[int, ...]
    targets: tuple[int, ...] = ()
    """Film nodes."""
    reply: tuple[int, ...] = ()
    """Ids of the response."""


class PromptEncoder(nn.Module):
    """Node vectors, their fusion with the reader's states, and the map to keys and values."""

    def __init__(
        self, entities: Entities, reader_width: int, speaker: Speaker, settings: UniCRSSettings, soft: int
    ) -> None:
        super().__init__()
        shape = speaker.model.config
        self.nodes = NodeVectors(entities, speaker.width, settings.bases)
        self.fusion = Fusion(reader_width, speaker.width)
        self.prompt = ToPrompt(speaker.width, shape.n_layer, shape.n_head, soft)

    def take(self, other: PromptEncoder) -> None:
        """The other's weights, but for the soft prefix, which an alignment does not use."""
        mine = self.state_dict()
        for name, values in other.state_dict().items():
            if name.startswith(("prompt.soft", "prompt.refine_soft")):
                continue
            mine[name].copy_(values)


class UniCRS(nn.Module):
    """A `Ranker` that also writes.

    Args:
        reader: a frozen encoder.
        speaker: a GPT-2 and its vocabulary.
        entities: the graph's nodes.
        settings: sizes and schedules.
        pretrained: whether the speaker knows language already; then it stays as it is.
    """

    def __init__(
        self, reader: TextEncoder, speaker: Speaker, entities: Entities, settings: UniCRSSettings, *, pretrained: bool
    ) -> None:
        super().__init__()
        self.settings = settings
        self.entities = entities
        self.films = len(entities.item_ids)
        self.pretrained = pretrained
        self.reader = Reader(reader)
        self.speaker = speaker
        """Talks; in recommendation a pretrained one serves both."""
        self.recommending_speaker = speaker if pretrained else copy.deepcopy(speaker)
        self.align = PromptEncoder(entities, reader.width, speaker, settings, soft=0)
        self.talk = PromptEncoder(entities, reader.width, speaker, settings, settings.soft_talk)
        self.recommend = PromptEncoder(entities, reader.width, speaker, settings, settings.soft_recommend)
        self._part: Part | None = None
        self._ready: Tensor | None = None

    # training

    def on(self, part: Part) -> UniCRS:
        """Train on this part's turns, and choose epochs by its tuning turns."""
        self._part = part
        return self

    def stages(self) -> Sequence[Stage]:
        """The stages that this system is trained in, in order."""
        if self._part is None:
            raise ValueError("there is nothing to train on")
        part, settings = self._part, self.settings
        recommend = [self.example(t.turn.state, t.context, t.targets) for t in part.training]
        recommend_tuning = [self.example(t.turn.state, t.context, t.targets) for t in part.tuning]
        talk = [self._talk_example(r.state, r.context, r.text) for r in replies(part.training)]
        talk_tuning = [self._talk_example(r.state, r.context, r.text) for r in replies(part.tuning)]
        stages = []
        if not self.pretrained:
            stages.append(
                Stage(
                    "language", self.speaker, self._language(part.training), self._language(part.tuning),
                    self._language_loss, self._language_loss, _words, settings.language.epochs, settings.language.rate,
                    settings.batch,
                    lambda: self._learns(self.speaker), _nothing,
                )
            )  # fmt: skip
        stages += [
            Stage(
                "align", self.align, [self._told(t) for t in part.training], [self._told(t) for t in part.tuning],
                *self._ranking(self._align_scores), _words, settings.align.epochs, settings.align.rate, settings.batch,
                lambda: self._learns(self.align), _nothing,
            ),
            Stage(
                "talk", self._talking, talk, talk_tuning,
                self._talk_loss, self._talk_loss, _words, settings.talk.epochs, settings.talk.rate, settings.batch,
                lambda: self._learns(self._talking, frozen=self.speaker.model),
                lambda: self.talk.take(self.align),
            ),
            Stage(
                "recommend", self._recommending, recommend, recommend_tuning,
                *self._ranking(self._recommend_scores), _words, settings.recommend.epochs, settings.recommend.rate,
                settings.batch,
                lambda: self._learns(self._recommending), self._start_to_recommend,
            ),
        ]  # fmt: skip
        return stages

    @property
    def _talking(self) -> nn.Module:
        return nn.ModuleDict({"prompt": self.talk, "speaker": self.speaker})

    @property
    def _recommending(self) -> nn.Module:
        parts: dict[str, nn.Module] = {"prompt": self.recommend}
        if not self.pretrained:
            parts["speaker"] = self.recommending_speaker.model
        return nn.ModuleDict(parts)

    def _learns(self, module: nn.Module, frozen: nn.Module | None = None) -> None:
        self._ready = None
        self.requires_grad_(False)
        module.requires_grad_(True)
        if frozen is not None:
            frozen.requires_grad_(False)

    def _start_to_recommend(self) -> None:
        with torch.no_grad():
            self.recommend.take(self.align)
            if not self.pretrained:
                self.recommending_speaker.load_state_dict(self.speaker.state_dict())

    def example(self, state: State, context: Sequence[int], targets: Sequence[int] = ()) -> Example:
        """A dialogue as ids; ``context``: the nodes that it names."""
        words, reader, limit = self.speaker.words, self.reader, self.settings.tokens
        return Example(
            tuple(reader.ids(state, limit)),
            tuple(dialogue_ids(state, words.encode, words.separator, limit)),
            tuple(context[-self.settings.nodes :]) or (self.align.nodes.nothing,),
            tuple(targets),
        )

    def _told(self, turn: LinkedTurn) -> Example:
        told = turn.turn.state.after(Turn(strategy=None, preferences="", response=turn.turn.response))
        return self.example(told, turn.context, turn.targets)

    def _talk_example(self, state: State, context: Sequence[int], text: str) -> Example:
        words = self.speaker.words
        said = words.encode(f"System: {text}")[: LONGEST_REPLY - 1]
        return self.example(state, context)._replace(reply=(*said, words.end))

    def _language(self, turns: Sequence[LinkedTurn]) -> list[Example]:
        """Each dialogue once, up to the end of its last recommendation turn, in pieces."""
        last = {turn.dialogue: turn for turn in turns}
        words, size = self.speaker.words, self.settings.tokens
        found = []
        for turn in last.values():
            text = with_slots(turn.turn.response, turn.turn.items)
            state = turn.turn.state.after(Turn(strategy=None, preferences="", response=text))
            ids = dialogue_ids(state, words.encode, words.separator, 10**9)
            found += [Example((), tuple(ids[at : at + size]), ()) for at in range(0, len(ids), size)]
        return [example for example in found if len(example.words) > 1]

    # losses

    def _language_loss(self, batch: Sequence[Example]) -> tuple[Tensor, int]:
        ids, there = self._words([example.words for example in batch])
        hidden = self.speaker.model(
            inputs_embeds=self.speaker.embed(ids), attention_mask=there.long(), use_cache=False
        ).last_hidden_state
        return self._next_words(hidden, ids, there)

    def _next_words(self, hidden: Tensor, ids: Tensor, scored: Tensor) -> tuple[Tensor, int]:
        """Cross entropy of the tokens after the first where ``scored``."""
        wanted = scored[:, 1:]
        scores = self.speaker.scores(hidden[:, :-1][wanted])
        labels = self.speaker.labels(ids[:, 1:][wanted])
        return functional.cross_entropy(scores, labels), int(wanted.sum())

    def _align_scores(self, batch: Sequence[Example]) -> Tensor:
        return self._node_scores(self.align, self.speaker, self.align.nodes(), batch, soft=False)

    def _recommend_scores(self, batch: Sequence[Example]) -> Tensor:
        return self._node_scores(self.recommend, self.recommending_speaker, self.recommend.nodes(), batch, soft=True)

    def _ranking(
        self, scores: Callable[[Sequence[Example]], Tensor]
    ) -> tuple[Callable[[Sequence[Example]], tuple[Tensor, int]], Callable[[Sequence[Example]], tuple[Tensor, int]]]:
        """What a ranking is trained by, and what it is judged by."""
        return (
            lambda batch: named_films(scores(batch), [example.targets for example in batch]),
            lambda batch: missed(scores(batch), [example.targets for example in batch], self.films),
        )

    def _talk_loss(self, batch: Sequence[Example]) -> tuple[Tensor, int]:
        prompt = self._talk_prompt(self.talk.nodes(), batch)
        ids, there = self._words([(*example.words, *example.reply) for example in batch])
        starts = torch.tensor([len(example.words) for example in batch], device=ids.device)
        replying = there & (torch.arange(ids.shape[1], device=ids.device) >= starts[:, None])
        return self._next_words(self.speaker.behind(prompt, ids, there), ids, replying)

    # the model

    def _node_scores(
        self, encoder: PromptEncoder, speaker: Speaker, vectors: Tensor, batch: Sequence[Example], *, soft: bool
    ) -> Tensor:
        """(B, nodes) scores: the last hidden state times the nodes' vectors."""
        tokens, heard = self.reader.states([example.heard for example in batch])
        nodes, named = padded([example.nodes for example in batch], self.align.nodes.nothing, tokens.device)
        fused = encoder.fusion.by_node(tokens, heard, vectors[nodes])
        prompt = encoder.prompt(fused, named, soft=soft)
        ids, there = self._words([example.words for example in batch])
        hidden = speaker.behind(prompt, ids, there)
        last = hidden[torch.arange(len(batch), device=ids.device), there.sum(dim=1) - 1]
        return last @ vectors[: self.align.nodes.nothing].T

    def _talk_prompt(self, vectors: Tensor, batch: Sequence[Example]) -> Prompt:
        tokens, heard = self.reader.states([example.heard for example in batch])
        nodes, named = padded([example.nodes for example in batch], self.align.nodes.nothing, tokens.device)
        prompt: Prompt = self.talk.prompt(self.talk.fusion.by_token(tokens, vectors[nodes], named), heard, soft=True)
        return prompt

    def _words(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        return padded(rows, self.speaker.words.padding, self.speaker.slot.device)

    # at work

    def rank(self, queries: Sequence[Query]) -> Scores:
        """(Q, films) scores; each dialogue runs alone, so none depends on the others."""
        self.eval()
        rows = []
        with torch.inference_mode():
            if self._ready is None:
                self._ready = self.recommend.nodes()
            for query in queries:
                example = self.example(query.state, query.context)
                scores = self._node_scores(self.recommend, self.recommending_speaker, self._ready, [example], soft=True)
                rows.append(scores[0, : self.films].float().cpu().numpy())
        return np.stack(rows)

    def write(self, query: Query) -> str:
        """The message, with `texts.SLOT` where a film belongs."""
        self.eval()
        words = self.speaker.words
        with torch.inference_mode():
            example = self.example(query.state, query.context)
            start = words.encode("System:")
            text = self.speaker.write(
                self._talk_prompt(self.talk.nodes(), [example]), [*example.words, *start], LONGEST_REPLY
            )
        return text.strip()

    def weights(self) -> dict[str, Tensor]:
        """All that is learned: the prompts, the slot, and a speaker that is not pretrained."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not self.pretrained or "speaker.model." not in name
        }

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """What `weights` gave."""
        self._ready = None
        with torch.no_grad():
            mine = self.state_dict()
            for name in self.weights():
                if name.startswith(ALIGNMENT) and name not in weights:
                    continue  # the stages that begin from it are over
                mine[name].copy_(weights[name])


def _words(example: Example) -> int:
    return len(example.words) + len(example.reply)


def _nothing() -> None:
    pass
