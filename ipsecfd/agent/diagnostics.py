"""The diagnostic log: drops and the agent's own events as JSON Lines (spec 7.2).

A thread of its own renders and writes, so that a slow or full disk holds nothing up. What there is
no room to keep meanwhile is counted, and the log says how much is missing and since when.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from structlog.processors import JSONRenderer
from structlog.typing import EventDict, Processor, WrappedLogger

from ipsecfd.agent.drop_fields import drop_fields, interface_name
from ipsecfd.agent.drops import DropRecord
from ipsecfd.errors import IpsecfdError

CAPACITY: Final = 5000
"""Records kept while they cannot be written; as many again may be in the writer's hands."""
EVENT_CAPACITY: Final = CAPACITY + 1000
"""Events find room where drops no longer do."""
RETRY: Final = 1.0
"""Seconds between two tries to write when one failed."""
CLOSE_SECONDS: Final = 2.0
"""How long the end of the agent waits for the disk."""
SAY_AGAIN: Final = 60.0
"""Seconds until it is said once more that the log cannot be written, if it could be meanwhile: a
disk that is full now and then must not fill the journal."""

NOT_LOGGED: Final = 4288
"""Windows' "general failure" (spec 7.2); here it says what is missing in the log."""

_LINES_PER_WRITE = 256


@dataclass(slots=True)
class _Missing:
    """What was left out since the log last said so."""

    drops: int = 0
    events: int = 0
    first: float = 0.0
    last: float = 0.0
    why: str = ""


