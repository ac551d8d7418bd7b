"""Views over the directory for a Postfix and a Dovecot that stay (docs/sql-views.md): they ask the same database, so
that what is done on the screens counts there at once.

The SQL differs by database in three things: joining texts, taking a JSON list apart, and reading a number from a text.
Created and dropped by the program `sqlviews`.
"""

from django.db import connection, transaction

from mailcore.conf import SPECS

_NAMES = (
    *("postfix_virtual_mailbox_domains", "postfix_virtual_mailbox_maps", "postfix_virtual_alias_domains"),
    *("postfix_virtual_alias_maps", "postfix_relay_domains", "postfix_sender_login_maps"),
    *("dovecot_passdb", "dovecot_userdb"),
)


def view_statements(vendor: str = "") -> dict[str, str]:
    """View → its SELECT, as the connected database (or `vendor`) spells it."""
    vendor = vendor or connection.vendor
    open_account = (
        "FROM mailcore_account a JOIN mailcore_domain d ON d.id = a.domain_id"
        " WHERE d.active AND a.state <> 'off' AND (a.expires IS NULL OR a.expires >= CURRENT_DATE)"
    )
    receives = f"{open_account} AND a.state <> 'send-only'"
    return {
        "postfix_virtual_mailbox_domains": "SELECT name AS domain FROM mailcore_domain WHERE active AND kind = 'local'",
        "postfix_virtual_alias_domains": (
            "SELECT d.name AS domain FROM mailcore_domain d JOIN mailcore_domain t ON t.id = d.target_id"
            " WHERE d.active AND t.active"
        ),
        "postfix_relay_domains": "SELECT name AS domain FROM mailcore_domain WHERE active AND kind = 'relay'",
        "postfix_virtual_mailbox_maps": (
            f"SELECT a.address AS address, {_concat_function(vendor, 'd.name', _text_cast('/'), 'a.local_part', _text_cast('/Maildir/'))}"
            f" AS maildir {receives}"
        ),
        "postfix_virtual_alias_maps": _aliases(vendor, receives),
        "postfix_sender_login_maps": (
            f"SELECT a.address AS address, a.address AS login {open_account} AND a.state <> 'receive-only'"
        ),
        "dovecot_passdb": _passdb(vendor, open_account),
        "dovecot_userdb": _userdb(vendor, receives),
    }


def _aliases(vendor: str, receives: str) -> str:
    """Aliases; each name of a domain as that domain; catch-alls, and then every account as itself, or its mail would
    be caught as well."""
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
        _concat_function(vendor, _text_cast("@"), "d.name"),
        _concat_function(vendor, _text_cast("@"), "t.name"),
    )
    listed_here = f"{aliases} JOIN mailcore_domain d ON d.id = l.domain_id WHERE l.active AND d.active{end}"
    names = (
        f"SELECT {own}, {other} FROM mailcore_domain d JOIN mailcore_domain t ON t.id = d.target_id"
        " WHERE d.active AND t.active"
    )
    caught = f"SELECT {own}, d.catch_all FROM mailcore_domain d WHERE d.active AND d.catch_all <> ''"
    spared = (
        f"SELECT a.address, a.address {receives} AND d.catch_all <> ''"
        " AND NOT EXISTS (SELECT 1 FROM mailcore_alias l WHERE l.address = a.address AND l.active)"
    )
    return f"{listed_here} UNION ALL {names} UNION ALL {caught} UNION ALL {spared}"


def _passdb(vendor: str, open_account: str) -> str:
    """Hashes as Dovecot writes them. Ours are argon2id's; those that came from elsewhere have their scheme in front.
    Where a second factor is set up no password opens anything, as here."""
    argon = _concat_function(vendor, _text_cast("{ARGON2ID}"), "SUBSTR(a.password, 7)")
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
    rule = _concat_function(vendor, _text_cast("*:bytes="), f"CAST({whole} AS {text})")
    home = _concat_function(vendor, "d.name", _text_cast("/"), "a.local_part")
    user = connection.ops.quote_name("user")
    return f"SELECT a.address AS {user}, {home} AS home, {rule} AS quota_rule {receives}"


def _text_cast(text: str) -> str:
    return f"'{text}'"


def _concat_function(vendor: str, *parts: str) -> str:
    return f"CONCAT({', '.join(parts)})" if vendor == "mysql" else " || ".join(parts)


def create_views() -> list[str]:
    """Make the views, or make them anew; their names."""
    drop_views()
    with transaction.atomic(), connection.cursor() as cursor:
        for name, select in view_statements().items():
            cursor.execute(f"CREATE VIEW {name} AS {select.replace('%%', '%')}")
    return list(_NAMES)


def drop_views() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for name in _NAMES:
            cursor.execute(f"DROP VIEW IF EXISTS {name}")
