"""The chain with all five engines: who is asked, what stays on the machine, what is remembered."""

import asyncio
import random
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.from_thread
import pytest
from pydantic import SecretStr

from backends.translate import Translator
from backends.translate.chosen import chosen
from backends.translate.deep import DeepTranslator
from backends.translate.deepl import DeepL as DeepLEngine
from backends.translate.engine import Rendering
from backends.translate.remembered import COLLECTION, Question, Remembered
from backends.translate.web import Web
from config import Settings, TranslateSettings
from errors import Refusal, Unavailable
from state import State
from tests.fakes import Upstream
from tests.fakes import apertium as fake_apertium
from tests.fakes.deepl import KEY, DeepL
from tests.fakes.google_translate import GoogleTranslate, translated
from tests.fakes.libretranslate import LibreTranslate
from tests.fakes.mymemory import MyMemory
from tests.fakes.troubles import TROUBLES

ENGLISH = "The weather is sunny in the north today"
ENGINES = ("deepl", "libretranslate", "google", "mymemory", "apertium")
pytest.importorskip("deepl")


class World(SimpleNamespace):
    deepl: DeepL
    libretranslate: LibreTranslate
    google: GoogleTranslate
    mymemory: MyMemory
    settings: TranslateSettings
    now: float

    def asked(self) -> dict[str, int]:
        """How often each service was asked for a translation."""
        return {
            name: sum(path != "/languages" for path, _ in getattr(self, name).seen) for name in ENGINES[:4]
        }


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, tuple[Any, str]]]:
    fakes: dict[str, Any] = {
        "deepl": DeepL(), "libretranslate": LibreTranslate(),
        "google": GoogleTranslate(), "mymemory": MyMemory(),
    }  # fmt: skip
    running = {name: Upstream(fake) for name, fake in fakes.items()}
    for server in running.values():
        server.__enter__()
    yield {name: (fakes[name], server.url) for name, server in running.items()}
    for server in running.values():
        server.__exit__(None, None, None)


@pytest.fixture
def world(servers: dict[str, tuple[Any, str]], tmp_path: Path) -> World:
    """All five engines, all well; Apertium has English to Spanish and writes capitals."""
    for fake, _ in servers.values():
        fake.trouble, fake.habit, fake.times = "", "plain", 1_000_000
        fake.seen.clear()
    for name in ("deepl", "libretranslate"):
        servers[name][0].fresh()
    servers["mymemory"][0].pause_s = 0.0
    settings = TranslateSettings(
        deepl_key=SecretStr(KEY),
        deepl_url=servers["deepl"][1],
        libretranslate_url=servers["libretranslate"][1],
        google_url=servers["google"][1] + "/m",
        mymemory_url=servers["mymemory"][1] + "/get",
        apertium_modes=fake_apertium.stand_in(tmp_path),
        timeout=4,
    )
    return World(**{name: fake for name, (fake, _) in servers.items()}, settings=settings, now=1_000.0)


@asynccontextmanager
async def opened(world: World, state: State | None = None, **over: Any) -> AsyncIterator[Translator]:
    settings = world.settings.model_copy(update=over)
    async with Translator(settings, clock=lambda: world.now, state=state) as translator:
        yield translator


def names(**given: Any) -> list[str]:
    return [engine.name for engine in chosen(TranslateSettings.model_validate(given), time.monotonic)]


def test_auto_is_what_is_configured_best_first_and_a_list_keeps_its_order() -> None:
    assert names() == ["google", "mymemory", "apertium"]
    assert names(deepl_key="k") == ["deepl", "google", "mymemory", "apertium"]
    assert names(deepl_key="k", libretranslate_url="https://libre.example") == list(ENGINES)
    assert names(providers="apertium,mymemory,deepl", deepl_key="k") == ["apertium", "mymemory", "deepl"]
    assert names(providers="mymemory,auto", deepl_key="k") == ["mymemory", "deepl", "google", "apertium"]
    assert names(providers="deepl") == ["deepl"]  # and says that it has no key


