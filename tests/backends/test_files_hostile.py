"""Every attack of tests/hostile/paths.txt on every mechanism, and renames that race with reading."""

import asyncio
import errno
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from backends.files import Sandbox, beneath, search_tree
from backends.files.beneath import Mechanism
from backends.files.deny import Deny
from backends.files.sandbox import Root
from config import FilesSettings
from errors import Forbidden, Refusal, TooMuch, Unknown

if os.name == "nt":
    pytest.skip("links, pipes and renames of open directories are POSIX", allow_module_level=True)

CANARY = "CANARY-nobody-may-see-this"
INSIDE = "inside the sandbox"
KINDS = {"forbidden": Forbidden, "unknown": Unknown, "toomuch": TooMuch}
TABLE = Path(__file__).parent.parent / "hostile" / "paths.txt"

OPENING = ("read", "list", "search", "whole")  # tried with every mechanism; the others share their way in
Reader = Callable[[Sandbox, str], Awaitable[Any]]
READERS: dict[str, Reader] = {
    "read": lambda s, path: s.read(path, 1, 500),
    "list": lambda s, path: s.list_directory(path, 3, 1000, None),
    "cursor": lambda s, path: s.list_directory(".", 3, 1000, path),
    "json": lambda s, path: s.read_json(path, ""),
    "media": lambda s, path: s.read_media(path),
    "whole": lambda s, path: s.read_whole(path),
    "find": lambda s, path: s.find("**", path, 1000),
    "search": lambda s, path: s.search("C", path, "**", regex=False, context=1, limit=100),
    "glob": lambda s, path: s.search("C", ".", path or "**", regex=False, context=1, limit=100),
    "info": lambda s, path: s.info(path),
    "complete": lambda s, path: s.completers()["path"](path, {}),
}


def attempts() -> Iterator[tuple[str, str]]:
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, _, path = line.partition("\t")
            yield kind, json.loads(f'"{path}"')


