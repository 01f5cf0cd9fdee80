"""DeepL through its official client, LibreTranslate over HTTP: right texts, or one clear failure in time."""

import asyncio
import importlib.util
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
import pytest

from backends.translate import deepl as our_deepl
from backends.translate import libretranslate as our_libretranslate
from backends.translate.deepl import FREE_URL, PRO_URL, DeepL
from backends.translate.engine import Trouble
from backends.translate.libretranslate import LibreTranslate
from tests.fakes import Upstream
from tests.fakes import deepl as fake_deepl
from tests.fakes import libretranslate as fake_libretranslate
from tests.fakes.deepl import KEY
from tests.fakes.troubles import TROUBLES

TIMEOUT_S = 0.5
Engine = DeepL | LibreTranslate
Fake = fake_deepl.DeepL | fake_libretranslate.LibreTranslate


class Service(NamedTuple):
    fake: Any
    url: str
    name: str

    def engine(self, timeout_s: float = 5, key: str = KEY) -> Engine:
        if self.name == "deepl":
            return DeepL(key, self.url, timeout_s)
        return LibreTranslate(self.url, "", timeout_s)


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, Service]]:
    deepl, libretranslate = fake_deepl.DeepL(), fake_libretranslate.LibreTranslate()
    with Upstream(deepl) as one, Upstream(libretranslate) as two:
        yield {
            "deepl": Service(deepl, one.url, "deepl"),
            "libretranslate": Service(libretranslate, two.url, "libretranslate"),
        }


@pytest.fixture
def deepl(services: dict[str, Service]) -> Service:
    if importlib.util.find_spec("deepl") is None:
        if os.environ.get("TEST_REQUIRE_ALL") == "1":
            pytest.fail("install the Python package deepl")
        pytest.skip("the Python package deepl is not installed")
    services["deepl"].fake.fresh()
    return services["deepl"]


@pytest.fixture
def libretranslate(services: dict[str, Service]) -> Service:
    services["libretranslate"].fake.fresh()
    return services["libretranslate"]


@pytest.fixture(params=["deepl", "libretranslate"])
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.getfixturevalue(request.param)
    return found


@asynccontextmanager
async def opened(service: Service, **given: Any) -> AsyncIterator[Engine]:
    engine = service.engine(**given)
    await anyio.to_thread.run_sync(engine.load)
    try:
        yield engine
    finally:
        await engine.aclose()


async def ask(engine: Engine, text: str, source: str | None = "en", target: str = "es") -> str:
    pair = engine.pair(source, target)
    assert pair is not None
    return (await engine.translate(text, pair)).text


@pytest.mark.parametrize(
    "text", ["Hello", "  Hello \n", "One\n\n\ttwo  \r\n🎉\r\n- three\n", "a & b < c", "Привет 北京 🎉"]
)
async def test_a_text_comes_back_whole(service: Service, text: str) -> None:
    async with opened(service) as engine:
        answer = await ask(engine, text)
    assert answer.replace(" (es)", "").replace(" (ES)", "") == text
    assert answer != text


@pytest.mark.parametrize(
    ("trouble", "reason", "at_once"),
    [
        ("slow", "did not answer in time", True), ("slow body", "did not answer in time", True),
        ("429", "has had too many requests", True), ("429 with seconds", "has had too many requests", True),
        ("429 with a date", "has had too many requests", True),
        ("500", "answered with status 500", False), ("503", "answered with status 503", False),
        ("html", "sent an answer that cannot be read", False), ("cut body", "could not be reached", False),
        ("error inside a 200", "sent an answer that cannot be read", False),
        ("not an object", "sent an answer without a translation", False),
        ("huge", "sent an answer without end", False), ("redirect", "answered with status 302", False),
    ],
)  # fmt: skip
async def test_every_trouble_is_one_failure_within_the_deadline(
    service: Service, trouble: str, reason: str, at_once: bool
) -> None:
    service.fake.trouble = trouble
    async with opened(service, timeout_s=TIMEOUT_S) as engine:
        started = time.monotonic()
        with pytest.raises(Trouble, match=f"^{reason}$") as caught:
            await ask(engine, "my secret text")
        assert time.monotonic() - started < TIMEOUT_S + 1
    assert caught.value.rest
    assert (caught.value.rest_s is not None) is at_once
    assert len(service.fake.seen) == 1
    for word in ("secret", "127.0.0.1", KEY):
        assert word not in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_trouble_of_the_fakes_is_tried() -> None:
    tried = test_every_trouble_is_one_failure_within_the_deadline.pytestmark[0].args[1]
    assert set(TROUBLES) == {trouble for trouble, *_ in tried}


