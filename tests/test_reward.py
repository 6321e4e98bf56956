"""The judge: strict reading of ratings, repair and quorum, and the maths of label probabilities."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experts import a_judge
from support.fakes import FakeChatModel, in_order, run_on_fake_clock, state_of
from support.present import present

from experts.replies import read_rating
from experts.reward import LABELS, draw, expected_rating, quorum_reward, read_labels, scaled
from harness.core.messages import ChatReply, Usage
from harness.core.seeds import SPACING, derive, request_seed

STATE = state_of("I like crime films", "See Heat (1995).", "Yes!")

weights = st.lists(st.floats(1e-6, 1.0), min_size=5, max_size=5)
temperatures = st.floats(0.25, 4.0)


def logprobs(*p: float) -> dict[str, float]:
    return {label: math.log(x) if x else -math.inf for label, x in zip(LABELS, p, strict=True)}


def score(answer, state=STATE, **options):
    model = FakeChatModel(answer)
    return run_on_fake_clock(a_judge(model, **options).score, state), model


@pytest.mark.parametrize(("text", "rating"), [("1", 1), (" 5\n", 5), ("3.", 3), ("\t4. ", 4)])
def test_a_digit_is_a_rating(text, rating):
    assert read_rating(text) == rating


@pytest.mark.parametrize(
    "text",
    [
        "**4**",
        "*4*",
        "`4`",
        '"4"',
        "(4)",
        "[4]",
        "4.0",
        "4/5",
        "4 / 5",
        "4 out of 5",
        "Rating: 4",
        "**Rating:** 4",
        "Score = 4/5.",
        "My final rating is 4",
        "Answer:\n4",
        "4\n\nThe seeker sounds pleased.",
        "4 because it fits",
        '{"score": 4}',
        '{"rating": "4", "reason": "2 of its stars"}',
        '```json\n{"score": 4.0}\n```',
    ],
)
def test_forms_that_can_mean_nothing_else_are_ratings(text):
    assert read_rating(text) == 4


@pytest.mark.parametrize(
    "text",
    [
        "4.5",
        "6/5",
        "0",
        "7",
        "NaN",
        "1e999",
        "1e0",
        "true",
        "",
        ".",
        "5..",
        "-3",
        "+3",
        "55",
        "five",
        "I rate 5",
        "5 stars",
        "²",
        "٣",
        "５",
        "4\x00",
        "4/10",
        "4 or 5",
        "4-5",
        "4 - 5",
        "4, maybe 5",
        "4 to",
        "4\n5",
        "4\n\nOr 5",
        "1. The seeker",
        "1) The seeker",
        "1 - The seeker",
        "4.01",
        "4/5/5",
        "Rating: 4 5",
        "4 because 3 is too low",
        "(4",
        "4*5",
        '{"score": true}',
        '{"score": 6}',
        '{"score": 4.5}',
        '{"score": NaN}',
        '{"score": 1e999}',
        '{"score": 4, "score": 5}',
        '{"score": 4, "rating": 5}',
        '{"score": [4]}',
        '{"films": 4}',
        '[["score", 4]]',
        '{"score": ' + "9" * 5000 + "}",
        '{"score":' * 5000,
    ],
)
def test_anything_else_is_none(text):
    assert read_rating(text) is None


@given(st.text())
def test_no_text_is_read_as_a_rating_out_of_bounds(text):
    assert read_rating(text) in {None, 1, 2, 3, 4, 5}


def test_ten_samples_are_one_request():
    got, model = score(in_order(["5", "4", "4", "4", "3", "5", "5", "4", "4", "2"]), mode="samples")
    (request,) = model.requests
    assert (request.n, request.choices, request.turn) == (10, LABELS, 1)
    assert got.raw == (5, 4, 4, 4, 3, 5, 5, 4, 4, 2)
    assert got.reward == pytest.approx((4.0 - 1) / 4)
    assert got.invalid == 0


def test_invalid_samples_are_repaired_with_a_new_seed_and_counted():
    got, model = score(in_order(["5"] * 7 + ["6/5", "5 stars", ""], ["5", "4.5", "3"]), mode="samples")
    first, second = model.requests
    assert second.n == 3
    assert abs(second.seed - first.seed) >= SPACING
    assert got.raw == (5,) * 8 + (3,)
    assert got.invalid == 4
    assert got.reward == pytest.approx(scaled(43 / 9))


def test_one_sample_that_could_not_be_read_is_shown_without_keys_and_cut():
    said = "Well,\n" + "a sk-abcdefgh1234 " * 20
    got, _ = score(in_order(["4"] * 9 + [said], [""]), mode="samples")
    assert got.unread.startswith('"Well, a [redacted] a')
    assert len(got.unread) <= 82
    assert got.reward == pytest.approx(0.75)
    cut = ChatReply(texts=("",) * 10, usage=Usage(calls=1, truncated=10, thoughts=10))
    got, _ = score(lambda request: cut, mode="samples")
    assert (got.reward, got.unread) == (None, "nothing but thought, cut at its token limit")


@pytest.mark.parametrize("mode", ["multinomial", "expected"])
def test_labels_without_mass_give_no_reward(mode):
    got, model = score(in_order(dict.fromkeys(LABELS, -9999.0)), mode=mode)
    assert (got.reward, got.raw, got.distribution, got.label_mass) == (None, (), (), 0.0)
    assert len(model.requests) == 1
    thin = logprobs(0.0, 0.0, 0.0, 0.049, 0.0)
    assert score(in_order(thin), mode=mode)[0].reward is None
    assert score(in_order(thin), mode=mode)[0].label_mass == pytest.approx(0.049)
    assert score(in_order(thin), mode=mode, mass_floor=0.04)[0].reward == pytest.approx(0.75)
    assert score(in_order(logprobs(0.0, 0.0, 0.0, 0.051, 0.0)), mode=mode)[0].reward == pytest.approx(0.75)


def test_below_the_quorum_the_reward_is_missing():
    answer = in_order(["5"] * 4 + ["good"] * 6, ["good"] * 6)
    got, model = score(answer, mode="samples", quorum=5)
    assert len(model.requests) == 2
    assert got.reward is None
    assert got.raw == (5,) * 4
    assert got.invalid == 12


def test_samples_that_the_server_left_out_are_missing_not_made_up():
    got, _ = score(in_order(["4"] * 3, []), mode="samples", quorum=4)
    assert (got.reward, got.raw, got.invalid) == (None, (4, 4, 4), 14)


def test_expected_mode_reads_one_decode_step():
    got, model = score(in_order(logprobs(0.0, 0.1, 0.2, 0.1, 0.1)), mode="expected")
    (request,) = model.requests
    assert (request.label_logprobs, request.max_tokens, request.n, request.choices) == (LABELS, 1, 1, ())
    assert got.raw == ()
    assert got.label_mass == pytest.approx(0.5)
    assert got.distribution == pytest.approx((0.0, 0.2, 0.4, 0.2, 0.2))
    assert got.reward == pytest.approx(scaled(0.4 + 1.2 + 0.8 + 1.0))


def test_multinomial_draws_repeat_by_seed_turn_and_role():
    answer = logprobs(0.1, 0.2, 0.3, 0.2, 0.2)

    def raw(state=STATE, **options):
        return score(lambda _: answer, state, mode="multinomial", **options)[0].raw

    assert len(raw()) == 10
    assert raw() == raw()
    later = STATE.after(STATE.turns[0])
    others = [raw(role="evaluator"), raw(state_of("x", "y", "z", seed=8)), raw(later)]
    assert all(other != raw() for other in others)


def test_multinomial_reward_is_the_mean_of_its_draws():
    got, _ = score(lambda _: logprobs(0.2, 0.2, 0.2, 0.2, 0.2), mode="multinomial", samples=7)
    assert got.reward == pytest.approx((sum(got.raw) / 7 - 1) / 4)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"1": -1.0, "2": -1.0},
        logprobs(0.2, 0.2, 0.2, 0.2, 0.2) | {"3": math.nan},
        logprobs(0.2, 0.2, 0.2, 0.2, 0.2) | {"3": math.inf},
        dict.fromkeys(LABELS, -math.inf),
        dict.fromkeys(LABELS, -0.1),
        {"1": 12.0, "2": 3.0, "3": 1.0, "4": 0.0, "5": 7.0},
    ],
)
@pytest.mark.parametrize("mode", ["multinomial", "expected"])
def test_unreadable_labels_are_asked_for_again_and_then_missing(broken, mode):
    got, model = score(lambda _: broken, mode=mode)
    assert (got.reward, got.raw, got.label_mass, got.invalid) == (None, (), None, 10)
    assert len(model.requests) == 2
    repaired, _ = score(in_order(broken, logprobs(0, 0, 0, 0, 1.0)), mode=mode)
    assert repaired.reward == 1.0


@given(weights, temperatures)
def test_labels_give_a_distribution_and_a_mass(p, temperature):
    total = sum(p) * 1.25
    reading = read_labels(logprobs(*(x / total for x in p)), temperature)
    assert reading is not None
    assert math.fsum(reading.distribution) == pytest.approx(1.0)
    assert reading.label_mass == pytest.approx(0.8)
    unnormalised = [x ** (1 / temperature) for x in p]
    assert reading.distribution == pytest.approx([x / sum(unnormalised) for x in unnormalised])


@given(weights)
def test_expected_rating_is_the_mean_of_all_pairs_of_draws(p):
    p = [x / sum(p) for x in p]
    pairs = itertools.product(range(1, 6), repeat=2)
    enumerated = sum(p[a - 1] * p[b - 1] * (a + b) / 2 for a, b in pairs)
    assert expected_rating(p) == pytest.approx(enumerated)
    assert 0.0 <= scaled(expected_rating(p)) <= 1.0


@given(weights, st.integers(0, 2**63 - 1))
def test_draws_are_ratings_of_positive_probability(p, seed):
    p = [0.0, *p[1:]]
    p = [x / sum(p) for x in p]
    ratings = draw(p, 10, seed)
    assert len(ratings) == 10
    assert set(ratings) <= {2, 3, 4, 5}


def test_draws_follow_the_distribution():
    p = (0.1, 0.2, 0.4, 0.05, 0.25)
    counts = Counter(draw(p, 20_000, 3))
    assert [counts[k] / 20_000 for k in range(1, 6)] == pytest.approx(p, abs=0.015)


@given(st.lists(st.integers(1, 5), max_size=12), st.integers(1, 12))
def test_quorum_and_bounds(ratings, quorum):
    reward = quorum_reward(ratings, quorum)
    if len(ratings) < quorum:
        assert reward is None
    else:
        assert reward is not None
        assert 0.0 <= reward <= 1.0
        assert reward == pytest.approx((sum(ratings) / len(ratings) - 1) / 4)


@pytest.mark.parametrize("options", [{"quorum": 11}, {"quorum": 0}, {"samples": 65}, {"temperature": 0.0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=r"quorum|temperature"):
        a_judge(FakeChatModel(in_order()), **options)


@pytest.mark.parametrize(("samples", "quorum"), [(1, 1), (10, 10), (SPACING, 5)])
def test_the_least_and_the_most_samples_are_allowed(samples, quorum):
    a_judge(FakeChatModel(lambda request: "3"), samples=samples, quorum=quorum)


def test_a_label_request_asks_at_temperature_1_and_a_sampled_one_at_the_judges_own():
    even = ChatReply(texts=("3",), usage=Usage(), label_logprobs=logprobs(0.2, 0.2, 0.2, 0.2, 0.2))
    _, labels = score(lambda request: even, temperature=0.7)
    threes = ChatReply(texts=("3",) * 10, usage=Usage())
    _, sampled = score(lambda request: threes, mode="samples", temperature=0.7)
    assert [(r.temperature, r.max_tokens, r.n) for r in labels.requests] == [(1.0, 1, 1)]
    assert [(r.temperature, r.max_tokens, r.n) for r in sampled.requests] == [(0.7, 4, 10)]
    seed = request_seed(STATE.seed, len(STATE.turns), "reward", 0)
    assert [r.seed for r in (*labels.requests, *sampled.requests)] == [seed, seed]


def test_the_draws_are_those_of_the_conversation_its_turn_and_the_role():
    state = msgspec.structs.replace(STATE, seed=77)
    p = (0.2, 0.2, 0.2, 0.2, 0.2)
    answer = ChatReply(texts=("3",), usage=Usage(), label_logprobs=logprobs(*p))
    found, _ = score(lambda request: answer, state, samples=10)
    assert found.raw == draw(found.distribution, 10, derive(77, len(state.turns), "reward"))


def test_a_mass_at_the_floor_is_enough():
    reply = ChatReply(texts=("3",), usage=Usage(), label_logprobs=logprobs(0.02, 0.02, 0.02, 0.02, 0.02))
    mass = present(read_labels(reply.label_logprobs, 1.0)).label_mass
    assert score(lambda request: reply, mass_floor=mass)[0].reward is not None
    assert score(lambda request: reply, mass_floor=mass + 1e-9)[0].reward is None


def test_probabilities_may_miss_1_by_rounding_and_by_no_more():
    assert present(read_labels(logprobs(1.0008, 0, 0, 0, 0), 1.0)).label_mass == 1.0
    assert read_labels(logprobs(1.001, 0, 0, 0, 0), 1.0) is not None
    assert read_labels(dict.fromkeys(LABELS, 1000.0), 1.0) is None  # whatever it is, not a logarithm of a probability
    assert read_labels(logprobs(0.3, 0.3, 0.3, 0.3, 0.3), 1.0) is None
    assert read_labels(logprobs(1.5, 0, 0, 0, 0), 1.0) is None
    assert expected_rating((1 - 1e-9, 0, 0, 0, 0)) == 1.0
    assert expected_rating((0, 0, 0, 0, 1 + 1e-9)) == 5.0


def test_draws_follow_weights_that_do_not_sum_to_1():
    counts = Counter(draw((0.2, 0.0, 0.0, 0.0, 0.2), 400, 0))
    assert set(counts) == {1, 5}
    assert counts[1] == pytest.approx(200, abs=40)


def test_without_any_rating_there_is_no_reward_whatever_the_quorum():
    assert quorum_reward([], 0) is None
