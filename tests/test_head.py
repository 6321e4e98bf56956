"""The head's inputs: projected, centred, scaled; fitted before anything is learned."""

from __future__ import annotations

import pytest
import torch

from learner.head import DIRECTIONS, Head

WIDTH, NUMBERS = 8, 5


def data(seed: int = 0, states: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Slots (N, 3, WIDTH + 1), numbers (N, NUMBERS), sentences (M, WIDTH) about a common mean."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.2, 0.1])
    said = torch.randn(200, WIDTH, generator=generator) * spread + 5.0
    counts = torch.randint(0, 4, (states, 3), generator=generator)
    rows = [[torch.cat([said[: int(n)].sum(0), n[None].float()]) for n in row] for row in counts]
    return torch.stack([torch.stack(row) for row in rows]), torch.randn(states, NUMBERS, generator=generator) * 9, said


def fitted() -> Head:
    head = Head(4, NUMBERS, parts=3, width=WIDTH, directions=DIRECTIONS)
    head.fit(*data())
    return head


def test_every_block_has_mean_0_and_root_mean_square_1() -> None:
    slots, numbers, _ = data()
    inputs = fitted().inputs(slots, numbers)
    # Up to the share that is cut on either side.
    torch.testing.assert_close(inputs.mean(0), torch.zeros(inputs.shape[1]), atol=0.02, rtol=0)
    for block in inputs.split([WIDTH, WIDTH, WIDTH, NUMBERS], dim=1):
        assert block.square().sum(1).mean().item() == pytest.approx(1.0, rel=0.05)


def test_what_no_fitted_state_shows_is_cut_at_what_they_show() -> None:
    slots, numbers, _ = data()
    head = fitted()
    seen = head.inputs(slots, numbers)
    far = head.inputs(100.0 * slots, 100.0 * numbers)
    assert torch.isfinite(far).all()
    assert (far <= seen.max(0).values).all()
    assert (far >= seen.min(0).values).all()


def test_the_projection_whitens_the_sentences_and_takes_their_mean_out() -> None:
    head = fitted()
    said = data()[2]
    seen = torch.cat([said, torch.ones(len(said), 1)], 1) @ head.tensors()["inputs.projection"]
    torch.testing.assert_close(seen.mean(0), torch.zeros(WIDTH), atol=1e-4, rtol=0)
    covariance = seen.T @ seen / len(seen)
    # The faintest direction is kept below 1: what hardly varied in the fit is not blown up.
    torch.testing.assert_close(covariance[:5, :5], torch.eye(5), atol=0.05, rtol=0)
    assert 0.1 < covariance[-1, -1] < 0.95


def test_states_alone_and_together_are_the_same_up_to_rounding() -> None:
    head = fitted()
    with torch.no_grad():
        for tensor in (head.text_weight, head.numbers_weight, head.bias):
            tensor.add_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    slots, numbers, said = data()
    alone = torch.stack([head.logits(*one) for one in zip(slots, numbers, strict=True)])
    torch.testing.assert_close(alone, head.logits(slots, numbers), rtol=1e-4, atol=1e-5)
    twin = head.snapshot()
    assert torch.equal(twin.logits(slots[0], numbers[0]), head.logits(slots[0], numbers[0]))
    with pytest.raises(ValueError, match="before the head has learned"):
        head.fit(slots, numbers, said)


def test_states_that_say_nothing_leave_finite_inputs() -> None:
    head = Head(4, NUMBERS, parts=3, width=WIDTH, directions=DIRECTIONS)
    head.fit(torch.zeros(2, 3, WIDTH + 1), torch.ones(2, NUMBERS), torch.zeros(0, WIDTH))
    assert torch.isfinite(head.inputs(*data()[:2])).all()
    same = torch.ones(3, WIDTH)
    head.fit(torch.zeros(2, 3, WIDTH + 1), torch.ones(2, NUMBERS), same)
    assert torch.isfinite(head.inputs(*data()[:2])).all()


def test_wide_sentences_are_seen_in_their_main_directions_alone() -> None:
    head = Head(4, NUMBERS, parts=3, width=100, directions=DIRECTIONS)
    assert head.blocks == (DIRECTIONS, DIRECTIONS, DIRECTIONS, NUMBERS)
    assert head.inputs(torch.zeros(3, 101), torch.zeros(NUMBERS)).shape == (3 * DIRECTIONS + NUMBERS,)