async def test_each_engine_steps_in_for_those_before_it_and_the_result_names_it(world: World) -> None:
    async with opened(world, cache="off") as translator:
        for number, name in enumerate(ENGINES):
            result = await translator.text(ENGLISH, "es", "en")
            assert result.provider == name
            assert [
                f"{before} has had too many requests" in " ".join(result.notices)
                for before in ENGINES[:number]
            ] == [True] * number
            if name != "apertium":
                getattr(world, name).trouble = "429"
                world.now += 100
    assert result.text == ENGLISH.upper()


async def test_with_all_engines_too_one_that_hangs_is_not_waited_for_again(world: World) -> None:
    world.deepl.trouble = "slow"
    async with opened(world, timeout=2) as translator:
        first = await translator.text(ENGLISH, "es", "en")
        assert first.notices == ("deepl did not answer in time, so libretranslate translated.",)
        await translator.text("good evening", "es", "en")
    assert world.asked()["deepl"] == 1


async def test_an_engine_that_cannot_do_the_pair_is_passed_over_in_silence(world: World) -> None:
    async with opened(world) as translator:
        result = await translator.text(
            "hello there", "eu", "en"
        )  # no Basque in DeepL and this LibreTranslate
        assert (result.provider, result.notices) == ("google", ())
        assert (await translator.text("hello there", "sr-Latn", "en")).provider == "mymemory"
    assert world.asked() == {"deepl": 0, "libretranslate": 0, "google": 1, "mymemory": 1}


@pytest.mark.parametrize("habit", ["echo", "error page", "null", "empty", "dots"])
async def test_rubbish_of_one_is_the_turn_of_the_next(world: World, habit: str) -> None:
    world.deepl.habit = world.libretranslate.habit = habit
    async with opened(world) as translator:
        result = await translator.text(ENGLISH, "es", "en")
    assert (result.text, result.provider) == (f"{ENGLISH} (es)", "google")
    assert "deepl" in result.notices[0]
    assert "libretranslate" in result.notices[0]


async def test_an_answer_to_another_text_is_the_turn_of_the_next(world: World) -> None:
    world.deepl.habit = "stuck"
    async with opened(world) as translator:
        assert (await translator.text(ENGLISH, "es", "en")).provider == "deepl"
        other = await translator.text("Please send me both of your books by Friday", "es", "en")
    assert (other.text, other.provider) == (
        "Please send me both of your books by Friday (es)",
        "libretranslate",
    )
    assert other.notices == ("deepl sent the translation of another text, so libretranslate translated.",)


