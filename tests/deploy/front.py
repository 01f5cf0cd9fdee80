"""A real nginx with the repository's own configuration, and replicas of the server behind it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

import pytest

from tests.wire.conftest import ENVIRON, SERVER

HERE = Path(__file__).resolve().parents[2]
CONFIGURATION = HERE / "deploy" / "nginx.conf"
CHECKERS = HERE / ".venv-checkers"  # `make checkers` fills it
PLACES = (str(CHECKERS / "bin"), str(CHECKERS / "node_modules" / ".bin"), os.environ["PATH"], "/usr/sbin")


def needed(program: str) -> str:
    """Where a program is; the test that needs it is skipped without, or fails where all have to run."""
    found = shutil.which(program, path=os.pathsep.join(PLACES))
    if not found:
        assert "TEST_REQUIRE_ALL" not in os.environ, f"{program} is not installed; `make checkers` may help"
        pytest.skip(f"{program} is not installed")
    return found


def free_ports(number: int) -> list[int]:
    """That many at once, so that no two are the same."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports


def answers(url: str, within: float = 30) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    return False


def listens(port: int, within: float = 10) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return True
        time.sleep(0.01)
    return False


class Replica:
    """A server process on a port of its own, which can be started again after its end."""

    def __init__(self, port: int, directory: Path, env: dict[str, str]) -> None:
        self.port, self.directory = port, directory
        self.address = f"127.0.0.1:{port}"
        directory.mkdir()
        self._env = {**ENVIRON, "ALMANAC_STATE_DIR": str(directory / "state"), **env}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def start(self) -> None:
        command = [sys.executable, str(SERVER), "--transport", "http", "--port", str(self.port)]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=self._env
            )

    def is_up(self) -> None:
        assert answers(f"http://{self.address}/health"), self.log

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


class Nginx:
    """deploy/nginx.conf as it is, but for its addresses and for where it writes."""

    def __init__(self, replicas: list[int], directory: Path, tls: bool = False) -> None:
        self._program = needed("nginx")
        self.port, self.tls_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._directory = directory
        directory.mkdir()
        text = CONFIGURATION.read_text().replace("/tmp/", f"{directory}/")
        for number, port in enumerate(replicas, 1):
            text = _once(text, f"almanac-{number}:8000", f"127.0.0.1:{port}")
        if tls:
            text = _with_tls(text, directory)
            text = _once(text, "listen 8443 ssl;", f"listen 127.0.0.1:{self.tls_port} ssl;")
        text = _once(text, "listen 8080;", f"listen 127.0.0.1:{self.port};")
        text = _once(text, "access_log /dev/stdout", f"access_log {directory}/calls")
        text = _once(text, "error_log /dev/stderr", f"error_log {directory}/errors")
        self.file = directory / "nginx.conf"
        self.file.write_text(f"daemon off;\n{text}" if os.getuid() else f"daemon off;\nuser root;\n{text}")
        self._process: subprocess.Popen[bytes] | None = None

    def tested(self) -> str:
        """What nginx says of the configuration; nothing if it is well."""
        done = subprocess.run(
            [self._program, "-t", "-q", "-c", str(self.file)], capture_output=True, text=True, check=False
        )
        return done.stderr

    @property
    def log(self) -> str:
        return (self._directory / "calls").read_text()

    @property
    def calls(self) -> list[tuple[str, int, list[str]]]:
        """Path, status and the replicas that were asked, of each request so far."""
        form = re.compile(r"\S+ \S+ (\S+) (\d+) \S+ s by (.*) \[")
        found = [form.match(line) for line in self.log.splitlines()]
        return [(m[1], int(m[2]), re.findall(r"127\.0\.0\.1:\d+", m[3])) for m in found if m]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([self._program, "-c", str(self.file)], stderr=subprocess.DEVNULL)
        try:
            assert listens(self.port), self.tested()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)


def uncommented(text: str) -> str:
    """nginx.conf with its lines for TLS."""
    return re.sub(r"# (listen 8443 ssl;|ssl_\w+ )", r"\1", text)


def _with_tls(text: str, directory: Path) -> str:
    """The lines for TLS, and a certificate of our own."""
    names = [directory / name for name in ("fullchain.pem", "privkey.pem")]
    asked = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=localhost",
    ]
    written = ["-out", str(names[0]), "-keyout", str(names[1])]
    subprocess.run([needed("openssl"), *asked, *written], check=True, capture_output=True)
    text = uncommented(text)
    for name in names:
        text = _once(text, f"/etc/nginx/tls/{name.name}", str(name))
    return text


def _once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old} is in nginx.conf {text.count(old)} times"
    return text.replace(old, new)
