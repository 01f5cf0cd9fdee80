"""Every comparison and its goal: a line of the table each, measured or said to be not run.

A bound is for ours over theirs. `<=` stands where less is better (time, memory), `>=` where more is
(requests a second). Without a bound the line only tells: a floor, or a peer that is out of reach.
"""

from dataclasses import dataclass

NAIVE, BARE, LOWLEVEL = "naive FastMCP", "FastMCP, 1 tool", "mcp low-level"
EVERYTHING, TYPESCRIPT_1, TYPESCRIPT_2 = "server-everything", "TypeScript SDK 1", "TypeScript SDK 2"
FILESYSTEM, RIPGREP, SCANDIR = "server-filesystem", "ripgrep", "scandir"
SQLITE_SERVER, DATASETTE, SQLITE3 = "mcp-server-sqlite", "datasette", "sqlite3"
RAW, TRIVIAL, UNGUARDED = "raw JSON loop", "trivial tool", "guards off"
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"

_OTHER_ERA = f"It speaks no {MODERN}: it is asked in {HANDSHAKE}, Almanac in {MODERN}."
_OTHER_LIST = "It lists 13 tools without output schemas, Almanac 22 with them."
_FLOOR = "In the runner's own process, without a server: the least that it can cost."
_IN_PROCESS = (
    "In the runner's own process: the difference that the guard makes to a call, and what is allowed."
)
_TYPES_ONLY = "It tells files from directories, and neither sizes nor times as Almanac does."
_ARRAYS = "Both over HTTP, one request after the other; it answers with arrays and no MCP."


@dataclass(frozen=True)
class Goal:
    """One line: in which comparison, what is done, against whom, and what is wanted."""

    comparison: str
    work: str
    against: str
    bound: str = ""
    note: str = ""

    @property
    def limit(self) -> float:
        return float(self.bound.split()[1])

    def is_met_by(self, ratio: float) -> bool:
        return self.share(ratio) <= 1

    def share(self, ratio: float) -> float:
        """Of the goal: below 1 is better than wanted, in both directions."""
        return self.limit / ratio if self.bound.startswith(">=") else ratio / self.limit


def of(work: str) -> list[Goal]:
    """The lines of this work."""
    return [goal for goal in GOALS if goal.work == work]


def http(era: str, what: str) -> str:
    """The name of that work: 32 callers at once without sessions."""
    return f"trivial tool, HTTP {era}, 32 callers, {what}"


START, CALL, LIST = "spawn to tools/list, STDIO", "trivial tool, STDIO, p50", "tools/list, STDIO"
REQUESTS, P99 = "requests/s", "p99"
FORECAST, TRANSLATION = "forecast from cache", "translation from cache"
ALL_STDIO, ALL_HTTP = "all guards on, STDIO", "all guards on, HTTP, 32 callers"
MEMORY, AFTER_FEW = "memory after {:,} calls, stateless HTTP", "after 1,000"
WORKERS, ONE_WORKER = "{} workers, HTTP {}, requests/s", "1 worker"
ROWS = "sql_query {:,} rows"
ROWS_HTTP = "sql_query {:,} rows, HTTP"