async def test_a_batch_asks_each_text_once_and_no_more_at_once_than_an_engine_takes(world: World) -> None:
    texts = [f"text number {n % 60}" for n in range(100)]
    async with opened(world, providers=("libretranslate",), timeout=10) as translator:
        result = await translator.batch(texts, "es", "en")
    assert [item.text for item in result.items] == [f"{text} (es)" for text in texts]
    assert len(world.libretranslate.asked) == 60
    assert 1 < world.libretranslate.most_at_once <= 4


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that anybody in this process tries to reach, and every name that is looked up."""
    tried: list[Any] = []
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def watched_connect(self: socket.socket, address: Any) -> None:
        tried.append(address)
        connect(self, address)

    def watched_lookup(*args: Any, **kwargs: Any) -> Any:
        tried.append(args)
        return lookup(*args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", watched_connect)
    monkeypatch.setattr(socket, "getaddrinfo", watched_lookup)
    return tried


async def use_everything(translator: Translator) -> None:
    await translator.languages()
    await translator.languages("german")
    await translator.detect(ENGLISH)
    await translator.health(probe=True)
    for target, source in (("es", "en"), ("de", "en"), ("es", "auto"), ("tlh", "en")):
        for text in (ENGLISH, "hello", "{name} & co"):
            with suppress(Refusal):
                await translator.text(text, target, source)
        with suppress(Refusal):
            await translator.batch([ENGLISH, "hello"], target, source)


async def test_with_local_only_no_connection_is_tried_and_nothing_that_makes_one_exists(
    world: World, reached: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(world, cache="off") as translator:
        await use_everything(translator)
    assert reached  # they would all be asked
    reached.clear()

    def never(self: object, *_: object, **__: object) -> None:
        raise AssertionError("something was made that sends texts out")

    for kind in (DeepTranslator, DeepLEngine, Web):
        monkeypatch.setattr(kind, "__init__", never)
    far = "http://libre.example:5000"
    async with opened(world, local_only=True, libretranslate_url=far, cache="off") as translator:
        await use_everything(translator)
        assert (await translator.text(ENGLISH, "es", "en")).provider == "apertium"
        with pytest.raises(Refusal, match="could, but this server keeps every text on its machine"):
            await translator.text(ENGLISH, "de", "en")
    assert reached == []


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("http://127.0.0.1:5000", True), ("http://localhost:5000", True), ("http://[::1]:5000", True),
        ("http://127.1.2.3", True), ("http://libre", False), ("http://10.0.0.1", False),
        ("http://localhost.example.com", False), ("http://127.0.0.1.nip.io", False),
        ("http://0.0.0.0", False),
        ("http://127.0.0.1@evil.example", False),
    ],
)  # fmt: skip
def test_with_local_only_a_libretranslate_is_used_on_loopback_alone(url: str, stays: bool) -> None:
    found = names(local_only=True, libretranslate_url=url, deepl_key="k")
    assert found == ["libretranslate"] * stays + ["apertium"]


@pytest.mark.parametrize("providers", ["google", "apertium,mymemory", "deepl"])
def test_local_only_beside_a_provider_that_sends_texts_out_stops_the_start(providers: str) -> None:
    with pytest.raises(ValueError, match="which sends texts out"):
        Settings.model_validate({"translate": {"local_only": "true", "providers": providers}})


async def test_what_was_translated_is_not_asked_again(world: World) -> None:
    async with opened(world) as translator:
        first = await translator.text(ENGLISH, "es", "en")
        again = await translator.text(ENGLISH, "Spanish", "eng")
        assert again == first
        assert world.asked()["deepl"] == 1
        for text, target, source in (
            (ENGLISH + ".", "es", "en"),
            (ENGLISH, "fr", "en"),
            (ENGLISH, "es", "de"),
        ):
            await translator.text(text, target, source)
        assert world.asked()["deepl"] == 4


async def test_what_was_translated_is_there_while_its_engine_rests_and_for_nobody_elses_turn(
    world: World,
) -> None:
    async with opened(world) as translator:
        await translator.text(ENGLISH, "es", "en")
        world.deepl.trouble = "429"
        assert (await translator.text("good evening", "es", "en")).provider == "libretranslate"
        assert (await translator.text(ENGLISH, "es", "en")).provider == "deepl"
        world.deepl.trouble = ""
        world.now += 100
        # LibreTranslate stepped in once; DeepL is well again and has its turn.
        assert (await translator.text("good evening", "es", "en")).provider == "deepl"


@pytest.mark.parametrize("how", ["untranslated", "left"])
async def test_after_a_rest_a_text_that_tells_nothing_of_its_engine_leaves_the_turn_to_the_next(
    world: World, how: str
) -> None:
    async with opened(world, providers=("google",)) as translator:
        world.google.trouble = "429"
        with pytest.raises(Unavailable):
            await translator.text(ENGLISH, "es", "en")
        world.now += 61
        world.google.trouble, world.google.habit = ("slow", "plain") if how == "left" else ("", "echo")
        if how == "left":
            with anyio.move_on_after(0.05):
                await translator.text(ENGLISH, "es", "en")
        else:
            with pytest.raises(Unavailable, match="google gave the text back untranslated"):
                await translator.text(ENGLISH, "es", "en")
        world.google.trouble, world.google.habit = "", "plain"
        assert (await translator.text(ENGLISH, "es", "en")).provider == "google"


@pytest.mark.parametrize("cache", ["on", "hash-only", "off"])
async def test_translations_outlive_the_process_unless_nothing_is_kept(
    world: World, tmp_path: Path, cache: str
) -> None:
    for _ in range(2):
        async with State(tmp_path / "state") as state, opened(world, state, cache=cache) as translator:
            assert (await translator.text(ENGLISH, "es", "en")).text == f"{ENGLISH} (ES)"
    assert world.asked()["deepl"] == (2 if cache == "off" else 1)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert (b"sunny" in kept) is (cache == "on")
    assert bool(kept) is (cache != "off")


async def test_another_generation_of_an_engine_is_asked_anew(
    world: World, tmp_path: Path, servers: Any
) -> None:
    async with State(tmp_path / "state") as state:
        async with opened(world, state, providers=("google",)) as translator:
            await translator.text(ENGLISH, "es", "en")
        same_service = servers["google"][1] + "/m?hl=en"
        async with opened(world, state, providers=("google",), google_url=same_service) as translator:
            await translator.text(ENGLISH, "es", "en")
    assert world.asked()["google"] == 2


async def test_apertiums_pairs_being_replaced_is_another_generation(world: World, tmp_path: Path) -> None:
    async with State(tmp_path / "state") as state:
        async with opened(world, state, providers=("apertium",)) as translator:
            assert (await translator.text("hello", "es", "en")).text == "HELLO"
        program = world.settings.apertium_modes.parent / "program"
        program.write_text(program.read_text().replace("text.upper()", "text.title()"))
        async with opened(world, state, providers=("apertium",)) as translator:
            assert (await translator.text("hello", "es", "en")).text == "HELLO"  # kept
        mode = world.settings.apertium_modes / "eng-spa.mode"
        mode.write_text(mode.read_text())
        async with opened(world, state, providers=("apertium",)) as translator:
            assert (await translator.text("hello", "es", "en")).text == "Hello"


class Broken(State):
    """A store whose values are not what was put there."""

    def __init__(self, value: bytes | None) -> None:
        super().__init__()
        self.value = value

    async def get(self, collection: str, key: str) -> bytes | None:
        return self.value


@pytest.mark.parametrize("cache", ["on", "hash-only"])
@pytest.mark.parametrize(
    "value",
    [None, b"", b"x" * 40, b"[1]", b'["a"]', b'{"text": 1}', b"\xff", b'["a", "b", 3]', b'[1, "b", []]'],
)
async def test_what_cannot_be_read_back_is_translated_anew(
    world: World, value: bytes | None, cache: str
) -> None:
    async with Broken(value) as state, opened(world, state, cache=cache) as translator:
        assert (await translator.text(ENGLISH, "es", "en")).text == f"{ENGLISH} (ES)"


class Spy(State):
    """What is put, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.put_there: dict[str, bytes] = {}

    async def put(self, collection: str, key: str, value: bytes, ttl_s: float) -> None:
        assert collection == COLLECTION
        self.put_there[key] = value

    async def get(self, collection: str, key: str) -> bytes | None:
        return self.put_there.get(key)


