"""Several forecast services behind one face: who answers when others fail, and what is kept."""

import asyncio
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
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.responses import JSONResponse, Response

from backends.weather import Weather
from backends.weather.nws import _read_grid
from config import WeatherSettings
from errors import Unavailable, Unknown
from state import State
from tests.fakes.nws import alert, period
from tests.fakes.open_meteo import NOW, value
from tests.fakes.troubles import TROUBLES
from tests.fakes.weather import Sky

TIMEOUT_S = 0.8
SLACK_S = 1.0
ORDER = ("open_meteo", "met_norway", "nws")
NAMES = {"open_meteo": "Open-Meteo", "met_norway": "MET Norway", "nws": "The US National Weather Service"}
CREDITS = {
    "open_meteo": "Open-Meteo.com, CC BY 4.0",
    "met_norway": "Data from MET Norway, CC BY 4.0",
    "nws": "US National Weather Service",
}
LA = (34.0522, -118.2437)
# Coordinates, and no list of places: opening it is most of what a short test costs.
LIMA, LOS_ANGELES, QUITO = "-12.0432,-77.0282", "34.0522,-118.2437", "-0.2299,-78.5250"
NO_LIST = Path("/nonexistent/world.db")


class Clock:
    """A wall clock that is put on by hand."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def served() -> Iterator[Sky]:
    with Sky() as sky:
        yield sky


@pytest.fixture
def sky(served: Sky) -> Sky:
    served.fresh()
    return served


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@asynccontextmanager
async def opened(
    sky: Sky, clock: Callable[[], float] = Sky.clock, state: State | None = None, **over: Any
) -> AsyncIterator[Weather]:
    settings = WeatherSettings.model_validate({**sky.settings, "timeout": 5, "places": NO_LIST, **over})
    async with Weather(settings, clock=clock, state=state) as weather:
        yield weather
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()


def asked(sky: Sky) -> list[int]:
    return [len(fake.seen) for fake in sky.all]


# --- each service alone, through every trouble


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("provider", ORDER)
async def test_every_service_in_every_trouble_is_refused_in_time(
    sky: Sky, provider: str, trouble: str
) -> None:
    for fake in sky.all:
        fake.trouble = trouble
    timeout_s = TIMEOUT_S if trouble.startswith("slow") else 5
    async with opened(sky, timeout=timeout_s, providers=provider) as weather:
        start = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await weather.forecast(LOS_ANGELES, hourly=True)
        assert time.monotonic() - start < timeout_s + SLACK_S
    text = str(caught.value)
    assert text.startswith(NAMES[provider])
    assert text.endswith("weather_find_place works without it.")
    assert "127.0.0.1" not in text
    assert 1 <= sum(asked(sky)) <= 3


def leading_to(url: str, **over: Any) -> WeatherSettings:
    """Settings that send everything to one address."""
    apis = ("open_meteo", "geocoding", "archive", "air_quality", "met_norway", "nws")
    return WeatherSettings.model_validate(
        {**{f"{api}_url": url for api in apis}, "places": NO_LIST, "timeout": 5, **over}
    )


@pytest.mark.parametrize("provider", ORDER)
async def test_a_name_that_cannot_be_looked_up_is_said_to_be_out_of_reach(provider: str) -> None:
    async with Weather(leading_to("http://weather.invalid", providers=provider)) as weather:
        with pytest.raises(Unavailable, match=f"^{NAMES[provider]}.* could not be reached") as caught:
            await weather.forecast(LOS_ANGELES)
    assert "weather.invalid" not in str(caught.value)


@pytest.mark.parametrize("provider", ORDER)
async def test_a_certificate_of_another_name_is_not_believed(
    provider: str, other_name: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = other_name
    monkeypatch.setattr("upstream.line.trust", lambda: here)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=there)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Weather(leading_to(url, providers=provider)) as weather:
        with pytest.raises(Unavailable, match="showed a certificate that this machine does not trust"):
            await weather.forecast(LOS_ANGELES)
    assert heard == []


@pytest.fixture
def other_name(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for other.example, and a client's that trusts its maker."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("other.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "server.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(file)
    return there, ssl.create_default_context(cafile=file)


@pytest.mark.parametrize("provider", ORDER)
async def test_a_redirect_is_followed_home_and_nowhere_else(sky: Sky, provider: str) -> None:
    fake = {"open_meteo": sky.open_meteo, "met_norway": sky.met_norway, "nws": sky.nws}[provider]
    with Sky() as elsewhere:
        fake.trouble, fake.times, fake.elsewhere = "redirect", 1, elsewhere.settings[f"{provider}_url"] + "/x"
        async with opened(sky, providers=provider) as weather:
            with pytest.raises(Unavailable, match="answered with a redirect, which is not followed"):
                await weather.current(LOS_ANGELES)
        assert asked(elsewhere) == [0, 0, 0]


async def test_a_redirect_to_the_same_server_is_followed(sky: Sky) -> None:
    fake, query = sky.met_norway, "lat=34.0522&lon=-118.2437"
    fake.trouble, fake.times = "redirect", 1
    fake.elsewhere = f"/weatherapi/locationforecast/2.0/complete?{query}"
    async with opened(sky, providers="met_norway") as weather:
        assert (await weather.current(LOS_ANGELES)).weather == "partly cloudy"
        fake.fresh()
        fake.trouble, fake.times = "redirect", 1_000
        with pytest.raises(Unavailable, match="redirect"):
            await weather.current(LIMA)
    assert len(fake.seen) == 2 + 3


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_next_service_answers_in_the_same_call(sky: Sky, trouble: str) -> None:
    sky.open_meteo.trouble = trouble
    timeout_s = 2 if trouble.startswith("slow") else 5
    async with opened(sky, timeout=timeout_s) as weather:
        start = time.monotonic()
        answer = await weather.current(LOS_ANGELES)
        assert time.monotonic() - start < timeout_s
    assert answer.source == CREDITS["met_norway"]
    assert answer.temperature == value("temperature_2m", *LA, 12)
    (notice,) = answer.notices
    assert notice.startswith("Open-Meteo ")
    assert notice.endswith(". MET Norway answers instead.")


@pytest.mark.parametrize(("failing", "answers"), [(0, 0), (1, 1), (2, 2)])
async def test_services_are_asked_in_their_order_and_one_after_another(
    sky: Sky, failing: int, answers: int
) -> None:
    order = ("nws", "open_meteo", "met_norway")
    fakes = {"open_meteo": sky.open_meteo, "met_norway": sky.met_norway, "nws": sky.nws}
    for name in order[:failing]:
        fakes[name].trouble = "503"
    async with opened(sky, providers=",".join(order)) as weather:
        answer = await weather.forecast(LOS_ANGELES, days=2)
    assert answer.source == CREDITS[order[answers]]
    assert len(answer.days) == 2
    for name in order[answers + 1 :]:
        assert fakes[name].seen == []


async def test_a_service_that_does_not_cover_the_place_is_no_trouble(sky: Sky) -> None:
    async with opened(sky, providers="nws,met_norway") as weather:
        lima = await weather.current(LIMA)
        quebec = await weather.current("46.81,-71.21")  # only the service can tell
        sky.met_norway.outside = True
        with pytest.raises(Unavailable, match=r"that is set covers -12\.5000, -77\.5000"):
            await weather.forecast("-12.5,-77.5")
    assert (lima.source, lima.notices) == (CREDITS["met_norway"], ())
    assert quebec.source == CREDITS["met_norway"]


async def test_a_server_that_has_no_values_for_the_place_is_no_answer(sky: Sky) -> None:
    """A self-hosted Open-Meteo tells nulls where none of its models reaches."""
    sky.open_meteo.gaps = True
    async with opened(sky) as weather:
        now, ahead = await weather.current(LIMA), await weather.forecast(LIMA)
        assert weather._open_meteo.services[0].state == "ready"
    assert now.source == ahead.source == CREDITS["met_norway"]
    assert now.temperature is not None
    async with opened(sky, providers="open_meteo") as weather:
        for ask in (weather.current, weather.forecast):
            with pytest.raises(Unavailable, match="No weather service that is set covers"):
                await ask(LIMA)


async def test_a_slow_service_leaves_the_next_its_time_and_is_left_alone_after_three_times(sky: Sky) -> None:
    sky.open_meteo.trouble = "slow"
    async with opened(sky, timeout=0.8) as weather:
        for place in (LIMA, QUITO, "1,1", "2,2", "3,3"):
            start = time.monotonic()
            answer = await weather.current(place)
            took = time.monotonic() - start
            assert answer.source == CREDITS["met_norway"]
    assert len(sky.open_meteo.seen) == 3
    assert took < 0.35  # it was not waited for
    assert "it is asked again in " in answer.notices[0]


async def test_a_refused_window_leaves_the_service_alone_until_it_ends(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def limited(_: Any) -> JSONResponse:
        return JSONResponse({"error": True, "reason": "Hourly API request limit exceeded. Please wait."}, 429)

    sky.open_meteo.trouble, sky.open_meteo.times = "429", 1
    monkeypatch.setattr(sky.open_meteo, "_answer", limited)
    async with opened(sky) as weather:
        first = await weather.current(LIMA)
        second = await weather.current(QUITO)
        breaker = weather._open_meteo.services[0].breaker
        assert 3600 - NOW.minute * 60 - 30 < breaker.wait_s() <= 3600 - NOW.minute * 60
    assert len(sky.open_meteo.seen) == 1
    assert first.source == second.source == CREDITS["met_norway"]
    assert "answers no more questions this hour; try again after the hour." in first.notices[0]
    assert "answers no more questions this hour; it is asked again in " in second.notices[0]


async def test_a_wait_too_long_for_the_call_is_kept_by_asking_nobody(sky: Sky) -> None:
    sky.open_meteo.trouble, sky.open_meteo.retry_after = "429 with seconds", "60"
    async with opened(sky) as weather:
        for place in (LIMA, QUITO):
            assert (await weather.current(place)).source == CREDITS["met_norway"]
        assert 50 < weather._open_meteo.services[0].breaker.wait_s() <= 60
    assert len(sky.open_meteo.seen) == 1


async def test_the_free_calls_of_an_address_are_not_overdrawn() -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(503)

    clock = Clock()
    clock.now -= clock.now % 86_400  # a day begins
    transport = httpx2.MockTransport(answer)
    async with Weather(
        WeatherSettings(providers=("open_meteo",), places=NO_LIST), transport, clock
    ) as weather:
        service = weather._open_meteo.services[0]
        assert service.at_once == 2
        assert service.budget is not None
        service.budget.spend(599.5)
        with pytest.raises(Unavailable, match="Open-Meteo takes no more free questions for 60 s"):
            await weather.current(LIMA)
        assert seen == []
        clock.now += 60  # the minute is over
        with pytest.raises(Unavailable, match="HTTP 503"):
            await weather.current(LIMA)
        assert seen == ["api.open-meteo.com"] * 3  # a failed call counts as well
        assert service.budget.wait_s(600) == 60
        service.budget.spend(10_000)
        clock.now += 3600
        with pytest.raises(Unavailable, match="takes no more free questions for 82740 s"):
            await weather.current(QUITO)


async def test_who_hosts_it_or_pays_has_no_budget() -> None:
    for over in ({"open_meteo_url": "http://meteo.lan"}, {"open_meteo_key": "k"}):
        settings = WeatherSettings.model_validate(over)
        service = Weather(settings)._open_meteo.services[0]
        assert (service.budget, service.at_once) == (None, 8)


def test_a_question_weighs_what_the_service_counts() -> None:
    from backends.weather.gazetteer import City
    from backends.weather.open_meteo import DAILY, _Question

    weather = Weather(WeatherSettings())
    city = City("", "", "", "", "", 1, 1, "", 0)
    assert weather._open_meteo._now(city).weight == pytest.approx(1.1)
    assert weather._open_meteo._ahead(city, False).weight == 1
    assert weather._open_meteo._ahead(city, True).weight == pytest.approx(1.3 * 16 / 14)
    year = {"daily": DAILY, "start_date": "2024-01-01", "end_date": "2024-12-31"}
    question = _Question(weather._open_meteo.services[1], "/v1/archive", year, lambda body: None, 1)
    assert question.weight == pytest.approx(0.7 * 366 / 14)


# --- the last good answer


async def test_when_all_fail_the_last_good_answer_is_given_with_its_age_and_why(sky: Sky) -> None:
    clock = Clock()
    async with opened(sky, clock) as weather:
        fresh = await weather.current(LIMA)
        ahead = await weather.forecast(LIMA, hourly=True)
        air = await weather.air_quality(LIMA)
        past = await weather.history(LIMA, "2026-05-29", "2026-05-31")
        for fake in sky.all:
            fake.trouble = "503"
        clock.now += 2 * 3600 + 600
        old = await weather.current(LIMA)
        old_ahead = await weather.forecast(LIMA, hourly=True)
        old_air = await weather.air_quality(LIMA)
        old_past = await weather.history(LIMA, "2026-05-29", "2026-05-31")
        clock.now += 4 * 3600
        for ask in (weather.current, weather.forecast, weather.air_quality):
            with pytest.raises(Unavailable, match="weather_find_place works without it"):
                await ask(LIMA)
    assert old.notices == (
        "Open-Meteo is in trouble (HTTP 503). MET Norway is in trouble (HTTP 503). "
        "This is what Open-Meteo said 2 h 10 min ago.",
    )
    assert (old.age_s, old.temperature, old.source) == (7800, fresh.temperature, CREDITS["open_meteo"])
    assert old_ahead.days == ahead.days
    assert len(old_ahead.hours) == len(ahead.hours) - 2  # those that are over by now
    assert old_air.age_s == 7800
    assert old_air.notices[0].endswith("This is what Open-Meteo said 2 h 10 min ago.")
    assert old_air.pollutants == air.pollutants
    assert (old_past.days, old_past.age_s) == (past.days, 7800)
    assert old_past.notices[0].endswith("This is what Open-Meteo said 2 h 10 min ago.")


async def test_the_newest_of_the_last_answers_is_given(sky: Sky) -> None:
    clock = Clock()
    async with opened(sky, clock) as weather:
        await weather.current(LIMA)
        clock.now += 3600
        sky.open_meteo.trouble = "503"
        assert (await weather.current(LIMA)).source == CREDITS["met_norway"]
        clock.now += 3600
        sky.met_norway.trouble = "html"
        old = await weather.current(LIMA)
    assert (old.source, old.age_s) == (CREDITS["met_norway"], 3600)
    assert old.time == "2026-06-01T09:00-05:00"  # the step of this hour, not of that when it was asked


async def test_an_old_forecast_of_the_us_is_given_too(sky: Sky) -> None:
    clock = Clock()
    async with opened(sky, clock, providers="nws") as weather:
        fresh = await weather.forecast(LOS_ANGELES, days=1)
        sky.nws.trouble = "500"
        clock.now += 2 * 3600
        old = await weather.forecast(LOS_ANGELES, days=1)
    assert old.age_s == 7200
    assert old.days == fresh.days


async def test_an_old_alert_is_never_given(sky: Sky) -> None:
    clock = Clock()
    sky.nws.alerts = [alert()]
    async with opened(sky, clock) as weather:
        assert (await weather.alerts(LOS_ANGELES)).state == "alerts"
        sky.nws.trouble = "503"
        clock.now += 59
        assert (await weather.alerts(LOS_ANGELES)).age_s == 59
        clock.now += 2
        with pytest.raises(Unavailable, match="The US National Weather Service is in trouble"):
            await weather.alerts(LOS_ANGELES)


async def test_a_forecast_of_yesterday_begins_today(sky: Sky) -> None:
    clock = Clock()
    clock.now = NOW.replace(hour=4, minute=50).timestamp()  # 23:50 in Lima
    async with opened(sky, clock) as weather:
        before = await weather.forecast(LIMA, days=2, hourly=True)
        clock.now += 20 * 60
        after = await weather.forecast(LIMA, days=2, hourly=True)
        clock.now += 3600
        sixteen = await weather.forecast(LIMA, days=16)
    assert [day.date for day in before.days] == ["2026-06-01", "2026-06-02"]  # the fake's first day
    assert len(sky.open_meteo.seen) == 3 or before.days[0].date <= after.days[0].date
    assert after.hours[0].time >= "2026-06-01T00:00"
    assert len(sixteen.days) == 16


# --- what is kept


async def test_a_restart_finds_what_was_asked_before(sky: Sky, tmp_path: Path) -> None:
    sky.nws.alerts = [alert()]
    for number in range(2):
        async with State(tmp_path, patience_s=10) as state, opened(sky, state=state) as weather:
            sky.nws.timezone = "America/Los_Angeles"
            now = await weather.current(LIMA)
            await weather.forecast(LIMA, hourly=True)
            await weather.history(LIMA, "2026-01-01", "2026-01-03")
            await weather.air_quality(LIMA)
            await weather.find_place("Marfa, Texas")
            assert (await weather.alerts(LOS_ANGELES)).alerts[0].event == "Heat Advisory"
            assert now.temperature == value("temperature_2m", -12.0432, -77.0282, 12)
        assert asked(sky) == [5, 0, 2], f"round {number}"
    content = (tmp_path / "cache.db").read_bytes()
    assert b"Lima" not in content  # what was asked cannot be read from it


async def test_a_restart_may_give_what_was_said_before_it_when_nobody_answers(
    sky: Sky, tmp_path: Path
) -> None:
    clock = Clock()
    async with State(tmp_path, clock=clock, patience_s=10) as state, opened(sky, clock, state) as weather:
        await weather.current(LIMA)
    for fake in sky.all:
        fake.trouble = "503"
    clock.now += 5 * 3600
    async with State(tmp_path, clock=clock, patience_s=10) as state, opened(sky, clock, state) as weather:
        assert (await weather.current(LIMA)).age_s == 5 * 3600
        clock.now += 3700
        with pytest.raises(Unavailable):
            await weather.current(LIMA)


async def test_replicas_share_what_one_of_them_asked(sky: Sky, tmp_path: Path) -> None:
    clock = Clock()
    async with (
        State(tmp_path, clock=clock, patience_s=10) as state,
        State(tmp_path, clock=clock, patience_s=10) as other_state,
        opened(sky, clock, state) as one,
        opened_beside(sky, clock, other_state) as other,
    ):
        for _ in range(3):
            await one.current(LIMA)
            clock.now += 10
            assert (await other.current(LIMA)).age_s == 10
            clock.now += 600
    assert asked(sky) == [3, 0, 0]


@asynccontextmanager
async def opened_beside(sky: Sky, clock: Callable[[], float], state: State) -> AsyncIterator[Weather]:
    async with Weather(
        WeatherSettings.model_validate({**sky.settings, "places": NO_LIST}), clock=clock, state=state
    ) as weather:
        yield weather


async def test_what_lies_in_the_state_and_is_no_answer_is_asked_anew(sky: Sky) -> None:
    class Odd:
        async def get(self, collection: str, key: str) -> bytes | None:
            return next(bodies)

        async def put(self, collection: str, key: str, value: bytes, ttl_s: float) -> None:
            return None

    whole = b'[1780315500.0, 1e99, ""]\n'
    for body in (b"", b"\xff", b"[]\n", whole, whole + b"x", b'["a", 1, 2]\nx', b'[NaN, NaN, ""]\n'):
        bodies = iter([body] * 9)
        async with opened(sky, state=Odd()) as weather:  # type: ignore[arg-type]  # as much of one as is used
            assert (await weather.current(LIMA)).age_s == 0


async def test_other_addresses_share_nothing(sky: Sky, tmp_path: Path) -> None:
    async with State(tmp_path, patience_s=10) as state, opened(sky, state=state) as weather:
        await weather.current(LIMA)
    with Sky() as other:
        async with State(tmp_path, patience_s=10) as state, opened(other, state=state) as weather:
            await weather.current(LIMA)
        assert asked(other) == [1, 0, 0]


async def test_a_hundred_callers_of_one_city_ask_once_whoever_answers(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(_: object) -> Response:
        await asyncio.sleep(0.05)  # so that the last caller is there before the first is refused
        return Response(status_code=503)

    sky.open_meteo.trouble = "503"
    monkeypatch.setattr(sky.open_meteo, "_answer", late)
    async with opened(sky) as weather:
        answers = await asyncio.gather(*(weather.current(LIMA) for _ in range(100)))
    assert asked(sky) == [3, 1, 0]
    assert {answer.source for answer in answers} == {CREDITS["met_norway"]}


async def test_a_hundred_cities_at_once_are_all_answered(sky: Sky) -> None:
    async with opened(sky) as weather:
        places = [f"{n / 2 - 25:.2f},{n:.2f}" for n in range(100)]
        answers = await asyncio.gather(*(weather.current(place) for place in places))
    assert asked(sky) == [100, 0, 0]
    assert len({answer.place.longitude for answer in answers}) == 100


async def test_what_the_geocoder_found_is_kept_for_a_month_and_that_it_found_nothing_for_an_hour(
    sky: Sky,
) -> None:
    clock = Clock()
    async with opened(sky, clock) as weather:
        for seconds, found, nothing in ((0, 1, 1), (3599, 1, 1), (1, 1, 2), (29 * 86_400, 1, 3)):
            clock.now += seconds
            await weather.find_place("Marfa")
            with pytest.raises(Unknown):
                await weather.find_place("Xqzwvb")
            names = [query["name"] for _, query in sky.open_meteo.seen]
            assert (names.count("Marfa"), names.count("Xqzwvb")) == (found, nothing)


# --- MET Norway's rules


async def test_met_norway_is_asked_as_its_terms_say(sky: Sky) -> None:
    async with opened(sky, providers="met_norway", contact="ops@example.org") as weather:
        await weather.forecast("12.3456789,-0.00001")
    ((path, query),) = sky.met_norway.seen
    assert path == "/weatherapi/locationforecast/2.0/complete"
    assert query == {"lat": "12.3457", "lon": "-0.0000"}
    assert sky.met_norway.headers["user-agent"] == "Almanac (ops@example.org)"
    assert "gzip" in sky.met_norway.headers["accept-encoding"]


async def test_nothing_is_asked_again_before_expires_and_then_only_for_news(sky: Sky) -> None:
    clock, fake = Clock(), sky.met_norway
    fake.holds_s = 2400
    async with opened(sky, clock, providers="met_norway") as weather:
        await weather.current(LIMA)
        clock.now += 2399
        fake.now = NOW + timedelta(seconds=2399)
        assert (await weather.forecast(LIMA)).age_s == 2399  # one answer serves both
        assert len(fake.seen) == 1
        clock.now += 1
        renewed = await weather.current(LIMA)
        assert (len(fake.seen), fake.unchanged, renewed.age_s) == (2, 1, 0)
        assert fake.headers["if-modified-since"] == "Mon, 01 Jun 2026 10:04:26 GMT"  # verbatim
        clock.now += 2399
        await weather.current(LIMA)
        assert len(fake.seen) == 2  # a 304 has an Expires of its own
        fake.changed = "Mon, 01 Jun 2026 16:04:26 GMT"
        clock.now += 1
        await weather.current(LIMA)
        assert (len(fake.seen), fake.unchanged) == (3, 1)


async def test_what_is_unchanged_is_so_for_the_next_process_too(sky: Sky, tmp_path: Path) -> None:
    clock, fake = Clock(), sky.met_norway
    for _ in range(3):
        async with (
            State(tmp_path, clock=clock, patience_s=10) as state,
            opened(sky, clock, state, providers="met_norway") as weather,
        ):
            assert (await weather.current(LIMA)).age_s == 0
            assert (await weather.current(LIMA)).weather == "partly cloudy"
        clock.now += 1900
    assert (len(fake.seen), fake.unchanged) == (3, 2)


async def test_an_answer_without_expires_holds_half_an_hour_and_one_in_the_past_a_minute(sky: Sky) -> None:
    clock, fake = Clock(), sky.met_norway
    fake.holds_s = -600
    async with opened(sky, clock, providers="met_norway") as weather:
        for seconds, times in ((0, 1), (59, 1), (1, 2)):
            clock.now += seconds
            await weather.current(LIMA)
            assert len(fake.seen) == times


async def test_a_forecast_that_is_over_is_not_taken_for_the_weather_now(sky: Sky) -> None:
    sky.met_norway.now = NOW - timedelta(days=9, hours=1)
    async with opened(sky, providers="met_norway") as weather:
        with pytest.raises(Unavailable, match="MET Norway sent a forecast of the past"):
            await weather.current(LIMA)


async def test_a_203_is_said_in_the_log(sky: Sky) -> None:
    sky.met_norway.status = 203
    with structlog.testing.capture_logs() as logs:
        async with opened(sky, providers="met_norway") as weather:
            assert (await weather.current(LIMA)).weather
    assert [line["service"] for line in logs if "will end" in line["event"]] == ["MET Norway"]


async def test_no_more_than_its_requests_a_second_are_made() -> None:
    starts: list[float] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        starts.append(asyncio.get_running_loop().time())
        return httpx2.Response(200, json={"asked": 1})

    service = Weather(WeatherSettings(), httpx2.MockTransport(answer))._met_norway.service
    assert service.pace_s >= 1 / 20
    async with service:
        await asyncio.gather(
            *(
                service.get("/", {}, lambda body: body, key=n, ttl_s=1, deadline=starting() + 5)
                for n in range(6)
            )
        )
    assert starts[-1] - starts[0] >= 5 * service.pace_s * 0.95


def starting() -> float:
    return asyncio.get_running_loop().time()


async def test_today_is_told_from_the_first_hour_that_the_service_knows(sky: Sky) -> None:
    async with opened(sky, providers="met_norway") as weather:
        answer = await weather.forecast(LIMA, days=16, hourly=True)
    assert answer.notices == (
        "Today's values are of the hours from 07:00 on; MET Norway tells no earlier ones.",
        "Only 9 of the 16 days asked for are forecast.",
        "Hours are forecast until 2026-06-03T18:00-05:00 only.",
    )
    assert [day.date for day in answer.days] == [f"2026-06-{n:02d}" for n in range(1, 10)]
    assert answer.hours[0].time == "2026-06-01T07:00-05:00"
    assert len(answer.hours) == 60
    second, last = answer.days[1], answer.days[-1]
    assert second.precipitation == pytest.approx(24 * 0.2)
    assert last.precipitation == pytest.approx(0.2 * 4, abs=0.11)
    assert second.sunrise.startswith("2026-06-02T06:2")
    assert second.precipitation_chance == 30


# --- the US National Weather Service's rules


async def test_the_grid_of_a_point_is_asked_for_once(sky: Sky) -> None:
    clock = Clock()
    async with opened(sky, clock, providers="nws") as weather:
        for _ in range(3):
            answer = await weather.forecast(LOS_ANGELES, hourly=True, days=2)
            clock.now += 901  # its Cache-Control says fifteen minutes
            sky.nws.now = NOW + timedelta(seconds=clock.now - NOW.timestamp())
    paths = [path for path, _ in sky.nws.seen]
    assert paths[0] == "/points/34.0522,-118.2437"
    assert [path.partition("/SGX")[0] for path in paths[1:]] == ["/gridpoints"] * 3
    assert sky.nws.seen[1][1] == {"units": "si"}
    assert sky.nws.headers["accept"] == "application/geo+json"
    assert answer.place.timezone == "America/Los_Angeles"
    assert (answer.days[0].weather, answer.days[0].wind_max) == ("partly cloudy", 19.0)
    assert answer.hours[0].time == "2026-06-01T05:00-07:00"


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "https://evil.example/a"])
async def test_an_answer_cannot_send_us_to_another_host(sky: Sky, host: str) -> None:
    sky.nws.host = host
    async with opened(sky, providers="nws") as weather:
        assert (await weather.current(LOS_ANGELES)).weather == "partly cloudy"


@pytest.mark.parametrize(
    "where", ["/gridpoints/SGX/1,1/../../alerts", "/alerts/active", "/gridpoints/SGX/1,1"]
)
def test_an_address_that_is_no_forecasts_is_no_answer(where: str) -> None:
    grid = {"forecastHourly": f"https://api.weather.gov{where}", "timeZone": "America/Chicago"}
    with pytest.raises(ValueError, match="no address"):
        _read_grid({"properties": grid})


async def test_a_forecast_of_the_past_is_not_taken(sky: Sky) -> None:
    sky.nws.late_h = 12
    async with opened(sky, providers="nws,met_norway") as weather:
        answer = await weather.current(LOS_ANGELES)
    assert answer.source == CREDITS["met_norway"]
    assert answer.notices[0].startswith("The US National Weather Service sent a forecast of the past.")


async def test_a_failing_forecast_does_not_keep_alerts_from_being_asked_for(sky: Sky) -> None:
    async with opened(sky, providers="nws") as weather:
        sky.nws.trouble = "500"
        for _ in range(4):
            with pytest.raises(Unavailable):
                await weather.current(LOS_ANGELES)
        sky.nws.trouble = ""
        assert (await weather.alerts(LOS_ANGELES)).state == "none issued"


async def test_a_period_of_no_length_is_passed_over(sky: Sky) -> None:
    hours = [period(NOW.replace(minute=0) + timedelta(hours=n), temperature=n) for n in range(48)]
    empty = {**hours[1], "endTime": hours[1]["startTime"], "temperature": 99}
    sky.nws.periods = [hours[0], empty, *hours[1:]]
    async with opened(sky, providers="nws") as weather:
        answer = await weather.forecast(LOS_ANGELES, days=1, hourly=True)
    assert [hour.temperature for hour in answer.hours][:3] == [0, 1, 2]


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"windSpeed": "10 mph"}, {"wind": 16.1}),
        ({"windSpeed": {"unitCode": "wmoUnit:km_h-1", "value": 12.34}}, {"wind": 12.3}),
        ({"windSpeed": "calm"}, {"wind": None}),
        ({"temperature": 68, "temperatureUnit": "F"}, {"temperature": 20.0}),
        ({"temperature": {"unitCode": "wmoUnit:degC", "value": 20}}, {"temperature": 20}),
        ({"windDirection": "SSW"}, {"wind_direction": 202.5}),
        ({"windDirection": ""}, {"wind_direction": None}),
        ({"shortForecast": "Slight Chance T-storms"}, {"weather": "thunderstorm"}),
        ({"shortForecast": "Lorem ipsum"}, {"weather": ""}),
    ],
)
async def test_its_ways_of_saying_are_read(sky: Sky, over: dict[str, Any], expected: dict[str, Any]) -> None:
    sky.nws.periods = [period(NOW.replace(minute=0) + timedelta(hours=n), **over) for n in range(48)]
    async with opened(sky, providers="nws") as weather:
        answer = await weather.current(LOS_ANGELES)
    assert {name: getattr(answer, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("providers", "names"),
    [
        ("nws", ["Open-Meteo's archive", "Open-Meteo's air quality service", "Open-Meteo's geocoder"]),
        (
            "met_norway,open_meteo",
            [
                "Open-Meteo",
                "Open-Meteo's archive",
                "Open-Meteo's air quality service",
                "Open-Meteo's geocoder",
                "MET Norway",
            ],
        ),
    ],
)
async def test_health_names_only_the_services_that_are_set(
    sky: Sky, providers: str, names: list[str]
) -> None:
    async with opened(sky, providers=providers) as weather:
        health = await weather.health(probe=True)
    assert [provider.name for provider in health.providers] == [*names, "The US National Weather Service"]
    assert {provider.state for provider in health.providers} == {"ready"}
    assert (sky.met_norway.seen == []) == ("met_norway" not in providers)
