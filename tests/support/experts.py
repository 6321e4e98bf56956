"""Experts, models and learners with the config's own settings, where a test has no wish of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experts.actor import Actor
from experts.fact_retriever import FactRetriever
from experts.network import NetworkOfExperts
from experts.preference_reasoner import PreferenceReasoner
from experts.reward import RewardExpert
from harness.app.settings.config import Config, Model
from harness.core.model.llm import OpenAIChat
from harness.core.model.retry import RetryPolicy
from harness.core.seams import ChatModel
from harness.domain.strategies import STRATEGIES
from harness.domain.text_encoder import TextEncoder
from learner.encoder_policy import EncoderPolicy

CONFIG = Config()


def an_actor(model: ChatModel) -> Actor:
    decoding = CONFIG.decoding.actor
    return Actor(model, STRATEGIES, temperature=decoding.temperature, max_tokens=decoding.max_tokens)


def a_reasoner(model: ChatModel) -> PreferenceReasoner:
    decoding = CONFIG.decoding.preference_reasoner
    return PreferenceReasoner(model, temperature=decoding.temperature, max_tokens=decoding.max_tokens)


def a_judge(model: ChatModel, **wishes: Any) -> RewardExpert:
    reward = CONFIG.reward
    settings = {name: getattr(reward, name) for name in ("mode", "samples", "quorum", "temperature", "mass_floor")}
    return RewardExpert(model, **({"role": "reward"} | settings | wishes))


def a_retriever(*parts: Any, **wishes: Any) -> FactRetriever:
    network = CONFIG.network
    settings = {"candidates": network.candidates, "ranking": network.retriever, "query": network.query}
    return FactRetriever(*parts, **(settings | wishes))


def a_network(**experts: Any) -> NetworkOfExperts:
    settings: dict[str, Any] = {"max_batch": 16, "max_in_flight": lambda role: 256, "capacity": 1024}
    return NetworkOfExperts(**(settings | experts))


def a_client(base_url: str, model: str = "small", **wishes: Any) -> OpenAIChat:
    given = Model()
    settings: dict[str, Any] = {
        "timeout_s": given.timeout_s,
        "max_connections": given.max_connections,
        "retry": RetryPolicy(budget_s=given.retry_s),
    }
    return OpenAIChat(base_url, model, **(settings | wishes))


def an_encoder_policy(encoder: TextEncoder, strategies: Sequence[str], **wishes: Any) -> EncoderPolicy:
    """Only the head learns, unless ``trainable_layers`` says more."""
    planner = CONFIG.planner
    settings = {"trainable_layers": planner.trainable_layers, "max_tokens": planner.max_tokens}
    return EncoderPolicy(encoder, tuple(strategies), **(settings | wishes))


def learning(**wishes: Any) -> dict[str, Any]:
    """Of a `learner.updates.Learner`: what the config's ``rl`` says."""
    rl = CONFIG.rl
    names = ("gamma", "horizon", "advantage", "gae_lambda", "passes", "averaged", "decay")
    settings = {name: getattr(rl, name) for name in names}
    return {"beta": rl.entropy_coefficient} | settings | wishes
