"""The experts as a run builds them, with the config's own settings where a test has no wish of its own."""

from __future__ import annotations

from experts.actor import Actor
from experts.preference_reasoner import PreferenceReasoner
from harness.app.settings.config import DecodingByRole
from harness.core.seams import ChatModel
from harness.domain.strategies import STRATEGIES

DECODING = DecodingByRole()


def an_actor(model: ChatModel) -> Actor:
    decoding = DECODING.actor
    return Actor(model, STRATEGIES, temperature=decoding.temperature, max_tokens=decoding.max_tokens)


def a_reasoner(model: ChatModel) -> PreferenceReasoner:
    decoding = DECODING.preference_reasoner
    return PreferenceReasoner(model, temperature=decoding.temperature, max_tokens=decoding.max_tokens)
