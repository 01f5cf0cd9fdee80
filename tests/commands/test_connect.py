"""`server.py connect`: what it prints starts the server, and what it writes leaves all else alone."""

import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.connect import Target, entry, location, main
from commands.json_splice import NotSplicedError, read, splice
from tests.wire.conftest import SERVER, Stdio

OURS = {"command": "/srv/almanac/.venv/bin/python", "args": ["/srv/almanac/server.py"]}
PLACE = ("mcpServers", "almanac")
HOSTS = ("claude-desktop", "claude-code", "cursor", "vscode")


@pytest.fixture(autouse=True)
def _settings_of_this_machine_do_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("config.HERE", tmp_path)  # its .env is read


# What is printed


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def command_of(client: str, out: str) -> tuple[list[str], dict[str, str]]:
    """The command in what was printed, and the environment it sets."""
    if client == "inspector":
        words = shlex.split(out)
        return words[-2:], dict(w.split("=", 1) for i, w in enumerate(words) if words[i - 1] == "-e")
    if client == "claude-code":
        words = shlex.split(out)
        dashes = words.index("--")
        env = [w.removeprefix("--env=") for w in words[:dashes] if w.startswith("--env=")]
        return words[dashes + 1 :], dict(w.split("=", 1) for w in env)
    servers = json.loads(out)["servers" if client == "vscode" else "mcpServers"]
    return [servers["almanac"]["command"], *servers["almanac"]["args"]], servers["almanac"].get("env", {})


@pytest.mark.slow
def test_what_is_printed_for_each_client_starts_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        command_of(client, printed(capsys, client, "--env", "ALMANAC_SERVERS=sql"))
        for client in (*HOSTS, "inspector")
    ]
    command, env = commands[0]
    assert commands == [commands[0]] * 5, "all five start the same"
    assert all(Path(part).is_absolute() for part in command)
    assert env == {"ALMANAC_SERVERS": "sql"}
    with Stdio(command, env) as process:
        assert process.initialize()["result"]["serverInfo"]["name"] == "almanac"
        process.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert "status" in [tool["name"] for tool in process.answer(1)["result"]["tools"]]


@pytest.mark.slow
def test_the_command_line_prints_nothing_but_the_entry_to_standard_output() -> None:
    run = subprocess.run(
        [sys.executable, str(SERVER), "connect", "cursor"],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=30,
    )
    assert run.returncode == 0, run.stderr
    started = json.loads(run.stdout)["mcpServers"]["almanac"]
    assert started == {"type": "stdio", "command": sys.executable, "args": [str(SERVER)]}
    assert "--write" in run.stderr


def test_a_server_at_a_url_is_reached_in_each_clients_own_way(capsys: pytest.CaptureFixture[str]) -> None:
    at = ("--url", "https://almanac.example/mcp", "--token", "t0k")
    bearer = {"Authorization": "Bearer t0k"}

    desktop = json.loads(printed(capsys, "claude-desktop", *at))["mcpServers"]["almanac"]
    assert desktop["command"] == "npx"
    assert desktop["args"][:3] == ["-y", "mcp-remote", "https://almanac.example/mcp"]
    assert not any(" " in argument or "t0k" in argument for argument in desktop["args"])
    assert desktop["env"] == {"AUTH_HEADER": "Bearer t0k"}
    assert json.loads(printed(capsys, "cursor", *at))["mcpServers"]["almanac"] == {
        "url": at[1],
        "headers": bearer,
    }
    assert json.loads(printed(capsys, "vscode", *at))["servers"]["almanac"] == {
        "type": "http", "url": at[1], "headers": bearer,
    }  # fmt: skip
    assert shlex.split(printed(capsys, "claude-code", *at))[-3:] == [
        "almanac", at[1], "--header=Authorization: Bearer t0k",
    ]  # fmt: skip
    assert shlex.split(printed(capsys, "inspector", *at))[-2:] == ["--header", "Authorization: Bearer t0k"]


