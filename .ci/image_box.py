"""The image as Docker would run it: `docker run --read-only --tmpfs /tmp --network none --cap-drop ALL`.

The server is process 1 of its own namespace, on a read-only root, as the image's own user, with a directory a
volume.
"""
# ruff: noqa: S603, S607, T201 - a script for a terminal, whose work is to start processes

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PATIENCE = 30.0  # seconds for a start on a loaded machine; 2 to 3 are usual
BOX = """
set -e
mount --make-rprivate /
mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"
mount -t tmpfs tmpfs "$0/tmp"; mount --bind "$STATE" "$0/state"; mount --bind "$FILES" "$0/files"
mount -t proc proc "$0/proc"; mount -t tmpfs tmpfs "$0/dev"
for device in null zero full random urandom; do
  touch "$0/dev/$device"; mount --bind "/dev/$device" "$0/dev/$device"
done
exec chroot "$0" /usr/bin/setpriv --reuid "$1" --regid "$2" --clear-groups --no-new-privs \
  --inh-caps=-all --bounding-set=-all /usr/bin/env -i "${@:3}"
"""


def check(fact: bool, claim: str, detail: object = "") -> None:
    print(f"  {'ok' if fact else 'NOT'}: {claim}", flush=True)
    if not fact:
        raise SystemExit(f"The image fails at: {claim}. {detail}")


class Image:
    """The image's own configuration, and its file system at `root`."""

    def __init__(self, inspected: Path, root: Path) -> None:
        self.config: dict[str, Any] = json.loads(inspected.read_text())["Docker"]["config"]
        self.root = root
        self.user, _, group = self.config["User"].partition(":")
        self.group = group or self.user
        self.volumes = {name: _new_volume(root / name) for name in ("state", "files")}

    def start(self, words: list[str], **pipes: Any) -> subprocess.Popen[bytes]:
        """Start `words` in a box of its own; it dies with this script."""
        given = {name.upper(): str(volume) for name, volume in self.volumes.items()}
        pipes["env"] = {**os.environ, **given}
        settings = [f"{name}={value}" for name, value in (pipes.pop("settings", None) or {}).items()]
        inside = [*self.config["Env"], *settings, "HOME=/tmp", "-C", self.config["WorkingDir"], *words]
        box = ["bash", "-c", BOX, str(self.root), self.user, self.group, *_options_first(inside)]
        return subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", *box], **pipes)

    def serve(self, *arguments: str, **pipes: Any) -> subprocess.Popen[bytes]:
        return self.start([*self.config["Entrypoint"], *(arguments or self.config["Cmd"] or ())], **pipes)

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        pipe = subprocess.PIPE
        with self.start(words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as box:
            out, err = box.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(words, box.returncode, out.decode(), err.decode())


def _new_volume(origin: Path) -> Path:
    """A directory as Docker makes a new volume: with what the image has there, and whose it is."""
    volume = Path(tempfile.mkdtemp(prefix="almanac-volume.")) / "data"
    subprocess.run(["cp", "--archive", str(origin), str(volume)], check=True)
    return volume


def _options_first(words: list[str]) -> list[str]:
    """`env` takes its options before the variables."""
    at = words.index("-C")
    return [*words[at : at + 2], *words[:at], *words[at + 2 :]]


def first_process(box: subprocess.Popen[bytes]) -> int:
    """The number, seen from here, of process 1 in the box: what `docker stop` signals."""
    children = Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text().split()
    return int(children[0])


def ended(box: subprocess.Popen[bytes], claim: str, within: float = 5.0) -> None:
    since = time.monotonic()
    try:
        status = box.wait(within)
    except subprocess.TimeoutExpired:
        box.kill()
        check(False, claim, f"It still ran after {within:.0f} s.")
    took = time.monotonic() - since
    check(status in (0, 143, -signal.SIGTERM), f"{claim} (status {status}, {took:.1f} s)")
