"""`ipsecfd log`: the diagnostic log, readable, filtered and followed."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from ipsecfd.cli.log_files import (
    NoLogError,
    lines_of,
    open_log,
    rotated,
    unreadable,
    whole_lines,
    written_since,
)
from ipsecfd.cli.log_text import datetime_of, format_damaged, format_record
from ipsecfd.cli.terminal import colored
from ipsecfd.cli.usage import usage_errors
from ipsecfd.cli.values import number
from ipsecfd.cli.wanted import (
    Wanted,
    address_option,
    direction_option,
    port_option,
    rule_option,
)
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.mistakes import printable

POLL: Final = 0.2
"""Seconds between two looks at a log that is followed."""
FOLLOW_LINES: Final = 10
"""Records shown before following."""


def log(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more, across rotation.")
    ] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            metavar="N",
            parser=number(0),
            help="The last N records; default all, 10 with -f.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The lines as they are in the file.")
    ] = False,
    address: Annotated[str | None, address_option("Drops")] = None,
    port: Annotated[int | None, port_option("Drops")] = None,
    rule: Annotated[str | None, rule_option("Drops")] = None,
    direction: Annotated[str | None, direction_option("Drops")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help='Such as 10m, 2h, 1d (ago), 12:00 (today), or "2026-11-21 12:00".',
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Default: as the configuration says."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The configuration.")
    ] = None,
) -> None:
    """Show what was dropped and why, and what happened to policies.

    Without -n and --since, what is there since the last rotation; with one of
    them also what logrotate has moved away, as far as it goes back.

    Colours are for terminals only, and NO_COLOR turns them off. Without a
    terminal every record is one line with its date, unless COLUMNS says how
    wide it may be.
    """
    with usage_errors():
        wanted = Wanted.of_options(address, port, rule, direction, since)
    if path is None:
        path = _configured(config)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    printer = _Printer(wanted, as_json)
    try:
        if follow and lines is None:
            lines = FOLLOW_LINES
        moved = rotated(path)
        damaged: list[Path] = []
        files = [_readable(one, damaged) for one in _older(path, moved, wanted.since, lines)]
        if follow:
            _follow(path, files, printer, lines)
        else:
            if not moved or path.exists():
                youngest = open_log(path)  # where that fails, it is a mistake of the caller
                files.insert(0, _readable(path, damaged, youngest))
            printer.print_last(files, lines)
            chosen = replace(wanted, since=None) != Wanted()
            if chosen and lines != 0 and not printer.printed:  # perhaps a rule's name is misspelt
                print("note: no record matches", file=sys.stderr)
        sys.stdout.flush()
        if damaged:
            raise typer.Exit(1)
    except PermissionError as error:
        raise unreadable(path, error) from error


def _configured(config: Path | None) -> Path:
    """Where the log is. A mistake in the usual configuration is told, and keeps nobody from it:
    whoever looks for the cause of a trouble looks here."""
    from ipsecfd.agent.config import Config, load

    try:
        return load(config).diagnostics.log
    except IpsecfdError as error:
        if config is not None:
            raise
        path = Config().diagnostics.log
        print(f"note: {error}\nnote: this is {path}; --log names another", file=sys.stderr)
        return path


def _older(
    path: Path, moved: list[Path], since: datetime.datetime | None, lines: int | None
) -> list[Path]:
    """The rotated files to look into as well, the youngest first: as far as --since or -n goes
    back, and one where the log itself has no record."""
    empty = moved and not (path.exists() and path.stat().st_size)
    if empty:
        print(
            f"note: {path}: no record since it was rotated; those before are in {moved[0]}",
            file=sys.stderr,
        )
    if since is not None:
        return written_since(moved, since.timestamp())
    return moved if lines is not None else moved[:1] if empty else []


def _readable(path: Path, damaged: list[Path], file: BinaryIO | None = None) -> Iterator[bytes]:
    """The lines of a file as far as it can be read; the rest is told, and keeps nobody from the
    other files."""
    try:
        yield from lines_of(path, file)
    except IpsecfdError as error:
        print(f"ipsecfd: {printable(str(error))}", file=sys.stderr)
        damaged.append(path)


class _Printer:
    """Prints the wanted ones of a log's lines."""

    def __init__(self, wanted: Wanted, as_json: bool) -> None:
        self._wanted = wanted
        self._as_json = as_json
        self._color = colored()
        self._sized = sys.stdout.isatty() or "COLUMNS" in os.environ
        self._day: datetime.date | None = None
        self.printed = False
        """Whether there was any record to print."""

    def print_last(self, files: Sequence[Iterable[bytes]], number: int | None) -> None:
        """Print the last `number` of the wanted lines, or all of them; the youngest file is the
        first."""
        shown: list[Iterable[bytes]] = []
        left = number
        for lines in files:
            if left is None:
                shown.append(self._chosen(lines))
            elif left or not shown:  # who follows goes on behind the youngest, also with -n 0
                last = deque(self._chosen(lines), left)
                shown.append(last)
                left -= len(last)
        for part in reversed(shown):
            for line in part:
                self._print(line)

    def print_new(self, lines: Iterable[bytes]) -> None:
        """Print the wanted lines, and see that they are seen at once."""
        self.print_last([lines], None)
        sys.stdout.flush()

    def _chosen(self, lines: Iterable[bytes]) -> Iterable[bytes]:
        lines = filter(bytes.strip, lines)
        return lines if self._wanted.everything else filter(self._is_wanted, lines)

    def _is_wanted(self, line: bytes) -> bool:
        record = _record(line)
        return record is None or self._wanted.matches(record)

    def _print(self, line: bytes) -> None:
        record = _record(line)
        self.printed = self.printed or record is not None
        width = shutil.get_terminal_size().columns if self._sized else 0
        if record is None:
            out = sys.stderr if self._as_json else sys.stdout
            print(format_damaged(line, width, self._color and not self._as_json), file=out)
        elif self._as_json:
            print(line.decode().rstrip("\n"))
        else:
            self._print_day(record)
            print(format_record(record, width, self._color))

    def _print_day(self, record: dict[str, Any]) -> None:
        at = datetime_of(record.get("time"))
        if at is not None and self._sized and at.date() != self._day:
            self._day = at.date()
            print(f"-- {self._day} --")


