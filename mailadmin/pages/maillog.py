"""The mail log: its last lines, by words and level."""

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from mailadmin import listing
from mailadmin.pages.answers import show
from mailadmin.permissions import Reach, seeing_system
from mailcore import log, logfile

_LINES = 300
_OCTETS = 8 << 20  # looked through from the log's end; older lines are `maillog`'s


@require_safe
@seeing_system
def maillog(request: HttpRequest, reach: Reach) -> HttpResponse:
    q, level = listing.term(request), listing.choice(request, "level", logfile.LEVELS)
    context = {
        "section": "log",
        "lines": last_lines(q, level),
        "q": q,
        "level": level,
        "levels": logfile.LEVELS,
        "path": log.path(),
    }
    return show(request, reach, "maillog", context)


def last_lines(q: str, level: str) -> list[tuple[str, str]]:
    """(level, line) of the log's last lines that have all of the words and at least that level, "": any."""
    path = log.path()
    if not path:
        return []
    try:
        found = logfile.last(path, logfile.Wanted(q.split(), level or None), _LINES, _OCTETS)
    except FileNotFoundError:
        return []
    return [(logfile.level_of(line), line) for line in found]


@require_safe
@seeing_system
def download(request: HttpRequest, reach: Reach) -> FileResponse:
    """The whole file."""
    try:
        return FileResponse(open(log.path(), "rb"), as_attachment=True, filename="maillog", content_type="text/plain")
    except (FileNotFoundError, IsADirectoryError):
        raise Http404 from None
