"""The wall clock jumps while traffic flows: verdicts, learnt flows and trials know other clocks."""

from __future__ import annotations

import datetime
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipsecfd.lab import Lab
from tests.live.streams import Stream

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc"),
]

ALWAYS, NEVER = 7001, 7003
POLICY = f"""
name = "One port"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{ALWAYS} udp"]
"""
DAY = 86_400

WALL_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long long *ahead; /* seconds */

__attribute__((constructor)) static void look(void)
{
    int file = open(getenv("WALL_CLOCK"), O_RDONLY);
    void *found = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    ahead = found == MAP_FAILED ? 0 : found;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *ahead;
    return result;
}

time_t time(time_t *where)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
"""
"""Puts a program's wall clock ahead of the machine's, which nobody touches, by what a file says."""


@pytest.fixture
def set_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets the wall clock of everything that is started from now on so many seconds ahead."""
    source, library, ahead = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "ahead"
    source.write_text(WALL_CLOCK)
    build = ["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(build, check=True, timeout=60)
    ahead.write_bytes(bytes(8))
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("WALL_CLOCK", str(ahead))
        with ahead.open("r+b", buffering=0) as file:

            def jump(seconds: int) -> None:
                os.pwrite(file.fileno(), struct.pack("q", seconds), 0)

            yield jump


def test_wall_clock_jumps(lab: Lab, set_ahead: Callable[[int], None]) -> None:
    """A day ahead, and two days back: nothing is lost or opened, drops are counted and logged all
    the time, at the time that it is then, and the log has both jumps."""
    daemon = lab.start_daemon(POLICY, {"diagnostics": {"interval": 1}})
    with Stream(lab, ALWAYS, rate=500) as always, Stream(lab, NEVER, rate=200) as never:
        for ahead in (0, DAY, -DAY):
            set_ahead(ahead)
            time.sleep(0.5)
            log = daemon.log()
            time.sleep(2)
            found = [one for one in log.new() if one.get("destination_port") == NEVER]
            assert sum(one["count"] for one in found) > 50
            for one in found:
                logged = datetime.datetime.fromisoformat(one["time"]).timestamp()
                assert abs(logged - time.time() - ahead) < 60
    assert sorted(always.arrived) == list(range(always.sent))
    assert never.arrived == []
    deadline = time.monotonic() + 10
    while len(jumps := [one["jump_s"] for one in daemon.records() if "jump_s" in one]) < 2:
        assert time.monotonic() < deadline, jumps
        time.sleep(0.1)
    assert jumps == pytest.approx([DAY, -2 * DAY], abs=1)


def test_trial_lasts_as_long_as_it_is_meant_to(lab: Lab, set_ahead: Callable[[int], None]) -> None:
    """A change that nobody confirms is taken back neither sooner nor later because of a jump."""
    daemon = lab.start_daemon(POLICY)
    closed = lab["guard"].path("/run/lab/closed.toml")
    closed.write_text(POLICY.partition('[[rule]]\naction = "permit"')[0])
    with Stream(lab, ALWAYS, rate=200) as stream:
        time.sleep(0.3)
        daemon.cli("apply", "/run/lab/closed.toml", "--confirm", "8")
        before = stream.sent
        for ahead in (DAY, -DAY):
            set_ahead(ahead)
            time.sleep(0.7)
        during = stream.sent
        deadline = time.monotonic() + 20
        while not stream.arrived or stream.arrived[-1] < during:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not set(range(before, during)) & set(stream.arrived)
