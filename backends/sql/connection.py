"""A SQLite connection that only reads, whatever SQL it is given.

The engine enforces it, whatever the text looks like: a read-only open, an authorizer that allows by
name, limits, and a deadline. It runs in the child process (child.py) and imports the standard library
only, because every import is paid for at each start of a child.
"""

import binascii
import contextlib
import os
import sqlite3
import sys
import time
from typing import Any

CELL_BYTES = 16_000_000  # of a cell or an intermediate value; all of them together have max_memory
SQL_BYTES = 100_000

# A pragma is a question here: these about a table or an index, which they are given ...
_ABOUT = "table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list"
# ... and these about nothing; given a value most of them write. FTS asks data_version and page_size.
_PLAIN = """table_list collation_list function_list module_list compile_options data_version page_size
    page_count freelist_count encoding user_version application_id schema_version journal_mode"""
# Of the other ones that builds have, sqlite_stmt shows other callers' SQL and fsdir the disk.
_TABLE_FUNCTIONS = ("json_each", "json_tree", "jsonb_each", "jsonb_tree", "generate_series")
# By name, not "all but the dangerous": a build may register any (readfile, edit, load_extension).
_FUNCTIONS = """
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg base64 bm25 ceil ceiling changes char coalesce
    concat concat_ws cos cosh count cume_dist current_date current_time current_timestamp date datetime
    degrees dense_rank exp first_value floor format fts5_get_locale fts5_source_id glob group_concat hex
    highlight if ifnull iif instr json json_array json_array_insert json_array_length json_error_position
    json_extract json_group_array json_group_object json_insert json_object json_patch json_pretty
    json_quote json_remove json_replace json_set json_type json_valid jsonb jsonb_array jsonb_array_insert
    jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove
    jsonb_replace jsonb_set julianday lag last_insert_rowid last_value lead length like likelihood likely
    ln log log10 log2 lower ltrim match matchinfo max median min mod nth_value ntile nullif octet_length
    offsets percent_rank percentile percentile_cont percentile_disc pi pow power printf quote radians
    random randomblob rank regexp replace round row_number rtreedepth rtreenode rtrim sign sin sinh
    snippet soundex sqlite_compileoption_get sqlite_compileoption_used sqlite_offset sqlite_source_id
    sqlite_version sqrt strftime string_agg substr substring subtype sum tan tanh time timediff total
    total_changes trim trunc typeof unhex unicode unistr unistr_quote unixepoch unlikely upper zeroblob"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
_PRAGMAS_ABOUT, _PRAGMAS_PLAIN = frozenset(_ABOUT.split()), frozenset(_PLAIN.split())
_PRAGMAS = _PRAGMAS_ABOUT | _PRAGMAS_PLAIN

_LIMITS = {
    # SQLite's own defaults, written down: a build may have others.
    sqlite3.SQLITE_LIMIT_COLUMN: 2_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 1_000,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 500,
    sqlite3.SQLITE_LIMIT_LENGTH: CELL_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: SQL_BYTES,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,  # alone stops ATTACH and VACUUM INTO
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_DEFENSIVE = 1010  # sqlite3.SQLITE_DBCONFIG_DEFENSIVE, which the module has since Python 3.12
_OPCODES_BETWEEN_CHECKS = 2_000  # about 0.1 ms of work; a check costs 0.1 µs
_CONNECT_SECONDS = 1.0  # for all virtual tables; one may have a view without end where its settings should be
_SECONDS_BETWEEN_LOOKS = 0.2  # at the parent


def _base64(value: Any) -> str | None:
    """A blob whole, or the UTF-8 of a text; a number has no bytes of its own."""
    if value is None:
        return None
    raw = value.encode() if isinstance(value, str) else value
    return binascii.b2a_base64(raw, newline=False).decode()


def quoted(name: str) -> str:
    """A name as SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


