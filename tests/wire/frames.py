"""Messages that no client should send, the same ones for the same seed."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "fuzz", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
METHODS = (
    "initialize", "ping", "server/discover", "tools/list", "tools/call", "resources/list", "resources/read",
    "resources/templates/list", "resources/subscribe", "prompts/list", "prompts/get", "completion/complete",
    "logging/setLevel", "subscriptions/listen", "notifications/initialized", "notifications/cancelled",
    "notifications/progress", "notifications/roots/list_changed", "sampling/createMessage", "roots/list",
    "elicitation/create", "tasks/get", "", "tools/call\u0000", "__proto__", "a" * 5_000, "../../etc", "💥",
)  # fmt: skip
VERSIONS = (
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
    "2026-07-28",
    "1999-01-01",
    "",
    "x",
    7,
    None,
)
TOOLS = (
    "sql_query",
    "sql_describe_table",
    "files_read",
    "files_find",
    "files_search",
    "status",
    "nothing",
    "",
)
NAMES = (
    "sql",
    "path",
    "text",
    "pattern",
    "limit",
    "table",
    "uri",
    "name",
    "arguments",
    "ref",
    "argument",
    "level",
)


def value(chance: random.Random, depth: int = 3) -> Any:
    """Any JSON there may be, the worst of it most."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.choice([True, False]),
        lambda: chance.choice([0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**30, 1e308, -0.0, 1.5]),
        lambda: chance.choice(
            ["", " ", "\u0000", "\ud800", "\u202e", "é" * 50, "%s%n", "{{7*7}}", "' OR 1=1--"]
        ),
        lambda: chance.choice(
            ["../../../etc/passwd", "almanac://status", "almanac://files/%2e%2e/x", "file:///"]
        ),
        lambda: "x" * chance.choice([10, 1_000, 50_000]),
        lambda: chance.choice(TOOLS),
    ]
    if depth:
        kinds += [
            lambda: [value(chance, depth - 1) for _ in range(chance.randrange(4))],
            lambda: {chance.choice(NAMES): value(chance, depth - 1) for _ in range(chance.randrange(4))},
        ]
    return chance.choice(kinds)()


def message(chance: random.Random) -> dict[str, Any]:
    """A request that is nearly one. It cancels none of the well-formed, whose numbers are above a million."""
    made: dict[str, Any] = {
        "jsonrpc": chance.choice(["2.0", "2.0", "2.0", "2.0", "1.0", 2, None]),
        "id": chance.choice([1, 2, "a", "", None, 1.5, [], {}, True, -1, 2**70, "x" * 2_000]),
        "method": chance.choice(METHODS),
        "params": {"protocolVersion": chance.choice(VERSIONS), "name": chance.choice(TOOLS)},
    }
    if chance.random() < 0.6:
        made["params"]["arguments"] = value(chance)
        made["params"]["uri"] = value(chance, 1)
        made["params"]["ref"] = {
            "type": chance.choice(["ref/prompt", "ref/resource", "x"]),
            "name": value(chance, 1),
        }
        made["params"]["argument"] = {"name": value(chance, 1), "value": value(chance, 1)}
        made["params"]["requestId"] = chance.choice([1, "a", None])
    if chance.random() < 0.4:
        made["params"]["_meta"] = {**MODERN, chance.choice(list(MODERN)): value(chance, 2)}
    if chance.random() < 0.2:
        made["params"] = value(chance)
    for name in chance.sample(list(made), chance.choice([0, 0, 0, 1, 2])):
        del made[name]
    if chance.random() < 0.1:
        made[chance.choice(["result", "error", "extra"])] = value(chance, 2)
    return made


def bomb(chance: random.Random) -> bytes:
    """JSON that is small and costs much, or seems to."""
    deep, wide = chance.choice([50, 500, 5_000, 100_000]), chance.choice([1_000, 20_000])
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"status","arguments":'
    return chance.choice(
        [
            b"[" * deep,
            b"[" * deep + b"]" * deep,
            b'{"a":' * deep + b"1" + b"}" * deep,
            call + b'{"a":' * deep + b"1" + b"}" * deep + b"}}",
            call + b"[" * deep + b"]" * deep + b"}}",
            call + b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(wide)) + b"}}}",
            call + b"{" + b",".join([b'"same":1'] * wide) + b"}}}",
            b'{"jsonrpc":"2.0","id":' + b"9" * wide + b',"method":"ping"}',
            b'{"jsonrpc":"2.0","id":1e99999,"method":"ping"}',
            b'{"jsonrpc":"2.0","id":1,"method":"' + b"\\u0041" * wide + b'"}',
            b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
            b"[" + b",".join([b'{"jsonrpc":"2.0","id":1,"method":"ping"}'] * 200) + b"]",
        ]
    )


def spoiled(chance: random.Random, good: bytes) -> bytes:
    """A message with some bytes changed, lost or doubled."""
    found = bytearray(good)
    for _ in range(chance.randrange(1, 6)):
        where = chance.randrange(len(found) + 1)
        match chance.randrange(4):
            case 0 if where < len(found):
                found[where] = chance.randrange(256)
            case 1:
                del found[where:]
            case 2:
                found[where:where] = found[: chance.randrange(40)]
            case _:
                found[where:where] = chance.randbytes(chance.randrange(8))
    return bytes(found)


def frames(seed: int, how_many: int) -> Iterator[bytes]:
    """So many messages."""
    chance = random.Random(seed)
    for _ in range(how_many):
        made = json.dumps(message(chance)).encode("utf-8", "surrogatepass")
        kind = chance.random()
        if kind < 0.04:
            yield bomb(chance)
        elif kind < 0.35:
            yield spoiled(chance, made)
        elif kind < 0.4:
            yield chance.randbytes(chance.choice([0, 1, 10, 1_000]))
        else:
            yield made
