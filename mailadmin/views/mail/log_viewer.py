"""The mail log: its last lines, filtered by words and level."""

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from mailadmin import list_page
from mailadmin.permissions import Permissions, requires_system_view
from mailadmin.views.page_responses import render_page
from mailcore.logs import reader, writer

_MAX_LINES = 300
_MAX_BYTES = 8 << 20  # bytes searched from the log's end; older lines are found with the program `maillog`


@require_safe
@requires_system_view
def maillog(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    q, level = list_page.search_term(request), list_page.query_choice(request, "level", reader.LEVELS)
    context = {
        "section": "log",
        "lines": last_lines(q, level),
        "q": q,
        "level": level,
        "levels": reader.LEVELS,
        "path": writer.log_path(),
    }
    return render_page(request, permissions, "maillog", context)


def last_lines(q: str, level: str) -> list[tuple[str, str]]:
    """Return (level, line) of the log's last lines that have all words and at least that level ("": any)."""
    path = writer.log_path()
    if not path:
        return []
    try:
        lines = reader.last_lines(path, reader.LogFilter(q.split(), level or None), _MAX_LINES, _MAX_BYTES)
    except FileNotFoundError:
        return []
    return [(reader.level_of(line), line) for line in lines]


@require_safe
@requires_system_view
def download(request: HttpRequest, permissions: Permissions) -> FileResponse:
    """Return the whole log file."""
    try:
        return FileResponse(
            open(writer.log_path(), "rb"), as_attachment=True, filename="maillog", content_type="text/plain"
        )
    except (FileNotFoundError, IsADirectoryError):
        raise Http404 from None