QUESTION = Question("deepl", "here", "en", "es", "The canary sings")
SAID = Rendering("El canario canta", "machine translation", ("notice",))


@pytest.mark.parametrize("how", ["on", "hash-only"])
async def test_only_who_has_the_text_finds_and_reads_its_translation(how: Any) -> None:
    async with Spy() as state:
        await Remembered(how, state).put(QUESTION, SAID)
        ((key, value),) = state.put_there.items()
        assert b"canary" not in key.encode() + value
        assert (b"canario" in value) is (how == "on")
        assert await Remembered(how, state).get(QUESTION) == SAID
        for other in (
            QUESTION._replace(text="The canary sing"), QUESTION._replace(source="es", target="en"),
            QUESTION._replace(engine="google"), QUESTION._replace(generation="there"),
            QUESTION._replace(source="e", target="nes"),
        ):  # fmt: skip
            assert await Remembered(how, state).get(other) is None


async def test_an_encrypted_translation_is_another_each_time_and_tells_its_length_only_roughly() -> None:
    values: list[bytes] = []
    for rendering in (SAID, SAID, SAID._replace(text="No")):
        async with Spy() as state:
            await Remembered("hash-only", state).put(QUESTION, rendering)
            values += state.put_there.values()
    assert len(set(values)) == 3
    assert len({len(value) for value in values}) == 1


async def test_memory_is_bounded_and_holds_no_clear_text_with_hash_only() -> None:
    remembered = Remembered("hash-only", None)
    for n in range(200):
        await remembered.put(QUESTION._replace(text=f"{n}"), SAID._replace(text="canario " * 10_000))
    assert sum(map(len, remembered._near.values())) == remembered._size <= 4_000_000
    assert not any(b"canario" in value for value in remembered._near.values())
    assert await remembered.get(QUESTION._replace(text="199")) is not None
    assert await remembered.get(QUESTION._replace(text="0")) is None


