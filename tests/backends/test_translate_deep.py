"""deep-translator behind its guard, over real HTTP: right texts, or one clear failure in time."""

import asyncio
import datetime
import random
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backends.translate.deep import AT_ONCE, DeepTranslator
from backends.translate.engine import Trouble
from tests.fakes import Upstream
from tests.fakes.google_translate import GoogleTranslate, translated
from tests.fakes.mymemory import MyMemory
from tests.fakes.troubles import TROUBLES

TIMEOUT_S = 0.8


class Raw:
    """Answers everything with one body."""

    def __init__(self) -> None:
        self.response = Response()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.response(scope, receive, send)


@pytest.fixture(scope="module")
def raw_server() -> Iterator[tuple[Raw, str]]:
    with Upstream(fake := Raw()) as server:
        yield fake, server.url


@pytest.fixture(scope="module")
def google_server() -> Iterator[tuple[GoogleTranslate, str]]:
    with Upstream(fake := GoogleTranslate()) as server:
        yield fake, server.url + "/m"


@pytest.fixture(scope="module")
def mymemory_server() -> Iterator[tuple[MyMemory, str]]:
    with Upstream(fake := MyMemory()) as server:
        yield fake, server.url + "/get"


@pytest.fixture
def google(google_server: tuple[GoogleTranslate, str]) -> tuple[GoogleTranslate, str]:
    _calm(google_server[0])
    return google_server


@pytest.fixture
def mymemory(mymemory_server: tuple[MyMemory, str]) -> tuple[MyMemory, str]:
    _calm(mymemory_server[0])
    return mymemory_server


def _calm(fake: GoogleTranslate | MyMemory) -> None:
    fake.trouble, fake.habit = "", "plain"
    fake.seen.clear()


@asynccontextmanager
async def opened(name: str, url: str, timeout_s: float = TIMEOUT_S) -> AsyncIterator[DeepTranslator]:
    engine = DeepTranslator(name, url, timeout_s)
    await anyio.to_thread.run_sync(engine.load)
    try:
        yield engine
    finally:
        await engine.aclose()


async def ask(engine: DeepTranslator, text: str, source: str = "en", target: str = "es") -> str:
    pair = engine.pair(source, target)
    assert pair is not None
    return (await engine.translate(text, pair)).text


@pytest.mark.parametrize(
    "text",
    [
        "Hello", "  Hello \n", "Hello\nworld", "One\n\n\ttwo  \r\n🎉\r\n- three\n", "a & b < c > d \"e\" 'f'",
        "\tif x:\n\t\treturn y\n", "x\0y", "Привет 北京 🎉", "50% off & more?q=1#x",
    ],
)  # fmt: skip
async def test_a_text_comes_back_whole(google: tuple[GoogleTranslate, str], text: str) -> None:
    async with opened("google", google[1]) as engine:
        answer = await ask(engine, text)
    kept = [c for c in text if c in "\n\r\t\0🎉"]
    assert [c for c in answer if c in "\n\r\t\0🎉"] == kept
    assert answer.replace(" (es)", "") == text
    assert answer.count("(es)") == sum(
        any(c.isalpha() for c in line) for line in text.replace("\0", "\n").splitlines()
    )


async def test_many_lines_are_one_question(google: tuple[GoogleTranslate, str]) -> None:
    async with opened("google", google[1]) as engine:
        await ask(engine, "\n".join(f"line number {'x' * n}" for n in range(50)))
    assert len(google[0].seen) == 1


@pytest.mark.parametrize("habit", ["one line", "too long"])
async def test_lines_that_an_engine_runs_together_are_asked_for_one_by_one(
    google: tuple[GoogleTranslate, str], habit: str
) -> None:
    google[0].habit = habit
    async with opened("google", google[1]) as engine:
        answer = await ask(engine, "one\n\n two\nthree")
    if habit == "one line":
        assert answer == "one (es)\n\n two (es)\nthree (es)"
    assert answer.count("\n") == 3
    assert len(google[0].seen) == 4


