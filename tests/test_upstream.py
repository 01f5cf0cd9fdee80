"""The client every provider shares: right words for every trouble, in time, and one question for many."""

import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import stamina
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from errors import Unavailable
from tests import fakes
from tests.fakes.troubles import TROUBLES, Troubled
from upstream import Breaker, Budget, Declined, Kept, Once, Upstream, deadline_in, stats_of
from upstream.answers import retry_after

SECRET = "k3y-canary"
TIMEOUT_S = 0.4
# What a refusal says, and how many times the service was asked before it.
EXPECTED = {
    "slow": ("did not answer in time", 1),
    "slow body": ("did not answer in time", 1),
    "429": ("is asked too often; try again in a minute", 3),
    "429 with seconds": ("is asked too often; try again in 60 s", 1),
    "429 with a date": ("is asked too often; try again in 120 s", 1),
    "500": ("is in trouble (HTTP 500)", 1),
    "503": ("is in trouble (HTTP 503)", 3),
    "html": ("sent an answer that cannot be read", 3),
    "cut body": ("broke off in the middle of its answer", 3),
    "error inside a 200": ("sent an answer that cannot be read", 3),
    "not an object": ("sent an answer that cannot be read", 3),
    "huge": ("sent far more than was asked for", 1),
    "redirect": ("answered with a redirect, which is not followed", 1),
}


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    status = int(request.query_params.get("status", "200"))
    await JSONResponse({"asked": dict(request.query_params)}, status)(scope, receive, send)


@pytest.fixture
def fake() -> Iterator[tuple[Troubled, str]]:
    app = Troubled(_echo)
    with fakes.Upstream(app) as server:
        yield app, server.url


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Three attempts as always, without the pauses between them."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def asked(body: Any) -> dict[str, str]:
    if not isinstance(body, dict):
        raise ValueError("not an object")
    return dict(body["asked"])


@asynccontextmanager
async def opened(url: str, **over: Any) -> AsyncIterator[Upstream]:
    settings: dict[str, Any] = {
        "name": "The echo",
        "url": url,
        "agent": "Almanac (test)",
        "timeout_s": TIMEOUT_S,
        "otherwise": "Shouting still works.",
        "secrets": {"apikey": SECRET},
    }
    async with Upstream(**{**settings, **over}) as service:
        yield service
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()


async def ask(service: Upstream, ttl_s: float = 60, within: float = TIMEOUT_S, **params: str) -> Any:
    return await service.get(
        "/any", params, asked, key=tuple(params.items()), ttl_s=ttl_s, deadline=deadline_in(within)
    )


async def test_an_answer_is_parsed_and_remembered_with_its_time(fake: tuple[Troubled, str]) -> None:
    app, url = fake
    now = [1000.0]
    async with opened(url, clock=lambda: now[0]) as service:
        kept = await ask(service, ttl_s=60, q="a")
        assert (kept.value["q"], kept.at) == ("a", 1000.0)
        now[0] += 59
        assert (await ask(service, ttl_s=60, q="a")).at == 1000.0
        assert len(app.seen) == 1
        now[0] += 1
        assert (await ask(service, ttl_s=60, q="a")).at == 1060.0
        assert len(app.seen) == 2
        assert service.state == "ready"


async def test_what_a_caller_sent_stays_one_value_of_the_query(fake: tuple[Troubled, str]) -> None:
    app, url = fake
    hostile = "Paris&count=100#x?../%00\x00 🎉"
    async with opened(url) as service:
        assert (await ask(service, q=hostile)).value == {"q": hostile, "apikey": SECRET}
        assert app.headers["user-agent"] == "Almanac (test)"


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_every_trouble_is_refused_in_time_and_in_words(
    fake: tuple[Troubled, str], trouble: str
) -> None:
    app, url = fake
    app.trouble = trouble
    now = 1_780_000_000.0
    if trouble == "429 with a date":
        app.retry_after = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now + 120))
    words, attempts = EXPECTED[trouble]
    async with opened(url, clock=lambda: now) as service:
        start = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await ask(service)
        assert time.monotonic() - start < TIMEOUT_S + 1
        assert str(caught.value) == f"The echo {words}. Shouting still works."
        assert caught.value.__cause__ is not None
        assert len(app.seen) == attempts
        assert (service.state, service.note) == ("failing", words)
        app.trouble = ""
        service.breaker = Breaker()  # it may have asked to be left alone
        service.timeout_s = 5  # a loaded machine may take longer
        await ask(service, within=5)
        assert (service.state, service.note) == ("ready", "")


