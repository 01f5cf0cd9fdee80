"""What a server over HTTP weighs after 100,000 calls without sessions, each with another text."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.contenders import Bench
from benchmarks.goals import AFTER_FEW, HANDSHAKE, MEMORY, MODERN
from benchmarks.rounds import OURS, Absent, Line, lines
from benchmarks.wire import Http

FEW, MANY, ALL = 1_000, 10_000, 100_000
CALLERS = 32
TEXT, NUMBER = "hello 0000000", b"0000000"


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison; one run, however many rounds."""
    if not Path("/proc/self/statm").exists():
        for many in (ALL, MANY):
            yield from lines(MEMORY.format(many), dict.fromkeys((OURS, AFTER_FEW), Absent("needs /proc")))
        return
    server = bench.http(bench.script("almanac.py", "PORT"))
    weights: dict[int, float | Absent] = {FEW: _weight(server, 0, FEW), MANY: _weight(server, FEW, MANY)}
    weights[ALL] = Absent("only in the full pass") if bench.brief else _weight(server, MANY, ALL)
    for many in (ALL, MANY):
        found = {OURS: weights[many], AFTER_FEW: weights[FEW]}
        told = {name: one if isinstance(one, Absent) else [one] for name, one in found.items()}
        yield from lines(MEMORY.format(many), told, "MB")


def _weight(server: Http, begin: int, end: int) -> float:
    """Megabytes resident after these calls, of both eras in turn."""
    calls = [server.post("bench_same", {"text": TEXT}, era) for era in (HANDSHAKE, MODERN)]
    for start in range(begin, end, FEW):
        asked = [calls[n % 2].replace(NUMBER, b"%07d" % n) for n in range(start, start + FEW)]
        server.loaded(asked, b"hello", CALLERS)
    return _resident_mb(server.process)


def _resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