@pytest.mark.parametrize("letters", ["a", "я", "京", "🎉a"])
async def test_a_long_text_is_cut_under_the_limits_and_put_together(
    google: tuple[GoogleTranslate, str], mymemory: tuple[MyMemory, str], letters: str
) -> None:
    sentences = [f"{letters * (n % 40 + 20)}." for n in range(130)]
    text = "\n".join([" ".join(sentences[:80]), *sentences[80:]])
    for (fake, url), name in ((google, "google"), (mymemory, "mymemory")):
        async with opened(name, url, timeout_s=5) as engine:
            answer = await ask(engine, text)
        for suffix in (" (es)", " (es-ES)"):
            answer = answer.replace(suffix, "")
        assert answer == text
        assert len(fake.seen) > 1


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("slow", "did not answer in time"), ("slow body", "did not answer in time"),
        ("429", "has had too many requests"), ("429 with seconds", "has had too many requests"),
        ("500", "answered with status 500"), ("503", "answered with status 503"),
        ("html", "without a translation|cannot be read"),
        ("cut body", "could not be reached"),
        ("error inside a 200", "without a translation|cannot be read"),
        ("not an object", "without a translation|cannot be read"), ("huge", "without end"),
        ("redirect", "answered with status 302"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["google", "mymemory"])
async def test_every_trouble_is_one_failure_within_the_deadline(
    google: tuple[GoogleTranslate, str], mymemory: tuple[MyMemory, str], name: str, trouble: str, reason: str
) -> None:
    fake, url = google if name == "google" else mymemory
    fake.trouble = trouble
    async with opened(name, url) as engine:
        started = time.monotonic()
        with pytest.raises(Trouble, match=reason) as caught:
            await ask(engine, "my secret text")
        assert time.monotonic() - started < TIMEOUT_S + 1
    assert caught.value.rest
    assert len(fake.seen) == 1
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_trouble_of_the_fakes_is_tried() -> None:
    tried = test_every_trouble_is_one_failure_within_the_deadline.pytestmark[1].args[1]  # type: ignore[attr-defined]
    assert set(TROUBLES) - {"429 with a date"} == {trouble for trouble, _ in tried}


@pytest.mark.parametrize(
    ("habit", "reason", "rest"),
    [
        ("error page", "a warning in place of a translation", True),
        ("captcha", "an answer without a translation", True), ("cut page", "a page that was cut off", True),
        ("empty", "gave no translation", False),
    ],
)  # fmt: skip
async def test_googles_rubbish_is_never_a_translation(
    google: tuple[GoogleTranslate, str], habit: str, reason: str, rest: bool
) -> None:
    google[0].habit = habit
    async with opened("google", google[1]) as engine:
        with pytest.raises(Trouble, match=reason) as caught:
            await ask(engine, "Hello")
    assert caught.value.rest is rest


@pytest.mark.parametrize(
    ("habit", "reason", "rest"),
    [
        ("warning", "a warning in place of a translation", True),
        ("quota", "has had too many requests", True),
        ("invalid pair", "answered with status 403", True),
        ("nothing", "an answer without a translation", True),
        ("null", "an answer without a translation", True),
    ],
)  # fmt: skip
async def test_mymemorys_warnings_are_never_a_translation(
    mymemory: tuple[MyMemory, str], habit: str, reason: str, rest: bool
) -> None:
    mymemory[0].habit = habit
    async with opened("mymemory", mymemory[1]) as engine:
        with pytest.raises(Trouble, match=reason) as caught:
            await ask(engine, "Hello")
    assert caught.value.rest is rest


async def test_a_text_that_speaks_of_an_error_page_is_translated(google: tuple[GoogleTranslate, str]) -> None:
    text = "The page said Error 500 (Server Error)!!1 and nothing else."
    async with opened("google", google[1]) as engine:
        assert await ask(engine, text) == f"{text} (es)"


async def test_mymemorys_escapes_are_undone_unless_the_text_has_its_own(
    mymemory: tuple[MyMemory, str],
) -> None:
    mymemory[0].habit = "escaped"
    async with opened("mymemory", mymemory[1]) as engine:
        assert await ask(engine, "don't go < there") == "don't go < there (es-ES)"
    mymemory[0].habit = "plain"
    async with opened("mymemory", mymemory[1]) as engine:
        assert await ask(engine, "a &lt; b") == "a &lt; b (es-ES)"


async def test_mymemory_may_answer_with_a_match(mymemory: tuple[MyMemory, str]) -> None:
    mymemory[0].habit = "match"
    async with opened("mymemory", mymemory[1]) as engine:
        assert await ask(engine, "Hello") == "Hello (es-ES)"


