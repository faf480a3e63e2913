"""A record of the diagnostic log as people read it."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ipsecfd.cli.decision_text import half
from ipsecfd.cli.packet_words import WAYS, endpoint
from ipsecfd.policy.mistakes import printable

_INDENT: Final = " " * 6
_NARROWEST: Final = 40

# Tags for what is no drop, by event number (spec 7.2).
_TAGS: Final = {
    **dict.fromkeys(range(4291, 4297), "MODE"),
    **dict.fromkeys((4281, 4282, 4288, 5457, 5459, 5461, 5462), "FAIL"),
}
_ENTERED_BLOCK: Final = 4292

_DIM, _RED, _ALARM, _YELLOW, _CYAN = "2", "31", "1;31", "33", "1;36"


class _Part(NamedTuple):
    """A piece of text on a line of its own where the line is too short for all of them."""

    style: str
    text: str


def format_record(record: dict[str, Any], width: int, color: bool) -> str:
    """One record as lines of at most `width` columns, in the local time zone.

    Width 0 puts everything on one line, with the date, so that grep finds it. Whatever is in the
    record, the text commands no terminal and looks like no other record.
    """
    whole = datetime_of(record.get("time"))
    if whole is None:
        at = _text(record.get("time"))
    else:
        at = whole.strftime("%H:%M:%S.") + f"{whole.microsecond // 1000:03}"
        if not width:
            at = f"{whole:%Y-%m-%d} {at}"
    if is_drop(record):
        direction = _text(record.get("direction"))
        tag, style = f"drop {WAYS.get(direction, direction)}", _RED
        parts = list(_drop_parts(record))
    else:
        number = record.get("event")
        word = _TAGS.get(number, "NOTE") if isinstance(number, int) else "NOTE"
        alarm = word == "FAIL" or number == _ENTERED_BLOCK
        tag, style = f"{word} {_text(number)}", _ALARM if alarm else _CYAN
        parts = list(_event_parts(record))
    return _lay_out(_Part(_DIM, at), _Part(style, tag), parts, width, color)


def format_damaged(line: bytes, width: int, color: bool) -> str:
    """A line of the log that is no record: what little of it can be shown."""
    text = printable(line.decode(errors="backslashreplace").strip())
    said = f"damaged line skipped: {text}"
    if len(said) > (width or 80):
        said = said[: (width or 80) - 3] + "..."
    return _paint(_Part(_YELLOW, said), color)


def is_drop(record: dict[str, Any]) -> bool:
    """Whether a record tells of dropped packets; anything else is an event of the agent's."""
    return "direction" in record


def datetime_of(time: object) -> datetime.datetime | None:
    """A record's time in the local time zone, or None when it is damaged."""
    try:
        return datetime.datetime.fromisoformat(str(time)).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def _drop_parts(record: dict[str, Any]) -> Iterator[_Part]:
    protocol = record.get("protocol")
    named = _text(protocol)
    flow = (
        f"{_text(record.get('interface') or '-')} "
        f"{'protocol ' + named if isinstance(protocol, int) else named:<4} "
        f"{_end(record, 'source')} -> {_end(record, 'destination')}"
    )
    flags = record.get("tcp_flags")
    yield _Part("", f"{flow} [{_text(flags)}]" if flags else flow)
    yield _Part("", _cause(record))
    count = record.get("count")
    if isinstance(count, int) and count > 1:
        yield _Part(_YELLOW, f"and {count - 1:,} more like this {_between(record)}")
        if record.get("mixed"):
            yield _Part(_YELLOW, "their addresses and ports may vary")


def _end(record: dict[str, Any], name: str) -> str:
    address, port = record.get(name), record.get(f"{name}_port")
    return endpoint(_text(address), None if port is None else _text(port))


def _cause(record: dict[str, Any]) -> str:
    """Why it was dropped, as short as it can be said."""
    reason, filter_text = _text(record.get("reason")), record.get("filter")
    if filter_text is not None:
        by = f'rule "{_text(record.get("rule"))}"'
        if reason != "filter":
            by = f"{reason}, {by}"
        return f"{by}: {half(_text(filter_text), record.get('mirrored') is True)}"
    detail = record.get("detail")
    return reason if detail is None else f"{reason}: {_text(detail)}"


def _event_parts(record: dict[str, Any]) -> Iterator[_Part]:
    for line in str(record.get("message") or "").splitlines() or [""]:
        yield _Part("", printable(line))
    if "first" in record:
        yield _Part(_YELLOW, _between(record))


def _between(record: dict[str, Any]) -> str:
    times = (datetime_of(record.get(key)) for key in ("first", "last"))
    first, last = ("?" if one is None else f"{one:%H:%M:%S}" for one in times)
    return f"between {first} and {last}"


def _text(value: object) -> str:
    """A field that is missing is a question mark."""
    return "?" if value is None else printable(str(value))


def _lay_out(at: _Part, tag: _Part, parts: list[_Part], width: int, color: bool) -> str:
    start = f"{at.text} {tag.text} "
    painted = f"{_paint(at, color)} {_paint(tag, color)} "
    if not width or len(start) + len("  ".join(one.text for one in parts)) <= width:
        return painted + "  ".join(_paint(one, color) for one in parts)
    room = max(width, _NARROWEST)
    lines: list[str] = []
    for part in parts:
        wrapped = textwrap.wrap(
            part.text,
            room,
            initial_indent=_INDENT if lines else " " * len(start),
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
        )
        for line in wrapped:
            if lines:
                text = line.removeprefix(_INDENT)
                lines.append(_INDENT + _paint(_Part(part.style, text), color))
            else:
                lines.append(painted + _paint(_Part(part.style, line[len(start) :]), color))
    return "\n".join(lines) or painted.rstrip()


def _paint(part: _Part, color: bool) -> str:
    return f"\x1b[{part.style}m{part.text}\x1b[0m" if color and part.style else part.text
