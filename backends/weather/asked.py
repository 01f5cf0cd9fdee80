"""What was asked for: of the days and hours that are told, and of the past."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from backends.weather.replies import Ahead
from backends.weather.results import ForecastDay, Hour
from errors import TooMuch, Unknown, quote

FIRST_DAY = date(1940, 1, 1)
MOST_DAYS = 366  # a leap year, about 60 KB of result


def wanted(
    told: Ahead, now: datetime, days: int, hourly: bool
) -> tuple[Sequence[ForecastDay], Sequence[Hour], tuple[str, ...]]:
    """The days and hours asked for, without those that are over, and what there is less of."""
    today = now.date().isoformat()
    ahead = [day for day in told.days if day.date >= today]
    of_days = (ahead or told.days)[:days]  # if all are over, it is this machine's clock that is wrong
    short = []
    if len(of_days) < days:
        short.append(f"Only {len(of_days)} of the {days} days asked for are forecast.")
    if not hourly or not of_days:
        return of_days, (), tuple(short)
    this_hour, last = now.replace(minute=0, second=0, microsecond=0), of_days[-1].date
    within = [hour for hour in told.hours if hour.time[:10] <= last]
    of_hours = [hour for hour in within if datetime.fromisoformat(hour.time) >= this_hour] or within
    if of_hours and of_hours[-1].time[:10] < last:
        short.append(f"Hours are forecast until {of_hours[-1].time} only.")
    return of_days, of_hours, tuple(short)


def span(start: str, end: str, now: float) -> tuple[date, date]:
    """The days between two dates, if the archive may have them."""
    first, last = _day("start", start), _day("end", end)
    # Somewhere it is already tomorrow.
    today = (datetime.fromtimestamp(now, UTC) + timedelta(hours=14)).date()
    if first > last:
        raise Unknown(f"start {first} is after end {last}; start comes first.")
    if first < FIRST_DAY:
        raise Unknown(f"The archive begins on {FIRST_DAY}; start {first} is before that.")
    if last > today:
        raise Unknown(f"end {last} is in the future; weather_forecast has up to 16 days ahead.")
    if (last - first).days >= MOST_DAYS:
        raise TooMuch(f"{(last - first).days + 1} days are too many; ask for at most {MOST_DAYS} at once.")
    return first, last


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Unknown(f"{name} takes a date such as '2026-01-31', not {quote(text)}.") from None
