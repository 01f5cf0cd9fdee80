"""The error edge: one plain line for whatever goes wrong, and nothing of ours in it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import pytest
from fastmcp import Client, FastMCP
from mcp import MCPError
from pydantic import BaseModel, Field

from errors import Forbidden, TooMuch, Unavailable, Unknown
from middleware.errors import Errors

CANARY = "canary-7d1f"


class Body(BaseModel):
    number: int


def toy() -> FastMCP:
    """A mounted child whose components fail in every way there is."""
    child = FastMCP("child", mask_error_details=True)

    @child.tool
    async def take(
        days: Annotated[int, Field(ge=1, le=16)],
        units: Literal["metric", "imperial"] = "metric",
        names: list[str] | None = None,
        flag: bool = False,
        word: Annotated[str, Field(min_length=2, max_length=5)] = "abc",
    ) -> str:
        return "ok"

    @child.tool
    async def fail(how: str) -> str:
        match how:
            case "refusal":
                raise Unknown("There is no such thing. Find one with x_list.")
            case "timeout":
                await asyncio.wait_for(asyncio.sleep(5), 0.01)
            case "model":
                Body.model_validate({"number": CANARY})
            case "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(_raise())
        raise KeyError(CANARY)

    @child.resource("almanac://{how}/thing")
    async def thing(how: str) -> str:
        kinds = {"unknown": Unknown, "forbidden": Forbidden, "toomuch": TooMuch, "unavailable": Unavailable}
        raise kinds[how](f"Refused: {how}.") if how in kinds else KeyError(CANARY)

    @child.prompt
    async def ask(city: str, language: str = "en") -> str:
        if city == "refused":
            raise Unknown("There is no such city.")
        raise KeyError(CANARY)

    root = FastMCP("root", middleware=[Errors()], mask_error_details=True)
    root.mount(child, namespace="toy")
    return root


async def _raise() -> None:
    raise KeyError(CANARY)


@pytest.fixture
async def toys(era: str) -> AsyncIterator[Client[Any]]:
    async with Client(toy(), mode=era) as connected:
        yield connected


async def line(client: Client[Any], tool: str, arguments: dict[str, Any]) -> str:
    result = await client.call_tool(tool, arguments, raise_on_error=False)
    assert result.is_error
    assert len(result.content) == 1
    text: str = result.content[0].text
    assert "\n" not in text
    for leak in ("pydantic", "http", "Traceback", "Error", "site-packages", CANARY):
        assert leak not in text, leak
    return text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "days is missing; it takes a whole number from 1 to 16."),
        ({"days": "three"}, "days takes a whole number from 1 to 16, not 'three'."),
        ({"days": 99}, "days takes a whole number from 1 to 16, not 99."),
        ({"days": 1.5}, "days takes a whole number from 1 to 16, not 1.5."),
        ({"days": None}, "days takes a whole number from 1 to 16, not null."),
        ({"days": [1]}, "days takes a whole number from 1 to 16, not a list of 1."),
        ({"days": {"a": 1}}, "days takes a whole number from 1 to 16, not an object."),
        ({"days": 10**40}, f"days takes a whole number from 1 to 16, not '{10**40}'."),
        ({"days": 1, "units": "kelvin"}, "units takes 'metric' or 'imperial', not 'kelvin'."),
        ({"days": 1, "flag": "perhaps"}, "flag takes true or false, not 'perhaps'."),
        ({"days": 1, "names": 5}, "names takes a list, each text, not 5."),
        ({"days": 1, "word": "abcdefgh"}, "word takes text of 2 to 5 characters, not 'abcdefgh'."),
        (
            {"days": 1, "dayz": 2},
            "toy_take has no parameter 'dayz'; it takes days, units, names, flag, word. Did you mean 'days'?",
        ),
        (
            {"days": 0, "units": "kelvin"},
            "days takes a whole number from 1 to 16, not 0. "
            "units takes 'metric' or 'imperial', not 'kelvin'.",
        ),
    ],
)
async def test_a_bad_argument_is_one_line_that_names_the_parameter_and_what_it_takes(
    toys: Client[Any], arguments: dict[str, Any], expected: str
) -> None:
    assert await line(toys, "toy_take", arguments) == expected


async def test_a_long_or_ugly_argument_is_quoted_short_and_on_one_line(toys: Client[Any]) -> None:
    text = await line(toys, "toy_take", {"days": "x\n\x1b[31m" + "y" * 100_000})
    assert len(text) < 200


async def test_a_refusal_passes_with_its_text(toys: Client[Any]) -> None:
    assert await line(toys, "toy_fail", {"how": "refusal"}) == "There is no such thing. Find one with x_list."


@pytest.mark.parametrize("how", ["key", "timeout", "model", "group"])
async def test_anything_else_is_masked_behind_a_reference_that_the_log_has_with_the_cause(
    toys: Client[Any], how: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.ERROR):
        text = await line(toys, "toy_fail", {"how": how})
    assert text.startswith("The server failed; the request was fine. Reference ")
    reference = text.removesuffix(".").rpartition(" ")[2]
    logged = caplog.text + capsys.readouterr().out
    assert reference in logged
    if how == "key":
        assert CANARY in logged


async def test_an_unknown_tool_is_answered_with_the_nearest_one(toys: Client[Any]) -> None:
    assert await line(toys, "toy_take_", {}) == "There is no tool 'toy_take_'. Did you mean 'toy_take'?"


@pytest.mark.parametrize(
    ("how", "code"),
    [("unknown", -32602), ("forbidden", -32602), ("toomuch", -32602), ("unavailable", -32603)],
)
async def test_a_refused_resource_says_why(toys: Client[Any], how: str, code: int) -> None:
    with pytest.raises(MCPError, match=rf"^Refused: {how}\.$") as caught:
        await toys.read_resource(f"almanac://toy/{how}/thing")
    assert caught.value.error.code == code


async def test_a_failing_resource_is_masked_and_its_address_is_not_logged(
    toys: Client[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MCPError, match="The server failed; the request was fine"):
        await toys.read_resource("almanac://toy/typed-by-a-caller/thing")
    logged = capsys.readouterr().out
    assert CANARY in logged, "the cause is"
    assert "typed-by-a-caller" not in logged


async def test_a_failing_prompt_is_masked_though_the_framework_would_show_it(toys: Client[Any]) -> None:
    with pytest.raises(MCPError, match="The server failed; the request was fine") as caught:
        await toys.get_prompt("toy_ask", {"city": "Lima"})
    assert CANARY not in str(caught.value)


async def test_a_refused_prompt_says_why(toys: Client[Any]) -> None:
    with pytest.raises(MCPError, match=r"^There is no such city\.$"):
        await toys.get_prompt("toy_ask", {"city": "refused"})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "toy_ask needs city; it takes city, language."),
        (
            {"city": "Lima", "langauge": "es"},
            "toy_ask has no argument 'langauge'; it takes city, language. Did you mean 'language'?",
        ),
    ],
)
async def test_a_prompts_arguments_are_checked_too(
    toys: Client[Any], arguments: dict[str, str], expected: str
) -> None:
    with pytest.raises(MCPError) as caught:
        await toys.get_prompt("toy_ask", arguments)
    assert (caught.value.error.code, str(caught.value)) == (-32602, expected)
