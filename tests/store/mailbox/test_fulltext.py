"""Searches of large mailboxes find the same with the index of texts as without, and never what is gone."""

import random
from collections.abc import Callable

import pytest
from django.db import connection

from mailcore.models import Mailbox
from mailcore.store import directory
from mailcore.store.mailbox import (
    append_messages,
    copy_move,
    expunge,
    fulltext,
    mailboxes,
    messages,
    open_mailbox,
    search_query,
)
from mailcore.store.mailbox.append_messages import Upload
from mailcore.store.mailbox.search_query import SearchContext
from mailcore.values import Owner
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.cursor import Cursor
from mailcore.wire.imap.syntax import search_syntax as wire
from mailcore.wire.text.charsets import fold_text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

EVERYTHING = ((1, (1 << 32) - 1),)
WORDS = [
    "报告",
    "董事会议程",
    "会议",
    "mortgage",
    "kernel",
    "KERNEL",
    "linux",
    "100%",
    "under_score",
    "back\\slash",
    "o'clock",
    '"quoted"',
    "ﾃｽﾄ",
    "naïve",
    "q",
    "zz",
]


@pytest.fixture
def lisi(parameters: Callable[..., None]) -> Owner:
    parameters(text_index_messages="10")
    if connection.vendor == "sqlite":  # emptying the tables leaves the index as it is
        fulltext.clear_index()
    directory.create_domain("benet.com")
    return Owner(directory.create_account("lisi@benet.com", "secret-password"), "lisi@benet.com")


def place(owner: Owner, name: str) -> open_mailbox.MailboxHandle:
    found = open_mailbox.find_mailbox(owner, name)
    assert isinstance(found, open_mailbox.MailboxHandle)
    return found


def put(owner: Owner, name: str, *texts: str) -> None:
    uploads = [
        Upload(f"Subject: {text}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode(), 0, (), None)
        for text in texts
    ]
    append_messages.append_messages(place(owner, name), uploads)


def find(owner: Owner, name: str, program: str) -> list[int]:
    key = wire.parse_program(Cursor(program.encode(), utf8=True), "UTF-8")
    return search_query.find_uids(place(owner, name).id, key, SearchContext(EVERYTHING, {}, ()))


def index_all(owner: Owner, name: str) -> None:
    while fulltext.index_more(place(owner, name).id):
        pass


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


needs_index = pytest.mark.skipif(
    connection.vendor == "mysql", reason="MariaDB has no index of texts: it searches without"
)


def test_a_small_mailbox_has_no_index(lisi):
    put(lisi, "INBOX", *["one"] * 9)
    index_all(lisi, "INBOX")
    assert Mailbox.objects.get(name="INBOX").text_indexed_uid == 0


@needs_index
def test_a_large_mailbox_is_indexed_to_its_end_and_goes_on_from_there(lisi):
    put(lisi, "INBOX", *["one"] * 60)
    index_all(lisi, "INBOX")
    assert Mailbox.objects.get(name="INBOX").text_indexed_uid == 60
    put(lisi, "INBOX", "two")
    assert find(lisi, "INBOX", "BODY two") == [61]  # not in the index yet
    index_all(lisi, "INBOX")
    assert Mailbox.objects.get(name="INBOX").text_indexed_uid == 61
    assert find(lisi, "INBOX", "BODY two") == [61]


@needs_index
def test_the_index_leaves_few_messages_to_be_looked_at(lisi):
    put(lisi, "INBOX", *["nothing special"] * 40, "the mortgage of a house")
    index_all(lisi, "INBOX")
    found = fulltext.candidate_ids(("body",), "mortgage", 41)
    assert found is not None
    assert len(found) == 1
    assert fulltext.candidate_ids(("body",), "nothing", 41) is None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="pg_trgm knows no texts shorter than three characters")
