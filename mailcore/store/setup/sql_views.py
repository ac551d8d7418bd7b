"""SQL views over the directory for Postfix and Dovecot servers that use its database (docs/sql-views.md).

Changes made on the screens apply there at once. The SQL differs between databases in three things: joining texts,
unpacking a JSON list, and casting a text to a number. Created and dropped by the program `sqlviews`.
"""

from django.db import connection, transaction

from mailcore.conf import SPECS

_NAMES = (
    *("postfix_virtual_mailbox_domains", "postfix_virtual_mailbox_maps", "postfix_virtual_alias_domains"),
    *("postfix_virtual_alias_maps", "postfix_relay_domains", "postfix_sender_login_maps"),
    *("dovecot_passdb", "dovecot_userdb"),
)


def view_statements(vendor: str = "") -> dict[str, str]:
    """Return view → its SELECT, in the dialect of the connected database or of `vendor`."""
    vendor = vendor or connection.vendor
    open_account = (
        "FROM mailcore_account a JOIN mailcore_domain d ON d.id = a.domain_id"
        " WHERE d.active AND a.state <> 'off' AND (a.expires IS NULL OR a.expires >= CURRENT_DATE)"
    )
    receives = f"{open_account} AND a.state <> 'send-only'"
    maildir = _concat_function(vendor, "d.name", _quote("/"), "a.local_part", _quote("/Maildir/"))
    return {
        "postfix_virtual_mailbox_domains": "SELECT name AS domain FROM mailcore_domain WHERE active AND kind = 'local'",
        "postfix_virtual_alias_domains": (
            "SELECT d.name AS domain FROM mailcore_domain d JOIN mailcore_domain t ON t.id = d.target_id"
            " WHERE d.active AND t.active"
        ),
        "postfix_relay_domains": "SELECT name AS domain FROM mailcore_domain WHERE active AND kind = 'relay'",
        "postfix_virtual_mailbox_maps": (f"SELECT a.address AS address, {maildir} AS maildir {receives}"),
        "postfix_virtual_alias_maps": _aliases(vendor, receives),
        "postfix_sender_login_maps": (
            f"SELECT a.address AS address, a.address AS login {open_account} AND a.state <> 'receive-only'"
        ),
        "dovecot_passdb": _passdb(vendor, open_account),
        "dovecot_userdb": _userdb(vendor, receives),
    }


def _aliases(vendor: str, receives: str) -> str:
    """Return aliases, each name of an alias domain as that domain, catch-alls, and the accounts of catch-all domains.

    Without the last, the mail of these accounts would go to the catch-all too.
    """
    if vendor == "sqlite":
        listed = "(SELECT group_concat(value, ', ') FROM json_each(l.targets))"
        aliases = f"SELECT l.address AS address, {listed} AS targets FROM mailcore_alias l"
        end = ""
    elif vendor == "postgresql":
        listed = "(SELECT string_agg(value, ', ') FROM jsonb_array_elements_text(l.targets) AS value)"
        aliases = f"SELECT l.address AS address, {listed} AS targets FROM mailcore_alias l"
        end = ""
    else:
        aliases = (
            "SELECT l.address AS address, GROUP_CONCAT(j.value ORDER BY j.place SEPARATOR ', ') AS targets"
            " FROM mailcore_alias l"
            " JOIN JSON_TABLE(l.targets, '$[*]' COLUMNS (place FOR ORDINALITY, value VARCHAR(400) PATH '$')) j"
        )
        end = " GROUP BY l.address"
    own, other = (
        _concat_function(vendor, _quote("@"), "d.name"),
        _concat_function(vendor, _quote("@"), "t.name"),
    )
    listed_here = f"{aliases} JOIN mailcore_domain d ON d.id = l.domain_id WHERE l.active AND d.active{end}"
    names = (
        f"SELECT {own}, {other} FROM mailcore_domain d JOIN mailcore_domain t ON t.id = d.target_id"
        " WHERE d.active AND t.active"
    )
    catch_alls = f"SELECT {own}, d.catch_all FROM mailcore_domain d WHERE d.active AND d.catch_all <> ''"
    account_rows = (
        f"SELECT a.address, a.address {receives} AND d.catch_all <> ''"
        " AND NOT EXISTS (SELECT 1 FROM mailcore_alias l WHERE l.address = a.address AND l.active)"
    )
    return f"{listed_here} UNION ALL {names} UNION ALL {catch_alls} UNION ALL {account_rows}"


def _passdb(vendor: str, open_account: str) -> str:
    """Return hashes in Dovecot's notation: argon2id, or those imported with a scheme in front.

    Accounts with a second factor have no password there, as the password alone opens nothing here.
    """
    argon = _concat_function(vendor, _quote("{ARGON2ID}"), "SUBSTR(a.password, 7)")
    return (
        f"SELECT a.address AS user, CASE WHEN a.password LIKE 'argon2$%%' THEN {argon} ELSE SUBSTR(a.password, 9) END"
        f" AS password {open_account} AND a.state <> 'no-login' AND NOT a.second_factor"
        " AND (a.password LIKE 'argon2$%%' OR a.password LIKE 'dovecot$%%')"
    ).replace("AS user", f"AS {connection.ops.quote_name('user')}")


def _userdb(vendor: str, receives: str) -> str:
    default = SPECS["virtual_mailbox_limit"].default
    number = {"sqlite": "INTEGER", "postgresql": "BIGINT"}.get(vendor, "UNSIGNED")
    here = f"(SELECT CAST(s.value AS {number}) FROM mailcore_setting s WHERE s.name = 'virtual_mailbox_limit')"
    whole = f"COALESCE(a.quota_bytes, d.account_quota_bytes, {here}, {default})"
    text = "CHAR" if vendor == "mysql" else "TEXT"
    rule = _concat_function(vendor, _quote("*:bytes="), f"CAST({whole} AS {text})")
    home = _concat_function(vendor, "d.name", _quote("/"), "a.local_part")
    user = connection.ops.quote_name("user")
    return f"SELECT a.address AS {user}, {home} AS home, {rule} AS quota_rule {receives}"


def _quote(text: str) -> str:
    return f"'{text}'"


def _concat_function(vendor: str, *parts: str) -> str:
    return f"CONCAT({', '.join(parts)})" if vendor == "mysql" else " || ".join(parts)


def create_views() -> list[str]:
    """Create the views, replacing existing ones, and return their names."""
    drop_views()
    with transaction.atomic(), connection.cursor() as cursor:
        for name, select in view_statements().items():
            cursor.execute(f"CREATE VIEW {name} AS {select.replace('%%', '%')}")
    return list(_NAMES)


def drop_views() -> None:
    """Drop the views that exist."""
    with transaction.atomic(), connection.cursor() as cursor:
        for name in _NAMES:
            cursor.execute(f"DROP VIEW IF EXISTS {name}")