def _record(line: bytes) -> dict[str, Any] | None:
    """The record of a line, or None when it is damaged."""
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _follow(
    path: Path, older: Sequence[Iterable[bytes]], printer: _Printer, lines: int | None
) -> None:
    """Print what is there and what comes, until interrupted. Raises IpsecfdError where the log
    cannot be read at the beginning, which is a mistake of the caller; what comes later passes."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            file = open_log(path)
            printer.print_last([whole_lines(file), *older], lines)
        except NoLogError:
            printer.print_last(older, lines)
            sys.stdout.flush()
            file = _wait_for(path)
        while True:
            printer.print_new(whole_lines(file))
            time.sleep(POLL)
            try:
                there = path.stat()
            except OSError:  # moved away, and nothing new in its place yet
                continue
            here = os.fstat(file.fileno())
            if not os.path.samestat(there, here):
                printer.print_new(whole_lines(file, last=True))
                file.close()
                file = _wait_for(path)
            elif there.st_size < file.tell():
                file.seek(0)


def _wait_for(path: Path) -> BinaryIO:
    """The log as soon as it can be read; what it waits for is told, each thing once."""
    told = ""
    while True:
        try:
            return open_log(path)
        except NoLogError:
            why = f"waiting for {path}"
        except IpsecfdError as error:
            why = f"waiting: {error}"
        if why != told:
            print(f"ipsecfd: {printable(why)}", file=sys.stderr)
            told = why
        time.sleep(POLL)
