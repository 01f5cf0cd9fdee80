"""`server.py token new`: shown once, kept nowhere, and what it prints makes the token valid."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from auth.tokens import Tokens
from environment import load

SERVER = Path(__file__).resolve().parent.parent.parent / "server.py"


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SERVER), "token", *words],
        capture_output=True,
        text=True,
        timeout=25,
        env={"PATH": os.environ["PATH"], **environ},
    )


def printed(done: subprocess.CompletedProcess[str]) -> tuple[str, dict[str, str]]:
    """The token, and the settings to make."""
    assert done.returncode == 0, done.stderr
    token, *lines = done.stdout.split()
    return token, dict(line.split("=", 1) for line in lines)


async def test_what_it_prints_makes_the_token_valid_and_a_second_one_of_the_name_too() -> None:
    old, settings = printed(run("new", "ann", "--scopes", "read,write"))
    assert settings["ALMANAC_AUTH_MODE"] == "tokens"
    assert old not in settings["ALMANAC_AUTH_TOKENS"]
    new, settings = printed(run("new", "ann", **settings))
    found = [await Tokens(load(settings).auth.tokens).verify_token(token) for token in (old, new)]
    assert [one and (one.subject, one.scopes) for one in found] == [
        ("ann", ["read", "write"]),
        ("ann", ["read"]),
    ]
    third = run("new", "ann", **settings)
    assert third.returncode == 1
    assert third.stdout == ""
    assert "take the old entry out" in third.stderr


@pytest.mark.parametrize("words", [["new", "a b"], ["new", "ann", "--scopes", "all"], ["new"], []])
def test_what_it_does_not_take_is_told_and_mints_nothing(words: list[str]) -> None:
    from commands import token

    with pytest.raises(SystemExit) as ended:
        token.main(words)
    assert ended.value.code == 2