def opens(mechanism: Mechanism, root: Path) -> None:
    """Skip where the mechanism does not exist, unless everything has to be tested."""
    try:
        beneath.hold(root, mechanism).close()
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM) or os.environ.get("TEST_REQUIRE_ALL"):
            raise
        pytest.skip(f"{mechanism} does not work on this machine")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sandbox with a trap at every turn, and canaries on every side of it."""
    top = tmp_path_factory.mktemp("hostile")
    root, outside = top / "root", top / "outside"
    for name in ("docs/.git", "empty", ".git", ".ssh", "keys", "root", "etc", "mnt", "cheeky"):
        (root / name).mkdir(parents=True)
    for beside in (outside, top / "root-evil"):
        beside.mkdir()
        (beside / "canary.txt").write_text(CANARY)
    for name in (
        "a.txt", "docs/notes.md", "with space.txt", "ünïcode.txt", "100%.txt", "..a", "a..b", "-rf", "*.txt",
        "$(whoami).txt", "12:30.txt", ".env.example", "etc/passwd",
    ):  # fmt: skip
        (root / name).write_text(INSIDE)
    for name in (
        ".env", ".env.local", ".git/config", "docs/.git/HEAD", "keys/server.pem", "keys/id_rsa",
        "keys/id_ed25519.pub", ".netrc", ".ssh/known_hosts", "docs/.env",
    ):  # fmt: skip
        (root / name).write_text(CANARY)
    links: dict[str, Path | str] = {
        "abs-file": outside / "canary.txt", "abs-dir": outside, "rel-file": "../outside/canary.txt",
        "rel-dir": "../outside", "docs/up": "../../outside/canary.txt", "docs/up-dir": "../../outside",
        "chain-1": "chain-2", "chain-2": "docs/chain-3", "docs/chain-3": "../rel-file",
        "chain-dir": "docs/up-dir", "out-and-in": "../root/a.txt", "out-and-in-dir": "../root/docs",
        "dangling": "nowhere", "dangling-out": "/nonexistent/canary", "dangling-up": "../nowhere",
        "to-root": "/", "loop-1": "loop-2", "loop-2": "loop-1", "self": "self",
        "proc-root": "/proc/self/root", "proc-cwd": "/proc/self/cwd", "proc-fd": "/proc/self/fd",
        "proc-exe": "/proc/self/exe", "to-etc": "/etc", "dev": "/dev", "in-absolute": root / "docs/notes.md",
        "in-file": "docs/notes.md", "in-dir": "docs", "in-chain": "in-dir/notes.md",
        "in-up": "docs/../a.txt", "docs/in-up": "../a.txt",
        "creatlink": "/newfile3", "reletc": "etc/", "relsym": "etc/passwd", "absetc": "/etc/",
        "abssym": "/etc/passwd", "abscheeky": "/cheeky", "procexe": "/proc/self/exe",
        "procroot": "/proc/self/root", "proc-ns": "/proc/self/ns/mnt", "mnt/self": "../mnt/",
        "mnt/absself": "/mnt/", "cheeky/absself": "/", "cheeky/self": "../../root/",
        "cheeky/garbageself": "/../../root/", "cheeky/passwd": "../cheeky/../cheeky/../etc/../etc/passwd",
        "cheeky/abspasswd": "/../cheeky/../cheeky/../etc/../etc/passwd",
        "cheeky/dotdotlink": "../" * 14 + "etc/passwd", "cheeky/garbagelink": "/" + "../" * 14 + "etc/passwd",
        "to-env": ".env", "to-git": ".git", "to-ssh": ".ssh", "to-ssh-chain": "to-ssh",
    }  # fmt: skip
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe")
    here = Path.cwd()
    os.chdir(root)  # a socket's path may hold 107 bytes only
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket")
    finally:
        os.chdir(here)
    return root


@pytest.fixture(scope="module", params=get_args(Mechanism))
def mechanism(request: pytest.FixtureRequest, root: Path) -> Mechanism:
    opens(request.param, root)
    return request.param  # type: ignore[no-any-return]  # pytest's params are Any


def expected(kind: str, mechanism: Mechanism) -> tuple[type[Refusal] | str, ...]:
    match kind:
        case "text":
            return (INSIDE,)
        case "inside":
            return (Forbidden,) if mechanism == "walk" else (INSIDE,)
        case "either":
            return (Forbidden, INSIDE)
    return tuple(KINDS[name] for name in kind.split("|"))


def test_the_table_is_long_enough() -> None:
    assert len(list(attempts())) >= 180


async def test_every_path_of_the_table_comes_to_what_it_says(root: Path, mechanism: Mechanism) -> None:
    async with Sandbox(FilesSettings(root=root), mechanism) as sandbox:
        for kind, path in attempts():
            try:
                outcome: Any = (await asyncio.wait_for(sandbox.read(path, 1, 500), 5)).text
            except Refusal as refusal:
                outcome = type(refusal)
            assert outcome in expected(kind, mechanism), (path, outcome)


@pytest.mark.parametrize("name", READERS)
async def test_nothing_ever_tells_of_the_outside_or_of_what_is_hidden(
    root: Path, mechanism: Mechanism, name: str
) -> None:
    if name not in OPENING and mechanism != "openat2":
        return
    async with Sandbox(FilesSettings(root=root), mechanism) as sandbox:
        for _, path in attempts():
            try:
                told = repr(await asyncio.wait_for(READERS[name](sandbox, path), 5))
            except Refusal as refusal:
                told = str(refusal)
                assert str(root) not in told.replace(repr(path), "")
                assert "Error" not in told
                assert "Errno" not in told
            for secret in (CANARY, str(root.parent), "known_hosts'", "root:x:0"):
                assert secret not in told.replace(repr(path)[1:-1], ""), (path, told)


async def test_a_link_that_stays_inside_works_where_the_kernel_resolves(root: Path) -> None:
    opens("openat2", root)
    async with Sandbox(FilesSettings(root=root), "openat2") as sandbox:
        assert (await sandbox.read("in-chain", 1, 1)).text == INSIDE
        listed = await sandbox.list_directory("in-dir", 1, 100, None)
        assert "in-dir/notes.md" in [entry.path for entry in listed.entries]
        assert not [entry for entry in listed.entries if entry.path.endswith(".env")]


@pytest.mark.parametrize("path", ["pipe", "socket"])
async def test_a_pipe_is_refused_at_once_by_everything(root: Path, mechanism: Mechanism, path: str) -> None:
    async with Sandbox(FilesSettings(root=root), mechanism) as sandbox:
        for name in ("read", "list", "json", "media", "whole", "find", "search", "info"):
            with pytest.raises(Forbidden, match="no regular file"):
                await asyncio.wait_for(READERS[name](sandbox, path), 5)


NASTY = [
    "..", ".", "", "docs", "a.txt", "rel-dir", "abs-dir", "in-dir", "up-dir", "canary.txt", ".git", "config",
    "to-ssh", "known_hosts", "\0", "\\", "C:", "etc", "passwd", "...", " ", "é", "\ud800", "x" * 300,
]  # fmt: skip


def told_of(root: Path, mechanism: Mechanism, path: str) -> str:
    """What opening a path gives: a file's first bytes, a refusal's text, or nothing for a directory."""
    held = Root(beneath.hold(root, mechanism), Deny(FilesSettings().deny))
    try:
        with held.any(path) as (_, opened):
            if opened.is_file:
                return os.read(opened.handle, 100).decode()
            assert opened.is_directory
            return ""
    except Refusal as refusal:
        return str(refusal)
    finally:
        held.beneath.close()


@pytest.mark.slow
@given(st.lists(st.sampled_from(NASTY), min_size=1, max_size=6), st.sampled_from(["/", "//", "/./", "\\"]))
@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_combination_of_names_gets_out(
    root: Path, mechanism: Mechanism, names: list[str], between: str
) -> None:
    told = told_of(root, mechanism, between.join(names))
    assert CANARY not in told
    assert str(root.parent) not in told


@given(st.text(max_size=80))
@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_at_all_is_opened_or_refused(root: Path, text: str) -> None:
    assert str(root) not in told_of(root, "walk", text)


# Exchanges directories, files and links with links to the outside, in a process of its own, again and again.
FLIPPER = """
import os, sys, time
root, outside, until = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
os.chdir(root)
os.symlink(outside, "link-absolute")
os.symlink("../outside", "link-relative")
os.symlink(outside + "/f.txt", "file-link")
flips = 0
while time.monotonic() < until:
    for name, link in (("swap", ("link-absolute", "link-relative")[flips % 2]), ("file.txt", "file-link")):
        os.rename(name, "aside")
        os.rename(link, name)
        os.rename(name, link)
        os.rename("aside", name)
    os.rename("deep/er", "../elsewhere")  # out of the sandbox and in again, while it is looked into
    os.rename("../elsewhere", "deep/er")
    os.symlink(outside, "new")  # relinked: a directory's place is a link's, then a hard link's
    os.unlink("new")
    os.link(outside + "/f.txt", "new")
    os.rename("new", "hard.txt")
    os.symlink("../" * (flips % 3) + "outside/f.txt", "new")
    os.rename("new", "hard.txt")
    for _ in range(20):  # a second name that is there for so short that only its last moment is seen
        os.link(outside + "/f.txt", "brief.txt")
        os.unlink("brief.txt")
    flips += 1
