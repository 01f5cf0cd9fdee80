"""A line of the log, whatever is in it, does nothing to a terminal and holds no secret."""

import asyncio
import contextvars
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

import logs
import reference

SCREEN = "\x1b[2J\x1b]0;title\x07\x9b31m\r\u202e\x08"
KEY = "ghp_" + "a1" * 10
SECRETS = ('a "quoted" one',)
THEIRS = logging.getLogger("a terminal")
OURS = structlog.wrap_logger(
    THEIRS,
    processors=[*logs.SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def form() -> logs.Form:
    return "console"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, form: logs.Form) -> Iterator[io.StringIO]:
    """What our log and a library's write to a terminal."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    handler = logging.StreamHandler(terminal)
    handler.setFormatter(logs.lines(SECRETS, form))
    THEIRS.addHandler(handler)
    yield terminal
    THEIRS.removeHandler(handler)


def failing(text: str) -> None:
    raise ValueError(f"The text {text} is wrong")


def test_an_exceptions_message_a_value_and_a_librarys_words_are_shown_and_not_obeyed(
    written: io.StringIO,
) -> None:
    try:
        failing(SCREEN)
    except ValueError:
        OURS.error(f"failed {SCREEN}", why=f"x{SCREEN}", exc_info=True)
        THEIRS.exception("theirs %s", SCREEN)
    found = written.getvalue()
    assert [sign for sign in set(found) if not sign.isprintable()] == ["\n"]
    assert found.count("The text \ufffd[2J\ufffd]0;title") == 2
    assert found.count('in failing\n    raise ValueError(f"The text {text} is wrong")') == 2


def test_a_secret_is_taken_out_on_a_terminal_too(written: io.StringIO) -> None:
    OURS.warning("sent", what=KEY, password="hunter2hunter2")
    assert KEY not in written.getvalue()
    assert "hunter2" not in written.getvalue()


@pytest.mark.parametrize("form", ["json"])
def test_as_json_each_line_is_an_object_with_its_traceback_inside(written: io.StringIO) -> None:
    try:
        failing(SCREEN)
    except ValueError:
        OURS.error("failed", why=f"x{SCREEN}", number=7, path=None, exc_info=True)
        THEIRS.exception("theirs %s", SCREEN)
    assert all(sign == "\n" or " " <= sign <= "~" for sign in written.getvalue())
    ours, theirs = map(json.loads, written.getvalue().splitlines())
    assert (ours["event"], ours["level"], ours["number"], ours["path"]) == ("failed", "error", 7, None)
    assert "in failing\n    raise ValueError" in ours["exception"]
    assert "in failing\n    raise ValueError" in theirs["exception"]
    assert theirs["event"].startswith("theirs ")
    assert ours["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["json"])
def test_as_json_a_secret_is_taken_out_wherever_it_stands_and_the_line_stays_json(
    written: io.StringIO,
) -> None:
    OURS.warning(f"sent {KEY}", what={"key": KEY}, password="hunter2hunter2", said=f'it is {SECRETS[0]}!"')
    try:
        failing(f'password="hunter2" {SECRETS[0]}')
    except ValueError:
        THEIRS.exception('token: "hunter2"')
    found = written.getvalue()
    first, second = map(json.loads, found.splitlines())
    assert first["said"] == 'it is <key>!"'
    assert not any(secret in json.dumps([first, second]) for secret in (KEY, "hunter2", "quoted"))


@pytest.mark.parametrize("form", ["console", "json"])
async def test_a_line_of_a_call_has_its_reference_also_from_a_library_and_a_thread(
    written: io.StringIO,
) -> None:
    async def call(given: str) -> None:
        found = reference.begin(given)
        OURS.warning("ours")
        await asyncio.to_thread(THEIRS.warning, "theirs")
        assert found == given

    await asyncio.gather(call("one-7f3c"), call("two-9a1b"))
    assert written.getvalue().count("one-7f3c") == written.getvalue().count("two-9a1b") == 2
    THEIRS.warning("outside")
    assert "reference" not in written.getvalue().splitlines()[-1]


@pytest.mark.parametrize("given", ["", "a b", "x" * 40, "a\r\nX-Evil: 1", "-a", "é", 'a"'])
def test_a_reference_that_is_not_well_formed_is_replaced(given: str) -> None:
    def begun() -> str:
        assert reference.mint() != given or not given
        return reference.begin(given)

    found = contextvars.copy_context().run(begun)
    assert found != given
    assert reference.WELL_FORMED.fullmatch(found)


@pytest.mark.parametrize("form", ["json"])
def test_a_line_within_a_trace_names_it(written: io.StringIO) -> None:
    context = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, is_remote=True)
    with use_span(NonRecordingSpan(context)):
        OURS.warning("within")
    OURS.warning("outside")
    within, outside = map(json.loads, written.getvalue().splitlines())
    assert within["trace"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "trace" not in outside