class Diagnostics:
    """The open log. Nothing but `close` waits for the disk; all methods are safe in any thread.

    A log that was moved or deleted is noticed and begun anew; of a deletion the new one tells.
    `interfaces` names an interface by its index, `clock` gives seconds since 1970. `say` is told
    once when the log cannot be written any more, and once when it can be again. Raises IpsecfdError
    when it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        interfaces: Callable[[int], str | None] = interface_name,
        clock: Callable[[], float] = time.time,
        say: Callable[[str], None],
    ) -> None:
        self.path = path
        self.problem: str | None = None
        """Why nothing can be written at the moment."""
        self.lost_drops = 0
        """Dropped packets that the log only counts, since the start."""
        self.lost_events = 0
        """Events that are missing in the log, since the start."""
        self._interfaces = interfaces
        self._clock = clock
        self._say = say
        self._said = False  # that the log cannot be written
        self._lost_before = (0, 0)  # drops and events that were lost when that was said
        self._say_again = 0.0
        self._changed = threading.Condition()
        self._waiting: deque[DropRecord | EventDict] = deque()
        self._missing = _Missing()
        self._closing = False
        self._unwritten: deque[bytes] = deque()
        self._partly = 0  # bytes of the first of these lines that are in the file already
        try:
            self._file = self._open()
        except OSError as error:
            raise IpsecfdError(
                f"{path}: cannot write the diagnostic log: {error.strerror}; make this place"
                " writable or choose another with `log` in [diagnostics]"
            ) from error
        self._writer = threading.Thread(target=self._run, name="diagnostics", daemon=True)
        self._writer.start()

    def drops(self, records: Sequence[DropRecord]) -> None:
        """Log dropped packets."""
        with self._changed:
            room = max(0, CAPACITY - len(self._waiting))
            self._waiting += records[:room]
            for one in records[room:]:
                self._lose(one.packets, one.first, one.last)
            self._changed.notify()

    def event(self, event_id: int, message: str, **fields: object) -> None:
        """Log something else that happened, under Windows' number for it."""
        now = self._clock()
        record = {"time": now, "event": event_id, "message": message, **fields}
        with self._changed:
            if len(self._waiting) < EVENT_CAPACITY:
                self._waiting.append(record)
            else:
                self._lose(0, now, now)
            self._changed.notify()

    def close(self) -> None:
        """Write what is left, unless the disk takes too long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._writer.join(CLOSE_SECONDS)

    def _lose(self, packets: int, first: float, last: float) -> None:
        missing = self._missing
        if not missing.drops and not missing.events:
            missing.first, missing.last = first, last
            missing.why = self.problem or "they came faster than they could be written"
        missing.first = min(missing.first, first)
        missing.last = max(missing.last, last)
        missing.drops += packets
        self.lost_drops += packets
        if not packets:
            missing.events += 1
            self.lost_events += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                if self.problem:
                    self._changed.wait_for(lambda: self._closing, RETRY)
                else:
                    self._changed.wait_for(self._has_work)
                closing = self._closing
            self._write()
            if closing and (self.problem or not self._has_records()):
                os.close(self._file)
                return

    def _has_work(self) -> bool:
        return self._closing or self._has_records()

    def _has_records(self) -> bool:
        return bool(self._waiting or self._missing.drops or self._missing.events)

    def _write(self) -> None:
        """Write everything; what cannot be written stays for the next try."""
        try:
            self._follow()
            while self._unwritten or self._render_waiting():
                lines = b"".join(islice(self._unwritten, _LINES_PER_WRITE))
                self._partly += os.write(self._file, lines[self._partly :])
                while self._unwritten and self._partly >= len(self._unwritten[0]):
                    self._partly -= len(self._unwritten.popleft())
        except OSError as error:
            self.problem = error.strerror
        else:
            self.problem = None
        self._tell()

    def _tell(self) -> None:
        """Say what has changed: nobody may look at the status before the records are wanted."""
        now = time.monotonic()
        if self.problem and not self._said and now >= self._say_again:
            self._said = True
            self._lost_before = self.lost_drops, self.lost_events
            self._say_again = now + SAY_AGAIN
            self._say(
                f"{self.path}: the diagnostic log cannot be written: {self.problem}; what it has"
                " no room to keep meanwhile is counted only"
            )
        elif self._said and not self.problem:
            self._said = False
            drops, events = self._lost_before
            lost = _counted(self.lost_drops - drops, self.lost_events - events)
            self._say(
                f"{self.path}: the diagnostic log is written again;"
                f" {f'not logged: {lost}' if lost else 'nothing is missing in it'}"
            )

    def _follow(self) -> None:
        """Open the file anew if it is no longer the one at the path."""
        try:
            same = os.path.samestat(self.path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            same = False
        if not same:
            old, self._file = self._file, self._open()
            if not os.fstat(old).st_nlink:  # a log that was moved has a name still
                self._tell_of_deletion()
            os.close(old)

    def _tell_of_deletion(self) -> None:
        message = "the diagnostic log was deleted and begins anew: what it held is lost"
        with self._changed:
            record = {"time": self._clock(), "event": NOT_LOGGED, "message": message}
            self._waiting.appendleft(record)

    def _open(self) -> int:
        """Open the file for appending, with its directory; the next line begins at a line's
        beginning. Raises OSError."""
        with contextlib.suppress(FileExistsError):
            self.path.parent.mkdir(mode=0o750, parents=True)
        # Without O_NONBLOCK a named pipe that nobody reads would hold up the start.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        file = os.open(self.path, flags, 0o640)
        self._partly = 0
        while self._unwritten and self._unwritten[0] == b"\n":  # meant for the file before
            self._unwritten.popleft()
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            self._unwritten.appendleft(b"\n")
        return file

    def _render_waiting(self) -> bool:
        """Take what waits, and behind it what had no room to wait; False when there is nothing."""
        with self._changed:
            waiting: list[DropRecord | EventDict] = [*self._waiting]
            self._waiting.clear()
            missing, self._missing = self._missing, _Missing()
        for record in waiting:
            try:
                self._unwritten.append(self._line(record))
            except Exception as error:  # noqa: BLE001 - one bad record must not end the log
                now = self._clock()
                with self._changed:
                    self._lose(record.packets if isinstance(record, DropRecord) else 0, now, now)
                    self._missing.why = f"{type(error).__name__}: {error}"
        if missing.drops or missing.events:
            self._unwritten.append(_render(_missing_fields(missing, self._clock())))
        return bool(self._unwritten)

    def _line(self, record: DropRecord | EventDict) -> bytes:
        if isinstance(record, DropRecord):
            return _render(drop_fields(record, self._interfaces))
        return _render(record)


def _missing_fields(missing: _Missing, now: float) -> dict[str, Any]:
    return {
        "time": now,
        "event": NOT_LOGGED,
        "message": f"{_counted(missing.drops, missing.events)} not logged: {missing.why}",
        "drops": missing.drops,
        "events": missing.events,
        "first": missing.first,
        "last": missing.last,
    }


def _counted(drops: int, events: int) -> str:
    """What is missing, in words; empty when nothing is."""
    return " and ".join(
        f"{number:,} {word}{'' if number == 1 else 's'}"
        for number, word in ((drops, "drop"), (events, "event"))
        if number
    )


def _times_as_text(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
    """ISO 8601, UTC, milliseconds."""
    for key in ("time", "first", "last"):
        if isinstance(record.get(key), float):
            at = datetime.datetime.fromtimestamp(record[key], datetime.UTC)
            record[key] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return record


# Everything beyond printable ASCII is escaped, so the file may be shown on any terminal.
_PROCESSORS: Final[tuple[Processor, ...]] = (_times_as_text, JSONRenderer(default=str))


def _render(record: EventDict) -> bytes:
    rendered: Any = record
    for processor in _PROCESSORS:
        rendered = processor(None, "", rendered)
    return f"{rendered}\n".encode()
