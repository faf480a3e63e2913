"""A command line as words."""

from __future__ import annotations

import pytest

from ipsecfd.policy.netsh.words import Word, from_arguments, quoted, split, unescaped


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("add policy  foo", [Word("add"), Word("policy"), Word("foo")]),
        ("name=x", [Word("name=x", 4)]),
        ("name = x", [Word("name"), Word("=", 0), Word("x")]),
        ('name="a b"', [Word("name=a b", 4, quoted=True)]),
        ('"name=a b"', [Word("name=a b", 4, quoted=True)]),
        ('"a b"', [Word("a b", quoted=True)]),
        ('name=""', [Word("name=", 4, quoted=True)]),
        ('name="a=b"', [Word("name=a=b", 4, quoted=True)]),
        ('x"a=b"', [Word("xa=b", quoted=True)]),
        ('name="a b', [Word("name=a b", 4, quoted=True)]),
        ("name=a\u3000b\tc", [Word("name=a\u3000b", 4), Word("c")]),
        ("", []),
    ],
)
def test_words_of_a_line(line: str, words: list[Word]) -> None:
    """Quotes hold blanks together; the tag ends at the first `=` that no quotes hide."""
    assert words == split(line)


def test_words_of_a_shell() -> None:
    """What a shell has split keeps its blanks and quote marks."""
    assert [Word('name=say "a b"', 4), Word("", quoted=True)] == from_arguments(
        ['name=say "a b"', ""]
    )


@pytest.mark.parametrize("line", ['name="a b"', '"name=a b"', '"a b"', 'name=""', 'name="a=b"'])
def test_quotes_that_a_shell_left(line: str) -> None:
    """Around a whole value or word they are what they are at the prompt."""
    assert split(line) == from_arguments([line])


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"CN=\'x\'", 'CN="x"'),
        (r"O\\'Neil", r"O\'Neil"),
        (r"a\b", r"a\b"),
        ("O'Neil", "O'Neil"),
    ],
)
def test_embedded_quote_marks(written: str, value: str) -> None:
    r"""A quote mark inside a value is written `\'` (spec 8.1)."""
    assert value == unescaped(written)


@pytest.mark.parametrize("value", ["a b", 'say "hi"', r"C:\dir", "it's", r"\'", r"\"'\\", ""])
def test_quoted_values_are_read_back(value: str) -> None:
    """What `quoted` writes is one word with the same value."""
    (word,) = split(f"name={quoted(value)}")
    assert value == unescaped(word.text[word.equals + 1 :])