async def test_eight_tasks_on_one_engine_never_get_anothers_answer(
    google: tuple[GoogleTranslate, str],
) -> None:
    wrong: list[tuple[str, str]] = []
    google[0].most_at_once = 0

    async def hammer(number: int) -> None:
        for turn in range(25):
            text, target = f"Text {number} of turn {turn}", random.choice(["es", "fr", "de", "he"])
            code = {"he": "iw"}.get(target, target)
            answer = await ask(engine, text, target=target)
            if answer != translated(text, code):
                wrong.append((text, answer))

    async with opened("google", google[1], timeout_s=10) as engine, anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(hammer, number)
    assert wrong == []
    assert 1 < google[0].most_at_once <= AT_ONCE
    assert len(google[0].seen) == 200


def test_eight_threads_with_a_loop_each_never_get_anothers_answer(
    google: tuple[GoogleTranslate, str],
) -> None:
    """Two servers in one process share deep-translator's modules, and must not share what is set on them."""
    wrong: list[str] = []

    async def hammer(number: int) -> None:
        async with opened("google", google[1], timeout_s=10) as engine:
            for turn in range(10):
                text = f"Text {number} of turn {turn}"
                if (answer := await ask(engine, text)) != translated(text, "es"):
                    wrong.append(answer)

    threads = [threading.Thread(target=asyncio.run, args=(hammer(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert len(google[0].seen) == 80


async def test_a_cancelled_question_ends_its_request_and_its_thread(
    google: tuple[GoogleTranslate, str],
) -> None:
    google[0].trouble = "slow"
    async with opened("google", google[1], timeout_s=20) as engine:
        started = time.monotonic()
        with anyio.move_on_after(0.2) as scope:
            await ask(engine, "Hello")
        assert scope.cancelled_caught
        assert time.monotonic() - started < 2
        assert engine._threads.borrowed_tokens == 0
        google[0].trouble = ""
        assert await ask(engine, "Later") == "Later (es)"


async def test_closing_ends_a_question_whose_caller_is_gone(google: tuple[GoogleTranslate, str]) -> None:
    google[0].trouble = "slow"
    async with opened("google", google[1], timeout_s=20) as engine:
        caller = asyncio.create_task(ask(engine, "Hello"))
        await asyncio.sleep(0.2)
        caller.cancel()
        await asyncio.wait([caller])
    for _ in range(100):
        if engine._threads.borrowed_tokens == 0:
            break
        await asyncio.sleep(0.02)
    assert engine._threads.borrowed_tokens == 0


async def test_who_asks_is_our_own_name_and_nothing_else_is_sent(google: tuple[GoogleTranslate, str]) -> None:
    async with opened("google", google[1]) as engine:
        await ask(engine, "Hello")
    assert google[0].headers["user-agent"] == "almanac-mcp-server"
    assert google[0].seen == [("/m", {"tl": "es", "sl": "en", "q": "Hello"})]


async def test_deep_translators_own_module_is_left_alone(google: tuple[GoogleTranslate, str]) -> None:
    async with opened("google", google[1]):
        module = sys.modules["deep_translator.google"]
        assert module.requests.__name__ == "requests"
        assert module.BASE_URLS["GOOGLE_TRANSLATE"].startswith("https://translate.google.com")


@pytest.mark.parametrize(("name", "pair"), [("google", ("en", "es")), ("mymemory", ("en-GB", "es-ES"))])
async def test_no_engine_can_read_a_file_of_this_machine(
    google: tuple[GoogleTranslate, str], tmp_path: Path, name: str, pair: tuple[str, str]
) -> None:
    (tmp_path / "secret.txt").write_text("canary")
    async with opened(name, google[1]) as engine:
        made = engine._engine(source=pair[0], target=pair[1])
        for method in ("translate_file", "_translate_file", "translate_batch", "_translate_batch"):
            for path in (tmp_path / "secret.txt", tmp_path / "none"):
                with pytest.raises(NotImplementedError):
                    getattr(made, method)(str(path))
    assert google[0].seen == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[", "http://nowhere.test"])
async def test_an_engine_that_is_not_there_could_not_be_reached(url: str) -> None:
    async with opened("google", url) as engine:
        with pytest.raises(Trouble, match="could not be reached"):
            await ask(engine, "Hello")


async def test_the_environments_proxies_are_not_used(
    google: tuple[GoogleTranslate, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with opened("google", google[1]) as engine:
        assert await ask(engine, "Hello") == "Hello (es)"


async def both(bad: DeepTranslator, good: DeepTranslator) -> tuple[str, float]:
    """What an engine says while another caller is served, and the longest time nobody was."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await anyio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)

    said = ""
    async with anyio.create_task_group() as watching:
        watching.start_soon(watch)
        async with anyio.create_task_group() as tasks:

            async def hear() -> None:
                nonlocal said
                try:
                    said = await ask(bad, "Hello")
                except Trouble as trouble:
                    said = str(trouble)

            tasks.start_soon(hear)
            assert await ask(good, "Hello") == "Hello (es)"
        watching.cancel_scope.cancel()
    return said, longest


UNREADABLE = "sent an answer that cannot be read"
RESULT = '<div class="result-container">'


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (f"{RESULT}Hola</div>" + "<br " * 400_000, "Hola"),
        ("<br " * 200_000 + f"{RESULT}Hola &quot;t&uacute;&quot; &lt;b&gt;</div>", 'Hola "tú" <b>'),
        ("<div class=" * 100_000 + "<div class='result-container' lang=es>Hola</div>", "Hola"),
        (RESULT + "<br " * 400_000 + "</div>", UNREADABLE),
        (RESULT + "<br" + " " * 60_000 + "</div>", UNREADABLE),
        (RESULT + "&" * 60_000 + "</div>", "gave no translation"),
        (RESULT + "&#" + "1" * 5_000 + ";</div>", UNREADABLE),
        (RESULT + "Error 500 (" * 5_900 + "</div>", "gave a translation of another length"),
        (RESULT + "<div>Hola</div></div>", UNREADABLE),
        ('<div class="result-container"' * 60_000, "sent an answer without a translation"),
        (RESULT + "a" * 70_000 + "</div>", UNREADABLE),
    ],
    ids=range(11),
)  # fmt: skip
async def test_a_page_that_is_slow_to_read_holds_up_nobody(
    raw_server: tuple[Raw, str], google: tuple[GoogleTranslate, str], page: str, said: str
) -> None:
    raw_server[0].response = Response(page, media_type="text/html")
    async with opened("google", raw_server[1], 5) as bad, opened("google", google[1], 5) as good:
        heard, longest = await both(bad, good)
    assert heard == said
    assert longest < 0.6


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000, '{"responseStatus": Infinity}', '{"responseStatus": ' + "1" * 5_000 + "}",
        '{"responseData": {"translatedText": "Hol\\ud800"}}',
        '{"responseData": {"translatedText": "&#' + "1" * 5_000 + '"}}',
        '{"responseData": {"translatedText": "' + "a" * 70_000 + '"}}', '"text"', "7", "",
    ],
    ids=range(9),
)  # fmt: skip
async def test_a_reply_of_mymemory_that_cannot_be_read_is_its_failure(
    raw_server: tuple[Raw, str], body: str
) -> None:
    raw_server[0].response = Response(body, media_type="application/json")
    async with opened("mymemory", raw_server[1], 5) as engine:
        with pytest.raises(Trouble, match=UNREADABLE):
            await ask(engine, "Hello")


@pytest.mark.parametrize("charset", ["idna", "punycode", "base64", "unicode_escape", "undefined", "x"])
@pytest.mark.parametrize("name", ["google", "mymemory"])
async def test_a_reply_in_no_charset_of_the_web_is_a_failure(
    raw_server: tuple[Raw, str], name: str, charset: str
) -> None:
    raw_server[0].response = Response(
        f"{RESULT}Hola\xe1</div>", headers={"content-type": f"text/html; charset={charset}"}
    )
    async with opened(name, raw_server[1], 5) as engine:
        with pytest.raises(Trouble, match=UNREADABLE):
            await ask(engine, "Hello")


@pytest.mark.parametrize("charset", ["UTF-8", "utf8", "iso-8859-1", "windows-1252", '"utf-8"'])
async def test_a_reply_in_a_charset_of_the_web_is_read(raw_server: tuple[Raw, str], charset: str) -> None:
    raw_server[0].response = Response(
        f"{RESULT}t\xfa</div>".encode(charset.strip('"')),
        headers={"content-type": f"text/html; charset={charset}"},
    )
    async with opened("google", raw_server[1], 5) as engine:
        assert await ask(engine, "you") == "tú"


@asynccontextmanager
async def self_signed(directory: Path) -> AsyncIterator[str]:
    """A Google that shows a certificate nobody vouches for; its address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "self-signed.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = f"{RESULT}stolen</div>".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/m"


async def test_a_certificate_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    async with self_signed(tmp_path) as url, opened("google", url, 5) as engine:
        with pytest.raises(
            Trouble, match=r"^showed a certificate that this machine does not trust$"
        ) as caught:
            await ask(engine, "Hello")
    assert caught.value.rest
