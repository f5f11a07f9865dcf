"""Cache-Control, Expires, Vary and entity tags are read as the RFCs say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfan.http.cache_control import MOST_SECONDS, directives, freshness, seconds
from asyncfan.http.validators import entity_tag, none_match
from asyncfan.http.vary import vary_names

TOKEN = st.text("abcXYZ019-_!#$%&'*+.^`|~", min_size=1)
QUOTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
OPAQUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'))


def quoted(text):
    """Return a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.dictionaries(TOKEN.map(str.lower), st.none() | TOKEN | QUOTABLE.map(lambda text: (text,))), st.data())
def test_directives_survive_any_spelling(expected, data):
    """Case, spaces, quoting, empty list members and their order change nothing."""
    spelt = []
    for name, value in expected.items():
        written = data.draw(st.sampled_from([name, name.upper(), f" {name}", f"{name} "]))
        tail = "" if value is None else f"={quoted(value[0])}" if isinstance(value, tuple) else f"={value}"
        spelt += [written.rstrip() + tail, *data.draw(st.lists(st.sampled_from(["", " ", "\t"]), max_size=2))]
    wanted = {name: value[0] if isinstance(value, tuple) else value for name, value in expected.items()}
    assert directives(",".join(spelt)) == wanted


def directives_by_letters(value):
    """Read a Cache-Control header letter by letter, as RFC 9111 section 5.2 says: the reference."""
    members, inside, escaped = [""], False, False
    for letter in value:
        if letter == "," and not inside:
            members.append("")
            continue
        members[-1] += letter
        if escaped:
            escaped = False
        elif inside and letter == "\\":
            escaped = True
        elif letter == '"':
            inside = not inside
    found = {}
    for member in members:
        name, text = directive_by_letters(member.lstrip(" \t"))
        if not name:
            continue
        if name in found:
            both = (found[name], text)
            text = None if None in both else min(both, key=seconds)
        found[name] = text
    return found


def directive_by_letters(member):
    """Read one member of the list: its name in lower case, and its value."""
    name = ""
    while member and member[0].isascii() and (member[0].isalnum() or member[0] in "!#$%&'*+-.^_`|~"):
        name, member = name + member[0], member[1:]
    member = member.lstrip(" \t")
    if not member.startswith("="):
        return name.lower(), None
    member = member[1:].lstrip(" \t")
    text = ""
    if not member.startswith('"'):
        for letter in member:
            if letter in ' \t"':
                break
            text += letter
        return name.lower(), text
    letters = iter(member[1:])
    for letter in letters:
        if letter == '"':
            break
        text += next(letters, letter) if letter == "\\" else letter
    return name.lower(), text


@given(st.text('aB1-=", \t\\;\n\xe9') | st.text())
def test_directives_are_what_the_grammar_says(text):
    """On any text, well-formed or not, the parser finds what reading it letter by letter finds."""
    assert directives(text) == directives_by_letters(text)


def vary_by_letters(value):
    """Read a Vary header letter by letter, as RFC 9110 section 12.5.5 says; what is no name stands for everything."""
    names, name = set(), b""
    for letter in [*value, ord(",")]:
        if letter != ord(","):
            name += bytes([letter])
            continue
        name = name.strip(b" \t")
        if name:
            good = all(chr(one).isascii() and (chr(one).isalnum() or one in b"!#$%&'*+-.^_`|~") for one in name)
            names.add(name.lower() if good else b"*")
        name = b""
    return names


@given(st.lists(st.text('aB1-*", \t;\xe9').map(lambda text: text.encode("latin-1")) | st.binary()))
def test_vary_is_what_the_grammar_says(lines):
    """On any lines, well-formed or not, the parser finds what reading them letter by letter finds."""
    assert vary_names([(b"Vary", line) for line in lines]) == vary_by_letters(b",".join(lines))


@given(st.text())
def test_no_text_breaks_the_parser(text):
    """Whatever a client sends is parsed without an error, to names in lower case."""
    assert all(name == name.lower() for name in directives(text))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=10, max-age=5", {"max-age": "5"}),
        ('private, private="x"', {"private": None}),
        ('private="no-store, max-age=1"', {"private": "no-store, max-age=1"}),
        ('no-store="unclosed, max-age=1', {"no-store": "unclosed, max-age=1"}),
        ("@, =5, no-store", {"no-store": None}),
        ('x y="a, no-store", max-age=1', {"x": None, "max-age": "1"}),
        ("", {}),
    ],
)
def test_odd_directives(value, expected):
    """The strictest of repeated directives stays, and no word inside quotes is a directive."""
    assert directives(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60", 60),
        ("0", 0),
        ("-1", 0),
        ("1.5", 0),
        ("", 0),
        (None, 0),
        ("9" * 5000, MOST_SECONDS),
        ("\u0663", 0),
    ],
)
def test_seconds(text, expected):
    """What is no number of seconds is stale; a number too large is the largest."""
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("control", "expires", "shared", "expected"),
    [
        ("s-maxage=5, max-age=9", None, True, 5),
        ("s-maxage=5, max-age=9", None, False, 9),
        ("max-age=9", "Thu, 01 Jan 1970 00:01:40 GMT", True, 9),
        ("", "Thu, 01 Jan 1970 00:01:40 GMT", True, 90),
        ("", "0", True, 0),
        ("", "Thu, 01 Jan 1970 00:00:01 GMT", True, 0),
        ("", None, True, math.inf),
    ],
)
def test_freshness(control, expires, shared, expected):
    """s-maxage counts before max-age where people share, then max-age, then Expires."""
    assert freshness(directives(control), expires, 10.0, shared=shared) == expected


@given(st.lists(OPAQUE.map(lambda text: f'"{text}"'), min_size=1), st.data())
def test_a_listed_tag_matches_weakly_and_no_other_does(tags, data):
    """If-None-Match matches exactly the tags that it lists, weak or not, even with commas inside."""
    condition = ", ".join(data.draw(st.sampled_from(["", "W/"])) + tag for tag in tags).encode()
    assert all(none_match(condition, tag.encode()) and none_match(condition, f"W/{tag}".encode()) for tag in tags)
    other = data.draw(OPAQUE.map(lambda text: f'"{text}"').filter(lambda tag: tag not in tags))
    assert not none_match(condition, other.encode())


@given(st.binary(), st.binary())
def test_no_condition_breaks_the_comparison(condition, body):
    """Whatever a client sends is compared without an error."""
    assert none_match(condition, entity_tag(body)) in {True, False}


def test_unquoted_tag_matches_nothing():
    """Only a quoted string is an entity tag."""
    assert not none_match(b"abc", b'"abc"')
    assert not none_match(b'w/"abc"', b'"abc"')


@given(st.lists(TOKEN))
def test_vary_names_survive_any_spelling(names):
    """Names of Vary are compared in lower case, over all its lines."""
    lines = [(b"vary", f" {name.upper()} ,,".encode()) for name in names]
    assert vary_names(lines) == {name.lower().encode() for name in names}


@pytest.mark.parametrize("text", ['"' * 50_000, '="\\' * 20_000, "a" * 50_000 + "=", "," * 50_000])
def test_long_nonsense_is_read_at_once(text):
    """No header makes the parser go back over what it has read."""
    assert isinstance(directives(text), dict)
