"""Numbers as people read them: durations, ages, dates, tokens, money, counts."""

from __future__ import annotations

from datetime import UTC, datetime

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def duration(seconds: float) -> str:
    """`0.04 s`, `1.2 s`, `18 s`, `2 min 23 s`, `1 h 4 min`, `3 d 2 h`; negative reads as 0."""
    seconds = max(seconds, 0.0)
    if seconds < 0.095:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for size, unit, part, small in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def between(start_us: int, end_us: int) -> str:
    """The duration between two times in microseconds."""
    return duration((end_us - start_us) / 1e6)


def age(then_us: int, now_us: int) -> str:
    """One unit only: `14 s`, `3 min`, `2 h`, `5 d`; after 30 days the date."""
    seconds = max(now_us - then_us, 0) // 1_000_000
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = seconds // size
            return date(then_us) if unit == "d" and count >= 30 else f"{count} {unit}"
    return f"{seconds} s"


def ago(then_us: int, now_us: int) -> str:
    """`just now`, `14 s ago`, `2 h ago`; after 30 days `on 21 Nov 2025`."""
    if now_us - then_us < 2_000_000:
        return "just now"
    text = age(then_us, now_us)
    return f"on {text}" if text == date(then_us) else f"{text} ago"


def date(time_us: int) -> str:
    """`21 Nov 2025`, in UTC."""
    day = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def when(time_us: int, *, seconds: bool = False) -> str:
    """`21 Nov 2025, 14:32 UTC`."""
    clock = datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime(
        "%H:%M:%S" if seconds else "%H:%M"
    )
    return f"{date(time_us)}, {clock} UTC"


def tokens(count: int | None) -> str:
    """`950`, `1.2k`, `88.4k`, `362k`, `1.3M`; empty where none were reported."""
    if count is None:
        return ""
    if count < 1000:
        return str(count)
    if count < 999_500:
        thousands = count / 1000
        text = f"{thousands:.1f}" if thousands < 99.95 else f"{thousands:.0f}"
        return text.removesuffix(".0") + "k"
    return f"{count / 1e6:.1f}".removesuffix(".0") + "M"


def money(usd: float | None) -> str:
    """`$0.66`, `$1,204.50`, two digits of less than a cent (`$0.0042`); empty where unknown."""
    if usd is None:
        return ""
    sign, amount = ("−" if usd < 0 else ""), abs(usd)
    if amount == 0 or amount >= 0.00995:
        return f"{sign}${amount:,.2f}"
    return "<$0.0001" if amount < 0.0001 else f"{sign}${amount:.4f}".rstrip("0")


def size(count: int) -> str:
    """`950 B`, `1.2 kB`, `88.4 MB`, `1.3 GB`."""
    if count < 1000:
        return f"{count} B"
    amount, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        del units[0]
    text = f"{amount:.1f}" if amount < 99.95 else f"{amount:.0f}"
    return f"{text.removesuffix('.0')} {units[0]}"


def plural(count: int, noun: str) -> str:
    """`1 line`, `1,204 lines`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def changes(added: int, removed: int) -> str:
    """`+24 −1`, a true minus sign; `+0 −0` reads `no change`."""
    parts = [f"+{added:,}"] * bool(added) + [f"−{removed:,}"] * bool(removed)
    return " ".join(parts) or "no change"
