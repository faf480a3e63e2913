"""Words and numbers on the command line: what is taken, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from ipsecfd.cli.main import app
from ipsecfd.cli.values import number, offered, one_of
from tests.unit.cli.fake_daemon import FakeDaemon, ipsecfd

WORDS = ("permit", "block", "stateful")
WRONG = ("nonsense", "-7", "1e3", "99999999999999999999", "")
FOREIGN = ("Value error", "Input should", "Invalid value", "is not one of", "validation")
"""What pydantic and typer say by themselves."""


def parameters(group: Any, *path: str) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """Each command, each of its parameters that take a value, and the command's words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from parameters(command, *path, name)
        else:
            for one in command.params:
                if not getattr(one, "is_flag", False):
                    yield command, one, (*path, name)


EVERY = list(parameters(typer.main.get_command(app)))


@pytest.mark.parametrize("text", ["block", "BLOCK", "Block"])
def test_words_count_in_any_case(text: str) -> None:
    """As on Windows."""
    assert one_of(WORDS)(text) == "block"


@pytest.mark.parametrize("text", ["sekure", "", "blocks", " block"])
def test_another_word_is_told_the_known_ones(text: str) -> None:
    """What was typed, and what was expected."""
    with pytest.raises(typer.BadParameter) as caught:
        one_of(WORDS)(text)
    assert caught.value.message == f"{text}: expected permit, block or stateful"


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("5", 5), ("007", 7)])
def test_numbers_within_bounds(text: str, value: int) -> None:
    """The bounds are among them."""
    assert number(0, 7)(text) == value


def test_without_an_upper_bound_there_are_the_digits() -> None:
    """They are said where they matter."""
    assert number(1)("9" * 18) == 10**18 - 1
    for text, more in (("9" * 19, ", of at most 18 digits"), ("0", "")):
        with pytest.raises(typer.BadParameter) as caught:
            number(1)(text)
        assert caught.value.message == f"{text}: expected a number of 1 or more{more}"


@pytest.mark.parametrize("text", ["8", "-1", "x", "", "1.0", "٣", "9" * 5000])
def test_other_numbers_are_told_the_bounds(text: str) -> None:
    """What was typed, and what was expected."""
    with pytest.raises(typer.BadParameter) as caught:
        number(0, 7)(text)
    assert caught.value.message == f"{text}: expected a number from 0 to 7"


def test_shells_are_offered_the_words() -> None:
    """Those that begin as what was typed."""
    assert offered(WORDS)("") == list(WORDS)
    assert offered(WORDS)("ST") == ["stateful"]


@pytest.mark.parametrize(
    ("command", "parameter"),
    [(words, one) for _, one, words in EVERY],
    ids=[f"{' '.join(words)} {one.name}" for _, one, words in EVERY],
)
def test_no_wrong_value_is_told_in_foreign_words(
    command: tuple[str, ...], parameter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is typed for any option or argument: errors are in the words of this program."""
    owner = next(each for each, _, words in EVERY if words == command)
    monkeypatch.setattr(owner, "callback", lambda **_: None)
    for wrong in WRONG:
        given = [wrong] if parameter.param_type_name == "argument" else [parameter.opts[0], wrong]
        try:
            owner.make_context(command[-1], given)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - of typer or of the click that it uses
            told = str(getattr(error, "message", error))
        else:
            continue
        assert not any(phrase in told for phrase in FOREIGN), told


@pytest.mark.parametrize("text", ["secure", "SECURE", "Secure"])
def test_a_mode_in_any_case(daemon: FakeDaemon, text: str) -> None:
    """Who comes from Windows types SECURE."""
    assert ipsecfd("mode", text).exit_code == 0
    assert daemon.asked[-2][2]["mode"] == "secure"


def test_a_mode_that_does_not_exist(daemon: FakeDaemon) -> None:
    """One line, which names the modes, and exit status 2."""
    done = ipsecfd("mode", "sekure")
    assert done.exit_code == 2
    assert done.stderr == ("ipsecfd: MODE sekure: expected permit, block, stateful or secure\n")
    assert daemon.asked == []
