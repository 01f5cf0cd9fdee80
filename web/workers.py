"""Several processes behind one port, each a whole server: Python computes on one core a process.

The first process listens and looks after the others. What they count and keep together lies in the state
directory, or in what ALMANAC_STATE_URL names, as it does for replicas.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from config import Settings

Serve = Callable[[Settings, list[socket.socket]], None]

REST_S = 1.0  # before one that died is replaced, so that one that always dies is no load
SHORT_S = 10.0  # who ends sooner than this again and again cannot serve
MOST_SHORT = 3
END_S = 9.0  # besides the grace; a worker that hangs ends itself before
BACKLOG = 2048  # connections that may wait to be taken, as uvicorn has it

_spawn = multiprocessing.get_context("spawn")  # forking copies locks, and on macOS what must not be copied
_log = logging.getLogger(__name__)


def run(serve: Serve, settings: Settings) -> int:
    """Serve from `settings.workers` processes until SIGTERM or SIGINT; the status to exit with.

    Args:
        serve: What each of them does; importable, for it is called in another process.
        settings: The host and port are bound here, so that all share one queue of connections.
    """
    return _Workers(serve, settings).run()


class _Workers:
    def __init__(self, serve: Serve, settings: Settings) -> None:
        self._serve, self._settings = serve, settings
        self._running: dict[SpawnProcess, float] = {}  # and when each began
        self._signals = 0  # that came
        self._obeyed = 0
        self._ends_at: float | None = None
        self._short = 0

    def run(self) -> int:
        try:
            listening = _bound(self._settings.host, self._settings.port)
        except OSError as error:
            where = f"{self._settings.host}:{self._settings.port}"
            sys.stderr.write(f"Almanac cannot listen on {where}: {error.strerror}.\n")
            return 1
        self._woken, self._wakes = socket.socketpair()
        with listening, self._woken, self._wakes:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._wake)
            for _ in range(self._settings.workers):
                self._start(listening)
            while self._running:
                left = None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())
                wait([self._woken, *(process.sentinel for process in self._running)], left)
                self._obey(listening)
                if left == 0.0:  # they end themselves before, unless somebody has stopped them
                    self._kill()
                for process in [one for one in self._running if not one.is_alive()]:
                    lived_s = time.monotonic() - self._running.pop(process)
                    self._replace(process, lived_s, listening)
        return 1 if self._short >= MOST_SHORT else 0

    def _wake(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """All that a signal does at once: it may come in the middle of anything."""
        self._signals += 1
        self._wakes.send(b".")

    def _obey(self, listening: socket.socket) -> None:
        """Ask all to end, or make them if they were asked before."""
        while self._obeyed < self._signals:
            listening.close()  # nobody may wait here for workers that take none
            if self._obeyed:
                self._kill()
            else:
                self._ends_at = time.monotonic() + self._settings.shutdown_grace + END_S
                for process in self._running:
                    process.terminate()
            self._obeyed += 1
            self._woken.recv(1)

    def _kill(self) -> None:
        for process in self._running:
            process.kill()

    def _start(self, listening: socket.socket) -> None:
        if self._signals:
            return
        process = _spawn.Process(target=_work, args=(self._serve, self._settings, listening))
        process.start()
        self._running[process] = time.monotonic()

    def _replace(self, process: SpawnProcess, lived_s: float, listening: socket.socket) -> None:
        if self._signals:
            return
        self._short = self._short + 1 if lived_s < SHORT_S else 0
        if self._short >= MOST_SHORT:
            _log.error("%d worker processes ended as soon as they had started; giving up", self._short)
            self._wake()
            return
        _log.warning("worker %s ended with status %s; another one starts", process.pid, process.exitcode)
        wait([self._woken], REST_S)
        self._start(listening)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio knows it for TCP and sends what it has at once; else calls wait 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # where it would let another process take the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _work(serve: Serve, settings: Settings, listening: socket.socket) -> None:
    """Be one of them, and end when the first process does, however that comes about."""
    first = multiprocessing.parent_process()

    def follow() -> None:
        if first is not None:
            first.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
    serve(settings, [listening])