async def test_how_long_it_asks_to_be_left_alone_is_kept(service: Service) -> None:
    service.fake.trouble, service.fake.retry_after = "429 with seconds", "17"
    async with opened(service) as engine:
        with pytest.raises(Trouble) as caught:
            await ask(engine, "Hello")
        service.fake.retry_after = "99999"
        with pytest.raises(Trouble) as longer:
            await ask(engine, "Hello")
    assert (caught.value.rest_s, longer.value.rest_s) == (17, 3600)


@pytest.mark.parametrize(
    ("habit", "reason", "rest"),
    [
        ("error page", "sent a warning in place of a translation", True),
        ("empty", "gave no translation", False),
        ("dots", "gave no translation", False), ("null", "gave no translation", False),
        ("echo", "gave the text back untranslated", False),
    ],
)  # fmt: skip
async def test_rubbish_is_never_a_translation(service: Service, habit: str, reason: str, rest: bool) -> None:
    service.fake.habit = habit
    async with opened(service) as engine:
        with pytest.raises(Trouble, match=f"^{reason}$") as caught:
            await ask(engine, "The weather is sunny in the north today")
    assert caught.value.rest is rest


async def test_another_texts_translation_is_never_a_translation(service: Service) -> None:
    service.fake.habit = "stuck"
    async with opened(service) as engine:
        assert "sunny" in await ask(engine, "The weather is sunny in the north today")
        with pytest.raises(Trouble, match=r"^sent the translation of another text$"):
            await ask(engine, "Please send me both of your books by Friday")


async def test_eight_tasks_never_get_anothers_answer(service: Service) -> None:
    at_once = {"deepl": our_deepl.AT_ONCE, "libretranslate": our_libretranslate.AT_ONCE}[service.name]
    wrong: list[tuple[str, str]] = []

    async def hammer(number: int) -> None:
        for turn in range(12):
            text = f"Text {number} of turn {turn}"
            answer = await ask(engine, text, target="fr")
            if answer.casefold() != f"{text} (fr)".casefold():
                wrong.append((text, answer))

    async with opened(service, timeout_s=10) as engine, anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(hammer, number)
    assert wrong == []
    assert 1 < service.fake.most_at_once <= at_once


async def test_a_cancelled_question_ends_and_its_late_answer_reaches_nobody(service: Service) -> None:
    service.fake.trouble = "slow"
    async with opened(service, timeout_s=20) as engine:
        with anyio.move_on_after(0.2) as scope:
            await ask(engine, "Hello")
        assert scope.cancelled_caught
        service.fake.trouble = ""
        assert (await ask(engine, "Later")).startswith("Later")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_long_texts_are_cut_under_the_limits_and_put_together(service: Service) -> None:
    text = "\n".join(" ".join(f"sentence {n} of {m}." for n in range(20)) for m in range(30))
    async with opened(service, timeout_s=5) as engine:
        answer = await ask(engine, text)
    assert answer.replace(" (es)", "").replace(" (ES)", "") == text
    assert len(service.fake.asked) > (service.name == "libretranslate")


async def test_who_asks_is_our_own_name(service: Service) -> None:
    async with opened(service) as engine:
        await ask(engine, "Hello")
    assert service.fake.headers["user-agent"] == "almanac-mcp-server"
    assert service.fake.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("source", "target", "codes"),
    [
        ("en", "en-GB", None), ("en", "es", ("EN", "ES")), ("es", "en", ("ES", "EN-US")),
        ("es", "en-GB", ("ES", "EN-GB")), ("en-US", "pt", ("EN", "PT-BR")), ("en", "pt-PT", ("EN", "PT-PT")),
        ("en", "zh", ("EN", "ZH-HANS")), ("en", "zh-TW", ("EN", "ZH-HANT")), ("zh-TW", "de", ("ZH", "DE")),
        ("no", "he", ("NB", "HE")), ("en", "nb", ("EN", "NB")), ("en", "es-419", ("EN", "ES-419")),
        (None, "es", ("", "ES")), ("en", "eu", None), ("cy", "en", None),
    ],
)  # fmt: skip
async def test_deepl_is_asked_in_its_own_codes(
    deepl: Service, source: str | None, target: str, codes: tuple[str, str] | None
) -> None:
    async with opened(deepl) as engine:
        pair = engine.pair(source, target)
        assert (pair and (pair.source, pair.target)) == codes
        if source and pair:
            await engine.translate("Hello", pair)
            asked = deepl.fake.asked[-1]
            assert (asked["source_lang"], asked["target_lang"], asked["text"]) == (*codes, ["Hello"])  # type: ignore[misc]  # it is a pair here