async def test_each_caller_waits_no_longer_than_its_own_deadline(fake: tuple[Troubled, str]) -> None:
    app, url = fake
    app.trouble, app.times = "slow body", 1
    async with opened(url, timeout_s=5) as service:
        hurried = asyncio.create_task(ask(service, within=0.1))
        patient = asyncio.create_task(ask(service, within=0.5))
        start = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer in time"):
            await hurried
        assert time.monotonic() - start < 2
        with pytest.raises(Unavailable, match="did not answer in time"):
            await patient
    assert len(app.seen) == 1


@pytest.mark.parametrize("trouble", ["429", "503", "cut body", "error inside a 200", "429 with seconds"])
async def test_a_passing_trouble_is_tried_again_unnoticed(fake: tuple[Troubled, str], trouble: str) -> None:
    app, url = fake
    app.trouble, app.times, app.retry_after = trouble, 2, "0"
    async with opened(url) as service:
        assert (await ask(service, q="a")).value["q"] == "a"
    assert len(app.seen) == 3


async def test_the_wait_that_a_service_asks_for_is_kept(fake: tuple[Troubled, str]) -> None:
    app, url = fake
    app.trouble, app.times, app.retry_after = "429 with seconds", 1, "1"
    waits: list[float] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: waits.append(details.wait_for)])
    try:
        with stamina.set_testing(False):
            async with opened(url, timeout_s=3) as service:
                await ask(service, within=3)
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert waits == [1.0]
    assert len(app.seen) == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 400, 999_999_999.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Mon, 99 Foo 2026", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str, seconds: float | None) -> None:
    assert retry_after(header, 10.0) == seconds


@pytest.mark.parametrize("header", ["3601", "9" * 40, "Mon, 01 Jan 9999 00:00:00 GMT"])
async def test_a_wait_of_more_than_an_hour_is_told_as_later(fake: tuple[Troubled, str], header: str) -> None:
    app, url = fake
    app.trouble, app.retry_after = "429 with seconds", header
    async with opened(url) as service:
        with pytest.raises(Unavailable, match=r"is asked too often; try again later\."):
            await ask(service)


async def test_a_declined_question_is_for_the_provider_to_explain(fake: tuple[Troubled, str]) -> None:
    app, url = fake
    async with opened(url) as service:
        with pytest.raises(Declined) as caught:
            await ask(service, status="404")
        assert caught.value.status == 404
        assert caught.value.body["asked"]["status"] == "404"
        assert service.state == "ready"
    assert len(app.seen) == 1


async def test_words_of_the_provider_for_what_no_retry_mends(fake: tuple[Troubled, str]) -> None:
    app, url = fake
    app.trouble = "429"
    async with opened(
        url, final=lambda status, body: "is done for today" if status == 429 else ""
    ) as service:
        with pytest.raises(Unavailable, match=r"^The echo is done for today\. "):
            await ask(service)
    assert len(app.seen) == 1


async def test_a_service_that_is_not_there_is_said_to_be_unreachable() -> None:
    async with opened("http://127.0.0.1:9") as service:
        with pytest.raises(Unavailable, match="could not be reached"):
            await ask(service)


@pytest.mark.parametrize("url", ["http://", "http://[", "http://a b"])
async def test_an_address_that_is_none_is_refused_and_not_raised(url: str) -> None:
    async with opened(url) as service:
        with pytest.raises(Unavailable, match=r"The echo (cannot be asked|could not be reached)"):
            await ask(service)


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 that only itself has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "server.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_server_with_a_certificate_of_its_own_making_is_not_believed(
    self_signed: ssl.SSLContext,
) -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"asked": {}}')
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self_signed)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    # Not opened(), whose look at the tasks left would see the server's handshakes.
    async with server, Upstream(name="The echo", url=url, agent="Almanac (test)", timeout_s=3) as service:
        with pytest.raises(Unavailable, match="certificate that this machine does not trust"):
            await ask(service, within=3)
    assert heard == []  # the key was not sent either


async def test_a_certificate_of_nobody_is_named_as_the_reason() -> None:
    def handshake(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("tls") from ssl.SSLCertVerificationError("self-signed")

    async with opened("http://echo.test", transport=httpx2.MockTransport(handshake)) as service:
        with pytest.raises(Unavailable, match="certificate that this machine does not trust"):
            await ask(service)


@pytest.mark.parametrize(
    "body", [b'{"asked": {"n": NaN}}', b'{"asked": {"n": Infinity}}', b"[" * 100_000, b"\xff\xfe", b""]
)
async def test_what_is_not_json_is_no_answer(body: bytes) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, content=body))
    async with opened("http://echo.test", transport=transport) as service:
        with pytest.raises(Unavailable, match="cannot be read"):
            await ask(service)


