"""Numbers as people read them: few digits, a true minus sign, a dash for missing."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from ptrag.comparison.contrasts import Contrast


def decimals(values: Iterable[float]) -> int:
    """Decimals that show the largest of ``values`` with about three digits."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=1.0)
    if largest == 0:
        return 2
    return min(6, max(0, 2 - math.floor(math.log10(largest))))


def difference_places(difference: float, low: float, high: float) -> int:
    """Decimals for a difference and the ends of its interval.

    About two digits of the largest, and at least one of the interval's half-width.
    """
    return max(0, decimals([difference, low, high]) - 1, decimals([(high - low) / 2]) - 2)


def number(value: float, places: int | None = None, sign: bool = False) -> str:
    """Return ``value`` with ``places`` decimals (by its own size where None)."""
    if value is None or not math.isfinite(value):
        return "–"
    places = decimals([value]) if places is None else places
    text = f"{value:{'+' if sign else ''},.{places}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−").replace(",", " ")


def rough(value: float) -> str:
    """Return a number that is an estimate itself, with two digits at any size."""
    if not math.isfinite(value):
        return "–"
    if value != 0 and abs(value) < 1e-4:
        return f"{value:.1e}".replace("-", "−")
    return number(value, max(0, decimals([value]) - 1))


def interval(low: float, high: float, places: int, sign: bool = False) -> str:
    """Return ``[low, high]``, or nothing where there is no interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, places, sign)}, {number(high, places, sign)}]"


def p_value(p: float) -> str:
    """Return ``p`` as ``= 0.012`` or ``< 0.001``; ``not available`` where missing."""
    if p is None or not math.isfinite(p):
        return "not available"
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 pair`` or ``3 pairs``."""
    return f"{n:,}".replace(",", " ") + " " + (noun if n == 1 else plural or noun + "s")


def listed(names: Iterable[object]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    names = [str(name) for name in names]
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]


def difference(contrast: Contrast) -> tuple[str, str]:
    """Return the difference of a contrast and its interval, with as many places as both need."""
    low, high = contrast.low, contrast.high
    places = difference_places(contrast.difference, low, high)
    return number(contrast.difference, places, True), interval(low, high, places, True)


def difference_in_words(contrast: Contrast) -> str:
    """Return the same as one text."""
    return " ".join(difference(contrast)).strip()


def now_in_words() -> str:
    """Return the date and time that stand on top of a page."""
    return f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC"
