"""Numbers as people read them: no more digits than an estimate has."""

from __future__ import annotations

import math

from rlm_kernel.host.estimate.ranges import Range

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """Return bytes: ``18 bytes``, ``12.4 MB``."""
    if count < 1000:
        return f"{count} byte" + ("" if count == 1 else "s")
    power = min(4, int(math.log10(count) / 3))
    if round(count / 1000**power) == 1000 and power < 4:
        power += 1
    number = count / 1000**power
    return f"{number:,.0f} {UNITS[power]}" if number >= 99.95 else f"{number:.3g} {UNITS[power]}"


def tokens(count: float) -> str:
    """Return tokens: ``about 4,500 tokens``, ``about 3.1 M tokens``."""
    if count >= 999_500:
        return f"about {_digits(count / 1e6, 2)} M tokens"
    return f"about {_digits(count, 2)} token" + ("" if round(count) == 1 else "s")


def calls(found: Range) -> str:
    """Return calls: ``40 to 120 calls``."""
    low, high = f"{found.low:,.0f}", f"{found.high:,.0f}"
    return _span(low, high) + (" call" if high == "1" else " calls")


def money(found: Range) -> str:
    """Return US dollars: ``$0.10 to $0.45``."""
    return _span(dollars(found.low), dollars(found.high))


def dollars(amount: float) -> str:
    """Return US dollars; what is less than a cent keeps a digit."""
    if amount == 0:
        return "$0"
    return f"${amount:,.2f}" if amount >= 0.0095 else f"${_digits(amount, 1)}"


def time(found: Range) -> str:
    """Return a time: ``2 to 5 min``, ``20 s to 3 min``."""
    (low, low_unit), (high, high_unit) = _time(found.low), _time(found.high)
    if (low_unit, high_unit) == ("s", "min") and found.low > 55:
        low, low_unit = f"{found.low / 60:.0f}", "min"
    return f"{_span(low, high)} {high_unit}" if low_unit == high_unit else f"{low} {low_unit} to {high} {high_unit}"


def _time(seconds: float) -> tuple[str, str]:
    if seconds < 99.5:
        return f"{max(1, round(seconds))}", "s"
    if seconds < 5970:
        return f"{seconds / 60:.0f}", "min"
    return f"{_digits(seconds / 3600, 2)}", "h"


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _digits(number: float, digits: int) -> str:
    """Return a number with so many digits that say something."""
    rounded = float(f"{number:.{digits}g}")
    return f"{rounded:,.0f}" if rounded >= 10 ** (digits - 1) else f"{rounded:.12f}".rstrip("0").rstrip(".")
