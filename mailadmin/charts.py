"""Mail statistics as a chart and a table: bars per hour or day, rendered here as SVG, so that no script is needed."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from mailcore.mta.history import statistics

WORDS: dict[str, Promise] = {
    statistics.RECEIVED: _("received"),
    statistics.SENT: _("delivered"),
    statistics.DEFERRED: _("deferred"),
    statistics.BOUNCED: _("returned"),
    statistics.REFUSED: _("refused"),
}
SPANS = {"day": 24, "month": 30}  # number of bars: hours, days

_WIDTH, _HEIGHT = 720, 150
_AXIS_LABELS = 6


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart; `bars` are (label, messages by kind in the order of statistics.KINDS), the oldest first."""

    bars: list[tuple[str, list[int]]]
    totals: list[tuple[str, Promise, int]]  # kind, label, messages
    picture: SafeString
    top: int  # value of the highest bar
    stamps: list[str]  # axis labels under the picture, evenly spaced


def build_chart(span: str) -> Chart:
    """Return the chart of the last 24 hours or 30 days, in the user's time zone."""
    now = int(time.time() // 3600)
    if span == "month":
        today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
        days = [today - timedelta(days=back) for back in reversed(range(SPANS["month"]))]
        counts = statistics.hourly_counts(int(days[0].timestamp() // 3600), now)
        bars = [(date_format(day, "m-d"), [0] * len(statistics.KINDS)) for day in days]
        for hour, kinds in counts.items():
            index = (datetime.fromtimestamp(hour * 3600, UTC).astimezone(today.tzinfo).date() - days[0].date()).days
            if 0 <= index < len(bars):
                _sum_kinds(bars[index][1], kinds)
    else:
        first = now - SPANS["day"] + 1
        counts = statistics.hourly_counts(first, now)
        bars = [
            (_local_hour(hour), _sum_kinds([0] * len(statistics.KINDS), counts.get(hour, {})))
            for hour in range(first, now + 1)
        ]
    totals = [
        (kind, WORDS[kind], sum(values[index] for _when, values in bars)) for index, kind in enumerate(statistics.KINDS)
    ]
    stamps = [bars[(len(bars) - 1) * index // (_AXIS_LABELS - 1)][0] for index in range(_AXIS_LABELS)]
    return Chart(bars, totals, _render_svg(bars), _round_up_scale(bars), stamps)


def _local_hour(hour: int) -> str:
    return date_format(timezone.localtime(datetime.fromtimestamp(hour * 3600, UTC)), "H:i")


def _sum_kinds(values: list[int], kinds: dict[str, int]) -> list[int]:
    for index, kind in enumerate(statistics.KINDS):
        values[index] += kinds.get(kind, 0)
    return values


def _render_svg(bars: list[tuple[str, list[int]]]) -> SafeString:
    """Render one bar per kind and period, scaled to the highest bar; the page stretches the picture to its width."""
    top = _round_up_scale(bars) or 1
    slot = _WIDTH / len(bars)
    width = slot * 0.8 / len(statistics.KINDS)
    rects = [
        (
            f"c-{kind}",
            f"{number * slot + slot * 0.1 + index * width:.1f}",
            f"{_HEIGHT - height:.1f}",
            f"{width:.1f}",
            f"{height:.1f}",
        )
        for number, (_when, values) in enumerate(bars)
        for index, kind in enumerate(statistics.KINDS)
        if (height := values[index] / top * _HEIGHT) > 0
    ]
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>',
        _WIDTH, _HEIGHT, format_html_join("", '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>', rects),
    )  # fmt: skip


def _round_up_scale(bars: list[tuple[str, list[int]]]) -> int:
    return max((max(values) for _when, values in bars), default=0)
