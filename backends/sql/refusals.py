"""What went wrong in the child, in words that teach: the refused action, the nearest name, where it broke."""

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from backends.sql.connection import CELL_BYTES, FUNCTIONS, SQL_BYTES
from errors import Forbidden, Refusal, TooMuch, Unknown, did_you_mean, quote

LONGEST_MESSAGE = 200
_FIRST_WORD = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$))*(\w*)", re.DOTALL)
_VERBS = {
    sqlite3.SQLITE_ATTACH: "ATTACH",  # VACUUM comes as one too
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_INSERT: "INSERT",
    sqlite3.SQLITE_UPDATE: "UPDATE",
    sqlite3.SQLITE_DELETE: "DELETE",
    sqlite3.SQLITE_ANALYZE: "ANALYZE",
    sqlite3.SQLITE_REINDEX: "REINDEX",
    sqlite3.SQLITE_ALTER_TABLE: "ALTER TABLE",
    sqlite3.SQLITE_TRANSACTION: "A transaction",
    sqlite3.SQLITE_SAVEPOINT: "A savepoint",
}
_CHANGES_SCHEMA = {"create", "drop", "alter", "vacuum", "replace", "reindex", "analyze"}
_MISSING = re.compile(r"Incorrect number of bindings supplied.* uses (\d+), and there are (\d+)")
_MISSING_NAME = re.compile(r"You did not supply a value for binding (?:parameter )?:?(\S+?)\.?$")
_NOT_CONNECTED = "vtable constructor failed: "
_READS = "Read with SELECT, WITH, VALUES or EXPLAIN."


def refusal(
    failed: Mapping[str, Any], sql: str, seconds: float, names: Mapping[str, list[str]], plan: str = ""
) -> Refusal:
    """The refusal for a child's failed reply.

    Args:
        failed: The reply: `failed`, `code`, `message`, `denied` and `late`.
        sql: The statement, to point into; it decides nothing.
        seconds: The time it had.
        names: Columns by table, for the nearest ones.
        plan: What took the time of a statement that took too long, if that is known.
    """
    message, code = _one_line(failed["message"]), failed["code"] & 0xFF
    if failed["denied"]:
        action, one, two = failed["denied"]
        if (action, one) == (sqlite3.SQLITE_UPDATE, "sqlite_master"):  # a virtual table wanted to connect
            called = message.startswith(_NOT_CONNECTED)
            name = quote(message.removeprefix(_NOT_CONNECTED)) if called else "A table of the engine's own"
            return Forbidden(f"{name} may not be read. sql_list_tables shows the tables.")
        return Forbidden(_denied(action, one, two, sql))
    if failed["late"] or code == sqlite3.SQLITE_INTERRUPT:
        return TooMuch(
            f"Stopped after {seconds:g} s. {plan}{' ' if plan else ''}Ask for less: a narrower WHERE, fewer "
            "joins, an end to recursion; sql_explain shows the whole plan."
        )
    if failed["failed"] == "MemoryError" or code == sqlite3.SQLITE_NOMEM:
        return TooMuch(
            "This needs more memory than one query may use. Sort, group or join fewer rows, "
            "or select fewer and smaller columns."
        )
    if code == sqlite3.SQLITE_TOOBIG or message in ("string or blob too big", "query string is too large"):
        return TooMuch(
            f"Too large: a value may have {CELL_BYTES:,} bytes, and a statement {SQL_BYTES:,}; "
            "pass long values in params."
        )
    if code == sqlite3.SQLITE_READONLY:
        return Forbidden(f"{_verb(sql) or 'This'} is not allowed: this database is read-only. {_READS}")
    return _about_the_sql(message, sql, names)


def nothing_to_run() -> Refusal:
    return Unknown(f"The SQL holds no statement that returns rows. {_READS}")


def _functions() -> set[str]:
    """Those that may be called and that this build of SQLite has."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM pragma_function_list")} & FUNCTIONS


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= LONGEST_MESSAGE else line[:LONGEST_MESSAGE] + "…"


def _verb(sql: str) -> str:
    word = _FIRST_WORD.match(sql)
    return word[1].upper() if word else ""


def _denied(action: int, one: str, two: str, sql: str) -> str:
    first = _verb(sql)
    match action:
        case sqlite3.SQLITE_FUNCTION:
            return f"The function {_one_line(two)}() is not allowed; SQLite's other functions are."
        case sqlite3.SQLITE_PRAGMA:
            return (
                f"PRAGMA {_one_line(one)}{' with a value' if two else ''} is not allowed: this database is "
                "read-only. sql_describe_table shows a table's columns, keys and indexes."
            )
    name = first if first.lower() in _CHANGES_SCHEMA else _VERBS.get(action, first or "This")
    return f"{name} is not allowed: this database is read-only. {_READS}"


def _about_the_sql(message: str, sql: str, names: Mapping[str, list[str]]) -> Refusal:
    if message.startswith("You can only execute one statement"):
        return Forbidden("One statement a call: the SQL holds more than one. Send each on its own.")
    if "null character" in message or "surrogates not allowed" in message:
        return Unknown("The SQL holds U+0000 or half of a surrogate pair, which SQL text cannot.")
    if message == "user-defined function raised exception":
        return Unknown("base64() takes a blob: write base64(CAST(value AS BLOB)).")
    if "codec can't decode" in message:
        return Unknown("The name of a column is not UTF-8: name the columns, and that one with AS.")
    if missing := _MISSING.match(message):
        return Unknown(f"The SQL has {missing[1]} places for values, and params holds {missing[2]}.")
    if missing := _MISSING_NAME.match(message):
        return Unknown(f"params holds no value for the SQL's :{missing[1]}.")
    what, _, name = message.partition(":")
    name = name.strip()
    match what:
        case "no such table":
            near = did_you_mean(name.removeprefix("main."), names)
            return Unknown(f"There is no table {quote(name)}.{near} sql_list_tables shows the tables.")
        case "no such column":
            used = [columns for table, columns in names.items() if table.casefold() in sql.casefold()]
            known = did_you_mean(name.rpartition(".")[2], (column for columns in used for column in columns))
            text = " Text is written in single quotes." if f'"{name}"' in sql else ""
            return Unknown(
                f"There is no column {quote(name)}.{known}{text} sql_describe_table shows a table's columns."
            )
        case "no such function":
            return Unknown(f"There is no function {quote(name)}.{did_you_mean(name, _functions())}")
    if message == "incomplete input":
        return Unknown("The SQL ends too early: SQLite expects more.")
    if broken := re.fullmatch(r'near "(.*)": syntax error', message):
        token = broken[1]
        if token.upper() == "EXPLAIN":
            return Unknown("Send sql_explain the statement itself, without EXPLAIN.")
        where = f" (character {sql.index(token) + 1})" if sql.count(token) == 1 else ""
        return Unknown(f"Syntax error near {quote(token)}{where}.")
    return Unknown(f"SQLite cannot run this: {message}.")
