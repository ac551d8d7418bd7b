"""Import of a Postfix installation's main.cf and tables, with a report on each line.

Called by the screens and `importpostfix`; with `really=False` nothing is changed and the report says what would be.
`export_text` writes the files again: importing an export changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from mailcore import conf
from mailcore.conf import caches
from mailcore.models import Alias, Domain
from mailcore.store import directory
from mailcore.store.directory import DirectoryError, DomainDraft, alias_files
from mailcore.store.settings import lookup_tables, parameter_changes
from mailcore.wire.files import main_cf_file
from mailcore.wire.files import table_files as texts
from mailcore.wire.files.table_files import LineError
from mailcore.wire.message import envelope_address as addresses

KINDS = ("main.cf", "virtual", "aliases", "table")

# Parameters of main.cf that become rows of the directory here.
_DOMAINS = {
    "virtual_mailbox_domains": Domain.Kind.LOCAL,
    "virtual_alias_domains": Domain.Kind.LOCAL,
}
# Parameters that name files of aliases, and the kind of each.
_FILES = {"virtual_alias_maps": "virtual", "alias_maps": "aliases"}
# Parameters of programs that do not exist here, or of behaviour that is fixed here.
_IGNORED = """
    command_directory config_directory daemon_directory data_directory html_directory mail_owner mailq_path
    manpage_directory newaliases_path queue_directory readme_directory sample_directory sendmail_path
    setgid_group shlib_directory compatibility_level debug_peer_level debugger_command meta_directory
    unknown_local_recipient_reject_code virtual_mailbox_base virtual_mailbox_maps virtual_uid_maps
    virtual_gid_maps virtual_minimum_uid virtual_transport local_recipient_maps mailbox_command biff
    append_dot_mydomain smtpd_use_tls smtp_use_tls smtpd_sasl_type smtpd_sasl_path smtpd_sasl_local_domain
    broken_sasl_auth_clients smtpd_tls_session_cache_database smtp_tls_session_cache_database inet_protocols
    local_transport default_transport relay_transport
"""


@dataclass(frozen=True, slots=True)
class LineReport:
    """The outcome of one line."""

    line: int
    what: str
    taken: bool
    reason: str = ""  # the reason; for an imported line, what it became


def import_text(kind: str, text: str, *, name: str = "", really: bool) -> list[LineReport]:
    """Import a file's text: kind "main.cf", "virtual", "aliases", or "table" (access, transport, …) called `name`."""
    importers: dict[str, Callable[[list[str]], Iterable[LineReport]]] = {
        "main.cf": _import_main_cf,
        "virtual": _import_virtual,
        "aliases": lambda lines: _import_aliases(lines, name or "/etc/aliases"),
        "table": lambda lines: _import_table(lines, name),
    }
    try:
        with transaction.atomic():
            reports = list(importers[kind](text.splitlines()))
            if not really:
                transaction.set_rollback(True)
    finally:
        # Drop cached values that the transaction rolled back.
        conf.refresh()
        caches.clear(caches.Source.DATABASE)
    return sorted(reports, key=lambda each: each.line)


def import_files(files: Iterable[tuple[str, str, str]], *, really: bool) -> list[list[LineReport]]:
    """Import (kind, name, text) of several files in their order, and return the reports of each.

    Unless `really` everything is rolled back at the end: each file sees what those before it made, as in a real run.
    """
    try:
        with transaction.atomic():
            reports = [import_text(kind, text, name=name, really=True) for kind, name, text in files]
            if not really:
                transaction.set_rollback(True)
    finally:
        conf.refresh()
        caches.clear(caches.Source.DATABASE)
    return reports