async def test_nothing_is_remembered_of_what_failed(world: World) -> None:
    world.google.habit = "error page"
    async with opened(world, providers=("google",)) as translator:
        with pytest.raises(Unavailable):
            await translator.text(ENGLISH, "es", "en")
        world.google.habit = "plain"
        world.now += 601
        assert (await translator.text(ENGLISH, "es", "en")).text == f"{ENGLISH} (es)"


def hammered(ask: Any, rounds: int) -> list[tuple[str, str]]:
    """Answers that are not to their question, of eight threads that ask at once."""
    wrong: list[tuple[str, str]] = []

    def hammer(number: int) -> None:
        for turn in range(rounds):
            text = f"Question {number} of turn {turn}"
            if (answer := ask(text)) != translated(text, "es"):
                wrong.append((text, answer))

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)
    return wrong


async def test_eight_threads_hammering_through_the_guard_get_each_their_own_answer(world: World) -> None:
    async with (
        opened(world, providers=("google",), cache="off", timeout=20) as translator,
        anyio.from_thread.BlockingPortal() as portal,
    ):

        def ask(text: str) -> str:
            return portal.call(translator.text, text, "es", "en").text

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        wrong = await anyio.to_thread.run_sync(hammered, ask, 25)
        sys.setswitchinterval(interval)
    assert wrong == []
    assert world.asked()["google"] == 200


def test_the_same_threads_on_the_bare_library_get_one_anothers_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above is one that can fail."""
    from deep_translator import GoogleTranslator  # type: ignore[import-untyped]  # it ships no types

    monkeypatch.setitem(
        sys.modules["deep_translator.google"].BASE_URLS, "GOOGLE_TRANSLATE", world.settings.google_url
    )
    shared = GoogleTranslator(source="en", target="es")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns in the middle of everything
    try:
        assert len(hammered(shared.translate, 10)) > 0
    finally:
        sys.setswitchinterval(interval)


async def test_an_answer_after_the_deadline_is_nobodys(world: World) -> None:
    world.mymemory.pause_s = 0.4
    async with opened(world, providers=("mymemory", "apertium"), timeout=1) as translator:
        await translator.languages("es")
        late = await translator.text(ENGLISH, "es", "en")
        assert late.provider == "apertium"
        await asyncio.sleep(0.25)  # it is sent now
        world.mymemory.pause_s = 0.0
        world.now += 61
        on_time = await translator.text("good evening", "es", "en")
    assert (on_time.text, on_time.provider) == ("good evening (es-ES)", "mymemory")


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_two_thousand_texts_while_engines_fall_over_are_right_or_refused_in_time(world: World) -> None:
    """No answer is another text's, a page or an echo, whatever the services do; nothing is left behind."""
    chance = random.Random(6)
    habits = {
        "deepl": ("plain", "quota", "echo", "error page", "none", "null", "empty", "dots"),
        "libretranslate": ("plain", "echo", "error page", "null", "empty", "dots", "halves"),
        "google": ("plain", "echo", "error page", "captcha", "cut page", "empty", "one line", "dots"),
        "mymemory": ("plain", "warning", "quota", "invalid pair", "nothing", "null", "escaped"),
    }
    slowest = 0.0
    refusals: list[str] = []

    async def one(number: int, translator: Translator) -> None:
        nonlocal slowest
        target = chance.choice(["es", "fr", "he", "pt-BR"])
        text = f"Please send the parcel with number {number:05} to my old house"
        started = time.monotonic()
        try:
            result = await translator.text(text, target, "en")
        except Unavailable as refusal:
            refusals.append(str(refusal))
        else:
            begun = result.text.upper() == text.upper() and result.provider == "apertium"
            assert begun or result.text.startswith(f"{text} ("), result
        slowest = max(slowest, time.monotonic() - started)

    async with opened(world, timeout=1) as translator:
        await translator.pair("es")
        for first in range(0, 2_000, 20):
            for name, ways in habits.items():
                fake = getattr(world, name)
                fake.habit = chance.choice(ways)
                fake.trouble = chance.choice(("", "", *TROUBLES))
            async with anyio.create_task_group() as tasks:
                for number in range(first, first + 20):
                    tasks.start_soon(one, number, translator)
            world.now += chance.choice((0, 5, 61, 601, 3_601))
    assert slowest < 3
    assert 0 < len(refusals) < 1_500
    assert not any("parcel" in refusal for refusal in refusals)
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
