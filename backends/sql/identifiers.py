"""Names in double quotes, which SQLite reads as text where it does not know them.

The setting against that (SQLITE_DBCONFIG_DQS_DML) came to Python in 3.12. In backticks a name is never read
as text, so the statement is also prepared that way, for SQLite itself to say whether every name is one.
"""

import re
import sqlite3
from typing import Any

_TOKEN = re.compile(
    r"""'[^']*(?:''[^']*)*'? | \[[^\]]*\]? | `[^`]*(?:``[^`]*)*`? | --[^\n]* | /\*.*?(?:\*/|\Z)
    | "([^"]*(?:""[^"]*)*)" """,
    re.DOTALL | re.VERBOSE,
)


def check(connection: sqlite3.Connection, sql: str, params: Any) -> None:
    """Prepare the statement without running it, its names in backticks.

    Raises:
        sqlite3.OperationalError: There is no such column. Every other error is left to the statement itself.
    """
    before = "" if sql.lstrip()[:7].upper() == "EXPLAIN" else "EXPLAIN "
    try:
        connection.execute(before + _TOKEN.sub(_in_backticks, sql), params).close()
    except (sqlite3.Error, sqlite3.Warning) as error:
        if str(error).startswith("no such column"):
            raise


def _in_backticks(token: re.Match[str]) -> str:
    name: str | None = token[1]
    return token[0] if name is None else "`" + name.replace('""', '"').replace("`", "``") + "`"
