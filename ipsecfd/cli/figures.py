"""Numbers of things, bytes and times as people read them."""

from __future__ import annotations


def many(number: int, word: str) -> str:
    """A number of things, as "1 rule" and "2 rules"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def size(octets: int) -> str:
    """A number of bytes in at most 8 columns, such as 58.4 kB."""
    if octets < 1000:
        return f"{octets} B"
    number, unit = octets / 1000, "kB"
    for larger in ("MB", "GB", "TB", "PB", "EB"):
        if number < 999.95:
            break
        number, unit = number / 1000, larger
    return f"{number:.1f} {unit}"


def time(iso: str) -> str:
    """A time of a report, without the time zone, which is the host's."""
    return iso[:19].replace("T", " ")
