"""Whether a replica is ready: told to everybody; which domain is not, to an admin alone."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auth.tokens import mint
from backends import Health, Provider
from config import Scope
from metrics import Metrics
from tests.web.served import Served
from web.probes import Readiness, is_usable

Serve = Callable[..., Served]
MISSING = {"servers": ["files", "sql"], "sql": {"databases": {"sales": Path("/nowhere/sales.db")}}}


def with_tokens(*scopes: Scope) -> tuple[str, dict[str, Any]]:
    token, entry = mint("ann", scopes)
    return token, {"mode": "tokens", "tokens": (entry,)}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_server_whose_domains_are_open_is_ready(served: Serve, method: str) -> None:
    status, headers, body = served().ask(method, "/ready")
    assert (status, body) == (200, b'{"status":"ready"}' if method == "GET" else b"")
    assert headers["cache-control"] == "no-store"


def test_a_domain_that_cannot_be_used_makes_it_unready_and_health_stays(served: Serve) -> None:
    server = served(**MISSING)
    assert server.ask("GET", "/ready")[::2] == (503, b'{"status":"not ready"}')
    assert server.ask("HEAD", "/ready")[0] == 503
    assert server.ask("GET", "/health")[0] == 200


def test_a_probe_may_ask_by_any_name(served: Serve) -> None:
    assert served().ask("GET", "/ready", Host="10.1.2.3:8000")[0] == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_it_is_only_asked(served: Serve, method: str) -> None:
    assert served().ask(method, "/ready", b"")[0] == 405


def test_which_domain_is_not_ready_is_told_to_an_admin_alone(served: Serve) -> None:
    token, auth = with_tokens("admin")
    server = served(**MISSING, auth=auth)
    assert server.ask("GET", "/ready")[2] == server.ask("GET", "/ready", token="wrong")[2]
    assert server.ask("GET", "/ready")[::2] == (503, b'{"status":"not ready"}')
    status, _, body = server.ask("GET", "/ready", token=token)
    told = json.loads(body)
    assert (status, told["status"]) == (503, "not ready")
    assert told["domains"]["sql"]["state"] == "unavailable"
    assert told["domains"]["files"]["state"] != "unavailable"
    assert "/nowhere" not in body.decode()


@pytest.mark.parametrize("scopes", [("read",), ("read", "write")])
def test_a_token_without_admin_is_told_no_more_than_nobody(served: Serve, scopes: tuple[Scope, ...]) -> None:
    token, auth = with_tokens(*scopes)
    server = served(**MISSING, auth=auth)
    assert server.ask("GET", "/ready", token=token)[::2] == (503, b'{"status":"not ready"}')


class Asked:
    """A domain that counts how often it is asked."""

    def __init__(self, health: Health | Exception, takes_s: float = 0) -> None:
        self.health_of_it, self.takes_s, self.times = health, takes_s, 0

    async def health(self) -> Health:
        self.times += 1
        await asyncio.sleep(self.takes_s)
        if isinstance(self.health_of_it, Exception):
            raise self.health_of_it
        return self.health_of_it


WELL = Health(state="ready", summary="well.")


async def test_a_hundred_who_ask_at_once_or_within_a_second_make_one_question() -> None:
    now = 0.0
    domain = Asked(WELL, 0.02)
    readiness = Readiness({"sql": domain}, lambda: now)
    await asyncio.gather(*(readiness.domains() for _ in range(100)))
    now = 0.99
    await readiness.domains()
    assert domain.times == 1
    now = 1.0
    assert (await readiness.domains())["sql"] == WELL
    assert domain.times == 2


async def test_a_scrape_asks_with_them() -> None:
    domain = Asked(WELL)
    readiness = Readiness({"sql": domain})
    counted = Metrics("0")
    counted.observe({"sql": domain}, readiness.domains, {}, {})
    assert b'almanac_domain_state{domain="sql",state="ready"} 1.0' in (await counted.text())[0]
    await readiness.domains()
    assert domain.times == 1


async def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    readiness = Readiness({"sql": Asked(WELL, 0.05)})
    first = asyncio.create_task(readiness.domains())
    await asyncio.sleep(0)
    other = asyncio.create_task(readiness.domains())
    await asyncio.sleep(0)
    first.cancel()
    assert (await other)["sql"] == WELL


async def test_a_domain_that_hangs_or_fails_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.probes.PATIENCE_S", 0.02)
    given = {"files": Asked(WELL, 5), "sql": Asked(OSError("no disk"))}
    found = await Readiness(given).domains()
    assert found == {"files": None, "sql": None}
    assert not is_usable("files", None)


@pytest.mark.parametrize(
    ("domain", "state", "provider", "usable"),
    [
        ("sql", "degraded", "failing", True),
        ("sql", "unavailable", "failing", False),
        ("translate", "unavailable", "failing", True),
        ("translate", "unavailable", "missing", False),
        ("weather", "degraded", "failing", True),
    ],
)
def test_what_services_elsewhere_do_takes_no_replica_out(
    domain: str, state: Any, provider: Any, usable: bool
) -> None:
    health = Health(state=state, summary=".", providers=(Provider(name="one", state=provider),))
    assert is_usable(domain, health) is usable
