"""Sentences: cut, summed into slots, and each encoded once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.encoders import write_tiny_encoder

from harness.core.messages import State, Turn
from harness.domain.text_encoder import TextEncoder, load_encoder
from learner.sentences import SentenceReader, sentences

OPENING = "Hi there. I want a film!"
REPLIES = ("Well, maybe. Something funny? Heat (1995) is not it.", "Great.")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return load_encoder(write_tiny_encoder(Path(tmp_path_factory.mktemp("encoder")) / "tiny"))


def state(*replies: str) -> State:
    turns = tuple(Turn(strategy=None, preferences="", response="Never read.", reply=reply) for reply in replies)
    return State(episode="e", seed=1, max_turns=10, opening=OPENING, turns=turns)


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (OPENING, ["Hi there.", "I want a film!"]),
        ("no marks at all", ["no marks at all"]),
        ("Wait...  what?! ok", ["Wait...", "what?!", "ok"]),
        ("Mr.Smith", ["Mr.Smith"]),
    ],
)
def test_a_message_is_cut_after_its_marks(message: str, parts: list[str]) -> None:
    assert sentences(message) == parts


def test_slots_are_sums_of_the_newest_first_the_newest_others_and_all_others(tiny: TextEncoder) -> None:
    def summed(*said: str) -> torch.Tensor:
        total = torch.zeros(tiny.width + 1)
        for sentence in said:
            total += torch.cat([torch.from_numpy(tiny.embed(sentence)), torch.ones(1)])
        return total

    found = SentenceReader(tiny).read(state(*REPLIES[:1]))
    others = ("Something funny?", "Heat (1995) is not it.")
    expected = torch.stack([summed("Well, maybe."), summed(*others), summed("I want a film!", *others)])
    torch.testing.assert_close(found.slots, expected)
    assert len(found.newest) == 3
    found = SentenceReader(tiny).read(state(*REPLIES))
    torch.testing.assert_close(found.slots[1], torch.zeros(tiny.width + 1))
    torch.testing.assert_close(found.slots[2], expected[2])


def test_where_nothing_was_said_there_is_nothing(tiny: TextEncoder) -> None:
    empty = State(episode="e", seed=1, max_turns=10, opening=" ", turns=())
    found = SentenceReader(tiny).read(empty)
    assert not found.slots.any()
    assert found.newest.shape == (0, tiny.width)


def test_a_sentence_is_encoded_once(tiny: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    embed = tiny.embed

    def counted(text: str) -> object:
        read.append(text)
        return embed(text)

    monkeypatch.setattr(tiny, "embed", counted)
    reader = SentenceReader(tiny)
    for said in (REPLIES[:1], REPLIES, REPLIES[::-1]):
        reader.read(state(*said))
    assert len(read) == len(set(read)) == 6
