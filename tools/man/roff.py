"""Text as man(7) wants it: escapes, fonts, paragraphs, lists, examples."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ipsecfd import __version__

_ESCAPES = str.maketrans({"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha"})
_IN_TEXT = str.maketrans({"\\": r"\e", "^": r"\(ha", "~": r"\(ti"})
COLUMNS = 73
"""Of text, where a page is shown in 80."""
_LITERAL = re.compile(r"`([^`]+)`")


def literal(text: str) -> str:
    """What is typed or read exactly so: no hyphen or quote becomes a nicer one."""
    return text.translate(_ESCAPES).replace("~", r"\(ti")


def plain(text: str) -> str:
    """Words."""
    return text.translate(_IN_TEXT)


def bold(text: str) -> str:
    """A literal in bold."""
    return rf"\fB{literal(text)}\fR"


def italic(text: str) -> str:
    """A placeholder, or an emphasis."""
    return rf"\fI{plain(text)}\fR"


def with_literals(text: str) -> str:
    """Words with literals in backticks between them."""
    pieces = _LITERAL.split(text)
    return "".join(bold(one) if odd % 2 else plain(one) for odd, one in enumerate(pieces))


def lines(text: str) -> str:
    """Text that is ready; none of its lines begins as a request does."""
    return "".join(
        rf"\&{line}" + "\n" if line.startswith((".", "'")) else f"{line}\n"
        for line in text.split("\n")
    )


def title(name: str, section: int, what: str) -> str:
    """The head of a page, which breaks no words and stretches no lines: commands stand in both."""
    return (
        f'.TH {literal(name.upper())} {section} "" "ipsecfd {__version__}"\n'
        f".nh\n.ad l\n.ss 12 0\n.SH NAME\n{literal(name)} \\- {what}\n"
    )


def heading(text: str) -> str:
    """A section."""
    return f'.SH "{plain(text.upper())}"\n'


def subheading(text: str) -> str:
    """A part of a section; its text is ready."""
    return f".SS {text}\n"


def paragraph(text: str) -> str:
    """A paragraph; its text is ready."""
    return f".PP\n{lines(text)}"


def entry(term: str, text: str) -> str:
    """A term and what it means; both are ready."""
    return f".TP\n{lines(term)}{lines(text)}"


def example(text: str) -> str:
    """Lines that stay as they are; long ones begin further left, to fit in a terminal."""
    over = max(map(len, text.split("\n"))) - COLUMNS
    left, back = (f".in -{over}n\n", ".in\n") if over > 0 else ("", "")
    return f".PP\n{left}.EX\n{lines(literal(text))}.EE\n{back}"


def indented(blocks: Iterable[str]) -> str:
    """What belongs to the entry before it."""
    return "".join([".RS\n", *blocks, ".RE\n"])
