"""What every remote provider shares: one HTTP client each, a deadline, retries, and asking once for many."""

from upstream.answers import Declined, Final, Unusable, not_admitted, retry_after, why_no_connection
from upstream.breaker import Breaker
from upstream.budget import Budget
from upstream.client import Upstream
from upstream.counts import Counts, ProviderStats, stats_of
from upstream.deadline import deadline_in
from upstream.kept import Store
from upstream.line import trust
from upstream.once import Kept, Once
from upstream.spans import asking

__all__ = [
    "Breaker",
    "Budget",
    "Counts",
    "Declined",
    "Final",
    "Kept",
    "Once",
    "ProviderStats",
    "Store",
    "Unusable",
    "Upstream",
    "asking",
    "deadline_in",
    "not_admitted",
    "retry_after",
    "stats_of",
    "trust",
    "why_no_connection",
]