class ReadOnlyConnection(sqlite3.Connection):
    """Reads one database. `deadline` (monotonic) ends a statement; `denied` is what was not allowed in it."""

    def __init__(self, uri: str, memory_bytes: int) -> None:
        super().__init__(uri, uri=True, timeout=0.5, isolation_level=None, cached_statements=32)
        self.deadline = float("inf")
        self.denied: tuple[int, str, str] | None = None
        self.reads: set[tuple[str, str]] | None = None  # tables, views and columns, while somebody asks
        self._parent, self._next_look = os.getppid(), 0.0
        try:
            self._harden(memory_bytes)
        except BaseException:
            self.close()
            raise

    def _harden(self, memory_bytes: int) -> None:
        for pragma in (
            "query_only=1",
            "trusted_schema=0",
            "cell_size_check=1",
            "mmap_size=0",  # a file cut short under a map kills the process
            "temp_store=2",  # sorts stay in memory, where the heap limit ends them; never in a file
            f"hard_heap_limit={memory_bytes}",  # the process's, which serves one statement at a time
        ):
            self.execute(f"PRAGMA {pragma}")
        self.execute(
            "SELECT count(*) FROM sqlite_schema"
        ).fetchone()  # reads the file: it fails here or works
        for limit, value in _LIMITS.items():
            self.setlimit(limit, value)
        if sys.version_info >= (3, 12):
            self.setconfig(_DEFENSIVE, True)
        self.create_function("base64", 1, _base64, deterministic=True)
        self.set_progress_handler(self.overdue, _OPCODES_BETWEEN_CHECKS)
        self.connect_virtual_tables()

    def connect_virtual_tables(self) -> None:
        """Connect those that may be read, and only then set the authorizer, so that no other one can.

        To connect, all of them ask it for UPDATE of the schema, and rtree for INSERT and DELETE besides. They
        are lost, and have to connect again, when the schema is read anew: another program changed it, or
        a VACUUM was refused.
        """
        self.set_authorizer(None)
        deadline = self.deadline
        self.deadline = min(deadline, time.monotonic() + _CONNECT_SECONDS)
        try:
            # A name may be a blob or no UTF-8; such a table is not connected, the others are.
            found = self.execute(
                "SELECT CAST(name AS BLOB) FROM sqlite_schema WHERE type = 'table' AND rootpage = 0"
            )
            names = [name.decode("utf-8", "replace") for (name,) in found if name]
            pragmas = (f"pragma_{name}" for name in _PRAGMAS)
            for name in (*names, *_TABLE_FUNCTIONS, *pragmas):
                with contextlib.suppress(sqlite3.Error):  # its module is not in this build: not ours to mend
                    self.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 0")  # noqa: S608 - quoted
        finally:
            self.deadline = deadline
            self.set_authorizer(self.authorize)

    def stop(self) -> None:
        """End the statement that is running at its next look at the time."""
        self.deadline = 0.0

    def overdue(self) -> bool:
        """Whether the running statement has had its time; ends this process if its parent is gone."""
        now = time.monotonic()
        if now > self._next_look:
            self._next_look = now + _SECONDS_BETWEEN_LOOKS
            if os.getppid() != self._parent:  # it was killed: nobody is left to hear the answer
                os._exit(0)
        return now > self.deadline

    def authorize(
        self,
        action: int,
        one: str | None,
        two: str | None,
        database: str | None = None,
        view: str | None = None,
    ) -> int:
        """Allow what reads, by name; remember the first refusal, and what is read if that is asked for."""
        if self.reads is not None and action == sqlite3.SQLITE_READ:
            self.reads |= {(one or "", two or ""), (view or "", "")}
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_READ | sqlite3.SQLITE_RECURSIVE:
                allowed = True
            case sqlite3.SQLITE_FUNCTION:
                allowed = (two or "").lower() in FUNCTIONS
            case sqlite3.SQLITE_PRAGMA:
                allowed = (one or "").lower() in (_PRAGMAS_PLAIN if two is None else _PRAGMAS_ABOUT)
            case _:
                allowed = False
        if not allowed and self.denied is None:
            self.denied = (action, one or "", two or "")
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