print(flips)
"""
ONLY_OUTSIDE = CANARY.split("-", maxsplit=1)[0]


def prepare(root: Path) -> Path:
    """A sandbox to be raced in, and canaries of its outside: contents and names that are nowhere within."""
    outside = root.parent / "outside"
    for directory, text in ((root / "swap", INSIDE), (root / "deep/er", INSIDE), (outside, CANARY)):
        directory.mkdir(parents=True)
        (directory / "f.txt").write_text(text)
        (directory / text.split()[0]).write_text(text)
    (root / "file.txt").write_text(INSIDE)
    return outside


RACED: dict[str, Reader] = {
    name: READERS[name] for name in ("read", "list", "whole", "json", "find", "info", "complete")
} | {
    "search": lambda s, path: s.search("CANA", path, "**", regex=False, context=1, limit=100),
    "regex": lambda s, path: s.search("CA.A", path, "**", regex=True, context=0, limit=100),
}
PLACES = (
    ".",
    "swap",
    "swap/f.txt",
    "file.txt",
    "hard.txt",
    "brief.txt",
    "deep/er/f.txt",
    "deep",
    "new",
    "link-relative/f.txt",
)


async def race(root: Path, mechanism: Mechanism, seconds: float) -> tuple[int, int, list[str]]:
    """Read, list, find and search while another process renames and relinks: how often, and what got out."""
    outside = prepare(root)
    before = [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(outside.iterdir())]
    dice = random.Random(1)
    escapes: list[str] = []
    asked = 0
    command = [sys.executable, "-c", FLIPPER, str(root), str(outside), str(seconds)]
    settings = FilesSettings(root=root, hardlinks="refuse")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flipper:  # noqa: ASYNC220 - it races

        async def ask(sandbox: Sandbox) -> None:
            nonlocal asked
            while flipper.poll() is None:
                name, path = dice.choice(list(RACED)), dice.choice(PLACES)
                try:
                    told = repr(await RACED[name](sandbox, path))
                except Refusal as refusal:
                    told = str(refusal)
                asked += 1
                if ONLY_OUTSIDE in told.replace("'CANA", "") or str(root.parent) in told or "Errno" in told:
                    escapes.append(f"{name} {path}: {told}")

        async with Sandbox(settings, mechanism) as sandbox:
            await asyncio.gather(*(ask(sandbox) for _ in range(4)))
        flips = int(flipper.communicate()[0])
    after = [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(outside.iterdir())]
    assert after == before
    return asked, flips, escapes


@pytest.fixture
def _ripgrep_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ripgrep helps with the smallest tree, so that it races too."""
    monkeypatch.setattr(search_tree, "_SIEVE_FROM", 0)


