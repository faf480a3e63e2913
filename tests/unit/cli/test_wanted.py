"""What the options of `log` and `flows` choose."""

from __future__ import annotations

import datetime
import time

import pytest

from ipsecfd.cli.usage import UsageError
from ipsecfd.cli.wanted import Wanted


def test_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """--since takes a length of time ago, a time of today, or a date."""
    monkeypatch.setenv("TZ", "UTC")  # no day is shorter than another
    time.tzset()
    now = datetime.datetime.now().astimezone()
    for text, ago in (("90s", 90), ("10m", 600), ("2 h", 7200), ("1d", 86400)):
        since = Wanted.of_options(None, None, None, None, text).since
        assert since is not None
        assert abs((now - since).total_seconds() - ago) < 5
    since = Wanted.of_options(None, None, None, None, "00:00").since
    days = {now.date(), datetime.datetime.now().astimezone().date()}  # it may be midnight
    assert since in {datetime.datetime.combine(day, datetime.time(), datetime.UTC) for day in days}


def test_bad_option_is_usage() -> None:
    """An address that is none is a usage error, not a failure."""
    with pytest.raises(UsageError):
        Wanted.of_options("any", None, None, None, None)
