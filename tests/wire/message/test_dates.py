"""Date fields: the day is what searches compare, in the zone of the message."""

import pytest

from mailcore.wire.message.dates import parse_date


def day(value: str) -> int | None:
    found = parse_date(value)
    return None if found is None else (found[0] + found[1] * 60) // 86400


FIRST = 19723  # 2024-01-01


@pytest.mark.parametrize(
    ("value", "moment", "zone"),
    [
        ("Mon, 1 Jan 2024 12:00:00 +0000", 1704110400, 0),
        ("Mon, 1 Jan 2024 12:00:00 +0800", 1704081600, 480),
        ("Mon, 1 Jan 2024 25:00:00 +0000", 1704067200, 0),
        ("Mon, 1 Jan 2024 12:61:00 +0100", 1704063600, 60),
        ("Mon, 1 Jan 2024 12:00:00 +9999", 1704110400, 0),
        ("Mon, 1 Jan 2024 23:59:60 +0000", 1704153599, 0),
        ("Mon, 1 Jan 2024 24:00:00 +0000", 1704153599, 0),
        ("Mon, 1 Jan 2024", 1704067200, 0),
    ],
)
def test_an_invalid_time_is_midnight_and_an_invalid_zone_utc(value: str, moment: int, zone: int) -> None:
    """RFC 5256 §2.2."""
    assert parse_date(value) == (moment, zone)
    assert day(value) == FIRST


@pytest.mark.parametrize("value", ["", "yesterday", "32 Jan 2024 12:00:00 +0000", "1 Foo 2024 12:00:00 +0000"])
def test_unreadable_dates(value: str) -> None:
    assert parse_date(value) is None
