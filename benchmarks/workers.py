"""How requests a second grow with processes behind one port; wrk asks, which takes little of a core."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from benchmarks.contenders import Bench
from benchmarks.goals import HANDSHAKE, MODERN, ONE_WORKER, WORKERS
from benchmarks.rounds import OURS, Absent, Line, lines, turns
from benchmarks.wire import Http, message

COUNTS = {HANDSHAKE: (1, 2), MODERN: (1, 2, 3, 4)}
CALLERS, SECONDS = 32, 2
TEXT = {"text": "hello"}


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    measured = _measured(bench) if shutil.which("wrk") else Absent("needs wrk (apt-get install wrk)")
    for era, counts in COUNTS.items():
        for count in counts[1:]:
            if isinstance(measured, Absent):
                found: dict[str, list[float] | Absent] = {OURS: measured, ONE_WORKER: measured}
            else:
                missing = Absent("only in the full pass")
                found = {OURS: measured.get((era, count), missing), ONE_WORKER: measured[era, 1]}
            yield from lines(WORKERS.format(count, era), found, "1/s")


def _measured(bench: Bench) -> dict[tuple[str, int], list[float]]:
    """Requests a second of each round, by era and number of workers."""
    scripts = {era: _script(bench.directory, era) for era in COUNTS}
    most, seconds = (2, 1) if bench.brief else (max(COUNTS[MODERN]), SECONDS)
    servers = {}
    for count in range(1, most + 1):
        server = bench.http(bench.script("almanac.py", "PORT"), {"ALMANAC_WORKERS": str(count)})
        server.calls("bench_same", TEXT, b"hello")
        _asked(server, scripts[MODERN], SECONDS)  # until all of its processes have started
        servers[count] = server
    found: dict[tuple[str, int], list[float]] = {}
    for era, counts in COUNTS.items():
        names = [str(count) for count in counts if count <= most]
        for name, is_counted in turns(names, bench.rounds):
            servers[int(name)].calls("bench_same", TEXT, b"hello", era)
            per_second = _asked(servers[int(name)], scripts[era], seconds)
            if is_counted:
                found.setdefault((era, int(name)), []).append(per_second)
    return found


def _script(directory: Path, era: str) -> Path:
    """The call in wrk's own language."""
    body, heads = message("bench_same", TEXT, era)
    told = "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in heads.items())
    path = directory / f"{era}.lua"
    path.write_text(f"wrk.method = 'POST'\nwrk.body = [[{body.decode()}]]\n{told}")
    return path


def _asked(server: Http, script: Path, seconds: int) -> float:
    command = ["wrk", "-t1", f"-c{CALLERS}", f"-d{seconds}s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/mcp"], capture_output=True, check=True, text=True
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk was refused:\n{done.stdout}")
    return float(found[1])
