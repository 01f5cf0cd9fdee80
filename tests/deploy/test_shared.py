"""What replicas share by ALMANAC_STATE_URL, each in a state directory of its own.

Limits and quotas: tests/middleware/test_limits_shared.py. Signing in: tests/test_auth_oauth.py. Questions to
the user and their answers need no store: tests/test_confirm.py. Here: what was asked of others before.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastmcp import Client
from pydantic import SecretStr

from config import Settings
from server import create_server
from tests.fakes import Upstream
from tests.fakes.deepl import KEY, DeepL
from tests.fakes.weather import Sky
from tests.test_counters import redis  # noqa: F401 - a fixture

PLACE = "48.85,2.35"  # coordinates: no list of places is needed


@asynccontextmanager
async def replica(url: str, directory: Path, **over: Any) -> AsyncIterator[Client[Any]]:
    settings = Settings.model_validate(
        {"state_dir": directory, "state_url": SecretStr(url), "servers": list(over), **over}
    )
    async with Client(create_server(settings)) as client:
        yield client


async def test_what_one_replica_has_asked_of_a_weather_service_no_other_asks_again(
    tmp_path: Path,
    redis: str,  # noqa: F811
) -> None:
    with Sky() as sky:
        for name in ("one", "two"):
            async with replica(redis, tmp_path / name, weather=sky.settings) as client:
                result = await client.call_tool("weather_current", {"place": PLACE})
                assert (result.structured_content or {})["source"].startswith("Open-Meteo")
        assert len(sky.open_meteo.seen) == 1
        async with replica("redis://127.0.0.1:9/0", tmp_path / "one", weather=sky.settings) as client:
            await client.call_tool("weather_current", {"place": PLACE})
        assert len(sky.open_meteo.seen) == 2, "nothing was kept in the directory"


async def test_what_one_replica_has_had_translated_no_other_pays_for_again(
    tmp_path: Path,
    redis: str,  # noqa: F811
) -> None:
    fake = DeepL()
    with Upstream(fake) as upstream:
        translate = {"providers": "deepl", "deepl_key": KEY, "deepl_url": upstream.url}
        given = {"text": "The house is big.", "source": "en", "target": "es"}
        texts = []
        for name in ("one", "two"):
            async with replica(redis, tmp_path / name, translate=translate) as client:
                texts.append((await client.call_tool("translate_text", given)).structured_content)
        assert texts[0]
        assert texts[1]
        assert texts[0]["text"] == texts[1]["text"]
        assert len(fake.seen) == 1