@pytest.mark.parametrize("text", ["会", "会议", "议程"])
def test_one_or_two_characters_are_found_by_the_index(lisi, text):
    put(lisi, "INBOX", *["无关"] * 40, "今天的董事会议程")
    index_all(lisi, "INBOX")
    assert len(fulltext.candidate_ids(("body",), text, 41) or ()) == 1
    assert find(lisi, "INBOX", f"BODY {quoted(text)}") == [41]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_found_does_not_depend_on_the_index(lisi, seed):
    """Mailboxes that change in every way, partly indexed, against a search of the words themselves."""
    chance = random.Random(seed)
    mailboxes.create_mailbox(lisi, "Archive")
    truth: dict[str, dict[int, str]] = {"INBOX": {}, "Archive": {}}
    nexts = {"INBOX": 1, "Archive": 1}

    def enter(name: str, text: str) -> None:
        truth[name][nexts[name]] = text
        nexts[name] += 1

    for _ in range(12):
        name = chance.choice(["INBOX", "Archive"])
        other = "Archive" if name == "INBOX" else "INBOX"
        texts = [" ".join(chance.sample(WORDS, 4)) for _ in range(8)]
        put(lisi, name, *texts)
        for text in texts:
            enter(name, text)
        chosen = sorted(chance.sample(sorted(truth[name]), 3))
        ranges = [(uid, uid) for uid in chosen]
        match chance.choice(["copy", "move", "expunge", "index"]):
            case "copy":
                copy_move.copy_messages(place(lisi, name), ranges, place(lisi, other))
                for uid in chosen:
                    enter(other, truth[name][uid])
            case "move":
                copy_move.move_messages(place(lisi, name), ranges, place(lisi, other))
                for uid in chosen:
                    enter(other, truth[name].pop(uid))
            case "expunge":
                messages.store_flags(place(lisi, name), ranges, "add", wire_flags.DELETED, ())
                expunge.expunge_deleted(place(lisi, name), ranges)
                for uid in chosen:
                    del truth[name][uid]
            case "index":
                index_all(lisi, name)
        for word in chance.sample(WORDS, 5):
            for program in (f"BODY {quoted(word)}", f"TEXT {quoted(word)}", f"SUBJECT {quoted(word)}"):
                expected = [uid for uid, text in truth[name].items() if _holds(text, word)]
                assert find(lisi, name, program) == expected, (program, name)
        word = chance.choice(WORDS)
        expected = [uid for uid, text in truth[name].items() if not _holds(text, word)]
        assert find(lisi, name, f"NOT BODY {quoted(word)}") == expected


def _holds(text: str, word: str) -> bool:
    return fold_text(word) in fold_text(text)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL takes what is gone out of its index itself")
def test_an_index_that_is_mostly_of_what_is_gone_is_made_anew(lisi, monkeypatch):
    monkeypatch.setattr(fulltext, "_MAX_STALE", 10)
    put(lisi, "INBOX", *["one"] * 60)
    index_all(lisi, "INBOX")
    ranges = ((1, 45),)
    messages.store_flags(place(lisi, "INBOX"), ranges, "add", wire_flags.DELETED, ())
    expunge.expunge_deleted(place(lisi, "INBOX"), ranges)
    put(lisi, "INBOX", "two")
    index_all(lisi, "INBOX")
    assert Mailbox.objects.get(name="INBOX").text_indexed_uid == 0
    index_all(lisi, "INBOX")
    assert find(lisi, "INBOX", "BODY two") == [61]
    assert fulltext.candidate_ids(("body",), "two", 16) is not None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite's index is ever emptied")
def test_an_index_emptied_while_it_is_asked_hides_nothing(lisi, monkeypatch):
    put(lisi, "INBOX", *["nothing special"] * 40, "the mortgage of a house")
    index_all(lisi, "INBOX")
    ask = fulltext.candidate_ids

    def empty_first(*asked):
        fulltext.clear_index()
        return ask(*asked)

    monkeypatch.setattr(fulltext, "candidate_ids", empty_first)
    assert find(lisi, "INBOX", "BODY mortgage") == [41]
