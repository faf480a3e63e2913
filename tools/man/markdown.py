"""Markdown as man(7): a section of the README becomes one of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from tools.man import roff

_HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)


def section(path: Path, name: str) -> str:
    """What stands below a heading of the second level, and "" below the title.

    Raises KeyError when there is no such heading.
    """
    pieces = _HEADING.split(path.read_text().partition("\n")[2])
    return dict(zip(["", *pieces[1::2]], pieces[::2], strict=True))[name]


def converted(text: str) -> str:
    """Markdown in the form of a page's section."""
    tree = SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse(text))
    return "".join(_block(node) for node in tree.children)


def _block(node: SyntaxTreeNode) -> str:
    match node.type:
        case "paragraph":
            return roff.paragraph(_inline(node))
        case "fence" | "code_block":
            return roff.example(node.content.rstrip("\n"))
        case "bullet_list":
            return "".join(_item(item) for item in node.children)
        case "table":
            return "".join(_rows(node))
    raise NotImplementedError(f"manual pages have no {node.type} yet")


def _item(item: SyntaxTreeNode) -> str:
    first, *others = item.children
    text = f'.IP "\\(bu" 2\n{roff.lines(_inline(first))}'
    return text + (roff.indented(_block(one) for one in others) if others else "")


def _rows(table: SyntaxTreeNode) -> Iterator[str]:
    """A table of two columns, without its head: what something is, and the term for it."""
    for row in table.children[1].children:
        meaning, term = (_inline(cell) for cell in row.children)
        yield roff.entry(term, meaning)


def _inline(node: SyntaxTreeNode) -> str:
    match node.type:
        case "text":
            return roff.plain(node.content)
        case "code_inline":
            return roff.bold(node.content)
        case "softbreak":
            return "\n"
        case "strong":
            return f"\\fB{''.join(map(_inline, node.children))}\\fR"
        case "em":
            return f"\\fI{''.join(map(_inline, node.children))}\\fR"
        case "paragraph" | "inline" | "td" | "link":  # a link's target is no use on paper
            return "".join(map(_inline, node.children))
    raise NotImplementedError(f"manual pages have no {node.type} yet")
