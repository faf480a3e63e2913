"""Policy files: any text is a policy or all its mistakes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.policy.files import load
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.model import IPAddress
from ipsecfd.policy.names import Names
from ipsecfd.policy.tomlfile import Loaded, parse_policy

EXAMPLES = [
    path.read_text()
    for path in sorted((Path(__file__).parents[2] / "config" / "policies").glob("*.toml"))
]


def no_dns(name: str) -> list[IPAddress]:
    raise OSError(-2, "Name or service not known")


def look_at(outcome: Loaded | PolicyError) -> None:
    """A policy that says something, or lines that can be printed."""
    if isinstance(outcome, PolicyError):
        assert outcome.mistakes
        assert len(outcome.mistakes) == len(str(outcome).splitlines())
        assert all(mistake.expected for mistake in outcome.mistakes)
        assert str(outcome).replace("\n", "").isprintable()
    else:
        assert outcome.policy.name.strip()
        assert all(str(warning).isprintable() for warning in outcome.warnings)


def judge(text: str) -> Loaded | PolicyError:
    """Read a text; anything but these two is an error of ours."""
    try:
        return parse_policy(text, "p.toml", Names(resolver=no_dns))
    except PolicyError as error:
        return error


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """An example with pieces cut out, doubled or overwritten."""
    text = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        middle = draw(
            st.one_of(
                st.just(""),
                st.just(text[start:end] * 2),
                st.text(max_size=5),
                st.sampled_from(["[", "]", "{", "}", '"', "=", "\n", "0", "true", "1e9", "'''"]),
            )
        )
        text = text[:start] + middle + text[end:]
    return text


@given(st.one_of(st.text(), damaged()))
def test_any_text_is_a_policy_or_its_mistakes(text: str) -> None:
    """A damaged file is refused with lines that can be printed, whatever the damage."""
    look_at(judge(text))


KEYS = st.sampled_from(
    [
        *("name", "description", "rule", "filter_list", "filter_action"),
        *("action", "filters", "active", "connection", "type", "inpass", "soft"),
        *("source", "destination", "source_port", "destination_port", "protocol", "mirrored"),
        "extra",
    ]
)
WORDS = st.sampled_from(
    ["permit", "block", "negotiate", "all", "lan", "any <-> me:80 tcp", "me -> me", "any", "a", ""]
)
values = st.recursive(
    st.one_of(
        WORDS.map(lambda word: f'"{word}"'),
        st.sampled_from(["true", "false", "1979-05-27", "07:32:00", "1.5", "nan", "inf", "0xff"]),
        st.integers(-(2**70), 2**70).map(str),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(KEYS, inner, max_size=4).map(
            lambda table: "{" + ", ".join(f"{key} = {one}" for key, one in table.items()) + "}"
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, values, max_size=6))
def test_any_value_under_any_key(table: dict[str, str]) -> None:
    """Every key meets every type."""
    look_at(judge("\n".join(f"{key} = {value}" for key, value in table.items())))


@given(data=st.one_of(st.binary(), damaged().map(lambda text: text.encode("utf-16"))))
def test_any_bytes_are_a_policy_or_its_mistakes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """What is no text is refused like what is no policy."""
    path = tmp_path_factory.getbasetemp() / "p.toml"
    path.write_bytes(data)
    outcome: Loaded | PolicyError
    try:
        outcome = load(path, Names(resolver=no_dns))
    except PolicyError as error:
        outcome = error
    look_at(outcome)