@pytest.mark.parametrize(
    ("source", "target", "codes"),
    [
        ("en", "es", ("en", "es")), ("zh-TW", "zh", ("zt", "zh")), ("en", "zh-Hant", ("en", "zt")),
        ("no", "pt-BR", ("nb", "pt-BR")), ("en", "he", ("en", "he")), (None, "fr", ("auto", "fr")),
        ("en", "de", None), ("en", "en-GB", None), ("pt-BR", "en", ("pt-BR", "en")), ("pt-BR", "es", None),
    ],
)  # fmt: skip
async def test_libretranslate_is_asked_in_its_own_codes_for_what_it_has(
    libretranslate: Service, source: str | None, target: str, codes: tuple[str, str] | None
) -> None:
    async with opened(libretranslate) as engine:
        assert isinstance(engine, LibreTranslate)
        assert await engine.refresh()
        pair = engine.pair(source, target)
    assert (pair and (pair.source, pair.target)) == codes


async def test_a_language_is_left_to_those_that_detect(service: Service) -> None:
    async with opened(service) as engine:
        assert (await ask(engine, "Hello", source=None)).startswith("Hello (")


async def test_libretranslate_says_which_languages_it_has_and_is_asked_again_in_an_hour(
    libretranslate: Service,
) -> None:
    now = 0.0
    engine = LibreTranslate(libretranslate.url, "", 5, lambda: now)
    engine.load()
    try:
        assert "de" in engine.languages()  # what such a server usually has
        assert await engine.refresh()
        assert "de" not in engine.languages()
        assert not await engine.refresh()
        assert len(libretranslate.fake.seen) == 1
        libretranslate.fake.languages = ("en", "de")
        now = 3_601
        assert await engine.refresh()
        assert sorted(engine.languages()) == ["de", "en"]
        libretranslate.fake.trouble = "html"
        now += 3_601
        assert not await engine.refresh()
        assert sorted(engine.languages()) == ["de", "en"]
    finally:
        await engine.aclose()


@pytest.mark.parametrize("trouble", ["slow", "500", "not an object", "cut body"])
async def test_a_libretranslate_that_does_not_say_what_it_has_is_taken_to_have_the_usual(
    libretranslate: Service, trouble: str
) -> None:
    libretranslate.fake.trouble = trouble
    async with opened(libretranslate) as engine:
        assert isinstance(engine, LibreTranslate)
        assert not await engine.refresh()
        assert engine.pair("en", "de") is not None


async def test_keys_go_where_they_belong_and_a_wrong_one_is_told_without_it(
    deepl: Service, libretranslate: Service
) -> None:
    libretranslate.fake.key = "libre-secret"
    engine = LibreTranslate(libretranslate.url, "libre-secret", 5)
    engine.load()
    assert await ask(engine, "Hello") == "Hello (es)"
    await engine.aclose()
    async with opened(libretranslate) as keyless, opened(deepl, key="wrong-secret:fx") as wrong:
        for each in (keyless, wrong):
            with pytest.raises(Trouble, match="does not accept its key") as caught:
                await ask(each, "Hello")
            assert caught.value.rest_s == 3600
            assert "secret" not in str(caught.value)


async def test_a_month_that_is_used_up_rests_deepl_for_an_hour(deepl: Service) -> None:
    deepl.fake.habit = "quota"
    async with opened(deepl) as engine:
        with pytest.raises(Trouble, match="has no characters left") as caught:
            await ask(engine, "Hello")
    assert caught.value.rest_s == 3600


async def test_an_answer_without_any_translation_is_a_failure(deepl: Service) -> None:
    deepl.fake.habit = "none"
    async with opened(deepl) as engine:
        with pytest.raises(Trouble, match="without a translation"):
            await ask(engine, "Hello")


def test_a_key_of_the_free_plan_goes_to_the_free_address() -> None:
    assert DeepL("a:fx", "", 1)._url == FREE_URL
    assert DeepL("a", "", 1)._url == PRO_URL
    assert DeepL("a:fx", "http://127.0.0.1:9", 1)._url == "http://127.0.0.1:9"


async def test_deepls_client_neither_logs_the_text_nor_uses_a_proxy(
    deepl: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with opened(deepl) as engine:
        assert await ask(engine, "canary words") == "canary words (ES)"
    assert not any("canary" in record.getMessage() or KEY in record.getMessage() for record in caplog.records)


async def test_deepl_without_its_package_or_a_key_says_what_is_missing(
    deepl: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyless = DeepL("", "", 1)
    keyless.load()
    assert (keyless.missing(), keyless.pair("en", "es"), keyless.languages()) == ("no key is set", None, [])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    engine = DeepL(KEY, "", 1)
    engine.load()
    assert (engine.missing(), engine.pair("en", "es")) == ("its Python package is not installed", None)
    await engine.aclose()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.test"])
async def test_a_service_that_is_not_there_could_not_be_reached(url: str) -> None:
    engine = LibreTranslate(url, "", TIMEOUT_S)
    engine.load()
    with pytest.raises(Trouble, match="could not be reached") as caught:
        await ask(engine, "Hello")
    assert caught.value.rest_s
    await engine.aclose()
