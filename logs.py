"""Logs go to standard error, one line an event, ours and the libraries' alike, without what is secret.

Each line has the reference of the call it belongs to, which the caller, the audit and the trace have as well.
"""

import json
import logging
import sys
import warnings
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from mcp import MCPDeprecationWarning
from opentelemetry import trace

import reference
from cleaning import printable
from redaction import redacted

Form = Literal["console", "json"]


def _referred(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if found := reference.known():
        event.setdefault("reference", found)
    if (span := trace.get_current_span().get_span_context()).is_valid:
        event.setdefault("trace", f"{span.trace_id:032x}")
    return event


SHARED: list[structlog.types.Processor] = [
    structlog.stdlib.add_log_level,
    _referred,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class Redacted(structlog.stdlib.ProcessorFormatter):
    """Takes what is secret, personal or obeyed by a terminal out of a whole line, tracebacks and all.

    Args:
        secrets: What is taken out whatever its form.
    """

    def __init__(self, secrets: tuple[str, ...], **options: Any) -> None:
        super().__init__(**options)
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return printable(redacted(super().format(record), self._secrets), but="\n\t")


class _Objects:
    """A line as one JSON object, each of its values redacted: in a whole line it could cost a quote."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def __call__(self, _: object, __: str, event: MutableMapping[str, Any]) -> str:
        return json.dumps({name: self._shown(name, value) for name, value in event.items()})

    def _shown(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        text = value if isinstance(value, str) else str(value)
        # What is named like a secret is told from its name.
        whole = redacted(f"{name}={text}", self._secrets)
        return whole.removeprefix(f"{name}=") if whole.startswith(f"{name}=") else whole


def lines(secrets: tuple[str, ...] = (), form: Form = "console") -> logging.Formatter:
    """How a line is written."""
    # The default ones print every local variable, a caller's arguments among them.
    if form == "json":
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _Objects(secrets),
            ],
        )
    return Redacted(
        secrets,
        foreign_pre_chain=SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.dev.ConsoleRenderer(
                colors=False,  # which would stand between a name and its secret
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
    )


def configure(level: str, secrets: tuple[str, ...] = (), form: Form = "console") -> None:
    """Send every log line of `level` or above to standard error in one format.

    Args:
        level: The least severe that is written.
        secrets: What no line may hold.
        form: Lines for people, or a JSON object each.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines(secrets, form))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # A refusal and a caller's bad argument are answered to the caller; FastMCP would log each as well,
    # and a refused resource with its traceback.
    logging.getLogger("fastmcp.server.server").setLevel(logging.CRITICAL)
    # Each retry would be a line; what comes of them is in the answer and in `status`.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    # 2026-07-28 deprecates the client's log stream; it is still how clients of both eras show a notice.
    warnings.filterwarnings("ignore", category=MCPDeprecationWarning)
    for noisy in ("fastmcp", "mcp", "httpx2", "httpcore2", "urllib3", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It has a level of its own, and writes every message that goes to a client.
    logging.getLogger("fastmcp.server.context.to_client").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
