"""Keys on the command line mean what their writer meant, or are refused in words."""

import re

import pytest

from asyncfan.demo.keys import parse_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("1-5", [1, 2, 3, 4, 5]),
        ("7-7", [7]),
        ("1,5,9", [1, 5, 9]),
        (" 1 , 5 ", [1, 5]),
        ("-3,0", [-3, 0]),
        ("1-3,9,20-21", [1, 2, 3, 9, 20, 21]),
        ("a,b,c", ["a", "b", "c"]),
        ("1,a", ["1", "a"]),
        ("KMH-01,0b5e-77", ["KMH-01", "0b5e-77"]),
    ],
)
def test_keys_are_numbers_or_texts(text, keys):
    """A list of whole numbers and ranges is numbers; with any other part all are texts."""
    assert parse_keys(text) == keys


def test_number_with_a_leading_zero_is_a_text():
    """007 keeps its zeros, which a number would lose."""
    assert parse_keys("007,008") == ["007", "008"]


def test_key_named_twice_is_asked_for_once():
    """Repeated keys count once, in the place of the first."""
    assert parse_keys("3,1-4") == [3, 1, 2, 4]


def test_most_keys_that_are_allowed_are_read():
    """The limit itself is still allowed."""
    assert len(parse_keys("1-100000")) == 100_000


_HOW = "write a range (1-500), numbers (1,5,9) or texts (a,b,c)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("500-1", "the range '500-1' runs backwards: write 1-500"),
        ("x-", f"the range 'x-' has one end only: {_HOW}"),
        ("5-", f"the range '5-' has one end only: {_HOW}"),
        ("-x", f"the range '-x' has one end only: {_HOW}"),
        ("", f"a key in '' is empty: {_HOW}"),
        ("1,,2", f"a key in '1,,2' is empty: {_HOW}"),
        ("1-3,a", f"the range '1-3' stands beside keys that are texts: {_HOW}"),
        ("1-100001", "at most 100,000 keys can be asked for, got 100,001: write a smaller range"),
        ("1-99999999999999", "at most 100,000 keys can be asked for, got 99,999,999,999,999: write a smaller range"),
        ("9223372036854775808", "the key '9223372036854775808' is beyond SQLite's largest number, 9223372036854775807"),
    ],
)
def test_wrong_keys_are_refused_in_words(text, message):
    """Each mistake has one message, which says how to do it right."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_keys(text)
