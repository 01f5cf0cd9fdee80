"""A real database for the tests of SQL, and statements that take as long as they are let."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from backends.sql import Databases
from config import SqlSettings

ROOT = Path(__file__).parents[1]
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
# One opcode of about a minute: neither a progress handler nor an interrupt stops it.
STUCK = (
    "SELECT length(trim(a, b || 'a')) FROM (SELECT replace(hex(zeroblob(500000)), '0', 'a') a, "
    "replace(hex(zeroblob(100000)), '0', 'b') b)"
)
Open = Callable[..., AbstractAsyncContextManager[Databases]]


def make(path: Path, script: str = "") -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE TABLE country (code TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
            CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x',
                               country_code TEXT REFERENCES country, population INTEGER);
            CREATE INDEX city_by_population ON city(population DESC);
            CREATE VIEW big_city AS SELECT name FROM city WHERE population > 9;
            INSERT INTO country VALUES ('PE', 'Peru'), ('FR', 'France');
            INSERT INTO city VALUES (1, 'Lima', 'PE', 10), (2, 'Cusco', 'PE', 4), (3, 'Paris', 'FR', 11);
            """
            + script
        )
    return path


def serving(place: Path) -> Open:
    """A factory: `async with opened("CREATE TABLE ...", timeout=1) as databases` serves one made database."""

    @asynccontextmanager
    async def enter(
        script: str = "", others: dict[str, Path] | None = None, **over: Any
    ) -> AsyncIterator[Databases]:
        path = make(place / "main.db", script)
        settings = SqlSettings.model_validate({"databases": {"main": path, **(others or {})}, **over})
        async with Databases(settings) as databases:
            yield databases

    return enter
