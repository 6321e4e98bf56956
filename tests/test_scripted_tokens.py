"""Tokens: a cut that loses nothing, digits alone, and a prefix cache by blocks."""

from hypothesis import given
from hypothesis import strategies as st

from simulator.scripted.tokens import BLOCK, PrefixCache, ids, label_of, pieces, prompt_ids, token_id


@given(st.text(max_size=200))
def test_pieces_join_to_the_text(text):
    assert "".join(pieces(text)) == text


def test_each_digit_is_one_token_and_can_be_turned_back():
    for digit in "0123456789":
        assert pieces(digit) == [digit]
        assert label_of(token_id(digit)) == digit
    assert pieces("12 5") == ["1", "2", " ", "5"]
    assert label_of(token_id("word")) is None


@given(st.text(max_size=100), st.text(max_size=100))
def test_ids_of_lines_are_ids_of_the_text(first, second):
    assert ids(f"{first}\n{second}") == [*ids(first), 10, *ids(second)]


def test_a_longer_word_costs_more_tokens():
    assert len(ids("a")) < len(ids("recommendation")) < len(ids("recommendation recommendation"))


def test_the_prefix_cache_counts_whole_leading_blocks():
    cache = PrefixCache()
    prompt = list(range(1000, 1000 + 3 * BLOCK + 5))
    assert cache.look_up(prompt) == 0
    assert cache.look_up(prompt) == 3 * BLOCK
    assert cache.look_up([*prompt[: 2 * BLOCK], 7, *prompt[2 * BLOCK :]]) == 2 * BLOCK
    assert cache.look_up([7, *prompt]) == 0
    assert (cache.queries, cache.hits) == (4 * len(prompt) + 2, 5 * BLOCK)


def test_messages_carry_an_overhead():
    assert len(prompt_ids(["a", "b"])) > len(ids("a")) + len(ids("b"))
