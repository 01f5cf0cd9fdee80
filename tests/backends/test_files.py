"""The sandbox as a whole: how it opens and closes, what it says of itself, what it hides, what it refuses."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from backends.files import Sandbox, beneath, paths
from backends.files.deny import Deny
from config import HIDDEN, FilesSettings
from errors import Forbidden, TooMuch, Unavailable, Unknown


def handles() -> set[str]:
    """What this process has open, by where it leads."""
    places = set()
    for handle in Path("/proc/self/fd").iterdir():
        try:
            places.add(str(handle.readlink()))
        except OSError:
            continue  # the handle of this very listing
    return places


@pytest.fixture
def linux() -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("only Linux shows what a process has open")


async def test_a_missing_root_is_unavailable_and_says_what_to_set(tmp_path: Path) -> None:
    async with Sandbox(FilesSettings(root=tmp_path / "none")) as sandbox:
        health = await sandbox.health()
        assert health.state == "unavailable"
        assert health.mend == "The directory that ALMANAC_FILES_ROOT names does not exist."
        with pytest.raises(Unavailable) as refusal:
            await sandbox.read("a.txt", 1, 1)
        assert str(tmp_path) not in str(refusal.value) + health.model_dump_json()
        (tmp_path / "none").mkdir()
        (tmp_path / "none" / "a.txt").write_text("mounted later\n")
        assert (await sandbox.read("a.txt", 1, 1)).text == "mounted later\n"
        assert (await sandbox.health()).state != "unavailable"


async def test_a_root_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for mechanism in (None, "names"):
        async with Sandbox(FilesSettings(root=tmp_path / "file"), mechanism) as sandbox:
            assert (await sandbox.health()).mend.endswith("is not a directory.")


@pytest.mark.parametrize("pattern", ["!", "[z-a]", "x" * 100_000])
async def test_a_deny_list_that_does_not_parse_serves_nothing(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "a.txt").write_text("x")
    async with Sandbox(FilesSettings(root=tmp_path, deny=(pattern,))) as sandbox:
        with pytest.raises(Unavailable):
            await sandbox.read("a.txt", 1, 1)
        assert "ALMANAC_FILES_DENY" in (await sandbox.health()).mend


async def test_health_names_the_mechanism_and_a_probe_really_looks(tmp_path: Path) -> None:
    for mechanism, says in (("walk", "name by name"), ("names", "no guarantee against renames")):
        async with Sandbox(FilesSettings(root=tmp_path), mechanism) as sandbox:  # type: ignore[arg-type]  # a loop over literals
            health = await sandbox.health(probe=True)
            assert says in health.summary
            assert str(tmp_path) not in health.model_dump_json()
            assert health.state == "degraded" or mechanism == "walk"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
async def test_where_the_kernel_or_its_guard_says_no_the_walk_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(beneath, "openat2", refused)
    (tmp_path / "a.txt").write_text("read all the same")
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        assert "name by name" in (await sandbox.health()).summary
        assert (await sandbox.read("a.txt", 1, 1)).text == "read all the same"
    with pytest.raises(OSError, match=os.strerror(number)):
        beneath.hold(tmp_path, "openat2")


async def test_without_proc_links_are_refused_because_they_could_lead_to_what_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("secret")
    (tmp_path / "a.txt").write_text("open")
    (tmp_path / "link").symlink_to(".env")
    monkeypatch.setattr(beneath, "_path_of", lambda _: None)
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        assert (await sandbox.read("a.txt", 1, 1)).text == "open"
        with pytest.raises(Forbidden, match="a link that is not followed"):
            await sandbox.read("link", 1, 1)


@pytest.mark.usefixtures("linux")
async def test_nothing_stays_open_and_no_thread_stays_behind(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("x\n" * 1000)
    before = threading.active_count()
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        for _ in range(20):
            await sandbox.read("docs/a.txt", 1, 3)
            await sandbox.list_directory(".", 5, 1, None)
            await sandbox.find("*", ".", 1)
            await sandbox.search("x", ".", "**", regex=False, context=1, limit=1)
            for path in ("docs", "nothing", "../x"):
                with pytest.raises((Unknown, Forbidden)):
                    await sandbox.read(path, 1, 1)
        assert [place for place in handles() if place.startswith(str(tmp_path))] == [str(tmp_path)]
    assert not [place for place in handles() if place.startswith(str(tmp_path))]
    assert threading.active_count() <= before + 1  # AnyIO keeps an idle one until the loop ends


@pytest.mark.usefixtures("linux")
async def test_after_it_was_left_it_can_be_entered_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    sandbox = Sandbox(FilesSettings(root=tmp_path))
    for _ in range(2):
        async with sandbox:
            assert (await sandbox.read("a.txt", 1, 1)).text == "x"
        with pytest.raises(Unavailable):
            await sandbox.read("a.txt", 1, 1)
        assert str(tmp_path) not in handles()


async def test_the_root_may_be_renamed_while_it_is_served(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.txt").write_text("same")
    async with Sandbox(FilesSettings(root=tmp_path / "root")) as sandbox:
        if "one held directory" not in (await sandbox.health()).summary:
            pytest.skip("only a held handle follows a rename")
        (tmp_path / "root").rename(tmp_path / "moved")
        assert (await sandbox.read("a.txt", 1, 1)).text == "same"


async def test_a_file_that_is_replaced_while_it_is_opened_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    held = beneath.hold(tmp_path)
    opened = held.open(("a.txt",))
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").replace(tmp_path / "a.txt")
    if held.name == "openat2":
        assert held._real(opened.handle, ("link.txt",), True) == ("a.txt",)  # type: ignore[attr-defined]  # the mark Linux puts
    opened.close()
    held.close()


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("a\0b", Forbidden, "holds a NUL character"),
        ("a\x07b", Forbidden, "holds a control character"),
        ("a\ud800", Forbidden, "is not valid Unicode: it holds half a character"),
        ("x" * 300, TooMuch, "a name that is too long: one holds at most 255 bytes"),
        ("x/" * 3000, TooMuch, "is too long: a path holds at most 4096 bytes"),
        ("file:///etc/passwd", Unknown, "is a URI"),
        ("\\\\host\\share", Forbidden, "names another machine"),
        ("//host/share", Forbidden, "names another machine"),
        ("docs\\a.txt", Forbidden, "holds a backslash"),
        ("/etc/passwd", Forbidden, "is absolute"),
        ("C:/x", Forbidden, "names a drive"),
        ("C:\\x", Forbidden, "names a drive"),
        ("c:", Forbidden, "names a drive"),
        ("docs/../x", Forbidden, "climbs with '..'"),
        ("docs./x", Forbidden, "ends in a dot or a space"),
        ("x ", Forbidden, "ends in a dot or a space"),
    ],
)
def test_each_kind_of_bad_path_has_its_own_sentence(path: str, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as refusal:
        paths.screen(path)
    assert says in str(refusal.value)


def test_on_windows_devices_and_streams_are_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "WINDOWS", True)
    for path in (
        "CON",
        "docs/nul.txt",
        "COM1",
        "lpt9.log",
        "a.txt:stream",
        "a?.txt",
        "aux.tar.gz",
        "x/CONIN$",
    ):
        with pytest.raises(Forbidden):
            paths.screen(path)
        assert not paths.speakable(path.split("/")[-1])
    assert paths.screen("console/common.txt") == ("console", "common.txt")


def test_the_default_deny_list_hides_secrets_and_nothing_else() -> None:
    deny = Deny(HIDDEN)
    for path in (
        ".env", ".env.production", "a/b/.env", "x.pem", "a/X.PEM", "server.key", "id_rsa", "id_rsa.pub",
        "id_ed25519", "a.p12", "a.pfx", ".git/config", "a/.git/HEAD", ".ssh/config", ".aws/credentials",
        ".netrc", ".npmrc", ".pypirc", ".ENV", ".GIT/x", ".e\u200bnv",
        "a.ppk", ".my.cnf", ".dockercfg", ".vault-token", "a/credentials.json",
    ):  # fmt: skip
        assert deny.hides(tuple(path.split("/"))), path
    for path in (
        ".env.example",
        "env",
        "key.md",
        "keys/readme.md",
        "git/config",
        ".gitignore",
        "pem",
        "ssh.md",
        "credentials.md",
    ):
        assert not deny.hides(tuple(path.split("/"))), path


async def test_an_operator_adds_to_the_deny_list_and_can_take_back(tmp_path: Path) -> None:
    (tmp_path / "drafts").mkdir()
    for name in ("drafts/a.md", "a.md", "b.pem", ".env"):
        (tmp_path / name).write_text("x")
    async with Sandbox(FilesSettings(root=tmp_path, deny=("/drafts/", "!*.pem"))) as sandbox:
        entries = (await sandbox.list_directory(".", 3, 100, None)).entries
        assert [entry.path for entry in entries] == ["a.md", "b.pem"]
        with pytest.raises(Forbidden, match="whether or not it exists"):
            await sandbox.read("drafts/none.md", 1, 1)


async def test_the_nearest_name_is_told_but_never_a_hidden_one(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("docs/forecast.md", "docs/.env", "id_rsb"):
        (tmp_path / name).write_text("x")
    (tmp_path / "id_rsa").write_text("x")
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        for path, near in (
            ("docs/forcast.md", "'forecast.md'"),
            ("dcs/x/y", "'docs'"),
            ("id_rs", "'id_rsb'"),
        ):
            with pytest.raises(Unknown) as refusal:
                await sandbox.read(path, 1, 1)
            assert f"Did you mean {near}?" in str(refusal.value)
            assert "files_list" in str(refusal.value)
        with pytest.raises(Unknown) as refusal:
            await sandbox.read("docs/.emv", 1, 1)
        assert ".env" not in str(refusal.value)


async def test_what_is_hidden_as_a_directory_is_hidden_as_a_file_too(tmp_path: Path) -> None:
    """In a worktree `.git` is a file, which says where on the server the repository lies."""
    (tmp_path / ".git").write_text("gitdir: /srv/secret/worktrees/x\n")
    (tmp_path / ".ssh").symlink_to("a.txt")
    (tmp_path / "a.txt").write_text("gitdir?\n")
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        assert [entry.path for entry in (await sandbox.list_directory(".", 1, 9, None)).entries] == ["a.txt"]
        assert (await sandbox.find("*", ".", 9)).paths == ("a.txt",)
        found = await sandbox.search("gitdir", ".", "**", regex=False, context=0, limit=9)
        assert [match.path for match in found.matches] == ["a.txt"]
        with pytest.raises(Forbidden, match="whether or not it exists"):
            await sandbox.read(".git", 1, 1)
        with pytest.raises(Unknown) as refusal:
            await sandbox.read(".gti", 1, 1)
        assert "mean" not in str(refusal.value)


@pytest.mark.parametrize("mechanism", ["openat2", "walk"])
async def test_a_root_that_was_deleted_is_unavailable_and_no_empty_directory(
    tmp_path: Path, mechanism: beneath.Mechanism
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with Sandbox(FilesSettings(root=root, write=True), mechanism) as sandbox:
        assert (await sandbox.list_directory(".", 1, 9, None)).entries == ()
        root.rmdir()
        root.mkdir()
        (root / "a.txt").write_text("another directory, which is not held")
        for ask in (
            sandbox.list_directory(".", 1, 9, None), sandbox.read("a.txt", 1, 1),
            sandbox.changes.write("b", "x"),
        ):  # fmt: skip
            with pytest.raises(Unavailable, match="`status` says what is wrong"):
                await ask
        health = await sandbox.health()
        assert health.state == "unavailable"
        assert health.mend == "The directory that is served was deleted. Put it back and restart the server."


async def test_a_disk_that_hangs_or_fails_holds_up_nobody_else_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()

    def asked(_: object) -> bool:
        if hangs.is_set():
            raise OSError(errno.EIO, "as the disk says it")
        hangs.wait(10)
        return False

    monkeypatch.setattr(beneath.ByHandle, "is_gone", asked)
    monkeypatch.setattr("backends.files._PATIENCE_S", 0.1)
    async with Sandbox(FilesSettings(root=tmp_path)) as sandbox:
        began = time.monotonic()
        health = await sandbox.health()
        assert (health.state, health.summary) == ("unavailable", "The disk does not answer.")
        assert time.monotonic() - began < 5
        hangs.set()
        with pytest.raises(Unavailable, match="The disk is in trouble just now"):
            await sandbox.read("a.txt", 1, 1)
        assert (await sandbox.health()).summary == "The sandbox cannot be opened."
