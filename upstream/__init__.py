"""What every remote provider shares: one HTTP client each, a deadline, retries, and asking once for many."""

from upstream.answers import Declined, Final, Unusable, not_admitted, retry_after, why_no_connection
from upstream.breaker import Breaker
from upstream.budget import Budget
from upstream.client import Upstream, deadline_in
from upstream.kept import Store
from upstream.line import trust
from upstream.once import Kept, Once

__all__ = [
    "Breaker",
    "Budget",
    "Declined",
    "Final",
    "Kept",
    "Once",
    "Store",
    "Unusable",
    "Upstream",
    "deadline_in",
    "not_admitted",
    "retry_after",
    "trust",
    "why_no_connection",
]
