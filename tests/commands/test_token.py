"""`server.py token new`: shown once, kept nowhere, and what it prints makes the token valid."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from auth.tokens import Tokens
from commands import token
from environment import load

SERVER = Path(__file__).resolve().parent.parent.parent / "server.py"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SERVER), "token", *words],
        capture_output=True,
        text=True,
        timeout=25,
        env={"PATH": os.environ["PATH"]},
    )


def printed(out: str) -> tuple[str, dict[str, str]]:
    """The token, and the settings to make."""
    token, *lines = out.split()
    return token, dict(line.split("=", 1) for line in lines)


@pytest.mark.slow
async def test_what_it_prints_makes_the_token_valid_and_a_second_one_of_the_name_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run("new", "ann", "--scopes", "read,write")
    assert done.returncode == 0, done.stderr
    old, settings = printed(done.stdout)
    assert settings["ALMANAC_AUTH_MODE"] == "tokens"
    assert old not in settings["ALMANAC_AUTH_TOKENS"]
    monkeypatch.setenv("ALMANAC_AUTH_MODE", "tokens")
    monkeypatch.setenv("ALMANAC_AUTH_TOKENS", settings["ALMANAC_AUTH_TOKENS"])
    assert token.main(["new", "ann"]) == 0
    new, settings = printed(capsys.readouterr().out)
    found = [await Tokens(load(settings).auth.tokens).verify_token(each) for each in (old, new)]
    assert [one and (one.subject, one.scopes) for one in found] == [
        ("ann", ["read", "write"]),
        ("ann", ["read"]),
    ]
    monkeypatch.setenv("ALMANAC_AUTH_TOKENS", settings["ALMANAC_AUTH_TOKENS"])
    assert token.main(["new", "ann"]) == 1
    third = capsys.readouterr()
    assert third.out == ""
    assert "take the old entry out" in third.err


@pytest.mark.parametrize("words", [["new", "a b"], ["new", "ann", "--scopes", "all"], ["new"], []])
def test_what_it_does_not_take_is_told_and_mints_nothing(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        token.main(words)
    assert ended.value.code == 2
