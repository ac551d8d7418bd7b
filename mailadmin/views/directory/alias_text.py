"""A domain's aliases as text in the format of aliases(5): validated, then saved as a whole."""

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

_MAX_ALIASES = 2000  # aliases one can review as text; more belong in a CSV file


@dataclass(frozen=True, slots=True)
class Change:
    """An effect of saving: `done` is "made", "changed" or "deleted"; or a `problem` in a line."""

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
    too_many = domain.aliases.count() > _MAX_ALIASES
    content, found = "", []
    if request.method == "POST":
        if not permissions.changes or too_many:
            raise PermissionDenied
        content = request.POST.get("text", "")
        save = "save" in request.POST
        found = _apply_text(domain, content, really=save)
        wrong = [each for each in found if each.problem]
        if save and not wrong:
            words = ngettext("%(n)d alias has been changed.", "%(n)d aliases have been changed.", len(found))
            return redirect_with_notice(request, permissions, words % {"n": len(found)}, "mailadmin:aliases")
    elif not too_many:
        content = _render_aliases(domain)
    context = {
        "section": "aliases",
        "domains": names,
        "domain": domain,
        "text": content,
        "found": found,
        "asked": request.method == "POST",
        "wrong": any(each.problem for each in found),
        "many": too_many,
    }
    return render_page(
        request, permissions, "alias_text", context, status=400 if context["wrong"] and "save" in request.POST else 200
    )


def _render_aliases(domain: Domain) -> str:
    """Return the aliases as text; inactive ones are commented out with "#"."""
    rows = (
        Alias.objects.filter(domain=domain)
        .order_by("local_part")
        .values_list("local_part", "targets", "special", "active")
    )
    lines = []
    for name, targets, special, active in rows:
        target_text = table_files.format_targets(targets, domain.name, special)
        lines.append(f"{'' if active else '# '}{table_files.format_name(name)}: {target_text}\n")
    return "".join(lines)


def _apply_text(domain: Domain, content: str, *, really: bool) -> list[Change]:
    """Apply the whole text, or nothing if a line is invalid or `really` is false; inactive aliases are not changed."""
    wanted: dict[str, tuple[int, tuple[Target, ...]]] = {}
    found: list[Change] = []
    for each in table_files.parse_aliases(content.splitlines()):
        if isinstance(each, LineError):
            found.append(Change("", problem=each.text, line=each.line))
        elif each.name in wanted:
            found.append(Change(each.name, problem=_("This name appears twice."), line=each.line))
        else:
            wanted[each.name] = (each.line, each.targets)
    if len(wanted) > _MAX_ALIASES:
        found.append(Change("", problem=_("Too many aliases for a text: import a CSV file.")))
        return found
    with transaction.atomic():
        found += _write_aliases(domain, wanted)
        if not really or any(each.problem for each in found):
            transaction.set_rollback(True)
    return sorted(found, key=lambda each: (not each.problem, each.line, each.name))


def _write_aliases(domain: Domain, wanted: dict[str, tuple[int, tuple[Target, ...]]]) -> list[Change]:
    existing = {row.local_part: row for row in Alias.objects.filter(domain=domain, active=True)}
    found = []
    for name in existing.keys() - wanted.keys():
        directory.delete_alias(existing[name].pk)
        found.append(Change(name, "deleted"))
    pending = dict(wanted)
    problems: list[Change] = []
    while pending:  # an alias may refer to one defined below it
        problems, failed = [], {}
        for name, (line, targets) in pending.items():
            qualified = [_qualified_target(each, domain.name) for each in targets]
            try:
                with transaction.atomic():
                    change = _apply_alias(domain, name, qualified, existing.get(name))
            except DirectoryError as problem:
                problems.append(Change(name, problem=str(problem), line=line))
                failed[name] = (line, targets)
            else:
                found += [Change(name, change, line=line)] if change else []
        if len(failed) == len(pending):
            break
        pending = failed
    return found + problems


def _qualified_target(target: Target, domain: str) -> str:
    """Return a target as text; a name alone is in the alias's domain.

    A command is accepted only if the alias has it already.
    """
    return target.text if target.kind or "@" in target.text else f"{target.text}@{domain}"


def _apply_alias(domain: Domain, name: str, targets: list[str], row: Alias | None) -> str:
    if row is None:
        directory.create_alias(f"{name}@{domain.name}", targets)
        return "made"
    if row.targets == targets:
        return ""
    directory.change_alias(row.pk, targets, active=True, comment=row.comment)
    return "changed"
