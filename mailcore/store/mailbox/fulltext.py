"""A full-text index of messages, for searches in large mailboxes.

A search reads texts at 4 to 10 µs a message, so most mailboxes need no index. A mailbox of text_index_messages and
more, once it is searched, gets its texts indexed in the background (`index_more`, called by the IMAP server), so a
delivery costs nothing extra. The index only tells which messages may contain a text (`candidate_ids`); the search still
reads those, so its result is the same with or without the index.

SQLite: FTS5 with trigrams, without positions; it takes 0.4 of the texts' size. Texts of one or two characters, which
most Chinese words are, are found as prefixes of trigrams. PostgreSQL: pg_trgm, for three characters and more. The index
is created by a migration; a database that cannot create it works without.
"""

from collections.abc import Sequence
from functools import lru_cache

from django.db import connection, transaction

from mailcore import conf
from mailcore.store.db import message_table
from mailcore.store.db.message_table import MAILBOX, MESSAGE, TEXT

_BATCH = 25  # messages in one transaction: other writers wait about 10 ms for it
_BATCHES_PER_CALL = 40  # batches in one call
_MAX_TRIGRAMS = 24  # trigrams of a long text that are queried; the rest is checked when the message is read
_USEFUL_DIVISOR = 4  # the index is useful if it leaves less than a fourth of the messages
_ENTRIES_PER_MESSAGE = 3  # entries of one message for one prefix; more only where the prefix is too common to be useful
_AFTER_ANY = "\U0010ffff"
_PADDING = "\n\n"  # appended to each text, so that its last characters begin a trigram too
_MAX_STALE = 10_000  # entries of deleted messages before the index is rebuilt


def indexed_until(mailbox_id: int) -> tuple[int, int]:
    """Return (UID up to which the mailbox's texts are indexed, number of messages), or (0, 0) if none are."""
    if not is_available():
        return 0, 0
    rows = message_table.fetch_rows(f"SELECT text_indexed_uid, messages FROM {MAILBOX} WHERE id = %s", (mailbox_id,))
    return (rows[0][0], rows[0][1]) if rows and rows[0][0] else (0, 0)