GOALS = (
    Goal("stdio", START, NAIVE, "<= 0.75"),
    Goal("stdio", START, BARE, "<= 0.95"),
    Goal("stdio", START, LOWLEVEL),
    Goal("stdio", START, EVERYTHING),
    Goal("stdio", START, RAW),
    Goal("stdio", CALL, NAIVE, "<= 0.65"),
    Goal("stdio", CALL, LOWLEVEL, "<= 1.5"),
    Goal("stdio", CALL, BARE),
    Goal("stdio", CALL, EVERYTHING),
    Goal("stdio", CALL, RAW),
    Goal("stdio", LIST, NAIVE, "<= 0.35"),
    Goal("stdio", LIST, EVERYTHING, note=_OTHER_LIST),
    Goal("http", http(HANDSHAKE, REQUESTS), NAIVE, ">= 1.8"),
    Goal("http", http(HANDSHAKE, REQUESTS), LOWLEVEL),
    Goal("http", http(HANDSHAKE, REQUESTS), TYPESCRIPT_1),
    Goal("http", http(HANDSHAKE, REQUESTS), TYPESCRIPT_2),
    Goal("http", http(HANDSHAKE, P99), NAIVE, "<= 0.5"),
    Goal("http", http(MODERN, REQUESTS), NAIVE, ">= 8"),
    Goal("http", http(MODERN, REQUESTS), LOWLEVEL),
    Goal("http", http(MODERN, REQUESTS), TYPESCRIPT_1, ">= 1.0", _OTHER_ERA),
    Goal("http", http(MODERN, REQUESTS), TYPESCRIPT_2, ">= 1.0"),
    Goal("http", http(MODERN, P99), NAIVE, "<= 0.5"),
    Goal("sql", ROWS.format(1), SQLITE_SERVER, "<= 0.8"),
    Goal("sql", ROWS.format(100), SQLITE_SERVER, "<= 0.8"),
    Goal("sql", ROWS.format(10_000), SQLITE_SERVER, "<= 0.6"),
    Goal("sql", ROWS.format(10_000), RAW, "<= 2.0"),
    Goal("sql", ROWS.format(10_000), SQLITE3, note=_FLOOR),
    *(Goal("sql", ROWS_HTTP.format(rows), DATASETTE, note=_ARRAYS) for rows in (1, 100, 10_000)),
    Goal("files", "files_read 1 KB", FILESYSTEM, "<= 1.5"),
    Goal("files", "files_read 1 MB", FILESYSTEM, "<= 0.5"),
    Goal("files", "files_list 10,000", FILESYSTEM, "<= 1.5", _TYPES_ONLY),
    Goal("files", "files_list 10,000", f"{FILESYSTEM} with sizes", "<= 1.5"),
    Goal("files", "files_list 10,000", SCANDIR, note=_FLOOR),
    Goal("files", "files_find in 10,000", FILESYSTEM, "<= 0.05"),
    Goal("files", "files_find in 10,000", SCANDIR, note=_FLOOR),
    Goal("files", "files_search of 10,000 files", RIPGREP, "<= 1.5", "Its start is in it, and no server."),
    Goal("weather", FORECAST, TRIVIAL, "<= 1.2"),
    Goal("weather", FORECAST, "trivial tool, as long an answer"),
    Goal("weather", "100 callers at once, 1 new city", "100 trivial calls", "<= 2"),
    Goal("weather", "100 callers at once, 100 new cities", "100 trivial calls", "<= 10"),
    Goal("translate", TRANSLATION, TRIVIAL, "<= 1.2"),
    Goal("translate", TRANSLATION, "the service asked", "<= 0.15"),
    Goal("translate", "batch of 100", "100 calls", "<= 0.4"),
    *(
        goal
        for pair in ("eng-spa", "eng-cat", "spa-eng")
        for goal in (
            Goal("apertium", f"{pair}, a sentence, warm", "subprocess a call", "<= 0.05"),
            Goal("apertium", f"{pair}, a sentence, start to end", "subprocess a call", "<= 1.5"),
        )
    ),
    Goal("places", "place: names of cities", "1 ms", "<= 1"),
    Goal("places", "place: towns, slips, scripts", "1 ms", "<= 1"),
    Goal("guards", ALL_STDIO, UNGUARDED, "<= 1.15"),
    Goal("guards", ALL_HTTP, UNGUARDED, "<= 1.15"),
    *(
        Goal("guards", f"what it adds to a call: {guard}", "0.3 ms", "<= 1", _IN_PROCESS)
        for guard in ("audit", "errors", "limits", "quotas", "fence", "all guards")
    ),
    Goal("memory", MEMORY.format(100_000), AFTER_FEW, "<= 1.02"),
    Goal("memory", MEMORY.format(10_000), AFTER_FEW, note="What the short pass has instead."),
    *(Goal("workers", WORKERS.format(2, era), ONE_WORKER, ">= 1.7") for era in (HANDSHAKE, MODERN)),
    *(Goal("workers", WORKERS.format(n, MODERN), ONE_WORKER) for n in (3, 4)),
)

COMPARISONS = tuple(dict.fromkeys(goal.comparison for goal in GOALS))