def referenced_files(text: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, path) of the files a main.cf names.

    "hash:/etc/postfix/virtual" is ("virtual", "/etc/postfix/virtual").
    """
    table_parameters = {name for name, spec in conf.SPECS.items() if name.endswith(("_maps", "_restrictions"))}
    paths: set[str] = set()
    for each in main_cf_file.parse_assignments(text.splitlines()):
        if isinstance(each, LineError) or (each.name not in _FILES and each.name not in table_parameters):
            continue
        for word in each.value.replace(",", " ").split():
            kind, colon, path = word.partition(":")
            if (
                colon
                and path.startswith("/")
                and kind in ("hash", "btree", "lmdb", "texthash", "dbm", "cdb")
                and path not in paths
            ):
                paths.add(path)
                yield _FILES.get(each.name, "table"), path


def export_text(kind: str, name: str = "") -> str:
    """Return the current settings as a file of that kind."""
    match kind:
        case "main.cf":
            secret = {each for each, spec in conf.specs().items() if spec.secret}
            return main_cf_file.format_main_cf(
                {each: value for each, value in conf.explicit_values().items() if each not in secret}
            )
        case "aliases":
            return "".join(_alias_lines())
        case "table":
            return "".join(f"{key}\t{value}\n" for key, value in lookup_tables.list_entries(name))
        case _:
            return "".join(_virtual_lines())


# --- main.cf --------------------------------------------------------------------------------------


def _import_main_cf(lines: list[str]) -> Iterator[LineReport]:
    assignments: dict[str, main_cf_file.Assignment] = {}
    for each in main_cf_file.parse_assignments(lines):
        if isinstance(each, LineError):
            yield LineReport(each.line, "", False, each.text)
            continue
        if each.name in assignments:
            earlier = assignments[each.name]
            yield LineReport(earlier.line, each.name, False, _("It is set again further below; the last value counts."))
        assignments[each.name] = each
    # Restriction classes first: other parameters use their names.
    classes = assignments.get("smtpd_restriction_classes")
    specs = conf.specs({**conf.explicit_values(), **({classes.name: classes.value} if classes else {})})
    values: dict[str, str | None] = {}
    for name, each in assignments.items():
        if name in specs and conf.origin(name) == "environment":
            is_unchanged = conf.raw_value(name, {}) == each.value
            reason = _("unchanged") if is_unchanged else _("The environment sets this (MAIL_…).")
            yield LineReport(each.line, name, is_unchanged, reason)
        elif name in specs:
            values[name] = each.value
        elif name in _DOMAINS:
            yield from _import_domains(each, _DOMAINS[name])
        elif name in _FILES:
            yield LineReport(each.line, name, True, _("Import the file it names as well."))
        elif name in _IGNORED.split():
            yield LineReport(each.line, name, True, _("Not needed here."))
        else:
            yield LineReport(each.line, name, False, _("There is no such parameter here."))
    yield from _set_parameters(values, assignments)


def _set_parameters(
    values: dict[str, str | None], assignments: dict[str, main_cf_file.Assignment]
) -> Iterator[LineReport]:
    """Set all valid parameters: an invalid one is reported and left out, and the others are tried again."""
    before = conf.effective()
    while values:
        try:
            with transaction.atomic():
                parameter_changes.change_parameters(values)
        except ValueError as error:
            name, _colon, reason = str(error).partition(": ")
            if name not in values:
                raise
            values.pop(name)
            yield LineReport(assignments[name].line, name, False, reason)
        except KeyError as error:
            name = str(error.args[0])
            if values.pop(name, None) is None:
                raise
            yield LineReport(assignments[name].line, name, False, _("There is no such parameter here."))
        else:
            break
    for name in values:
        is_unchanged = before.get(name) == values[name]
        yield LineReport(assignments[name].line, name, True, _("unchanged") if is_unchanged else "")


def _import_domains(each: main_cf_file.Assignment, kind: str) -> Iterator[LineReport]:
    for word in each.value.replace(",", " ").split():
        if set(word) & set(":/$"):
            yield LineReport(
                each.line, f"{each.name}: {word}", False, _("Only domain names can be imported from here, not tables.")
            )
            continue
        yield _import_domain(each.line, f"{each.name}: {word}", word, kind)


def _import_domain(line: int, what: str, name: str, kind: str = Domain.Kind.LOCAL) -> LineReport:
    if Domain.objects.filter(name=name.lower()).exists():
        return LineReport(line, what, True, _("unchanged"))
    try:
        with transaction.atomic():
            directory.create_domain(name, DomainDraft(kind=kind))
    except DirectoryError as problem:
        return LineReport(line, what, False, str(problem))
    return LineReport(line, what, True, _("a domain"))


# --- Tables ---------------------------------------------------------------------------------------


def _import_table(lines: list[str], name: str) -> Iterator[LineReport]:
    assignments: dict[str, str] = {}
    for each in texts.parse_pairs(lines):
        if isinstance(each, LineError):
            yield LineReport(each.line, "", False, each.text)
        elif each.key in assignments:
            yield LineReport(
                each.line, each.key, False, _("It is defined further above already; the first entry counts.")
            )
        else:
            assignments[each.key] = each.value
            yield LineReport(each.line, each.key, True)
    lookup_tables.replace_entries(name, assignments)


def _import_aliases(lines: list[str], source: str) -> Iterator[LineReport]:
    assignments: dict[str, tuple[texts.Target, ...]] = {}
    for each in texts.parse_aliases(lines):
        if isinstance(each, LineError):
            yield LineReport(each.line, "", False, each.text)
        elif each.name in assignments:
            yield LineReport(
                each.line, each.name, False, _("It is defined further above already; the first entry counts.")
            )
        else:
            assignments[each.name] = each.targets
            yield LineReport(each.line, each.name, True)
    try:
        alias_files.replace_aliases(source, assignments)
    except DirectoryError as problem:
        yield LineReport(0, source, False, str(problem))


def _import_virtual(lines: list[str]) -> Iterator[LineReport]:
    """Import virtual(5): `user@domain targets`, `@domain target` (a catch-all), `domain anything` (a domain)."""
    remaining: list[texts.TableLine] = []
    for each in texts.parse_pairs(lines):
        if isinstance(each, LineError):
            yield LineReport(each.line, "", False, each.text)
        elif "@" not in each.key and "." in each.key:
            yield _import_domain(each.line, each.key, each.key)
        else:
            remaining.append(each)
    # An alias may name one further below, so entries that fail are tried again.
    while remaining:
        verdicts = [_import_virtual_entry(each) for each in remaining]
        failed = [each for each, verdict in zip(remaining, verdicts, strict=True) if not verdict.taken]
        yield from (verdict for verdict in verdicts if verdict.taken)
        if len(failed) == len(remaining):
            yield from verdicts
            return
        remaining = failed


def _import_virtual_entry(each: texts.TableLine) -> LineReport:
    local, name = addresses.split_address(each.key)
    name = name or conf.current().myorigin
    targets = directory.split_targets(each.value)
    try:
        with transaction.atomic():
            if not local:
                return _import_catch_all(each, name, targets)
            # Postfix appends $myorigin to a bare name, whatever domain the alias is in.
            full = [target if "@" in target else f"{target}@{conf.current().myorigin}" for target in targets]
            row = Alias.objects.filter(address=f"{local}@{name}".lower()).first()
            if row is None:
                directory.create_alias(f"{local}@{name}", full)
            else:
                directory.change_alias(row.pk, full, active=row.active, comment=row.comment)
    except DirectoryError as problem:
        return LineReport(each.line, each.key, False, str(problem))
    return LineReport(each.line, each.key, True, _("an alias"))


def _import_catch_all(each: texts.TableLine, name: str, targets: list[str]) -> LineReport:
    domain = Domain.objects.select_related("target").filter(name=name).first()
    if domain is None:
        return LineReport(each.line, each.key, False, _("There is no such domain here."))
    if len(targets) != 1 or targets[0].startswith("@"):
        return LineReport(each.line, each.key, False, _("A catch-all here is one address; make an alias for several."))
    fields = directory.domain_snapshot(domain) | {"catch_all": targets[0]}
    directory.change_domain(domain.pk, DomainDraft(**fields))  # type: ignore[arg-type]
    return LineReport(each.line, each.key, True, _("a catch-all"))


def _alias_lines() -> Iterator[str]:
    """Yield the aliases that came from a file; `_virtual_lines` has the others."""
    rows = Alias.objects.exclude(source="").filter(active=True).order_by("local_part").select_related("domain")
    for row in rows.iterator(chunk_size=1000):
        targets = texts.format_targets(row.targets, row.domain.name, row.special)
        yield f"{texts.format_name(row.local_part)}: {targets}\n"


def _virtual_lines() -> Iterator[str]:
    for domain in Domain.objects.filter(kind=Domain.Kind.LOCAL).order_by("name"):
        yield f"{domain.name}\tanything\n"
        if domain.catch_all:
            yield f"@{domain.name}\t{domain.catch_all}\n"
        rows = Alias.objects.filter(domain=domain, active=True, source="").order_by("local_part")
        for address, targets in rows.values_list("address", "targets").iterator(chunk_size=1000):
            yield f"{address}\t{', '.join(targets)}\n"
