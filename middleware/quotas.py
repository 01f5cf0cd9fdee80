"""How much one caller may have a day: calls of a domain or a tool, and credits that calls cost."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mcp.types as mt
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from config import LimitsSettings
from errors import TooMuch
from middleware.called import domain_of, domain_of_uri, tool_of
from middleware.caller import caller

if TYPE_CHECKING:
    from counters import Counters


class Quotas(Middleware):
    """Takes each call from its caller's quotas; a resource counts as a call of its domain."""

    def __init__(self, settings: LimitsSettings, counters: "Counters") -> None:
        self._settings, self._counters = settings, counters
        self.used: Counter[str] = Counter()  # of each quota and of the credits, by all, since the start

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        if not await _is_an_answer(context):
            await self._count(context.message.name)
        return await call_next(context)

    async def on_read_resource(
        self, context: MiddlewareContext[mt.ReadResourceRequestParams], call_next: CallNext[Any, Any]
    ) -> Any:
        await self._count(domain_of_uri(str(context.message.uri)))
        return await call_next(context)

    async def left(self) -> dict[str, str]:
        """What the caller has left of each quota and of the credits, in words."""
        who = caller().key
        left: dict[str, str] = {}
        for counted, rate in self._settings.quotas.items():
            left[counted] = _of(await self._counters.left(rate, "quota", counted, who), rate)
        limited = self._settings.quotas or self._settings.budget or self._settings.rate
        if limited and self._counters.note:
            left["note"] = f"What is used {self._counters.note}."
        if self._settings.budget:
            left["credits"] = _of(
                await self._counters.left(self._settings.budget, "credits", who), self._settings.budget
            )
        return left

    async def _count(self, name: str) -> None:
        """Take a call from all that it counts for, or, if one of these is used up, from none."""
        if not (self._settings.quotas or self._settings.budget):
            return
        who = caller().key
        taken: list[tuple[str, str]] = []
        for counted in dict.fromkeys((name, domain_of(name))):
            rate = self._settings.quotas.get(counted)
            if not rate:
                continue
            if wait_s := await self._counters.take(rate, "quota", counted, who):
                await self._give_back(taken, who)
                raise TooMuch(f"Your quota for {counted}, {rate}, is used up; {_when(wait_s)}.")
            taken.append((rate, counted))
        cost = cost_of(name, self._settings.costs)
        if not (self._settings.budget and cost):
            self.used.update(counted for _, counted in taken)
            return
        if wait_s := await self._counters.take(self._settings.budget, "credits", who, cost=cost):
            await self._give_back(taken, who)
            raise TooMuch(
                f"{name[:64]} costs {cost} of the credits you have, {self._settings.budget}, and too few are "
                f"left; {_when(wait_s)}."
            )
        self.used.update(counted for _, counted in taken)
        self.used["credits"] += cost

    async def _give_back(self, taken: list[tuple[str, str]], who: str) -> None:
        for rate, counted in taken:
            await self._counters.give_back(rate, "quota", counted, who)


async def _is_an_answer(context: MiddlewareContext[mt.CallToolRequestParams]) -> bool:
    """Whether it is a call of 2026-07-28 that came before, now with what the user answered to its question.

    Only what destroys asks: an answer that nobody asked for would otherwise be a way past every quota.
    """
    if context.fastmcp_context is None or context.fastmcp_context.input_responses is None:
        return False
    tool = await tool_of(context)
    return bool(tool and tool.annotations and tool.annotations.destructive_hint)


def _of(left: int | None, rate: str) -> str:
    return f"not known now, of {rate}" if left is None else f"{left} of {rate}"


def cost_of(name: str, costs: Mapping[str, int]) -> int:
    """What one call costs: the tool's own price, else its domain's, else 1."""
    return costs.get(name, costs.get(domain_of(name), 1))


def _when(seconds: float) -> str:
    if seconds < 120:
        return f"try again in {seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"try again in {hours} h {minutes} min" if hours else f"try again in {minutes} min"