def candidate_ids(columns: Sequence[str], text: str, messages: int) -> list[int] | None:
    """Return ids of all indexed messages, in any mailbox, that may contain `text` in one of `columns`.

    `text` is not empty; `columns` are "headers" and "body". Return None if the index does not support the query, or
    finds too many for a mailbox of `messages`.
    """
    limit = max(messages // _USEFUL_DIVISOR, 1)
    if connection.vendor == "postgresql":
        matches = _trigram_candidates(columns, text, limit) if len(text) >= 3 else None
    else:
        matches = _trigram_query(text, limit) if len(text) >= 3 else _prefix_query(text, limit)
    return None if matches is None or len(matches) > limit else matches


def _trigram_query(text: str, limit: int) -> list[int]:
    trigrams = sorted({text[start : start + 3] for start in range(len(text) - 2)})
    step = -(-len(trigrams) // _MAX_TRIGRAMS)
    match = " AND ".join(['"' + trigram.replace('"', '""') + '"' for trigram in trigrams[::step]])
    sql = "SELECT rowid FROM mailcore_textindex WHERE mailcore_textindex MATCH %s LIMIT %s"
    return [message_id for (message_id,) in message_table.fetch_rows(sql, (match, limit + 1))]


def _prefix_query(text: str, limit: int) -> list[int] | None:
    """Query by prefix: a message has an entry for each trigram that begins with `text`."""
    row_limit = _ENTRIES_PER_MESSAGE * limit
    sql = "SELECT doc FROM mailcore_textterms WHERE term >= %s AND term < %s LIMIT %s"
    rows = message_table.fetch_rows(sql, (text, text + _AFTER_ANY, row_limit))
    return None if len(rows) == row_limit else list({message_id for (message_id,) in rows})


def _trigram_candidates(columns: Sequence[str], text: str, limit: int) -> list[int]:
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    either = " OR ".join([f"{column} LIKE %s" for column in columns])
    with transaction.atomic():
        message_table.execute("SET LOCAL enable_seqscan = off")  # a scan of all texts of the site is never faster here
        sql = f"SELECT message_id FROM {TEXT} WHERE indexed AND ({either}) LIMIT %s"
        return [message_id for (message_id,) in message_table.fetch_rows(sql, (*[pattern] * len(columns), limit + 1))]


@lru_cache(1)
def is_available() -> bool:
    """Return True if the database has a full-text index."""
    if connection.vendor == "sqlite":
        return bool(message_table.fetch_rows("SELECT 1 FROM sqlite_master WHERE name = 'mailcore_textterms'"))
    if connection.vendor == "postgresql":
        return bool(message_table.fetch_rows("SELECT 1 FROM pg_indexes WHERE indexname = 'mailcore_textindex'"))
    return False


def is_due(mailbox_id: int) -> bool:
    """Return True if this mailbox is large enough and has texts that are not indexed yet."""
    minimum = conf.current().text_index_messages
    if not minimum or not is_available():
        return False
    rows = message_table.fetch_rows(
        f"SELECT 1 FROM {MAILBOX} WHERE id = %s AND messages >= %s AND text_indexed_uid < uid_next - 1",
        (mailbox_id, minimum),
    )
    return bool(rows)


def index_more(mailbox_id: int) -> bool:
    """Index more of a mailbox's texts, for about half a second in many transactions; return True if more remain."""
    for batch in range(_BATCHES_PER_CALL):
        if not is_due(mailbox_id):
            if batch:
                _clear_stale_index()
            return False
        with transaction.atomic():
            state = message_table.locked_mailbox(mailbox_id, "text_indexed_uid, uid_next")
            if state is None:
                return False
            rows = message_table.fetch_rows(
                f"SELECT uid, id FROM {MESSAGE} WHERE mailbox_id = %s AND uid > %s ORDER BY uid LIMIT {_BATCH}",
                (mailbox_id, state[0]),
            )
            if rows:
                _index_messages([row[1] for row in rows])
            last = rows[-1][0] if len(rows) == _BATCH else state[1] - 1
            message_table.execute(f"UPDATE {MAILBOX} SET text_indexed_uid = %s WHERE id = %s", (last, mailbox_id))
    return True


def _index_messages(message_ids: list[int]) -> None:
    """Index messages, skipping those already indexed in a mailbox they were moved from."""
    ids = ",".join(map(str, message_ids))
    if connection.vendor == "sqlite":
        message_table.execute(
            "INSERT INTO mailcore_textindex (rowid, text)"
            f" SELECT message_id, headers || %s || body || %s FROM {TEXT} WHERE message_id IN ({ids})"
            " AND message_id NOT IN (SELECT id FROM mailcore_textindex_docsize)",
            (_PADDING, _PADDING),
        )
    else:
        message_table.execute(f"UPDATE {TEXT} SET indexed = TRUE WHERE message_id IN ({ids}) AND NOT indexed")


def _clear_stale_index() -> None:
    """Clear SQLite's index if it holds more entries of deleted messages than of existing ones.

    Message ids are never reused, so the entries do no harm; the index is rebuilt as mailboxes are searched.
    """
    if connection.vendor != "sqlite":
        return
    [(entries,)] = message_table.fetch_rows("SELECT COUNT(*) FROM mailcore_textindex_docsize")
    if entries < _MAX_STALE:
        return
    [(live,)] = message_table.fetch_rows(
        f"SELECT COUNT(*) FROM mailcore_textindex_docsize d JOIN {MESSAGE} m ON m.id = d.id"
    )
    if entries - live > max(live, _MAX_STALE):
        clear_index()


def clear_index() -> None:
    """Delete everything in SQLite's index."""
    with transaction.atomic():
        message_table.execute("INSERT INTO mailcore_textindex (mailcore_textindex) VALUES ('delete-all')")
        message_table.execute(f"UPDATE {MAILBOX} SET text_indexed_uid = 0 WHERE text_indexed_uid > 0")