@pytest.mark.usefixtures("_ripgrep_at_once")
@pytest.mark.parametrize("mechanism", ["openat2", "walk"])
async def test_no_rename_gets_a_reader_out_in_a_second(tmp_path: Path, mechanism: Mechanism) -> None:
    opens(mechanism, tmp_path)
    asked, flips, escapes = await race(tmp_path / "root", mechanism, 1)
    assert escapes == []
    assert asked > 50
    assert flips > 50


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.usefixtures("_ripgrep_at_once")
@pytest.mark.parametrize("mechanism", ["openat2", "walk"])
async def test_no_rename_gets_a_reader_out_in_twenty_seconds(tmp_path: Path, mechanism: Mechanism) -> None:
    opens(mechanism, tmp_path)
    asked, flips, escapes = await race(tmp_path / "root", mechanism, 20)
    assert escapes == []
    assert min(asked, flips) > 500


@pytest.mark.parametrize("mechanism", ["openat2", "walk"])
async def test_a_second_name_that_goes_while_the_file_is_opened_has_been_counted(
    tmp_path: Path, mechanism: Mechanism, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(mechanism, tmp_path)
    outside, name = tmp_path / "outside.txt", tmp_path / "root" / "name.txt"
    outside.write_text(CANARY)
    name.parent.mkdir()
    (name.parent / "keeps.txt (deleted)").write_text("CAN be read")
    looked = os.fstat

    def after_it_went(handle: int) -> os.stat_result:
        if "name.txt" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            name.unlink(missing_ok=True)
        return looked(handle)

    monkeypatch.setattr(os, "fstat", after_it_went)
    async with Sandbox(FilesSettings(root=name.parent, hardlinks="refuse"), mechanism) as sandbox:
        for ask in (lambda: sandbox.read("name.txt", 1, 1), lambda: sandbox.read_whole("name.txt")):
            name.hardlink_to(outside)
            with pytest.raises(Unknown):
                await ask()
        name.hardlink_to(outside)
        found = await sandbox.search("CAN", ".", "**", regex=False, context=0, limit=9)
        assert [match.text for match in found.matches] == ["CAN be read"]


async def test_a_link_whose_end_lies_too_deep_for_its_path_to_be_told_is_not_followed(tmp_path: Path) -> None:
    opens("openat2", tmp_path)
    half = "/".join(["d" * 200] * 11)
    handle = os.open(tmp_path, os.O_RDONLY)
    for level in range(22):
        if level % 11 == 0:
            os.symlink(half, "half", dir_fd=handle)
        os.mkdir("d" * 200, dir_fd=handle)
        handle, above = os.open("d" * 200, os.O_RDONLY, dir_fd=handle), handle
        os.close(above)
    for name, text in ((".env", CANARY), ("plain", INSIDE)):
        written = os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=handle)
        os.write(written, text.encode())
        os.close(written)
    os.symlink(".env", "link", dir_fd=handle)
    os.close(handle)
    async with Sandbox(FilesSettings(root=tmp_path), "openat2") as sandbox:
        for path in ("half/half/link", "half/half/plain"):
            with pytest.raises(TooMuch, match="is too long for this file system"):
                await sandbox.read(path, 1, 1)
