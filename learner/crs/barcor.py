"""BARCOR: two BART-shaped models, one classifies the dialogue over entities, one writes the response.

Wang et al., "BARCOR: Towards A Unified Framework for Conversational Recommendation Systems" (arXiv 2203.14257), as far
as its abstract and the behaviour of iEvaLM's public port tell. The dialogue, cut on the left, goes through encoder and
decoder; the decoder's state at the last token is classified over all nodes and ranked over films. The response is
written greedily without a run of 3 tokens twice.

Where nothing is pretrained, the model that writes is trained first, and the one that recommends begins from it. Each
dialogue is padded and masked, so a result does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.domain.entities import Entities
from harness.domain.ranking import Query, Scores
from harness.domain.splits import Part
from learner.crs.fit import Stage
from learner.crs.ranking_loss import missed, named_films
from learner.crs.settings import BARCORSettings
from learner.crs.texts import Vocabulary, dialogue_ids, greedy, padded, replies

LONGEST_REPLY = 64


class Example(NamedTuple):
    """A dialogue as ids, with what is to be predicted."""

    words: tuple[int, ...]
    targets: tuple[int, ...] = ()
    reply: tuple[int, ...] = ()


class BARCOR(nn.Module):
    """A `Ranker` that also writes.

    Args:
        talker, recommender: two models of one shape (``BartForConditionalGeneration``).
        words: their tokenizer; the models' tables have a row for each of its tokens.
        entities: the graph's nodes.
        settings: schedules.
        pretrained: whether the models know language already.
    """

    def __init__(
        self,
        talker: Any,
        recommender: Any,
        words: Vocabulary,
        entities: Entities,
        settings: BARCORSettings,
        *,
        pretrained: bool,
    ) -> None:
        super().__init__()
        self.words = words
        self.settings = settings
        self.films = len(entities.item_ids)
        self.pretrained = pretrained
        self.talker = talker
        self.body = recommender.model
        width = int(self.body.config.d_model)
        self.head = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.1), nn.Linear(width, len(entities))
        )
        self._part: Part | None = None

    def on(self, part: Part) -> BARCOR:
        """Train on this part's turns, and choose epochs by its tuning turns."""
        self._part = part
        return self

    def stages(self) -> Sequence[Stage]:
        """First the responses, then the recommendations."""
        if self._part is None:
            raise ValueError("there is nothing to train on")
        part, settings = self._part, self.settings
        talk = [self._talk_example(r.state, r.text) for r in replies(part.training)]
        talk_tuning = [self._talk_example(r.state, r.text) for r in replies(part.tuning)]
        recommend = [self.example(t.turn.state)._replace(targets=t.targets) for t in part.training]
        recommend_tuning = [self.example(t.turn.state)._replace(targets=t.targets) for t in part.tuning]
        recommending = nn.ModuleDict({"body": self.body, "head": self.head})
        return [
            Stage(
                "talk", self.talker, talk, talk_tuning, self._talk_loss, self._talk_loss, _size, settings.talk.epochs,
                settings.talk.rate, settings.batch, lambda: self._learns(self.talker), lambda: None,
            ),
            Stage(
                "recommend", recommending, recommend, recommend_tuning, self._recommend_loss, self._missed, _size,
                settings.recommend.epochs, settings.recommend.rate, settings.batch,
                lambda: self._learns(recommending), self._start_to_recommend,
            ),
        ]  # fmt: skip

    def _learns(self, module: nn.Module) -> None:
        self.requires_grad_(False)
        module.requires_grad_(True)

    def _start_to_recommend(self) -> None:
        if not self.pretrained:
            with torch.no_grad():
                self.body.load_state_dict(self.talker.model.state_dict())

    def example(self, state: Any) -> Example:
        """A dialogue as ids."""
        words = self.words
        return Example(tuple(dialogue_ids(state, words.encode, words.separator, self.settings.tokens)))

    def _talk_example(self, state: Any, text: str) -> Example:
        said = self.words.encode(f"System: {text}")[: LONGEST_REPLY - 1]
        return self.example(state)._replace(reply=(*said, self.words.end))

    def _talk_loss(self, batch: Sequence[Example]) -> tuple[Tensor, int]:
        ids, there = self._padded([example.words for example in batch])
        replies_, said = self._padded([example.reply for example in batch])
        start = torch.full_like(replies_[:, :1], self.talker.config.decoder_start_token_id)
        out = self.talker(
            input_ids=ids,
            attention_mask=there.long(),
            decoder_input_ids=torch.cat([start, replies_[:, :-1]], dim=1),
            use_cache=False,
        )
        return functional.cross_entropy(out.logits[said], replies_[said]), int(said.sum())

    def _recommend_loss(self, batch: Sequence[Example]) -> tuple[Tensor, int]:
        return named_films(self._node_scores(batch), [example.targets for example in batch])

    def _missed(self, batch: Sequence[Example]) -> tuple[Tensor, int]:
        return missed(self._node_scores(batch), [example.targets for example in batch], self.films)

    def _node_scores(self, batch: Sequence[Example]) -> Tensor:
        ids, there = self._padded([example.words for example in batch])
        start = torch.full_like(ids[:, :1], self.body.config.decoder_start_token_id)
        hidden = self.body(
            input_ids=ids,
            attention_mask=there.long(),
            decoder_input_ids=torch.cat([start, ids[:, :-1]], dim=1),
            decoder_attention_mask=there.long(),
            use_cache=False,
        ).last_hidden_state
        last = hidden[torch.arange(len(batch), device=ids.device), there.sum(dim=1) - 1]
        scores: Tensor = self.head(last)
        return scores

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        return padded(rows, self.words.padding, next(self.head.parameters()).device)

    def rank(self, queries: Sequence[Query]) -> Scores:
        """(Q, films) scores; each dialogue runs alone, so none depends on the others."""
        self.eval()
        with torch.inference_mode():
            rows = [self._node_scores([self.example(query.state)])[0, : self.films] for query in queries]
        return np.stack([row.float().cpu().numpy() for row in rows])

    def write(self, query: Query) -> str:
        """The message, with `texts.SLOT` where a film belongs."""
        self.eval()
        with torch.inference_mode():
            ids, _ = self._padded([self.example(query.state).words])
            encoded = self.talker.model.encoder(input_ids=ids)
            started = [int(self.talker.config.decoder_start_token_id)]

            def scores() -> Tensor:
                # A response is short: writing it anew each time is simpler than a cache, and quick enough.
                decoder = torch.tensor([started], device=ids.device)
                out = self.talker(encoder_outputs=encoded, decoder_input_ids=decoder, use_cache=False)
                row: Tensor = out.logits[0, -1]
                return row

            def following(token: int) -> Tensor:
                started.append(token)
                return scores()

            first = [*self.words.encode("System:")]
            started += first
            text = self.words.decode(greedy(following, scores(), self.words.end, LONGEST_REPLY))
        return text.strip()

    def weights(self) -> dict[str, Tensor]:
        """All weights; tables that models share are there once."""
        kept: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, tensor in sorted(self.state_dict().items()):
            if tensor.data_ptr() not in seen or not tensor.numel():
                kept[name] = tensor
                seen.add(tensor.data_ptr())
        return kept

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """What `weights` gave."""
        with torch.no_grad():
            mine = self.state_dict()
            for name in self.weights():
                mine[name].copy_(weights[name])


def _size(example: Example) -> int:
    return len(example.words) + len(example.reply)
