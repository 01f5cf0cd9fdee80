"""The application that one writes first: stock FastMCP, four mounted sub-servers, 25 tools, no guards.

`naive.py` serves over STDIO, `naive.py PORT` over Streamable HTTP without sessions.
"""

import base64
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import httpx2
from deep_translator import GoogleTranslator  # type: ignore[import-untyped]  # it ships no types
from fastmcp import FastMCP

ROOT = Path(__file__).parent.parent.parent / "data"
FORECAST = "https://api.open-meteo.com/v1/forecast"

translate, weather, sql, files = (FastMCP(name) for name in ("translate", "weather", "sql", "files"))


def rows(query: str, *values: Any) -> list[dict[str, Any]]:
    with sqlite3.connect(ROOT / "world.db") as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, values)]


async def asked(**params: Any) -> Any:
    async with httpx2.AsyncClient() as client:
        return (await client.get(FORECAST, params=params)).json()


@translate.tool
async def text(text: str, target: str, source: str = "auto") -> str:
    """Translate a text."""
    return str(GoogleTranslator(source, target).translate(text))


@translate.tool
async def batch(texts: list[str], target: str, source: str = "auto") -> list[str]:
    """Translate many texts."""
    return [str(GoogleTranslator(source, target).translate(one)) for one in texts]


@translate.tool
async def detect(text: str) -> str:
    """The language of a text."""
    return "en" if text.isascii() else "und"


@translate.tool
async def languages() -> dict[str, str]:
    """Languages with their codes."""
    return dict(GoogleTranslator().get_supported_languages(as_dict=True))


@weather.tool
async def find_place(name: str, limit: int = 5) -> list[dict[str, Any]]:
    """Places of a name."""
    return rows("SELECT * FROM city WHERE name = ? LIMIT ?", name, limit)


@weather.tool
async def current(latitude: float, longitude: float) -> dict[str, Any]:
    """The weather now."""
    return dict(await asked(latitude=latitude, longitude=longitude, current="temperature_2m"))


@weather.tool
async def forecast(latitude: float, longitude: float, days: int = 7) -> dict[str, Any]:
    """The weather of the next days."""
    return dict(await asked(latitude=latitude, longitude=longitude, daily="weather_code", forecast_days=days))


@weather.tool
async def hourly(latitude: float, longitude: float) -> dict[str, Any]:
    """The weather of the next hours."""
    return dict(await asked(latitude=latitude, longitude=longitude, hourly="temperature_2m"))


@weather.tool
async def history(latitude: float, longitude: float, start: str, end: str) -> dict[str, Any]:
    """The weather of past days."""
    return dict(await asked(latitude=latitude, longitude=longitude, start_date=start, end_date=end))


@weather.tool
async def alerts(area: str) -> dict[str, Any]:
    """Alerts of a US state."""
    return dict(await asked(area=area))


@weather.tool
async def air_quality(latitude: float, longitude: float) -> dict[str, Any]:
    """The air now."""
    return dict(await asked(latitude=latitude, longitude=longitude, current="us_aqi"))


@sql.tool
async def list_tables() -> list[str]:
    """The tables."""
    return [str(row["name"]) for row in rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]


@sql.tool
async def describe_table(table: str) -> list[dict[str, Any]]:
    """The columns of a table."""
    return rows("SELECT * FROM pragma_table_info(?)", table)


@sql.tool
async def query(sql: str) -> list[dict[str, Any]]:
    """The rows of a query."""
    return rows(sql)


@sql.tool
async def explain(sql: str) -> list[dict[str, Any]]:
    """The plan of a query."""
    return rows(f"EXPLAIN QUERY PLAN {sql}")


@sql.tool
async def count(table: str) -> int:
    """How many rows a table has."""
    return int(rows(f'SELECT count(*) AS n FROM "{table}"')[0]["n"])


@files.tool(name="list")
async def entries(path: str = ".") -> list[dict[str, Any]]:
    """The entries of a directory."""
    return [{"name": one.name, "size": one.stat().st_size} for one in (ROOT / "files" / path).iterdir()]


@files.tool
async def read(path: str) -> str:
    """The text of a file."""
    return (ROOT / "files" / path).read_text()


@files.tool
async def read_json(path: str) -> Any:
    """The value in a JSON file."""
    return json.loads((ROOT / "files" / path).read_text())


@files.tool
async def read_media(path: str) -> str:
    """The bytes of a file."""
    return base64.b64encode((ROOT / "files" / path).read_bytes()).decode()


@files.tool
async def find(pattern: str) -> list[str]:
    """Paths that match a glob."""
    return [str(one) for one in (ROOT / "files").rglob(pattern)]


@files.tool
async def search(text: str) -> list[str]:
    """Files that hold a text."""
    return [str(one) for one in (ROOT / "files").rglob("*.md") if text in one.read_text()]


@files.tool
async def info(path: str) -> dict[str, Any]:
    """Facts about a file."""
    status = (ROOT / "files" / path).stat()
    return {"size": status.st_size, "modified": status.st_mtime}


@files.tool
async def write(path: str, text: str) -> int:
    """Write a file."""
    return (ROOT / "files" / path).write_text(text)


@files.tool
async def same(text: str) -> str:
    """The text."""
    return text


server = FastMCP("naive")
for part in (translate, weather, sql, files):
    server.mount(part, namespace=part.name)

if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("http", port=int(sys.argv[1]), stateless_http=True, show_banner=False)
    else:
        server.run(show_banner=False)
