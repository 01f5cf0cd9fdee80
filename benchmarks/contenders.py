"""Who is compared: how each is started, or why it cannot be had here; and what a comparison is given."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from starlette.types import ASGIApp

from benchmarks.rounds import Absent
from benchmarks.wire import Http, Stdio
from tests.fakes import Upstream

SCRIPTS = Path(__file__).parent / "peers"
SHIPPED = Path(__file__).parent.parent / "server.py"
LEAST = 3  # calls of a round


@dataclass
class Bench:
    """What a comparison works with; what it starts ends with it.

    Args:
        directory: Where files may be made.
        peers: The Python of the environment that has the peers; `node_modules` lies beside its `bin`.
        rounds: How many of them count.
        brief: Whether a tenth of the calls will do, to see that everything works.
    """

    directory: Path
    peers: Path
    rounds: int
    brief: bool = False
    _started: ExitStack = field(default_factory=ExitStack)
    _servers: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def many(self, calls: int) -> int:
        return max(LEAST, calls // 10) if self.brief else calls

    def script(self, script: str | Path, *arguments: str) -> list[str]:
        """The command of one of our own scripts in `peers/`."""
        return [sys.executable, str(SCRIPTS / script), *arguments]

    def pip(self, command: str, *arguments: str) -> list[str] | Absent:
        """The command of a Python peer."""
        path = self.peers.with_name(command)
        return [str(path), *arguments] if path.exists() else Absent(f"{path} is not there: make bench")

    def npm(self, command: str, *arguments: str) -> list[str] | Absent:
        """The command of a peer on Node."""
        path = self._modules / ".bin" / command
        return self._on_node([str(path), *arguments], path)

    def node(self, script: str, package: str, *arguments: str) -> list[str] | Absent:
        """The command of one of our scripts on Node, which takes the package from the peers' environment."""
        return self._on_node(
            ["node", str(SCRIPTS / script), str(self._modules), *arguments], self._modules / package
        )

    @property
    def _modules(self) -> Path:
        return self.peers.parent.parent / "node_modules"

    def _on_node(self, command: list[str], needs: Path) -> list[str] | Absent:
        if not shutil.which("node"):
            return Absent("needs Node")
        if not needs.exists():
            where = self._modules.parent
            return Absent(f"not in {where}: the Makefile installs it there, once Node is here")
        return command

    def stdio(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, handshake: bool = True
    ) -> Stdio:
        """Start a server over STDIO."""
        return self._started.enter_context(Stdio(command, self.env(env), handshake))

    def peer(self, command: Sequence[str] | Absent) -> Stdio | Absent:
        """The same for one that may not be here."""
        return command if isinstance(command, Absent) else self.stdio(command)

    def http(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> Http:
        """Start a server over HTTP; the word PORT in its command is replaced by the port."""
        return self._started.enter_context(Http(command, self.env(env)))

    def peer_http(self, command: Sequence[str] | Absent) -> Http | Absent:
        """The same for one that may not be here."""
        return command if isinstance(command, Absent) else self.http(command)

    def upstream(self, app: ASGIApp) -> str:
        """Serve a stand-in for a remote service; its address."""
        return self._started.enter_context(Upstream(app)).url

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What Almanac is told besides: a state directory that only this server has."""
        self._servers += 1
        return {"ALMANAC_STATE_DIR": str(self.directory / f"state-{self._servers}"), **(more or {})}