def test_plain_http_is_allowed_to_the_bridge_only_where_it_needs_it() -> None:
    def arguments(url: str) -> list[str]:
        return list(entry("claude-desktop", Target("almanac", {}, url, ""))["args"])

    assert arguments("http://192.0.2.7:8000/mcp")[-1] == "--allow-http"
    assert "--allow-http" not in arguments("http://127.0.0.1:8000/mcp") + arguments("https://a.example/mcp")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["claude"], "invalid choice"),
        (["cursor", "--name", 'a"b'], "a name has letters"),
        (["cursor", "--env", "ALMANAC_PORT"], "NAME=VALUE"),
        (["cursor", "--env", "ALMANAC_SQL_MAX_ROW=5"], "The nearest is ALMANAC_SQL_MAX_ROWS"),
        (["cursor", "--url", "example.org"], "starts with http"),
        (["cursor", "--url", "http://a/mcp", "--env", "A=b"], "its own settings"),
        (["cursor", "--token", "t"], "goes with --url"),
        (["inspector", "--write"], "run what `connect inspector` prints"),
    ],
)
def test_a_wrong_command_line_says_what_it_takes(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


# Where it is written


@pytest.mark.parametrize(
    ("client", "platform", "expected"),
    [
        ("claude-desktop", "linux", ".config/Claude/claude_desktop_config.json"),
        ("claude-desktop", "darwin", "Library/Application Support/Claude/claude_desktop_config.json"),
        ("claude-desktop", "win32", "AppData/Roaming/Claude/claude_desktop_config.json"),
        ("cursor", "linux", ".cursor/mcp.json"),
        ("cursor", "win32", ".cursor/mcp.json"),
        ("vscode", "linux", ".config/Code/User/mcp.json"),
        ("vscode", "darwin", "Library/Application Support/Code/User/mcp.json"),
        ("vscode", "win32", "AppData/Roaming/Code/User/mcp.json"),
    ],
)
def test_each_clients_file_is_where_the_system_puts_it(
    client: str, platform: str, expected: str, tmp_path: Path
) -> None:
    assert location(client, platform, tmp_path, {}) == tmp_path / expected


def test_the_directories_that_the_environment_names_are_used(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert location("vscode", "linux", home, {"XDG_CONFIG_HOME": str(tmp_path)}).is_relative_to(
        tmp_path / "Code"
    )
    assert location("vscode", "win32", home, {"APPDATA": str(tmp_path)}).is_relative_to(tmp_path / "Code")


def test_claude_desktop_as_a_windows_package_is_found(tmp_path: Path) -> None:
    roaming = tmp_path / "AppData/Local/Packages/Claude_abc/LocalCache/Roaming"
    roaming.mkdir(parents=True)
    assert location("claude-desktop", "win32", tmp_path, {}) == roaming / "Claude/claude_desktop_config.json"

    (tmp_path / "AppData/Local/Packages/Claude_def/LocalCache/Roaming").mkdir(parents=True)
    with pytest.raises(NotSplicedError, match="--file"):
        location("claude-desktop", "win32", tmp_path, {})
    (roaming / "Claude").mkdir()
    (roaming / "Claude/claude_desktop_config.json").write_text("{}")
    assert location("claude-desktop", "win32", tmp_path, {}) == roaming / "Claude/claude_desktop_config.json"


# How it is written


@pytest.fixture
def write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`write("cursor")` writes to mcp.json in tmp_path; gives the exit status and what was said."""

    def run(client: str = "cursor", *more: str) -> tuple[int, str]:
        status = main([client, "--write", "--file", str(tmp_path / "mcp.json"), *more])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


Write = Callable[..., tuple[int, str]]


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


@pytest.mark.parametrize("client", HOSTS)
def test_a_missing_file_is_made_with_its_directories(
    client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "not" / "yet" / "there.json"
    assert main([client, "--write", "--file", str(file)]) == 0
    key = "servers" if client == "vscode" else "mcpServers"
    assert json.loads(file.read_text())[key]["almanac"]["args"] == [str(SERVER)]
    assert file.read_text().startswith('{\n  "')
    assert file.read_text().endswith("}\n")
    assert names(file.parent) == ["there.json"]
    assert str(file) in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", " \n", "\ufeff"])
def test_an_empty_file_is_filled(content: str, write: Write, tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text(content, encoding="utf-8")
    assert write()[0] == 0
    assert json.loads((tmp_path / "mcp.json").read_text("utf-8-sig"))["mcpServers"]["almanac"]


def test_writing_twice_changes_nothing_and_says_so(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text('{"theme": "dark"}')
    assert "added" in write()[1]
    before = (tmp_path / "mcp.json").read_bytes(), (tmp_path / "mcp.json").stat().st_mtime_ns
    status, said = write()
    assert (status, "nothing was changed" in said) == (0, True)
    assert before == ((tmp_path / "mcp.json").read_bytes(), (tmp_path / "mcp.json").stat().st_mtime_ns)
    assert len(list(tmp_path.iterdir())) == 2, "one file and one copy"


def test_the_copy_beside_it_is_the_file_as_it_was(write: Write, tmp_path: Path) -> None:
    old = b'{\r\n\t"a" : [1,2 , 3],\r\n\t"mcpServers" : { }\r\n}'
    (tmp_path / "mcp.json").write_bytes(old)
    (tmp_path / "mcp.json").chmod(0o640)
    write()
    write("cursor", "--env", "ALMANAC_SQL_MAX_ROWS=5")
    copies = [name for name in names(tmp_path) if ".bak" in name]
    assert len(copies) == 2, "two changes within a second keep two copies"
    assert (tmp_path / copies[0]).read_bytes() == old
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_link_is_followed_and_stays_a_link(write: Write, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles/real.json").write_text("{}")
    (tmp_path / "mcp.json").symlink_to("dotfiles/real.json")
    assert write()[0] == 0
    assert (tmp_path / "mcp.json").is_symlink()
    assert "almanac" in (tmp_path / "dotfiles/real.json").read_text()


def test_a_link_to_nothing_makes_what_it_points_to(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mcp.json").symlink_to("later/real.json")
    assert write()[0] == 0
    assert "almanac" in (tmp_path / "later/real.json").read_text()


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"{}}", b"[]", b'"text"', b"{'a': 1}", b'{"a": NaN}', b'{"a": 01}', b'{"a": 1,, "b": 2}',
        b'{"mcpServers": []}', b'{"mcpServers": null}', b'{"a": "\xff"}', '{"a": 1}'.encode("utf-16"), b"{,}",
        b'{"a": "line\nbreak"}', b'{"a": /* open }', b'{"a": "\\x"}', b"[" * 100_000, b"// only",
    ],
)  # fmt: skip
def test_a_file_that_is_no_json_object_is_refused_and_left_as_it_was(
    content: bytes, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "mcp.json").write_bytes(content)
    status, said = write()
    assert status == 1
    assert "Nothing was written" in said
    assert "mcp.json" in said
    assert "Traceback" not in said
    assert (tmp_path / "mcp.json").read_bytes() == content
    assert names(tmp_path) == ["mcp.json"]


def test_comments_are_kept_where_the_client_takes_them_and_refused_where_it_does_not(
    write: Write, tmp_path: Path
) -> None:
    old = '{\n  // mine, "almanac": {}\n  "mcpServers": {\n    "other": {}, /* why */\n  },\n}\n'
    (tmp_path / "mcp.json").write_text(old)
    assert write("claude-desktop")[0] == 1
    assert (tmp_path / "mcp.json").read_text() == old
    assert write("cursor")[0] == 0
    new = (tmp_path / "mcp.json").read_text()
    assert new.startswith(old[: old.index("/* why */") + len("/* why */")])
    assert new.endswith("\n  },\n}\n")


def test_an_older_entry_keeps_its_settings_and_switches(write: Write, tmp_path: Path) -> None:
    old = {
        "command": "/old/python",
        "args": ["/old/server.py"],
        "env": {"ALMANAC_PORT": "1"},
        "disabled": True,
    }
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"almanac": old}}))
    assert "changed" in write("cursor", "--env", "ALMANAC_SQL_MAX_ROWS=5")[1]
    new = json.loads((tmp_path / "mcp.json").read_text())["mcpServers"]["almanac"]
    assert new == {
        "type": "stdio", "command": sys.executable, "args": [str(SERVER)],
        "env": {"ALMANAC_PORT": "1", "ALMANAC_SQL_MAX_ROWS": "5"}, "disabled": True,
    }  # fmt: skip
    write("cursor", "--url", "http://127.0.0.1:8000/mcp")
    remote = json.loads((tmp_path / "mcp.json").read_text())["mcpServers"]["almanac"]
    assert remote == {"url": "http://127.0.0.1:8000/mcp", "disabled": True}


def test_another_name_is_another_entry(write: Write, tmp_path: Path) -> None:
    write()
    write("cursor", "--name", "almanac-2")
    assert list(json.loads((tmp_path / "mcp.json").read_text())["mcpServers"]) == ["almanac", "almanac-2"]


def test_a_file_that_changes_meanwhile_is_left_to_whoever_changed_it(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mcp.json"
    file.write_text("{}")
    monkeypatch.setattr(os, "fsync", lambda _: file.write_text('{"theirs": 1}'))
    status, said = write()
    assert (status, file.read_text()) == (1, '{"theirs": 1}')
    assert "changed by someone else" in said
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_a_failure_to_write_leaves_the_file_and_no_litter(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "mcp.json")

    (tmp_path / "mcp.json").write_text("{}")
    monkeypatch.setattr(os, "fsync", full)
    status, said = write()
    assert (status, (tmp_path / "mcp.json").read_text()) == (1, "{}")
    assert "Nothing was written: No space left on device" in said
    assert not [name for name in names(tmp_path) if name.startswith(".")]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices in the file tree are POSIX")
@pytest.mark.parametrize("kind", ["pipe", "circle"])
def test_what_is_no_regular_file_is_refused_and_stays(write: Write, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "mcp.json"
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(file)
    before = file.lstat()
    status, said = write()
    assert (status, file.lstat().st_ino) == (1, before.st_ino)
    assert "not a regular file" in said


def test_a_directory_in_the_files_place_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mcp.json").mkdir()
    status, said = write()
    assert status == 1
    assert "Nothing was written" in said


# Every other byte


WORDS = st.sampled_from(
    ["mcpServers", "servers", "almanac", "a", "", '"almanac": {', "// no", "/* no */", "ü,}"]
)
KEYS = st.one_of(WORDS, st.text(max_size=5))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
GAPS = ["", "", " ", "\n", "\t", "\r\n  "]
COMMENTS = [*GAPS, "// it's, }\n", '/* "a": { */', '// "\n\n', "/**/"]


def written(value: Any, gap: Callable[[], str], trailing: Callable[[], str]) -> str:
    """The value as JSON with something in every place where white space may be."""
    if isinstance(value, dict):
        parts = [
            f"{gap()}{written(k, gap, trailing)}{gap()}:{gap()}{written(v, gap, trailing)}{gap()}"
            for k, v in value.items()
        ]
        return "{" + (",".join(parts) + (trailing() if parts else "") + gap()) + "}"
    if isinstance(value, list):
        parts = [f"{gap()}{written(item, gap, trailing)}{gap()}" for item in value]
        return "[" + ",".join(parts) + (trailing() if parts else "") + gap() + "]"
    return json.dumps(value, ensure_ascii=len(gap()) % 2 == 0)


@st.composite
def documents(draw: st.DrawFn, comments: bool) -> tuple[dict[str, Any], str]:
    document = draw(OBJECTS)
    document.pop("mcpServers", None)
    if draw(st.booleans()):
        servers = draw(OBJECTS)
        servers.pop("almanac", None)
        names = [*document, "mcpServers"]
        at = draw(st.integers(0, len(names) - 1))
        items = list(document.items())
        document = dict([*items[:at], ("mcpServers", servers), *items[at:]])
    gaps = st.sampled_from(COMMENTS if comments else GAPS)
    text = written(document, lambda: draw(gaps), lambda: draw(st.sampled_from(["", ","])) if comments else "")
    return document, draw(gaps) + text + draw(gaps)


def expected(document: dict[str, Any], value: Any) -> dict[str, Any]:
    return {**document, "mcpServers": {**document.get("mcpServers", {}), "almanac": value}}


@given(documents(comments=False))
def test_an_entry_is_one_insertion_into_the_text(drawn: tuple[dict[str, Any], str]) -> None:
    document, text = drawn
    new = splice(text, PLACE, OURS)
    assert json.loads(new) == expected(document, OURS)
    assert any(new.startswith(text[:at]) and new.endswith(text[at:]) for at in range(len(text) + 1)), (
        "taking one piece out of the new text gives the old one"
    )


@given(documents(comments=True))
def test_comments_and_trailing_commas_stay_where_they_are(drawn: tuple[dict[str, Any], str]) -> None:
    document, text = drawn
    assert read(text, comments=True) == document
    new = splice(text, PLACE, OURS, comments=True)
    assert read(new, comments=True) == expected(document, OURS)
    rest = iter(new)
    assert all(character in rest for character in text), "nothing is lost and the order is kept"
    assert len(new) - len(text) < 400


@given(documents(comments=True))
def test_changing_an_entry_changes_nothing_around_it(drawn: tuple[dict[str, Any], str]) -> None:
    document, text = drawn
    mark = json.dumps("the entry as it was")
    marked = splice(text, PLACE, "the entry as it was", comments=True)
    before, _, after = marked.partition(mark)
    new = splice(marked, PLACE, OURS, comments=True)
    assert new.startswith(before)
    assert new.endswith(after)
    assert json.loads(new[len(before) : len(new) - len(after)]) == OURS
    assert read(new, comments=True) == expected(document, OURS)


@given(st.text(max_size=40) | st.text(alphabet='{}[]":,/*\\\n a1', max_size=30), st.booleans())
def test_any_text_is_either_changed_rightly_or_refused(text: str, comments: bool) -> None:
    try:
        document = read(text, comments)
        new = splice(text, PLACE, OURS, comments)
    except NotSplicedError:
        return
    assert read(new, comments) == expected(document, OURS)


def test_of_two_members_with_one_name_the_one_that_counts_is_changed() -> None:
    text = '{"mcpServers": {"almanac": 1}, "mcpServers": {"almanac": 2, "almanac": 3}}'
    assert splice(text, PLACE, 4) == text.replace("3", "4")


def test_the_files_own_indentation_and_line_ends_are_used() -> None:
    text = '{\r\n\t"mcpServers": {\r\n\t\t"other": {}\r\n\t}\r\n}\r\n'
    ours = ',\r\n\t\t"almanac": {\r\n\t\t\t"command": "x"\r\n\t\t}'
    assert splice(text, PLACE, {"command": "x"}) == text.replace("{}", "{}" + ours)


def test_an_empty_object_on_one_line_opens_into_a_block() -> None:
    text = '{\n    "mcpServers": {}\n}\n'
    block = '{\n        "almanac": {\n            "command": "x"\n        }\n    }'
    assert splice(text, PLACE, {"command": "x"}) == text.replace("{}", block)


# The example in the repository


def test_the_example_starts_the_server_when_its_placeholder_is_filled_in() -> None:
    example = (SERVER.parent / "claude_desktop_config.example.json").read_text()
    servers = json.loads(example)["mcpServers"]
    command, arguments = servers["almanac"]["command"], servers["almanac"]["args"]
    placeholder = "/ABSOLUTE/PATH/TO/almanac"
    assert command == f"{placeholder}/.venv/bin/python", "where `make setup` puts it"
    assert example.count(placeholder) == 2
    filled = [argument.replace(placeholder, str(SERVER.parent)) for argument in arguments]
    with Stdio([sys.executable, *filled], servers["almanac"]["env"]) as process:
        assert process.initialize()["result"]["serverInfo"]["name"] == "almanac"


def test_the_examples_remote_server_is_what_connect_prints() -> None:
    example = json.loads((SERVER.parent / "claude_desktop_config.example.json").read_text())
    remote = example["mcpServers"]["almanac-remote"]
    assert remote == entry(
        "claude-desktop", Target("almanac-remote", {}, "https://almanac.example.com/mcp", "")
    )
