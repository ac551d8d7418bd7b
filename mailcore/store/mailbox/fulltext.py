"""An index over the texts of messages, for searches in large mailboxes.

Searches look through texts, which takes 4 to 10 µs a message and needs no index in most mailboxes. A mailbox of
text_index_messages and more, once somebody searches it, gets its texts indexed in the background (`catch_up`, called
by the IMAP server), so a delivery costs nothing more. The index only says which messages may hold a text
(`candidates`); the search still looks at those, so what it finds is the same with the index or without.

SQLite: FTS5 by every three neighbouring characters, without positions; it takes 0.4 of the texts' room. Texts of one or
two characters, which is what most Chinese words are, are found as the beginnings of such threes. PostgreSQL: pg_trgm,
for three characters and more. Made by a migration; a database that could not make it does without.
"""

from collections.abc import Sequence
from functools import lru_cache

from django.db import connection, transaction

from mailcore import conf
from mailcore.store.db import message_table
from mailcore.store.db.message_table import MAILBOX, MESSAGE, TEXT

_BATCH = 25  # messages in one transaction: other writers wait about 10 ms for it
_BATCHES = 40  # of one call
_THREES = 24  # of a long text that are asked for; the rest is seen when the message is looked at
_USEFUL = 4  # the index is of use where it leaves less than a fourth of the messages
_ENTRIES = 3  # of one message for one beginning, not more where the beginning is worth looking for
_AFTER_ANY = "\U0010ffff"
_END = "\n\n"  # behind each text, so that its last characters begin a three as well
_WASTE = 10_000  # entries of messages that are gone, before the index is made anew


def indexed_until(mailbox_id: int) -> tuple[int, int]:
    """(UID up to which the mailbox's texts are in the index, messages); (0, 0) where the index has nothing of it."""
    if not is_available():
        return 0, 0
    rows = message_table.fetch_rows(f"SELECT text_indexed_uid, messages FROM {MAILBOX} WHERE id = %s", (mailbox_id,))
    return (rows[0][0], rows[0][1]) if rows and rows[0][0] else (0, 0)


def candidate_ids(columns: Sequence[str], text: str, messages: int) -> list[int] | None:
    """Ids of all indexed messages, of whatever mailbox, that may hold `text`, which is not empty, in one of `columns`
    ("headers", "body"). None: too many to be of use in a mailbox of `messages`, or the index cannot tell."""
    limit = max(messages // _USEFUL, 1)
    if connection.vendor == "postgresql":
        found = _trigram_candidates(columns, text, limit) if len(text) >= 3 else None
    else:
        found = _trigram_query(text, limit) if len(text) >= 3 else _prefix_query(text, limit)
    return None if found is None or len(found) > limit else found


def _trigram_query(text: str, limit: int) -> list[int]:
    threes = sorted({text[at : at + 3] for at in range(len(text) - 2)})
    step = -(-len(threes) // _THREES)
    match = " AND ".join(['"' + three.replace('"', '""') + '"' for three in threes[::step]])
    sql = "SELECT rowid FROM mailcore_textindex WHERE mailcore_textindex MATCH %s LIMIT %s"
    return [message_id for (message_id,) in message_table.fetch_rows(sql, (match, limit + 1))]


def _prefix_query(text: str, limit: int) -> list[int] | None:
    """A message has an entry for each three that begins so."""
    enough = _ENTRIES * limit
    sql = "SELECT doc FROM mailcore_textterms WHERE term >= %s AND term < %s LIMIT %s"
    rows = message_table.fetch_rows(sql, (text, text + _AFTER_ANY, enough))
    return None if len(rows) == enough else list({message_id for (message_id,) in rows})


def _trigram_candidates(columns: Sequence[str], text: str, limit: int) -> list[int]:
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    either = " OR ".join([f"{column} LIKE %s" for column in columns])
    with transaction.atomic():
        message_table.execute("SET LOCAL enable_seqscan = off")  # all texts of the site are no way to look for a few
        sql = f"SELECT message_id FROM {TEXT} WHERE indexed AND ({either}) LIMIT %s"
        return [message_id for (message_id,) in message_table.fetch_rows(sql, (*[pattern] * len(columns), limit + 1))]


@lru_cache(1)
def is_available() -> bool:
    """Has the database an index of texts?"""
    if connection.vendor == "sqlite":
        return bool(message_table.fetch_rows("SELECT 1 FROM sqlite_master WHERE name = 'mailcore_textterms'"))
    if connection.vendor == "postgresql":
        return bool(message_table.fetch_rows("SELECT 1 FROM pg_indexes WHERE indexname = 'mailcore_textindex'"))
    return False


def is_due(mailbox_id: int) -> bool:
    """Is this mailbox large, and has it texts that the index has not?"""
    least = conf.current().text_index_messages
    if not least or not is_available():
        return False
    rows = message_table.fetch_rows(
        f"SELECT 1 FROM {MAILBOX} WHERE id = %s AND messages >= %s AND text_indexed_uid < uid_next - 1",
        (mailbox_id, least),
    )
    return bool(rows)


def index_more(mailbox_id: int) -> bool:
    """Index some more of a mailbox's texts; True: there are more. Takes about half a second, in many transactions."""
    for batch in range(_BATCHES):
        if not is_due(mailbox_id):
            if batch:
                _merge_index()
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
    """Some are there already: moved from a mailbox that is indexed."""
    ids = ",".join(map(str, message_ids))
    if connection.vendor == "sqlite":
        message_table.execute(
            "INSERT INTO mailcore_textindex (rowid, text)"
            f" SELECT message_id, headers || %s || body || %s FROM {TEXT} WHERE message_id IN ({ids})"
            " AND message_id NOT IN (SELECT id FROM mailcore_textindex_docsize)",
            (_END, _END),
        )
    else:
        message_table.execute(f"UPDATE {TEXT} SET indexed = TRUE WHERE message_id IN ({ids}) AND NOT indexed")


def _merge_index() -> None:
    """SQLite's index keeps entries of messages that are gone (their ids are never given again). When these are more
    than the others the index is emptied, and made anew as mailboxes are searched."""
    if connection.vendor != "sqlite":
        return
    [(entries,)] = message_table.fetch_rows("SELECT COUNT(*) FROM mailcore_textindex_docsize")
    if entries < _WASTE:
        return
    [(live,)] = message_table.fetch_rows(
        f"SELECT COUNT(*) FROM mailcore_textindex_docsize d JOIN {MESSAGE} m ON m.id = d.id"
    )
    if entries - live > max(live, _WASTE):
        clear_index()


def clear_index() -> None:
    """Forget everything that SQLite's index has."""
    with transaction.atomic():
        message_table.execute("INSERT INTO mailcore_textindex (mailcore_textindex) VALUES ('delete-all')")
        message_table.execute(f"UPDATE {MAILBOX} SET text_indexed_uid = 0 WHERE text_indexed_uid > 0")
