"""A line of the log, whatever is in it, does nothing to a terminal and holds no secret."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

import logs

SCREEN = "\x1b[2J\x1b]0;title\x07\x9b31m\r\u202e\x08"
KEY = "ghp_" + "a1" * 10
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
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What our log and a library's write to a terminal."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    handler = logging.StreamHandler(terminal)
    handler.setFormatter(logs.lines())
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
