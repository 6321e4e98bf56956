"""Where tensors live: ``auto``, ``cpu`` or ``cuda[:N]`` -> a device of this machine, and what it is called.

A GPU is made to repeat itself: PyTorch's deterministic algorithms, since a resumed run makes its updates again from the
log and must reach the same weights. torch is imported at first use.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness.core.errors import InputError

if TYPE_CHECKING:
    import torch

AUTO, CPU, CUDA = "auto", "cpu", "cuda"


def device_of(wanted: str) -> torch.device:
    """The device of a setting; ``auto`` is the first GPU that torch sees, else the CPU. Raises `InputError`."""
    import torch

    seen = torch.cuda.device_count() if wanted != CPU and torch.cuda.is_available() else 0
    if wanted == CPU or (wanted == AUTO and not seen):
        return torch.device(CPU)
    number = int(wanted.partition(":")[2] or 0)
    if number >= seen:
        there = "no GPU" if not seen else "one GPU, cuda:0" if seen == 1 else f"{seen} GPUs, cuda:0 to cuda:{seen - 1}"
        raise InputError(f"planner.device = {wanted!r}: torch sees {there} here")
    # Read when CUDA's matrix products are first used; without it they may differ from one run to the next.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    return torch.device(CUDA, number)


def name_of(wanted: str) -> str:
    """``cpu``, or ``cuda`` with the card's name: what the last bits of a planner's numbers depend on."""
    if wanted == CPU:
        return CPU
    import torch

    device = device_of(wanted)
    return CPU if device.type == CPU else f"{CUDA} {torch.cuda.get_device_name(device)}"


def kind_of(name: str) -> str:
    """``cpu`` or ``cuda`` of a name that `name_of` gave."""
    return name.split(" ")[0]
