"""Asking the user before something is lost: one question, in both eras of the protocol.

In the handshake era the server asks while the call waits. From 2026-07-28 on it cannot: the question is the
call's result, and the client calls again with the answer. Nothing is kept between the two, so that any
process can take the second call. What an answer is good for stands in the name under which it was asked: the
time, a random number, and a digest of both with the tool, its arguments, the caller, the question and what
that depends on. Another file or a changed one, other arguments, another caller, ten minutes later: the name
is not this question's, and it is asked anew. The deed changes what it depends on, so an answer is good once.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fastmcp import Context
from fastmcp.server.dependencies import get_access_token
from mcp import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from errors import Forbidden, Unavailable

_SECONDS = 600  # an answer is good for so long: a user reads, and may look at the file first
_SKEW = 60  # that the clocks of two replicas may differ
_REMEMBERED = 10_000  # answers taken here, so that none is taken twice where a file system keeps no times

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "confirm": {"type": "boolean", "title": "Do it", "description": "Nothing happens unless this is set."}
    },
    "required": ["confirm"],
}


class Change(Protocol):
    """What is about to happen."""

    @property
    def question(self) -> str: ...
    @property
    def proof(self) -> str: ...


class Confirmation:
    """Asks, or lets everything pass if the operator wants no questions."""

    def __init__(self, asks: bool, clock: Callable[[], float] = time.time) -> None:
        self._asks, self._clock = asks, clock
        self._taken: dict[str, None] = {}

    async def __call__(
        self, ctx: Context, change: Change, tool: str, *arguments: object
    ) -> InputRequiredResult | None:
        """None if it may be done, or else the result that asks.

        Raises:
            Forbidden: The user does not want it, or cannot be asked.
        """
        if not self._asks or not change.question:
            return None
        request = ctx.request_context
        if request is None or not _can_be_asked(ctx, request.protocol_version):
            raise Forbidden(
                f"{tool} needs the user's consent to this, and this client cannot ask for it. The server's "
                "operator can switch questions off with ALMANAC_FILES_CONFIRM=never."
            )
        if request.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            _judge(await _asked_now(ctx, change.question))
            return None
        matter = json.dumps([tool, arguments, _caller(), change.question, change.proof], default=str)
        given = ctx.input_responses or {}
        if (answer := self._answer(given, matter)) is not None:
            _judge(answer)
            return None
        question = f"This is not what you were asked before. {change.question}" if given else change.question
        params = ElicitRequestFormParams(message=question, requested_schema=FORM)
        asked = ElicitRequest(method="elicitation/create", params=params)
        return InputRequiredResult(
            result_type="input_required", input_requests={self._new_name(matter): asked}
        )

    def _new_name(self, matter: str) -> str:
        number = f"{int(self._clock())}-{secrets.token_hex(8)}"
        return f"{number}-{_digest(number, matter)}"

    def _answer(self, given: Mapping[str, object], matter: str) -> ElicitResult | None:
        """The answer to this question, if it is among those that are given and was not taken before."""
        for name, answer in given.items():
            number, _, digest = name.rpartition("-")
            if not hmac.compare_digest(
                digest.encode("utf-8", "surrogatepass"), _digest(number, matter).encode()
            ):
                continue
            age = self._clock() - int(number.partition("-")[0])  # a number, or the digest would be another
            if not -_SKEW <= age <= _SECONDS or name in self._taken or not isinstance(answer, ElicitResult):
                continue
            self._taken[name] = None
            if len(self._taken) > _REMEMBERED:
                del self._taken[next(iter(self._taken))]
            return answer
        return None


def _can_be_asked(ctx: Context, version: str) -> bool:
    """Whether the client says it can put a form before its user, and can be reached to do so."""
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    return version in MODERN_PROTOCOL_VERSIONS or ctx.session.can_send_request


async def _asked_now(ctx: Context, question: str) -> ElicitResult:
    try:
        return await ctx.session.elicit_form(question, FORM, related_request_id=ctx.request_id)
    except MCPError as error:
        raise Unavailable("The client could not put the question to its user; nothing was done.") from error


def _judge(answer: ElicitResult) -> None:
    if answer.action == "accept" and (answer.content or {}).get("confirm") is True:
        return
    said = {"decline": "The user declined", "cancel": "The user closed the question without an answer"}
    raise Forbidden(f"{said.get(answer.action, 'The user did not confirm')}; nothing was done.")


def _caller() -> tuple[str, str | None] | None:
    token = get_access_token()
    return (token.client_id, token.subject) if token else None


def _digest(number: str, matter: str) -> str:
    return hashlib.sha256(f"{number}\n{matter}".encode("utf-8", "surrogatepass")).hexdigest()
