"""Export of accounts, aliases and domains as CSV, and import line by line.

A line is validated by the forms of the pages and applied by the functions behind them, so a file can do no more than
the user who imports it. A line with an existing address changes the fields its columns name; any other creates a row.
An export can be imported again unchanged.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailadmin.file_sizes import format_exact_size
from mailadmin.forms import AccountForm, DomainForm
from mailadmin.permissions import Permissions
from mailcore.models import Account, Alias, Domain
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.credentials import dovecot_hashes
from mailcore.store.directory import AccountDraft, DirectoryError, DomainDraft

ACCOUNTS = (
    "address", "name", "state", "role", "managed_domains", "expires", "quota_bytes", "quota_messages", "language",
    "time_zone",
)  # fmt: skip
ALIASES = ("address", "targets", "active", "comment")
DOMAINS = (
    "name", "kind", "target", "active", "account_quota_bytes", "account_quota_messages", "total_quota_bytes",
    "max_accounts", "max_aliases", "catch_all",
)  # fmt: skip
COLUMNS = {"accounts": ACCOUNTS, "aliases": ALIASES, "domains": DOMAINS}
SECRETS = ("password", "password_hash")  # columns of accounts that are imported, but never exported
_RISKY = ("=", "+", "-", "@", "\t")  # a spreadsheet would take a cell that begins with one of these for a formula
_CHUNK_SIZE = 2000


@dataclass(frozen=True, slots=True)
class LineResult:
    """The result of a line, or with a dry run its expected result.

    `done` is "created" or "changed"; `problem` is an error text for the user.
    """

    line: int
    subject: str
    done: str = ""
    problem: str = ""


# --- Export ---------------------------------------------------------------------------------------


def write_csv(kind: str, rows: QuerySet[Any]) -> Iterator[str]:
    """Yield CSV with a heading, line by line."""
    columns, values = COLUMNS[kind], _VALUES[kind]
    yield "\ufeff" + _format_line(columns)  # the byte order mark tells spreadsheets that it is UTF-8
    if kind == "accounts":
        rows = rows.prefetch_related("managed_domains")
    elif kind == "domains":
        rows = rows.select_related("target")
    for row in rows.iterator(chunk_size=_CHUNK_SIZE):
        yield _format_line([_escape_formula(each) for each in values(row)])


def _format_line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _escape_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_RISKY) else cell


def _unescape_formula(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_RISKY) else cell


def _format_value(value: object) -> str:
    return "" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _format_size(value: int | None) -> str:
    return "" if value is None else format_exact_size(value)


def _account_cells(row: Account) -> list[str]:
    managed = " ".join(sorted(domain.name for domain in row.managed_domains.all()))
    return [
        row.address, row.name, row.state, row.role, managed, _format_value(row.expires), _format_size(row.quota_bytes),
        _format_value(row.quota_messages), row.language, row.time_zone,
    ]  # fmt: skip


def _alias_cells(row: Alias) -> list[str]:
    return [row.address, " ".join(row.targets), _format_value(row.active), row.comment]


def _domain_cells(row: Domain) -> list[str]:
    return [
        row.name, row.kind, row.target.name if row.target else "", _format_value(row.active),
        _format_size(row.account_quota_bytes),
        _format_value(row.account_quota_messages), _format_size(row.total_quota_bytes), _format_value(row.max_accounts),
        _format_value(row.max_aliases), row.catch_all,
    ]  # fmt: skip


_VALUES: dict[str, Callable[[Any], list[str]]] = {
    "accounts": _account_cells,
    "aliases": _alias_cells,
    "domains": _domain_cells,
}


# --- Import ---------------------------------------------------------------------------------------


def import_rows(permissions: Permissions, kind: str, text: str, *, really: bool) -> Iterator[LineResult]:
    """Apply the lines of a file, or only validate them unless `really`.

    Lines are independent: an invalid line does not prevent the others. Raise `ValueError` with a text for the user if
    the columns are unusable.
    """
    columns, import_line = COLUMNS[kind], IMPORTERS[kind]
    text, delimiter = _split_separator_line(text.lstrip("\ufeff"))
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, restkey="")
    try:
        headings = rows.fieldnames or ()
    except csv.Error as error:
        raise ValueError(_("This is not a CSV file: %s.") % error) from error
    columns_present = [_column_name(kind, heading) for heading in headings]
    known = (*columns, *SECRETS) if kind == "accounts" else columns
    if columns[0] not in columns_present:
        raise ValueError(_("The first line must name the columns, “%(name)s” among them.") % {"name": columns[0]})
    if unknown := [name for name in columns_present if name not in known]:
        raise ValueError(_("There is no column “%(name)s”.") % {"name": unknown[0]})
    rows.fieldnames = columns_present
    return _import_lines(permissions, rows, columns[0], import_line, really)


def _split_separator_line(text: str) -> tuple[str, str]:
    """Return (the text without Excel's line "sep=;", the delimiter that this line names or the first one uses).

    Spreadsheets in some countries write semicolons, and pasted cells have tabs.
    """
    head, _newline, rest = text.partition("\n")
    if len(head) == 5 and head.lower().startswith("sep="):
        return rest, head[4]
    return text, max(",;\t", key=head.count)


# Headings in Chinese, as people write them, of columns in all kinds of files.
_HEADINGS = {
    "address": "地址 邮箱 邮箱地址 邮件地址 电子邮件 电子邮箱 账号 帐号 账户 别名 邮箱账号"
    " 郵箱 電子郵件 電子郵件地址 帳號 帳戶 別名",
    "name": "姓名 名字 名称 显示名 名稱 顯示名稱",
    "password": "密码 初始密码 口令 密碼 初始密碼",
    "state": "状态 狀態",
    "role": "角色 权限 權限",
    "managed_domains": "管理的域 管理域 管理的網域",
    "expires": "到期 到期日 到期日期 有效期 有效期至",
    "quota_bytes": "配额 容量 空间 邮箱容量 配額 空間",
    "quota_messages": "邮件数 邮件数量 郵件數",
    "language": "语言 語言",
    "time_zone": "时区 時區",
    "targets": "目标 转发到 投递到 成员 目標 轉寄到 成員",
    "active": "启用 有效 啟用",
    "comment": "备注 说明 備註 說明",
    "kind": "类型 種類 类别",
    "target": "目标域 目標網域",
    "catch_all": "全收地址 默认收件人",
}
_COLUMN_OF = {heading: column for column, headings in _HEADINGS.items() for heading in headings.split()}
_DOMAIN_NAMES = ("域", "域名", "网域", "網域")


def _column_name(kind: str, heading: str) -> str:
    """Return the name of the column that a heading means, or the heading itself in lower case."""
    heading = heading.strip().lower()
    if kind == "domains" and heading in _DOMAIN_NAMES:
        return "name"
    return _COLUMN_OF.get(heading, heading)


Importer = Callable[[Permissions, dict[str, str], bool], str]


def _import_lines(
    permissions: Permissions, rows: "csv.DictReader[str]", first: str, import_line: Importer, really: bool
) -> Iterator[LineResult]:
    try:
        for row in rows:
            fields = {name: _unescape_formula((value or "").strip()) for name, value in row.items() if name}
            subject = fields.get(first, "")
            if not any(fields.values()):
                continue
            if "" in row:
                yield LineResult(rows.line_num, subject, problem=_("This line has more cells than the first."))
                continue
            try:
                with transaction.atomic():
                    done = import_line(permissions, fields, really)
                    if not really:
                        transaction.set_rollback(True)
            except DirectoryError as problem:
                yield LineResult(rows.line_num, subject, problem=str(problem))
            else:
                yield LineResult(rows.line_num, subject, done)
    except csv.Error as error:
        yield LineResult(rows.line_num, "", problem=str(error))


def _check_permission(permissions: Permissions, address: str) -> None:
    if not permissions.covers_address(address):
        raise DirectoryError({"": _("You may not change this.")})


def _validate_form(form: Any) -> Any:
    if not form.is_valid():
        raise DirectoryError({name: " ".join(map(str, errors)) for name, errors in form.errors.items()})
    return form.draft()


def _import_account(permissions: Permissions, fields: dict[str, str], really: bool) -> str:
    address = fields["address"].lower()
    _check_permission(permissions, address)
    row = Account.objects.filter(address=address).first()
    if row is not None and not permissions.can_change_account(row):
        raise DirectoryError({"": _("You may not change this.")})
    current = dict(zip(ACCOUNTS, _account_cells(row), strict=True)) if row else {"state": "active", "role": "owner"}
    merged = {**current, **{name: value for name, value in fields.items() if name in ACCOUNTS}}
    merged["state"], merged["role"] = merged["state"] or "active", merged["role"] or "owner"
    data: dict[str, Any] = dict(merged)
    names = merged.get("managed_domains", "").split()
    data["managed_domains"] = list(Domain.objects.filter(name__in=names).values_list("pk", flat=True))
    if len(data["managed_domains"]) != len(set(names)):
        raise DirectoryError({"managed_domains": _("One of these domains does not exist here.")})
    draft: AccountDraft = _validate_form(AccountForm(permissions, data))
    password, stored = fields.get("password", ""), _password_hash(fields.get("password_hash", ""))
    if row is None:
        create = directory.create_account if really else directory.check_account
        if not password and not stored:
            raise DirectoryError({"password": _("A new account needs a password.")})
        create(address, password, draft, password_hash=stored)
        return "created"
    if not permissions.can_change_system:
        managed = tuple(row.managed_domains.values_list("pk", flat=True))
        draft = replace(draft, role=row.role, managed_domains=managed)
    directory.change_account(row.pk, draft)
    if stored:
        directory.set_password_hash(row.pk, stored)
    elif password:
        directory.set_password(row.pk, password)
    if stored or password:
        account_login.end_sessions(row.pk)
    return "changed"


def _password_hash(text: str) -> str:
    try:
        return dovecot_hashes.encode_hash(text, "CRYPT") if text else ""
    except ValueError as error:
        raise DirectoryError({"password_hash": str(error)}) from error


def _parse_boolean(text: str) -> bool:
    return text.lower() in ("", "yes", "true", "1", "是")


def _import_alias(permissions: Permissions, fields: dict[str, str], really: bool) -> str:
    address = fields["address"].lower()
    _check_permission(permissions, address)
    row = Alias.objects.filter(address=address).first()
    current = dict(zip(ALIASES, _alias_cells(row), strict=True)) if row else {}
    merged = {**current, **fields}
    targets = directory.split_targets(merged.get("targets", ""))
    active, comment = _parse_boolean(merged.get("active", "")), merged.get("comment", "")[:200]
    if row is None:
        directory.create_alias(address, targets, active=active, comment=comment)
        return "created"
    directory.change_alias(row.pk, targets, active=active, comment=comment)
    return "changed"


def _import_domain(permissions: Permissions, fields: dict[str, str], really: bool) -> str:
    if not permissions.can_change_system:
        raise DirectoryError({"": _("You may not change this.")})
    name = fields["name"].lower()
    row = Domain.objects.select_related("target").filter(name=name).first()
    current = dict(zip(DOMAINS, _domain_cells(row), strict=True)) if row else {"kind": "local"}
    merged: dict[str, Any] = {**current, **fields}
    merged["kind"] = merged["kind"] or "local"
    merged["active"] = "on" if _parse_boolean(merged.get("active", "")) else ""
    draft: DomainDraft = _validate_form(DomainForm(merged, new=row is None))
    if row is None:
        directory.create_domain(name, draft)
        return "created"
    directory.change_domain(row.pk, draft)
    return "changed"


# Functions by kind that apply a line, or validate it; each returns "created" or "changed" or raises DirectoryError.
IMPORTERS: dict[str, Importer] = {"accounts": _import_account, "aliases": _import_alias, "domains": _import_domain}


def summarize(results: Sequence[LineResult]) -> dict[str, int]:
    return {
        "created": sum(each.done == "created" for each in results),
        "changed": sum(each.done == "changed" for each in results),
        "wrong": sum(bool(each.problem) for each in results),
    }