async def test_no_refusal_shows_the_address_or_the_key(
    fake: tuple[Troubled, str], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    app, url = fake
    async with opened(url) as service:
        for trouble in TROUBLES:
            app.trouble = trouble
            with pytest.raises(Unavailable) as caught:
                await ask(service)
            cause: BaseException | None = caught.value
            assert SECRET not in str(cause)
            assert url not in str(cause)
    printed = "".join(capsys.readouterr())
    assert SECRET not in printed
    assert url not in printed


async def test_a_redirect_is_not_followed(fake: tuple[Troubled, str]) -> None:
    app, url = fake
    with fakes.Upstream(Troubled(_echo)) as inside:
        assert isinstance(inside._server.config.app, Troubled)
        app.trouble, app.elsewhere = "redirect", inside.url
        async with opened(url) as service:
            with pytest.raises(Unavailable):
                await ask(service)
        assert inside._server.config.app.seen == []


async def test_the_environments_proxies_are_not_used(
    fake: tuple[Troubled, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "socks5://127.0.0.1:9")
    async with opened(fake[1]) as service:
        await ask(service)


async def test_no_more_requests_run_at_once_than_the_service_takes() -> None:
    running, most = 0, 0

    async def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return httpx2.Response(200, json={"asked": {}})

    transport = httpx2.MockTransport(answer)
    async with opened("http://echo.test", transport=transport, at_once=2, timeout_s=5) as service:
        await asyncio.gather(*(ask(service, within=5, q=str(n)) for n in range(20)))
    assert most == 2


class Fetches:
    """Counts fetches, each of which ends when it is told to."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        return self.begun


@asynccontextmanager
async def once(**over: Any) -> AsyncIterator[tuple[Once, Fetches]]:
    cache, fetches = Once(**{"clock": lambda: 0.0, **over}), Fetches()
    yield cache, fetches
    await cache.close()
    assert fetches.begun == fetches.ended


async def test_a_hundred_callers_of_one_answer_cause_one_fetch() -> None:
    async with once() as (cache, fetches):
        callers = [asyncio.create_task(cache.get("k", 60, fetches)) for _ in range(100)]
        await asyncio.sleep(0)
        fetches.go.set()
        assert {kept.value for kept in await asyncio.gather(*callers)} == {1}


class Shared:
    """What processes share."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get(self, collection: str, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put(self, collection: str, key: str, value: bytes, ttl_s: float) -> None:
        self.kept[key] = value


async def test_what_had_to_be_asked_is_a_miss_and_only_that(fake: tuple[Troubled, str]) -> None:
    shared = Shared()
    async with opened(fake[1], store=shared) as service:
        await asyncio.gather(*(ask(service, q="x") for _ in range(5)))
        assert (service.counts.misses, service.counts.hits, service.counts.requests) == (1, 4, 1)
    async with opened(fake[1], store=shared) as service:
        await asyncio.gather(*(ask(service, q="x") for _ in range(5)))
        (found,) = stats_of([service])
        assert (found.shared, found.misses, found.hits, found.requests) == (1, 0, 4, 0)


async def test_a_caller_who_leaves_takes_nothing_from_the_others() -> None:
    async with once() as (cache, fetches):
        first, second = (asyncio.create_task(cache.get("k", 60, fetches)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        fetches.go.set()
        assert (await second).value == 1


async def test_the_fetch_ends_with_its_last_caller_and_the_next_one_starts_afresh() -> None:
    async with once() as (cache, fetches):
        callers = [asyncio.create_task(cache.get("k", 60, fetches)) for _ in range(3)]
        await asyncio.sleep(0.01)
        for caller in callers:
            caller.cancel()
        late = asyncio.create_task(cache.get("k", 60, fetches))  # before the cancelled fetch has ended
        await asyncio.wait(callers)
        await asyncio.sleep(0.01)
        assert fetches.ended == fetches.begun - 1
        fetches.go.set()
        assert (await late).value >= 1


async def test_a_failure_reaches_every_caller_and_is_not_remembered() -> None:
    async with once() as (cache, fetches):

        async def fail() -> int:
            await asyncio.sleep(0)
            raise ValueError("no")

        outcomes = await asyncio.gather(
            *(cache.get("k", 60, fail) for _ in range(10)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [ValueError] * 10
        fetches.go.set()
        assert (await cache.get("k", 60, fetches)).value == 1


async def test_the_oldest_answers_make_room() -> None:
    async with once(most=3) as (cache, fetches):
        fetches.go.set()
        for key in "abcad":  # `a` was asked for again, so `b` is the oldest
            await cache.get(key, 60, fetches)
        assert fetches.begun == 4
        await cache.get("a", 60, fetches)
        assert fetches.begun == 4
        await cache.get("b", 60, fetches)
        assert fetches.begun == 5


async def test_no_more_is_kept_than_a_number_of_bytes() -> None:
    cache = Once(lambda: 0.0, most=100, most_bytes=1000)

    async def of(size: int, key: int) -> bool:
        """Whether it had to be fetched."""
        fetched = []

        async def fetch() -> Kept[int]:
            fetched.append(key)
            return Kept(key, 0.0, size=size)

        kept: Kept[int] = await cache.get(key, 60, fetch)
        assert kept.value == key
        return bool(fetched)

    assert [await of(400, key) for key in (1, 2, 1, 3, 1, 2)] == [True, True, False, True, False, True]
    assert [await of(2000, 4), await of(2000, 4)] == [True, True]  # too large for all of it
    assert await of(400, 1)


async def test_closing_ends_what_is_under_way() -> None:
    async with once() as (cache, fetches):
        caller = asyncio.create_task(cache.get("k", 60, fetches))
        await asyncio.sleep(0.01)
        await cache.close()
        assert fetches.ended == 1  # by now, not some time later
        await asyncio.wait([caller])
        assert caller.cancelled()


async def test_a_clock_that_is_put_back_keeps_nothing_for_ever() -> None:
    now = [1000.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731 - a clock in one line
    async with once(clock=clock) as (cache, fetches):
        fetches.go.set()
        await cache.get("k", 60, fetches)
        now[0] = 10.0
        await cache.get("k", 60, fetches)
        assert fetches.begun == 2


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_through_when_its_pause_is_over() -> None:
    now = [0.0]
    breaker = Breaker(failures=3, pause_s=30, clock=lambda: now[0])
    for _ in range(2):
        breaker.failed()
        assert breaker.admit()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.admit()
        breaker.failed()
    assert (breaker.admit(), breaker.wait_s()) == (False, 30)
    now[0] = 29.0
    assert (breaker.admit(), breaker.wait_s()) == (False, 1)
    now[0] = 30.0
    assert [breaker.wait_s() for _ in range(3)] == [0, 0, 0]  # to ask how long takes nobody's turn
    assert [breaker.admit() for _ in range(3)] == [True, False, False]  # one finds out for all
    assert breaker.wait_s() == 30
    breaker.failed()
    assert not breaker.admit()
    now[0] = 60.0
    assert breaker.admit()
    breaker.succeeded()
    assert [breaker.admit() for _ in range(3)] == [True, True, True]


def test_a_turn_that_found_nothing_out_is_the_next_ones() -> None:
    now = [0.0]
    breaker = Breaker(failures=1, pause_s=30, clock=lambda: now[0])
    breaker.failed()
    breaker.abandoned()  # by one that was asking when it opened
    assert (breaker.admit(), breaker.wait_s()) == (False, 30)
    now[0] = 30.0
    for _ in range(2):
        assert [breaker.admit(), breaker.admit()] == [True, False]
        breaker.abandoned()
    assert breaker.admit()
    breaker.failed(wait_s=3600)
    breaker.abandoned()
    assert breaker.wait_s() == 3600


def test_a_breaker_opens_at_once_for_as_long_as_it_is_told() -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    breaker.failed(wait_s=3600)
    assert breaker.wait_s() == 3600
    now[0] = 3600.0
    assert breaker.admit()
    breaker.failed(wait_s=0)
    assert breaker.admit()


def test_what_was_asked_before_does_not_shorten_the_wait_a_service_asks_for() -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    before = breaker.told
    breaker.failed(wait_s=3600)
    breaker.failed()
    assert (breaker.admit(), breaker.wait_s()) == (False, 3600)
    breaker.failed(wait_s=5)
    breaker.succeeded(before)
    assert (breaker.admit(), breaker.wait_s()) == (False, 3600)
    now[0] = 3600.0
    assert [breaker.admit(), breaker.admit()] == [True, False]
    breaker.succeeded(breaker.told)
    assert [breaker.admit(), breaker.admit()] == [True, True]


@pytest.mark.parametrize("why", ["no budget", "no turn", "left"])
async def test_whoever_learned_nothing_of_a_service_that_rested_leaves_the_turn_to_the_next(why: str) -> None:
    now, held = [0.0], asyncio.Event()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.params["q"] == "held":
            await held.wait()
        return httpx2.Response(200, json={"asked": dict(request.url.params)})

    service = opened(
        "http://echo.test",
        transport=httpx2.MockTransport(answer),
        breaker=Breaker(failures=1, clock=lambda: now[0]),
        budget=Budget({3600: 1}, lambda: now[0]) if why == "no budget" else None,
        at_once=1,
        timeout_s=5,
    )
    async with service as echo:
        holding = asyncio.create_task(ask(echo, within=5, q="held"))
        await asyncio.sleep(0.01)
        echo.breaker.failed()
        now[0] = 30.0
        if why == "left":
            leaving = asyncio.create_task(ask(echo, within=5, q="leaves"))
            await asyncio.sleep(0.01)
            assert not echo.breaker.admit()
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            await asyncio.sleep(0.01)
        else:
            with pytest.raises(Unavailable, match=r"no more free questions|too many questions"):
                await ask(echo, within=0.1, q="refused")
        assert (echo.breaker.wait_s(), echo.breaker.admit()) == (0, True)
        held.set()
        await holding


async def test_an_answer_to_an_earlier_question_does_not_end_the_rest_a_later_one_was_told_of() -> None:
    late = asyncio.Event()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.params["q"] == "first":
            await late.wait()
            return httpx2.Response(200, json={"asked": {"q": "first"}})
        return httpx2.Response(429, headers={"retry-after": "3600"})

    async with opened("http://echo.test", transport=httpx2.MockTransport(answer), timeout_s=5) as service:
        first = asyncio.create_task(ask(service, within=5, q="first"))
        await asyncio.sleep(0.02)
        with pytest.raises(Unavailable, match="asked too often"):
            await ask(service, within=5, q="second")
        late.set()
        assert (await first).value["q"] == "first"
        with pytest.raises(Unavailable, match=r"is asked too often; it is asked again in 3\d{3} s"):
            await ask(service, within=5, q="third")


async def test_a_probe_that_is_declined_is_a_failing_service_and_no_error() -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(404))
    async with opened("http://echo.test", transport=transport) as service:
        with pytest.raises(Unavailable, match=r"^The echo did not accept the question \(HTTP 404\)\."):
            await service.probe("/", {}, lambda body: body, deadline_in(5))
        assert service.state == "failing"


def test_a_budget_is_of_windows_that_begin_with_the_clock() -> None:
    now = [59.0]
    budget = Budget({60: 10, 3600: 25}, lambda: now[0])
    for weight in (4, 5.5):
        assert budget.wait_s(weight) == 0
        budget.spend(weight)
    assert (budget.wait_s(0.5), budget.wait_s(1)) == (0, 1)
    now[0] = 60.0
    assert budget.wait_s(10) == 0
    budget.spend(10)
    now[0] = 120.0
    assert budget.wait_s(10) == 3480  # the hour has not enough left
    assert budget.wait_s(5.5) == 0
    now[0] = 3600.0
    assert budget.wait_s(10) == 0


async def test_a_service_that_fails_again_and_again_is_left_alone_and_said_to_be(
    fake: tuple[Troubled, str],
) -> None:
    app, url = fake
    app.trouble = "500"
    now = [0.0]
    async with opened(url, breaker=Breaker(clock=lambda: now[0]), timeout_s=5) as service:
        for number in range(5):
            with pytest.raises(Unavailable) as caught:
                await ask(service, within=5, q=str(number))
        assert len(app.seen) == 3
        assert str(caught.value) == (
            "The echo is in trouble (HTTP 500); it is asked again in 30 s. Shouting still works."
        )
        assert (service.state, service.note) == ("failing", "is in trouble (HTTP 500)")
        app.trouble, now[0] = "", 30.0
        assert (await ask(service, within=5, q="a")).value["q"] == "a"
        assert service.breaker.admit()


async def test_whoever_declines_is_well_and_whoever_waits_for_a_turn_blames_nobody() -> None:
    released = asyncio.Event()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.params.get("q") == "held":
            await released.wait()
        return httpx2.Response(404 if request.url.params.get("q") == "no" else 200, json={"asked": {}})

    transport = httpx2.MockTransport(answer)
    async with opened("http://echo.test", transport=transport, at_once=1, timeout_s=5) as service:
        for _ in range(5):
            with pytest.raises(Declined):
                await ask(service, within=5, q="no")
        held = asyncio.create_task(ask(service, within=5, q="held"))
        await asyncio.sleep(0.01)
        waiting = (ask(service, within=0.5, q=str(number)) for number in range(5))
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert str(outcome).startswith("The echo has too many questions waiting already")
        released.set()
        await held
        assert (service.breaker.wait_s(), service.state) == (0, "ready")
        assert await ask(service, within=5, q="0")
