"""translate: not built yet."""

from fastmcp import FastMCP

from backends.translate import Translator


def register(server: FastMCP, backend: Translator) -> None: ...
