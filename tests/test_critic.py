"""The critic against a closed form, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.critic import HALF_LIFE_EPISODES, READY_EPISODES, Critic

WIDTH = 3


def batch(seed: int, turns: int = 20) -> tuple[torch.Tensor, list[float]]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(turns, WIDTH, generator=generator)
    returned = inputs.double() @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) + 3.0
    return inputs, (returned + 0.1 * torch.randn(turns, generator=generator)).tolist()


@settings(max_examples=20)
@given(st.integers(0, 1000), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_values_are_those_of_weighted_ridge_regression(seed: int, sizes: list[int]) -> None:
    critic, rows = Critic(WIDTH), []
    weights: list[float] = []
    for number, size in enumerate(sizes):
        inputs, returned = batch(seed + number)
        critic.add(inputs, returned, size)
        weights = [weight * 0.5 ** (size / HALF_LIFE_EPISODES) for weight in weights] + [1.0] * len(inputs)
        rows += [(*x, 1.0, y) for x, y in zip(inputs.tolist(), returned, strict=True)]
    table, root = np.array(rows), np.sqrt(weights)[:, None]
    # Ridge regression is least squares with one more row for each penalty.
    penalty = np.diag(np.sqrt([1.0, 1.0, 1.0, 1e-6]))
    design = np.concatenate([table[:, :-1] * root, penalty])
    aims = np.concatenate([table[:, -1] * root[:, 0], np.zeros(WIDTH + 1)])
    expected = np.linalg.lstsq(design, aims, rcond=None)[0]
    asked = batch(seed + 99)[0]
    got = critic.values(asked)
    assert got == pytest.approx((np.concatenate([asked.numpy(), np.ones((20, 1))], 1) @ expected).tolist())


def test_before_anything_is_known_every_value_is_0_and_the_critic_is_not_ready() -> None:
    critic = Critic(WIDTH)
    assert critic.values(batch(0)[0]) == [0.0] * 20
    assert critic.values(torch.zeros(0, WIDTH)) == []
    critic.add(*batch(0), READY_EPISODES - 1)
    assert not critic.ready
    critic.add(torch.zeros(0, WIDTH), [], 1)
    assert critic.ready


def test_what_it_keeps_has_names_and_fades_by_half_in_300_episodes() -> None:
    critic = Critic(1)
    critic.add(torch.tensor([[2.0]]), [3.0], 5)
    critic.add(torch.zeros(0, 1), [], 300)
    expected = {"gram": [[2.0, 1.0], [1.0, 0.5]], "moment": [3.0, 1.5], "episodes": 305}
    assert {name: tensor.tolist() for name, tensor in critic.state().items()} == expected
    assert READY_EPISODES == 64


def test_a_restored_critic_goes_on_to_the_last_bit() -> None:
    critic, twin = Critic(WIDTH), Critic(WIDTH)
    critic.add(*batch(1), 50)
    twin.values(batch(5)[0])  # what it remembers of an earlier fit must not survive
    twin.load_state({name: tensor.clone() for name, tensor in critic.state().items()})
    for one in (critic, twin):
        one.add(*batch(2), 50)
    asked = batch(3)[0]
    assert critic.values(asked) == twin.values(asked)
    assert critic.ready
    assert twin.ready


def test_the_mean_is_learned_from_few_turns_and_inputs_are_not() -> None:
    critic = Critic(WIDTH)
    critic.add(torch.zeros(2, WIDTH), [7.0, 9.0], 1)
    assert critic.values(torch.zeros(1, WIDTH)) == pytest.approx([8.0], abs=1e-4)
