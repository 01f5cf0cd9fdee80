"""What the audit says of each call, what it never says, and what happens while it cannot be written."""

import asyncio
import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from mcp import MCPError
from mcp.types import ToolAnnotations

from commands.audit import main, summary
from config import AuditSettings, LimitsSettings
from errors import Forbidden, TooMuch, Unavailable, Unknown
from ledger import Ledger
from ledger.reading import events, verify
from ledger.recorder import key_of, where
from ledger.unusual import ALL_DENIALS, CALLS, DENIALS, MOST_CALLERS, Unusual
from middleware.audit import FAILURES_A_MINUTE, MOST_KNOWN, Audit
from middleware.errors import Errors
from middleware.limits import Limits
from middleware.shapes import Shapes, place_of
from redaction import redacted, redacted_value

MAIL, PHONE, CARD, KEY = (
    "jane.doe@example.org",
    "+44 20 7946 0958",
    "4111 1111 1111 1111",
    "sk-live-a1b2c3d4e5f6",
)
PRIVATE = (MAIL, PHONE, CARD, KEY)


class Toys:
    """A server with an audit, and what it wrote."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.settings = AuditSettings.model_validate(settings)
        self.directory = directory
        self.now = 1_800_000_000.0
        self.audit = Audit(self.settings, directory, (KEY,), lambda: self.now)
        child = FastMCP("child", mask_error_details=True)
        _fill(child)
        self.server = FastMCP("root", middleware=[self.audit, Errors()], mask_error_details=True)
        self.server.mount(child, namespace="toy")

    @property
    def path(self) -> Path:
        return where(self.settings, self.directory)

    def lines(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in events(self.path) if not kinds or event["event"] in kinds]


def _fill(child: FastMCP) -> None:
    @child.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def say(text: str, times: int = 1) -> str:
        return text * times

    @child.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def fail(how: str) -> str:
        if how == "broken":
            try:
                raise KeyError(f"row of {MAIL}")
            except KeyError as error:
                raise RuntimeError(f"a file that says {CARD}") from error
        kinds = {"unknown": Unknown, "denied": Forbidden, "too_much": TooMuch, "unavailable": Unavailable}
        raise kinds[how]("No.")

    @child.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def wait() -> str:
        await asyncio.sleep(30)
        return ""

    @child.tool(annotations=ToolAnnotations(read_only_hint=False))
    async def change(path: str) -> str:
        return "changed"

    @child.resource("almanac://{name}/thing")
    async def thing(name: str) -> str:
        if name == "broken":
            raise KeyError(MAIL)
        return "a thing"

    @child.prompt
    async def ask(city: str) -> str:
        if city == "broken":
            raise KeyError(MAIL)
        return f"Where is {city}?"


Make = Callable[..., Toys]


@pytest.fixture
def toys(tmp_path: Path) -> Make:
    return lambda **settings: Toys(tmp_path / "state", **settings)


async def test_a_call_is_one_line_that_says_who_what_when_how_long_and_how_much(toys: Make, era: str) -> None:
    made = toys()
    async with made.audit, Client(made.server, mode=era) as c:
        await c.call_tool("toy_say", {"text": "hello", "times": 2})
        await c.list_tools()
    (line,) = made.lines("call")
    assert set(line) == {
        "seq", "at", "event", "what", "who", "outcome", "ms", "in", "out", "reference", "arguments",
        "process", "chain",
    }  # fmt: skip
    assert (line["who"], line["what"], line["outcome"]) == ("local", "toy_say", "ok")
    assert line["at"] == "2027-01-15T08:00:00.000Z"
    assert (line["in"], line["out"]) == (len('{"text":"hello","times":2}'), 10)
    assert line["arguments"]["times"] == "int"
    assert line["arguments"]["text"].startswith("text 5 ")
    assert [event["event"] for event in made.lines()] == ["start", "call", "end"], "a listing is no call"
    assert verify(made.path, key_of(made.settings, made.directory)).problems == ()


@pytest.mark.parametrize("how", ["unknown", "denied", "too_much", "unavailable"])
async def test_a_refusal_is_told_by_its_kind_and_by_who_refused(toys: Make, how: str) -> None:
    made = toys()
    async with made.audit, Client(made.server) as c:
        await c.call_tool("toy_fail", {"how": how}, raise_on_error=False)
    (line,) = made.lines("call")
    assert (line["outcome"], line["by"]) == (how, __name__)


async def test_wrong_arguments_and_unknown_names_are_told(toys: Make, era: str) -> None:
    made = toys()
    async with made.audit, Client(made.server, mode=era) as c:
        await c.call_tool("toy_say", {"text": []}, raise_on_error=False)
        await c.call_tool("toy_no", {}, raise_on_error=False)
        with pytest.raises(MCPError):
            await c.get_prompt("toy_ask", {})
        with pytest.raises(MCPError):
            await c.read_resource("almanac://toy")
    assert [line["outcome"] for line in made.lines("call", "read", "prompt")] == [
        "bad_arguments", "unknown", "bad_arguments", "unknown",
    ]  # fmt: skip


async def test_the_reference_of_a_masked_failure_leads_to_its_line_and_that_to_the_cause(
    toys: Make, era: str
) -> None:
    made = toys()
    async with made.audit, Client(made.server, mode=era) as c:
        result = await c.call_tool("toy_fail", {"how": "broken"}, raise_on_error=False)
        said = [result.content[0].text]
        for ask in (
            c.read_resource("almanac://toy/broken/thing"),
            c.get_prompt("toy_ask", {"city": "broken"}),
        ):
            with pytest.raises(MCPError) as caught:
                await ask
            said.append(str(caught.value))
    told = made.lines("call", "read", "prompt")
    for text, line in zip(said, told, strict=True):
        assert text == f"The server failed; the request was fine. Reference {line['reference']}."
        assert line["outcome"] == "failed"
    assert [cause.partition(" ")[0] for cause in told[0]["cause"][-2:]] == ["RuntimeError", "KeyError"]
    assert told[0]["cause"][-1].rpartition(":")[0] == f"KeyError at {__name__}"
    for private in PRIVATE:
        assert private not in made.path.read_text(), "an exception's message is no part of a line"


async def test_reads_and_prompts_are_recorded(toys: Make, era: str) -> None:
    made = toys()
    async with made.audit, Client(made.server, mode=era) as c:
        await c.read_resource("almanac://toy/Lima/thing")
        await c.get_prompt("toy_ask", {"city": "Lima"})
    read, prompt = made.lines("read", "prompt")
    assert (read["outcome"], read["out"]) == ("ok", len("a thing"))
    assert "Lima" not in json.dumps(read), "an address holds arguments"
    assert (prompt["what"], prompt["out"]) == ("toy_ask", len("Where is Lima?"))


async def test_a_call_that_is_cancelled_is_told(toys: Make) -> None:
    made = toys()
    async with made.audit:
        task = asyncio.create_task(made.server.call_tool("toy_wait", {}))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [line["outcome"] for line in made.lines("call")] == ["cancelled"]


async def test_what_changes_something_is_written_before_it_is_done_as_well(toys: Make) -> None:
    made = toys()
    async with made.audit, Client(made.server) as c:
        await c.call_tool("toy_change", {"path": "a"})
        await c.call_tool("toy_say", {"text": "a"})
    begin, call, _ = made.lines("begin", "call")
    assert begin["what"] == call["what"] == "toy_change"
    assert begin["reference"] == call["reference"]


async def test_the_trace_that_a_caller_names_is_in_the_line(toys: Make, era: str) -> None:
    made = toys()
    async with made.audit, Client(made.server, mode=era) as c:
        for parent in ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-jane@example.org-x-01"):
            await c.call_tool("toy_say", {"text": "a"}, meta={"traceparent": parent})
    assert [line.get("trace") for line in made.lines("call")] == ["4bf92f3577b34da6a3ce929d0e0e4736", None]


@pytest.mark.parametrize("mode", ["shape", "redacted", "none"])
async def test_nothing_private_reaches_a_line_however_arguments_are_recorded(toys: Make, mode: str) -> None:
    made = toys(arguments=mode)
    async with made.audit, Client(made.server) as c:
        await c.call_tool("toy_say", {"text": "today"})
        for private in PRIVATE:
            await c.call_tool("toy_say", {"text": f"ask {private} today"})
            await c.call_tool("toy_say", {"text": "a", private: [private]}, raise_on_error=False)
            await c.call_tool(f"toy_{private}", {"password": "hunter2"}, raise_on_error=False)
            with pytest.raises(MCPError):
                await c.read_resource(f"almanac://nowhere/{private.replace(' ', '_')}")
            made.audit.authentication(False, f"token:{private}")
    text = made.path.read_text()
    for private in (*PRIVATE, "hunter2"):
        assert private not in text
    assert ("today" in text) == (mode == "redacted")
    assert ('"arguments":' in text) == (mode != "none")


def test_equal_texts_have_equal_shapes_and_another_key_gives_others() -> None:
    one, other = Shapes("shape", lambda: b"1" * 32), Shapes("shape", lambda: b"2" * 32)
    assert one.of({"text": "a"}) == one.of({"text": "a"}) != one.of({"text": "b"})
    assert one.of({"text": "a"}) != other.of({"text": "a"})


def test_a_shape_is_small_whatever_is_sent() -> None:
    shapes = Shapes("shape", lambda: b"1" * 32)
    flood: dict[str, Any] = {f"n{number}" * 50: "x" * 100 for number in range(10_000)}
    assert len(json.dumps(shapes.of(flood))) < 2_500
    assert len(json.dumps(shapes.of({"a": {"b": {"c": flood}}, "d": list(range(10_000))}))) < 500
    assert shapes.of({"half": "\ud800"})
    assert len(json.dumps(redacted_value({"a": ["x" * 10_000] * 1_000}))) < 60_000


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("almanac://weather/Lima/current", "almanac://weather"),
        ("almanac://status", "almanac://status"),
        ("almanac://jane@example.org/x", "unknown"),
        ("file:///etc/passwd", "unknown"),
    ],
)
def test_of_an_address_the_domain_is_told(uri: str, place: str) -> None:
    assert place_of(uri) == place


@pytest.mark.parametrize(
    "private",
    [
        *PRIVATE, "(555) 123-4567", "5500-0055-5555-5559", "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefABCDEF",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "a1b2c3d4" * 6, "Bearer abcdef123456", "api_key=zzz",
        "'password': 'hunter2'", "https://ann:pass@db/x", "?token=abc", "DeepL-Auth-Key 279a2e9d-83b3:fx",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "jane@münchen.example",
        "card4111111111111111", "4111\u00a01111\u00a01111\u00a01111", "4111–1111–1111–1111", "07700900123",
        '"jane doe"@example.org', "jane%40example.org", "jane\\u0040example.org",
        '\\"password\\":\\"hunter2\\"',
        "AccountKey=abcd1234==", "passphrase: hunter2", "sessionid=abcdef1", "password => hunter2",
    ],
)  # fmt: skip
def test_what_is_private_by_its_form_is_taken_out_of_a_text(private: str) -> None:
    assert private not in redacted(f"it said {private} there")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"{PHONE} {CARD}", "<phone> <card>"),
        ("020 7946 0958 020 7946 0959", ""),
        ("4111111111111111 4242424242424242 5500-0055-5555-5559", "<card> <card> <card>"),
        ('password="two words here"', "<credentials>"),
        ("Cookie: sid=abcdef; other=xyz", "<credentials>"),
        ("Authorization: Digest response=abcd", "<credentials>"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----", "<key>"),
    ],
)
def test_what_is_private_goes_whole_whatever_stands_beside_it(text: str, left: str) -> None:
    shown = redacted(text)
    assert shown == left or not (left or any(sign.isdigit() for sign in shown))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T07:32:02.123Z", "2026-11-21 07:32:02", "127.0.0.1:8000", "192.168.100.200",
        "48.8566, 2.3522", "1,234,567 rows", "population 10092000", "elapsed 1234567890 ns",
        'File "/srv/middleware/errors.py", line 120',
        "reference=1f3c9a07 name=sql_query", "the tokens of a sentence", "Windows 10.0.19045",
    ],
)  # fmt: skip
def test_what_an_operator_needs_stays_in_a_text(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("piece", ["a-", "eyJ-", "1 ", "a@b.", "://", "token=", "+1 ", "a."])
@pytest.mark.timeout(10)
def test_no_text_makes_redaction_slow(piece: str) -> None:
    redacted(piece * (200_000 // len(piece)))


def test_what_pydantic_says_of_a_value_is_not_told() -> None:
    said = (
        "1 validation error for X\n  Input should be an integer [input_value='a file body', input_type=str]"
    )
    assert "file body" not in redacted(said)


async def test_authentication_is_recorded_once_for_a_caller_and_each_time_it_fails(toys: Make) -> None:
    made = toys()
    async with made.audit:
        for _ in range(5):
            made.audit.authentication(True, "token:ann")
            made.audit.authentication(False, "address:192.0.2.1", "invalid")
        made.now += 601
        made.audit.authentication(True, "token:ann")
    assert [(line["outcome"], line["who"]) for line in made.lines("authentication")] == [
        ("ok", "token:ann"), *[("failed", "address:192.0.2.1")] * 5, ("ok", "token:ann"),
    ]  # fmt: skip


async def test_callers_who_came_in_are_remembered_in_little_memory(toys: Make) -> None:
    made = toys()
    async with made.audit:
        for number in range(2 * MOST_KNOWN):
            made.audit.authentication(True, f"token:{number}")
        assert len(made.audit._known) <= MOST_KNOWN


async def test_a_flood_of_guesses_does_not_push_older_lines_out(toys: Make) -> None:
    made = toys()
    async with made.audit:
        for number in range(10 * FAILURES_A_MINUTE):
            made.audit.authentication(False, f"address:192.0.2.{number % 250}", "invalid")
    told = made.lines("authentication")
    assert len(told) == FAILURES_A_MINUTE + 1
    assert told[-1]["count"] == 9 * FAILURES_A_MINUTE


async def test_a_subject_that_is_an_e_mail_address_stays_apart_from_others_unnamed(toys: Make) -> None:
    made = toys()
    async with made.audit:
        for who in ("token:ann@example.org", "token:bob@example.org"):
            made.audit.authentication(True, who)
    first, second = (line["who"] for line in made.lines("authentication"))
    assert first != second
    assert "example.org" not in first + second


async def test_a_name_of_any_length_and_form_is_short_and_does_nothing(toys: Make) -> None:
    made = toys()
    async with made.audit:
        for number in range(2):
            made.audit.authentication(True, f"token:\x1b[2J\n{'x' * 30_000}{number}")
        made.audit.authentication(False, f"address:\x1b]0;{'y' * 30_000}", "invalid")
    names = [event["who"] for event in made.lines("authentication")]
    assert len(set(names)) == 3
    assert all(name.isprintable() and len(name) < 130 for name in names)


async def test_what_limits_refuse_is_told_as_limited(toys: Make) -> None:
    made = toys()
    made.server.middleware.append(Limits(LimitsSettings(at_once=1), None))  # type: ignore[arg-type]  # no rate
    async with made.audit, Client(made.server) as c:
        waiting = asyncio.create_task(c.call_tool("toy_wait", {}, raise_on_error=False))
        await asyncio.sleep(0.05)
        await c.call_tool("toy_say", {"text": "a"}, raise_on_error=False)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert made.lines("call")[0]["outcome"] == "limited"


def full(self: Ledger, bodies: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_while_the_disk_is_full_calls_go_on_and_are_told_of_later(
    toys: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = toys()
    async with made.audit, Client(made.server) as c:
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "append", full)
            for text in ("a", "b"):
                await c.call_tool("toy_say", {"text": text})
            assert made.audit.note
        await c.call_tool("toy_say", {"text": "c"})
        assert not made.audit.note
    assert len(made.lines("call")) == 3
    assert capsys.readouterr().out.count("the audit cannot be written") == 1


async def test_what_memory_cannot_keep_is_counted(toys: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.recorder.MOST_WAITING", 5)
    made = toys()
    async with made.audit, Client(made.server) as c:
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "append", full)
            for _ in range(9):
                await c.call_tool("toy_say", {"text": "a"})
        await c.call_tool("toy_say", {"text": "b"})
    (lost,) = made.lines("lost")
    assert lost["events"] + len(made.lines("call")) + len(made.lines("start")) >= 10
    assert verify(made.path, key_of(made.settings, made.directory)).notes


async def test_where_it_is_set_no_call_is_made_that_cannot_be_recorded(
    toys: Make, monkeypatch: pytest.MonkeyPatch, era: str
) -> None:
    made = toys(on_failure="refuse")
    async with made.audit, Client(made.server, mode=era) as c:
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "append", full)
            with pytest.raises(ToolError, match="cannot be recorded now"):
                await c.call_tool("toy_change", {"path": "a"})
            with pytest.raises(ToolError, match="cannot be recorded now"):
                await c.call_tool("toy_say", {"text": "a"})
            with pytest.raises(MCPError, match="cannot be recorded now"):
                await c.read_resource("almanac://toy/Lima/thing")
        assert (await c.call_tool("toy_say", {"text": "a"})).data == "a"
    assert [(line["event"], line["outcome"]) for line in made.lines("call", "read")] == [
        ("call", "unavailable"), ("call", "unavailable"), ("read", "unavailable"), ("call", "ok"),
    ]  # fmt: skip


async def test_an_answer_whose_line_cannot_be_written_is_withheld(
    toys: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = toys(on_failure="refuse")
    async with made.audit, Client(made.server) as c:
        await c.call_tool("toy_say", {"text": "a"})
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "append", full)
            with pytest.raises(ToolError, match="its answer is withheld"):
                await c.call_tool("toy_say", {"text": "secret"})


async def test_a_directory_that_cannot_be_used_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = Toys(tmp_path / "file" / "below")
    async with made.audit, Client(made.server) as c:
        assert (await c.call_tool("toy_say", {"text": "a"})).data == "a"


async def test_it_can_be_switched_off(toys: Make) -> None:
    made = toys(path="off")
    async with made.audit, Client(made.server) as c:
        await c.call_tool("toy_say", {"text": "a"})
        text = (await c.call_tool("toy_fail", {"how": "broken"}, raise_on_error=False)).content[0].text
        made.audit.authentication(False, "address:192.0.2.1")
    assert "Reference " in text
    assert not made.directory.exists()


def test_the_key_is_its_owners_alone_and_one_for_all_processes(tmp_path: Path) -> None:
    settings = AuditSettings()
    assert key_of(settings, tmp_path) == key_of(settings, tmp_path)
    assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["audit.key"]
    set_by_hand = AuditSettings.model_validate({"key": "a long sentence"})
    assert key_of(set_by_hand, tmp_path / "none") != key_of(settings, tmp_path)


@pytest.mark.parametrize("length", [0, 31])
async def test_a_key_that_is_cut_short_makes_no_lines(toys: Make, length: int) -> None:
    made = toys(on_failure="refuse")
    made.directory.mkdir(parents=True)
    (made.directory / "audit.key").write_bytes(b"k" * length)
    async with made.audit, Client(made.server) as c:
        assert (await c.call_tool("toy_say", {"text": "x"}, raise_on_error=False)).is_error
    assert not made.path.exists()


async def test_a_key_of_any_length_over_that_is_taken(toys: Make) -> None:
    made = toys()
    made.directory.mkdir(parents=True)
    (made.directory / "audit.key").write_bytes(b"k" * 500)
    async with made.audit, Client(made.server) as c:
        await c.call_tool("toy_say", {"text": "x"})
    assert verify(made.path, key_of(made.settings, made.directory)).problems == ()


def test_a_disk_that_is_full_when_the_key_is_made_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "write_bytes", full)
    for _ in range(3):
        with pytest.raises(OSError, match="full"):
            key_of(AuditSettings(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_thousand_calls_and_a_burst_of_denials_are_unusual_once_a_minute() -> None:
    watch = Unusual()
    told = [what for _ in range(3 * CALLS) for what in watch.seen(60.0, "token:ann", denied=False)]
    assert told == ["token:ann made 1,000 calls in a minute"]
    told = [what for _ in range(3 * DENIALS) for what in watch.seen(61.0, "token:bob", denied=True)]
    assert told == ["token:bob was denied 20 times in a minute"]
    assert [what for _ in range(DENIALS) for what in watch.seen(121.0, "token:bob", denied=True)]


def test_guesses_from_everywhere_are_unusual_and_take_little_memory() -> None:
    watch = Unusual()
    told = [what for n in range(100_000) for what in watch.seen(60.0, f"address:{n}", denied=True)]
    assert told == [f"{ALL_DENIALS} denials in a minute, of all callers together"]
    assert len(watch._counts) <= MOST_CALLERS + 1


async def test_what_is_unusual_is_warned_of_live_and_in_the_summary(
    toys: Make, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    made = toys()
    with caplog.at_level(logging.WARNING):
        async with made.audit, Client(made.server) as c:
            for _ in range(DENIALS):
                await c.call_tool("toy_fail", {"how": "denied"}, raise_on_error=False)
    assert "local was denied 20 times in a minute" in caplog.text + capsys.readouterr().out
    (line,) = made.lines("unusual")
    found = summary(made.path)
    assert [what.partition(": ")[2] for what in found.unusual] == [line["what"]]
    assert (found.callers[0].name, found.callers[0].refused) == ("local", DENIALS)
    assert found.refusals == {f"denied by {__name__}": DENIALS}


async def test_a_name_that_a_caller_made_up_does_nothing_to_the_terminal_of_the_summary(
    toys: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = toys()
    async with made.audit, Client(made.server) as c:
        await c.call_tool("\x1b[2J\x1b]0;mine\x07\nline\u202e", {}, raise_on_error=False)
    assert made.lines("call")[0]["what"].isprintable()
    with made.path.open("a") as file:
        file.write(json.dumps({"event": "call", "who": "\x1b[2J\u202eme", "what": "[bold]x"}) + "\n")
        file.write('{"event":"call","outcome":"failed","cause":7,"ms":"x","out":[],"at":1}\n')
        file.write('{"event":"authentication","count":{},"ms":1e999}\n')
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(made.directory))
    assert main(["summary"]) == 0
    shown = capsys.readouterr().out
    assert "[bold]x" in shown
    assert not set(shown) & set("\x1b\x07\u202e")


async def test_the_summary_counts_callers_tools_failures_and_authentications(toys: Make) -> None:
    made = toys()
    async with made.audit, Client(made.server) as c:
        await c.call_tool("toy_say", {"text": "abc"})
        await c.call_tool("toy_fail", {"how": "broken"}, raise_on_error=False)
        made.audit.authentication(False, "address:192.0.2.1", "invalid")
        made.now += 3_600
        await c.call_tool("toy_say", {"text": "abc"})
    found = summary(made.path)
    assert [(row.name, row.calls, row.failed) for row in found.tools] == [
        ("toy_say", 2, 0),
        ("toy_fail", 1, 1),
    ]
    assert found.authentications == {"failed address:192.0.2.1": 1}
    assert "KeyError" in found.failures[0]
    assert [row.calls for row in summary(made.path, "2027-01-15T08:30:00").callers] == [1]
