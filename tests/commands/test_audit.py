"""`server.py audit verify | summary`: what it prints, and the exit status that a script goes by."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands.audit import main
from config import AuditSettings
from ledger.recorder import Recorder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory, which the environment names, with an audit of three calls."""
    now = iter(range(1_600_000_000, 1_700_000_000, 3_600))
    recorder = Recorder(AuditSettings(), tmp_path, lambda: float(next(now)))
    for outcome in ("ok", "denied", "failed"):
        call = {"event": "call", "what": "sql_query", "who": "token:ann", "outcome": outcome, "ms": 2.5}
        recorder.write({**call, "out": 7, "cause": ["KeyError at x:1"]})
    recorder.close()
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        status = main(list(words))
        shown = capsys.readouterr()
        return status, " ".join(shown.out.split()), shown.err

    return call


def altered(state: Path) -> None:
    path = state / "audit" / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"denied"', b'"ok"', 1))


def test_a_whole_audit_is_told_with_what_to_note(state: Path, run: Run) -> None:
    status, out, _ = run("verify")
    assert status == 0
    assert "5 lines in 1 files, numbers 1 to 5 The audit is whole." in out
    noted = out.rpartition(" ")[2]
    assert run("verify", "--expect", noted)[0] == 0
    wrong = f"5:{'0' * 32}"
    status, out, _ = run("verify", "--expect", wrong)
    assert (status, "Number 5 does not have the chain that was expected" in out) == (1, True)


def test_an_altered_line_is_named_and_the_status_says_so(state: Path, run: Run) -> None:
    altered(state)
    status, out, _ = run("verify")
    assert status == 1
    assert "audit.jsonl, line 3 (number 3): its chain does not fit" in out
    status, out, _ = run("verify", "--json")
    assert (status, len(json.loads(out)["problems"])) == (1, 1)


def test_another_key_finds_everything_altered(state: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_AUDIT_KEY", "another key")
    assert run("verify")[0] == 1


def test_the_summary_counts_callers_refusals_and_causes(state: Path, run: Run) -> None:
    status, out, _ = run("summary", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["callers"][0]["name"] == "token:ann"
    assert (found["callers"][0]["calls"], found["callers"][0]["refused"]) == (3, 1)
    assert found["failures"] == ["1 x KeyError at x:1"]
    assert "token:ann 3 1 1" in run("summary")[1]
    assert "5 events" in run("summary", "--hours", "1000000")[1]
    assert run("summary", "--hours", "1")[1] == "No events."


def test_what_is_not_there_is_told_plainly(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path / "none"))
    status, _, err = run("verify")
    assert (status, err.startswith("There is no audit yet")) == (1, True)
    assert not (tmp_path / "none").exists(), "to look makes nothing"
    assert run("summary")[1] == "No events."
    monkeypatch.setenv("ALMANAC_AUDIT_PATH", "off")
    assert run("verify")[0] == 1


@pytest.mark.parametrize("words", [[], ["verify", "--expect", "5"], ["summary", "--hours", "x"], ["sell"]])
def test_what_it_does_not_take_is_told(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
