"""A domain's aliases as one text, in the form of aliases(5): looked through as it is typed, saved as a whole."""

from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from mailadmin.permissions import Permissions, requires_view
from mailadmin.views.page_responses import redirect_with_notice, render_page
from mailcore.models import Alias, Domain
from mailcore.store import directory
from mailcore.store.directory import DirectoryError
from mailcore.wire.files import table_files
from mailcore.wire.files.table_files import LineError, Target

_MOST = 2000  # aliases a person can still look over; more are a CSV file's


@dataclass(frozen=True, slots=True)
class Change:
    """What saving does: "made", "changed" or "deleted", or a `problem` in a line."""

    name: str
    done: str = ""
    problem: str = ""
    line: int = 0


@require_http_methods(["GET", "HEAD", "POST"])
@requires_view
def alias_text(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    names = list(
        permissions.visible_domains().filter(kind=Domain.Kind.LOCAL).order_by("name").values_list("name", flat=True)
    )
    wanted = given.get("domain") or (names[0] if names else "")
    domain = permissions.visible_domains().filter(kind=Domain.Kind.LOCAL, name=wanted).first()
    if domain is None:
        raise PermissionDenied
    many = domain.aliases.count() > _MOST
    content, found = "", []
    if request.method == "POST":
        if not permissions.changes or many:
            raise PermissionDenied
        content = request.POST.get("text", "")
        save = "save" in request.POST
        found = _apply_text(domain, content, really=save)
        wrong = [each for each in found if each.problem]
        if save and not wrong:
            words = ngettext("%(n)d alias has been changed.", "%(n)d aliases have been changed.", len(found))
            return redirect_with_notice(request, permissions, words % {"n": len(found)}, "mailadmin:aliases")
    elif not many:
        content = _render_aliases(domain)
    context = {
        "section": "aliases",
        "domains": names,
        "domain": domain,
        "text": content,
        "found": found,
        "asked": request.method == "POST",
        "wrong": any(each.problem for each in found),
        "many": many,
    }
    return render_page(
        request, permissions, "alias_text", context, status=400 if context["wrong"] and "save" in request.POST else 200
    )


def _render_aliases(domain: Domain) -> str:
    """Aliases that are switched off stand behind a "#"."""
    rows = (
        Alias.objects.filter(domain=domain)
        .order_by("local_part")
        .values_list("local_part", "targets", "special", "active")
    )
    return "".join(
        f"{'' if active else '# '}{table_files.format_name(name)}: {table_files.format_targets(targets, domain.name, special)}\n"
        for name, targets, special, active in rows
    )


def _apply_text(domain: Domain, content: str, *, really: bool) -> list[Change]:
    """All of it, or, where a line is wrong, nothing. Aliases that are switched off stay as they are."""
    wanted: dict[str, tuple[int, tuple[Target, ...]]] = {}
    found: list[Change] = []
    for each in table_files.parse_aliases(content.splitlines()):
        if isinstance(each, LineError):
            found.append(Change("", problem=each.text, line=each.line))
        elif each.name in wanted:
            found.append(Change(each.name, problem=_("This name stands here twice."), line=each.line))
        else:
            wanted[each.name] = (each.line, each.targets)
    if len(wanted) > _MOST:
        found.append(Change("", problem=_("Too many aliases for a text: import a CSV file.")))
        return found
    with transaction.atomic():
        found += _write_aliases(domain, wanted)
        if not really or any(each.problem for each in found):
            transaction.set_rollback(True)
    return sorted(found, key=lambda each: (not each.problem, each.line, each.name))


def _write_aliases(domain: Domain, wanted: dict[str, tuple[int, tuple[Target, ...]]]) -> list[Change]:
    there = {row.local_part: row for row in Alias.objects.filter(domain=domain, active=True)}
    found = []
    for name in there.keys() - wanted.keys():
        directory.delete_alias(there[name].pk)
        found.append(Change(name, "deleted"))
    left = dict(wanted)
    problems: list[Change] = []
    while left:  # an alias may name one that stands below it
        problems, later = [], {}
        for name, (line, targets) in left.items():
            full = [_full(each, domain.name) for each in targets]
            try:
                with transaction.atomic():
                    change = _apply_alias(domain, name, full, there.get(name))
            except DirectoryError as problem:
                problems.append(Change(name, problem=str(problem), line=line))
                later[name] = (line, targets)
            else:
                found += [Change(name, change, line=line)] if change else []
        if len(later) == len(left):
            break
        left = later
    return found + problems


def _full(target: Target, domain: str) -> str:
    """Return the text that the directory takes. A command stays one only where the alias has it already."""
    return target.text if target.kind or "@" in target.text else f"{target.text}@{domain}"


def _apply_alias(domain: Domain, name: str, targets: list[str], row: Alias | None) -> str:
    if row is None:
        directory.create_alias(f"{name}@{domain.name}", targets)
        return "made"
    if row.targets == targets:
        return ""
    directory.change_alias(row.pk, targets, active=True, comment=row.comment)
    return "changed"
