"""Every line of hostile/sql.txt against a real file: refused or harmless, and nothing is left of it."""

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backends.sql import Databases
from config import SqlSettings
from errors import Refusal
from tests.processes import memory

TABLE = Path(__file__).parents[1] / "hostile" / "sql.txt"
TIMEOUT = 0.2
MOST_GROWTH = 32_000_000
MOST_WAIT = 0.1
STILL_THERE = "SELECT (SELECT count(*) FROM story('dog')), (SELECT count(*) FROM box), count(*) FROM city"


def doubling(step: str, levels: int = 40) -> str:
    """A few hundred characters that prepare to 2^levels selects."""
    ctes = ", ".join(f"c{n}(x) AS ({step.format(before=f'c{n - 1}')})" for n in range(1, levels))
    return f"WITH c0(x) AS (SELECT 1), {ctes} SELECT count(*) FROM c{levels - 1}"


GENERATED = {
    "{newline}": "\n",
    "{bomb}": doubling("SELECT a.x FROM {before} a, {before} b"),
    "{union_bomb}": doubling("SELECT x FROM {before} UNION ALL SELECT x FROM {before}"),
    "{scalar_bomb}": doubling("SELECT (SELECT x FROM {before}) + (SELECT x FROM {before})"),
    "{instrs}": ", ".join(f"instr(a || {n}, substr(a, 1, 120000) || 'b')" for n in range(200)),
    "{deep}": "-" * 5_000 + "1",
    "{parens}": "(" * 5_000 + "1" + ")" * 5_000,
    "{compound}": " UNION ALL ".join(["SELECT 1"] * 3_000),
    "{columns}": ", ".join(["1"] * 3_000),
    "{long}": "a" * 200_000,
    "{joins}": ", ".join(f"city c{n}" for n in range(100)),
    "{copies}": ", ".join(["b"] * 1_500),
    "{blobs}": ", ".join(["randomblob(15000000)"] * 1_500),
    "{chars}": ", ".join(["1114111"] * 120),
    "{nul}": "SELECT 1\0; DROP TABLE city",
    "{surrogate}": "SELECT '\ud800'",
}
ATTEMPTS = [
    line.split("\t", 1) for line in TABLE.read_text().splitlines() if line and not line.startswith("#")
]


def build(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript("""
            CREATE TABLE country (code TEXT PRIMARY KEY, name TEXT);
            CREATE TABLE city (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, country TEXT, population INT);
            CREATE INDEX city_by_name ON city(name);
            CREATE VIEW big_city AS SELECT id, name FROM city WHERE population > 1000000;
            CREATE TABLE wide (id INTEGER PRIMARY KEY, note TEXT);
            CREATE VIRTUAL TABLE story USING fts5(title, body);
            CREATE VIRTUAL TABLE box USING rtree(id, low, high);
            INSERT INTO country VALUES ('PE', 'Peru'), ('FR', 'France');
            INSERT INTO story VALUES ('one', 'a fox and a dog'), ('two', 'a dog');
            INSERT INTO box VALUES (1, 2, 3);
        """)
        cities = [(f"City {n}", "PE" if n % 2 else "FR", n * 1000) for n in range(2_000)]
        connection.executemany("INSERT INTO city(name, country, population) VALUES (?, ?, ?)", cities)
        connection.executemany("INSERT INTO wide(note) VALUES (?)", [(f"note {n}",) for n in range(2_000)])
    connection.close()


def seen(place: Path) -> dict[str, str]:
    """Every file in a directory with its hash, so that a new or changed one shows."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in place.rglob("*")}


async def answered_meanwhile(databases: Databases, attempt: asyncio.Task[Any]) -> None:
    """See that a second caller does not wait for the attempt; a busy machine may slow one answer, not all."""
    await asyncio.sleep(0)
    while True:
        asked = time.monotonic()
        await databases.query("SELECT 1")
        took = time.monotonic() - asked
        if took < MOST_WAIT:
            return
        assert not attempt.done(), f"a second caller waited {took:.3f} s"


async def grown(size: int) -> int:
    """By how much memory has grown, once a child that was just killed has had time to go."""
    for _ in range(50):
        if memory() - size < MOST_GROWTH:
            break
        await asyncio.sleep(0.01)
    return memory() - size


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Databases, Path]]:
    path = tmp_path_factory.mktemp("hostile") / "real.db"
    build(path)
    settings = SqlSettings.model_validate({"databases": {"real": path}, "timeout": TIMEOUT})
    async with Databases(settings) as databases:
        await databases.query("SELECT 1")
        yield databases, path


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("expected", "sql"), ATTEMPTS, ids=[f"{kind}-{sql:.60}" for kind, sql in ATTEMPTS])
async def test_an_attempt_is_refused_in_words_and_leaves_nothing_behind(
    served: tuple[Databases, Path], expected: str, sql: str
) -> None:
    databases, path = served
    for mark, text in {**GENERATED, "{dir}": str(path.parent), "{db}": str(path)}.items():
        sql = sql.replace(mark, text)
    places = [path.parent, Path.cwd() / "data" / "sql"]
    before, here, size = [*map(seen, places)], set(Path.cwd().iterdir()), memory()

    await asyncio.gather(*(databases.query("SELECT 1") for _ in range(2)))  # a child for each caller
    attempt = asyncio.create_task(databases.query(sql, limit=100))
    await answered_meanwhile(databases, attempt)
    try:
        rows = await attempt
        outcome, text = "Rows", rows.json_text()
        assert len(text) < 2_000_000
    except Refusal as refusal:
        outcome, text = type(refusal).__name__, str(refusal)
        assert str(path.parent) not in text.replace(sql[:60], "")
        assert "sqlite3" not in text
        assert len(text) < 500

    assert outcome in expected.split(","), text
    assert [*map(seen, places)] == before
    assert set(Path.cwd().iterdir()) == here
    assert await grown(size) < MOST_GROWTH
    assert (await databases.query(STILL_THERE)).rows == [(2, 1, 2_000)]


def test_the_table_holds_every_family_in_strength() -> None:
    families = [family.splitlines() for family in TABLE.read_text().split("\n\n# ")[1:]]
    assert len(families) >= 12
    for name, *attempts in families:
        assert len(attempts) >= 8, name
    assert sum(len(family) - 1 for family in families) == len(ATTEMPTS) >= 150
