"""The databases of this server, each in its own pool of child processes: ask one, or ask what it holds."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from backends import Health
from backends.sql import catalogue
from backends.sql.plan import in_words, why_slow
from backends.sql.pool import Params, Pool, Way
from backends.sql.refusals import nothing_to_run, refusal
from backends.sql.results import (
    REPLACED,
    Exported,
    ExportFormat,
    Plan,
    Rows,
    TableDetail,
    TableDocument,
    Tables,
    page_of,
)
from backends.sql.worker import Write
from config import SqlSettings
from errors import Refusal, TooMuch, Unavailable, Unknown, did_you_mean, quote

OLDEST_SQLITE = (3, 37, 0)  # pragma_table_list and STRICT tables
REPORT_SECONDS = 1.0
LATE_PLAN_SECONDS = 0.5  # to say why a statement took too long; a plan takes milliseconds
MOST_STEPS, MOST_PLAN_BYTES = 10_000, 8_000_000  # of a plan, which is no page of rows
_64_BITS = 2**63

Report = Callable[[float, float], Awaitable[None]]


class Databases:
    """Read-only SQL over the configured databases; the first of them is the default one."""

    def __init__(self, settings: SqlSettings) -> None:
        self._settings = settings
        self._pools: dict[str, Pool] = {}
        self._exporting: set[str] = set()

    async def __aenter__(self) -> Self:
        paths = self._settings.databases
        self._pools = {
            name: Pool(name, path, self._settings, [other for other in paths if other != name])
            for name, path in paths.items()
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        pools, self._pools = self._pools, {}
        await asyncio.gather(*(pool.close() for pool in pools.values()))

    @property
    def max_rows(self) -> int:
        return self._settings.max_rows

    @property
    def default(self) -> str:
        """The name of the database that is asked when none is named."""
        return next(iter(self._settings.databases))

    async def query(
        self,
        sql: str,
        params: Params | None = None,
        limit: int = 100,
        offset: int = 0,
        database: str | None = None,
        report: Report | None = None,
    ) -> Rows:
        """One page of a statement's rows.

        Args:
            sql: One statement that reads.
            params: Values for ?1 in order, or for :name by name.
            limit: Most rows of this page.
            offset: Rows before this page.
            database: Its name; the default one if None.
            report: Told the seconds gone and the seconds there are, once a second.

        Raises:
            Refusal: The statement is refused, wrong, too much, or its database is not to be had.
        """
        if limit > self.max_rows:
            raise TooMuch(f"limit is at most {self.max_rows} rows; ask for the next ones with offset.")
        pool = self._pool(database)
        reply = await self._ask(pool, sql, _checked(params), limit, offset, report)
        return page_of(reply, offset, self._settings.max_bytes)

    async def export(
        self,
        sql: str,
        params: Params | None,
        form: ExportFormat,
        write: Write,
        database: str | None = None,
    ) -> Exported:
        """All rows of a statement as text, in pieces as they come.

        Args:
            sql: One statement that reads.
            params: Values for ?1 in order, or for :name by name.
            form: csv (RFC 4180 with a header, NULL as nothing) or jsonl (an object a line). Integers keep all
                digits, blobs are base64.
            write: Takes each piece and the number of rows so far; the next piece waits for it.
            database: Its name; the default one if None.

        Raises:
            Refusal: As for a query; what was written by then is not whole.
        """
        pool = self._pool(database)
        if pool.name in self._exporting:  # it may take minutes: the other connections are for queries
            raise TooMuch(
                f"An export of the database {quote(pool.name)} runs already; try again when it is done."
            )
        self._exporting.add(pool.name)
        try:
            reply = await self._ask(pool, sql, _checked(params), way=form, write=write)
        finally:
            self._exporting.discard(pool.name)
        return Exported(
            columns=tuple(reply["columns"]),
            row_count=reply["count"],
            elapsed_ms=round(reply["seconds"] * 1000, 2),
            notices=(REPLACED,) if reply["replaced"] else (),
        )

    async def list_tables(self, database: str | None = None) -> Tables:
        """Tables and views, with their number of columns and rows.

        Raises:
            Unknown: There is no such database.
            Unavailable: It cannot be read now.
            TooMuch: As many statements as may run at once have been running all the time.
        """
        pool = self._pool(database)
        others = tuple(name for name in self._pools if name != pool.name)
        entries, notices = await catalogue.tables(pool)
        return Tables(database=pool.name, tables=tuple(entries), other_databases=others, notices=notices)

    async def describe_table(self, table: str, database: str | None = None) -> TableDetail:
        """A table's columns, keys, indexes and references, and three of its rows.

        Raises:
            Unknown: There is no such table or database.
            Unavailable: It cannot be read now.
            TooMuch: As for list_tables.
        """
        return await catalogue.describe(self._pool(database), table)

    async def document_table(self, table: str, database: str | None = None) -> TableDocument:
        """The same with the statement that made it, in which its author's comments stand.

        Raises:
            Unknown: There is no such table or database.
            Unavailable: It cannot be read now.
            TooMuch: As for list_tables.
        """
        return await catalogue.document(self._pool(database), table)

    async def schema(self, database: str | None = None) -> str:
        """All tables and views of a database as SQL, with their number of rows.

        Raises:
            Unknown: There is no such database.
            Unavailable: It cannot be read now.
            TooMuch: As for list_tables.
        """
        return await catalogue.schema(self._pool(database))

    async def explain(self, sql: str, params: Params | None = None, database: str | None = None) -> Plan:
        """How the statement would run; it is not run.

        Raises:
            Refusal: As for a query.
        """
        reply = await self._ask(self._pool(database), sql, _checked(params), MOST_STEPS, way="explain")
        if reply["cut"]:
            raise TooMuch("The plan of this is too long to tell. Explain parts of it.")
        return in_words(reply, sql)

    async def health(self, probe: bool = False) -> Health:
        """Each database by name; `probe` opens and asks it."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            return Health(
                state="unavailable",
                summary=f"SQLite {sqlite3.sqlite_version} is too old.",
                mend="Run on a Python with SQLite 3.37 or newer.",
            )
        providers = await asyncio.gather(*(pool.provider(probe) for pool in self._pools.values()))
        wrong = [provider for provider in providers if provider.state in ("failing", "missing")]
        noted = [provider for provider in providers if provider not in wrong and provider.note]
        if not wrong:
            told = "".join(f" {quote(p.name)}: {p.note}." for p in noted)
            return Health(state="ready", summary=self._modes() + told, providers=tuple(providers))
        return Health(
            state="degraded" if len(wrong) < len(providers) else "unavailable",
            summary=" ".join(f"The database {quote(p.name)} {p.note}." for p in wrong),
            mend="Correct the SQL databases setting or the files it names.",
            providers=tuple(providers),
        )

    def _modes(self) -> str:
        return "; ".join(f"{name}: {pool.mode}" for name, pool in self._pools.items()) + "."

    def completers(self) -> dict[str, Callable[[str, Mapping[str, str]], Awaitable[list[str]]]]:
        return {"database": self._complete_database, "table": self._complete_table}

    async def _complete_database(self, typed: str, given: Mapping[str, str]) -> list[str]:
        return [name for name in self._pools if name.casefold().startswith(typed.casefold())]

    async def _complete_table(self, typed: str, given: Mapping[str, str]) -> list[str]:
        try:
            known = await catalogue.names(self._pool(given.get("database")))
        except (Unknown, Unavailable):
            return []
        return [name for name in known if name.casefold().startswith(typed.casefold())]

    def _pool(self, database: str | None) -> Pool:
        if not database:
            return self._pools[self.default]
        if database not in self._pools:
            raise Unknown(
                f"There is no database {quote(database)}.{did_you_mean(database, self._pools)} "
                f"There are: {', '.join(map(quote, self._pools))}."
            )
        return self._pools[database]

    async def _ask(
        self,
        pool: Pool,
        sql: str,
        params: Params,
        limit: int = 0,
        offset: int = 0,
        report: Report | None = None,
        way: Way = "page",
        write: Write | None = None,
    ) -> dict[str, Any]:
        most_bytes = MOST_PLAN_BYTES if way == "explain" else 0
        seconds = self._settings.timeout if write is None else self._settings.export_timeout
        sql = sql.rstrip("; \t\r\n")  # the driver takes a second semicolon for a second statement
        asking = pool.ask(sql, params, limit, offset, seconds, most_bytes, way, write)
        reply = await (_reported(asking, report, self._settings.timeout) if report else asking)
        if "failed" in reply:
            known = await catalogue.names(pool) if reply["message"].startswith("no such") else {}
            late = reply["late"] and not reply["denied"] and way != "explain"
            plan = await self._plan_of_the_late(pool, sql, params) if late else ""
            raise refusal(reply, sql, seconds, known, plan)
        if reply["columns"] is None:
            raise nothing_to_run()
        return reply

    async def _plan_of_the_late(self, pool: Pool, sql: str, params: Params) -> str:
        """What took the time, if that can be told quickly."""
        try:
            reply = await pool.ask(sql, params, MOST_STEPS, 0, LATE_PLAN_SECONDS, MOST_PLAN_BYTES, "explain")
        except Refusal:
            return ""
        return "" if "failed" in reply or reply["columns"] is None else why_slow(in_words(reply, sql))


def _checked(params: Params | None) -> Params:
    """Values SQLite can bind, as plain types.

    Raises:
        Unknown: One of them is a list or an object, or an integer over 64 bits.
    """
    if params is None:
        return ()
    named = params.items() if isinstance(params, Mapping) else enumerate(params, 1)
    for key, value in named:
        name = quote(key) if isinstance(key, str) else key
        if not isinstance(value, str | int | float | None):
            raise Unknown(
                f"Parameter {name} is a list or an object; SQL takes text, numbers, true, false and null."
            )
        if isinstance(value, int) and not -_64_BITS <= value < _64_BITS:
            raise Unknown(f"Parameter {name} is an integer of more than 64 bits; pass it as text.")
    return dict(params) if isinstance(params, Mapping) else list(params)


async def _reported(asking: Any, report: Report, seconds: float) -> Any:
    task = asyncio.ensure_future(asking)
    gone = 0.0
    try:
        while not (await asyncio.wait({task}, timeout=REPORT_SECONDS))[0]:
            gone += REPORT_SECONDS
            await report(gone, seconds)
        return task.result()
    finally:
        task.cancel()
