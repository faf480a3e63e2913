"""One store in one file: read whole, written whole, and never what could not be read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ipsecfd.policy import durable
from ipsecfd.policy.mistakes import Mistake, PolicyError
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.reader import StoreFileError, is_store, parse
from ipsecfd.policy.stores.text import render
from ipsecfd.policy.text import LARGEST, TOO_LARGE, read_plain_text

__all__ = ["StoreFileError", "is_store", "parse", "read", "render", "write"]


def read(path: Path) -> Content:
    """The store of a file. Raises FileNotFoundError when there is none, and StoreFileError."""
    path.lstat()
    try:
        return parse(read_plain_text(path), str(path))
    except PolicyError as error:
        raise StoreFileError(error.mistakes) from error


def write(path: Path, content: Content, remark: str, before: Content | None = None) -> None:
    """Put a store into its file, whole or not at all, also when the power goes.

    Nothing is written when it is to the letter what was there before. Raises StoreFileError when
    it cannot be written, or could not be read again.
    """
    text = render(content, remark)
    if before is not None and render(before, remark) == text:
        return
    try:
        data = text.encode()
        if len(data) > LARGEST:
            raise StoreFileError([Mistake(str(path), "", "", f"not written: {TOO_LARGE}")])
        _check_readable(text, content, str(path))
        durable.write(path, data)
    except UnicodeEncodeError as error:
        wrong = text[error.start : error.end]
        why = "not written: expected whole characters, not half of a surrogate pair"
        raise StoreFileError([Mistake(str(path), "", wrong, why)]) from error
    except OSError as error:
        raise StoreFileError(
            [Mistake(str(path), "", "", f"cannot be written: {error.strerror}")]
        ) from error


def _check_readable(text: str, content: Content, file: str) -> None:
    """Refuse what the store's file cannot hold, before a good file makes room for it."""
    try:
        same = parse(text, file) == content
    except StoreFileError as error:
        raise StoreFileError(
            replace(one, expected=f"not written: {one.expected}") for one in error.mistakes
        ) from error
    if not same:
        why = "not written: reading it again would give another store"
        raise StoreFileError([Mistake(file, "", "", why)])
