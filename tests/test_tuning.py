"""What is quicker than FastMCP's own has to be the same to a client."""

import pytest
from fastmcp import Client, Context
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import AuthContext

from tuning import FixedServer


async def test_a_tool_is_looked_up_once_in_the_root_and_in_the_mount() -> None:
    asked: list[str] = []

    class Counted(FixedServer):
        async def _get_tool(self, name: str, version: object = None) -> object:  # type: ignore[override]
            asked.append(f"{self.name} {name}")
            return await super()._get_tool(name, version)  # type: ignore[arg-type]

    root, part = Counted("root"), Counted("part")

    @part.tool
    async def double(number: int) -> int:
        return number * 2

    root.mount(part, namespace="sums")
    async with Client(root) as client:
        assert [(await client.call_tool("sums_double", {"number": n})).data for n in range(5)] == [
            0,
            2,
            4,
            6,
            8,
        ]
    assert sorted(asked) == ["part double", "root sums_double"]


async def test_a_tool_that_is_switched_off_or_not_there_stays_so() -> None:
    server = FixedServer("server")

    @server.tool(tags={"off"})
    async def hidden() -> int:
        return 1

    server.disable(tags={"off"})
    async with Client(server) as client:
        for name in ("hidden", "nothing", "hidden"):
            with pytest.raises(ToolError, match="Unknown tool"):
                await client.call_tool(name)


async def test_a_tool_with_a_check_of_its_own_is_checked_every_time() -> None:
    allowed = [True, True, True]

    def check(_: AuthContext) -> bool:
        return allowed[0]

    server = FixedServer("server")

    @server.tool(auth=check)
    async def guarded(ctx: Context) -> int:
        return 1

    assert await server.get_tool("guarded") is not None
    assert "guarded" not in server._found
