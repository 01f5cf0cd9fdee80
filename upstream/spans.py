"""A span for each request to a provider, where somebody traces; the provider itself is told of no trace.

It has the server's name and the form of the path: what was asked, and of which place, is nobody's business.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

PLAIN = re.compile(r"[a-z][a-z_.-]{0,30}|v\d{1,2}(\.\d)?|\d\.\d|")


@contextmanager
def asking(method: str, url: str, provider: str = "", again: bool = False) -> Iterator[Callable[[int], None]]:
    """Time a request; what it gives is told the status of the answer.

    Args:
        method: Of HTTP.
        url: Without a query.
        provider: Its name.
        again: Whether it was made before.
    """
    with trace.get_tracer("almanac").start_as_current_span(
        method, kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
    ) as span:
        if span.is_recording():
            parts = urlsplit(url)
            template = "/".join(part if PLAIN.fullmatch(part) else "*" for part in parts.path.split("/"))
            span.update_name(f"{method} {template or '/'}")
            span.set_attributes(
                {
                    "http.request.method": method,
                    "url.scheme": parts.scheme,
                    "url.template": template or "/",
                    "server.address": parts.hostname or "",
                    "server.port": parts.port or {"https": 443}.get(parts.scheme, 80),
                    **({"almanac.provider": provider} if provider else {}),
                    **({"http.request.resend_count": 1} if again else {}),
                }
            )

        def answered(status: int) -> None:
            span.set_attribute("http.response.status_code", status)
            if status >= 400:
                span.set_attribute("error.type", str(status))
                span.set_status(StatusCode.ERROR)

        try:
            yield answered
        except BaseException as error:
            span.set_attribute("error.type", type(error.__cause__ or error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise
