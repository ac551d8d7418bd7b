"""After random operations on mailboxes, counters, rows and files agree, and UIDs and MODSEQ only grow."""

import itertools
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailcore.models import Account, Expunged, Mailbox, Message, MessageSummary, MessageText
from mailcore.store import directory
from mailcore.store.db import message_table
from mailcore.store.mailbox import append_messages, copy_move, expunge, mailboxes, messages, open_mailbox, search_query
from mailcore.store.mailbox.append_messages import AppendResult, Upload
from mailcore.store.maildir import maildir_files
from mailcore.values import Owner, Refusal
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.cursor import Cursor
from mailcore.wire.imap.syntax import search_syntax as wire

pytestmark = pytest.mark.django_db(transaction=True)

HASH = make_password("123456")
NAMES = ("INBOX", "Archive", "a", "a/b")
EVERYTHING = ((1, (1 << 32) - 1),)


@pytest.fixture
def lisi() -> Owner:
    directory.create_domain("benet.com")
    return Owner(directory.create_account("lisi@benet.com", "", password_hash=HASH), "lisi@benet.com")


def found(owner: Owner, name: str) -> open_mailbox.MailboxHandle:
    place = open_mailbox.find_mailbox(owner, name)
    assert isinstance(place, open_mailbox.MailboxHandle), name
    return place


def put(owner: Owner, name: str, *contents: bytes, flags: int = 0, keywords: Sequence[str] = ()) -> list[int]:
    uploads = [Upload(content, flags, tuple(keywords), None) for content in contents]
    done = append_messages.append_messages(found(owner, name), uploads)
    assert isinstance(done, AppendResult)
    return done.uids


def check(owner: Owner) -> None:
    """The truth, counted anew, is what the counters say; every row has its file and its kin, and no file is over."""
    data = count = 0
    for mailbox in Mailbox.objects.filter(account_id=owner.account_id):
        rows = Message.objects.filter(mailbox=mailbox)
        assert mailbox.messages == rows.count()
        assert mailbox.size == (rows.aggregate(n=Sum("size"))["n"] or 0)
        assert mailbox.unseen == sum(not row.flags & wire_flags.SEEN for row in rows)
        assert all(row.uid < mailbox.uid_next and row.modseq <= mailbox.highest_modseq for row in rows)
        gone = Expunged.objects.filter(mailbox=mailbox)
        assert not set(gone.values_list("uid", flat=True)) & set(rows.values_list("uid", flat=True))
        assert set(" ".join(rows.values_list("keywords", flat=True)).split()) <= set(mailbox.keywords.split())
        data, count = data + mailbox.size, count + mailbox.messages
        where = maildir_files.folder_directory(owner.address, mailbox.folder)
        for row in rows:
            assert len(maildir_files.read_message(where, row.base_name, row.flags)) == row.size
        if mailbox.selectable:
            files = [path for part in ("tmp", "new", "cur") for path in Path(where, part).iterdir()]
            assert len(files) == mailbox.messages
    account = Account.objects.get(pk=owner.account_id)
    assert (account.used_bytes, account.used_messages) == (data, count)
    of_owner = {"message__mailbox__account_id": owner.account_id}
    assert MessageSummary.objects.filter(**of_owner).count() == MessageText.objects.filter(**of_owner).count() == count
    everyone = Message.objects.count()
    assert MessageSummary.objects.count() == MessageText.objects.count() == everyone


BOXES = st.sampled_from(NAMES)
RANGES = st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True).map(
    lambda uids: [(u, u) for u in sorted(uids)]
)
STEPS = st.one_of(
    st.tuples(st.just("append"), BOXES, st.integers(1, 3), st.integers(0, 31)),
    st.tuples(
        st.just("store"),
        BOXES,
        RANGES,
        st.sampled_from(["add", "remove", "replace"]),
        st.integers(0, 31),
        st.booleans(),
    ),
    st.tuples(st.just("expunge"), BOXES, RANGES),
    st.tuples(st.just("copy"), BOXES, RANGES, BOXES),
    st.tuples(st.just("move"), BOXES, RANGES, BOXES),
    st.tuples(st.just("rename"), st.sampled_from(["a", "a/b", "INBOX"])),
    st.tuples(st.just("delete"), st.sampled_from(["a", "a/b", "Archive"])),
)


def take(owner: Owner, step: tuple, number: int) -> None:
    match step:
        case ("append", name, count, flags):
            put(
                owner,
                name,
                *[b"Subject: %d\r\n\r\n%b" % (number, b"x" * i) for i in range(count)],
                flags=flags,
                keywords=["k"],
            )
        case ("store", name, ranges, mode, flags, words):
            place = found(owner, name)
            done = messages.store_flags(place, ranges, mode, flags, ("Red", "k") if words else ())
            messages.write_flag_names(place, done.stale)
        case ("expunge", name, ranges):
            place = found(owner, name)
            expunge.remove_files(place.directory, expunge.expunge_deleted(place, ranges).files)
        case ("copy", name, ranges, target):
            assert not isinstance(copy_move.copy_messages(found(owner, name), ranges, found(owner, target)), Refusal)
        case ("move", name, ranges, target):
            place = found(owner, name)
            done = copy_move.move_messages(place, ranges, found(owner, target))
            assert not isinstance(done, Refusal)
            expunge.remove_files(place.directory, done.files)
        case ("rename", name):
            assert mailboxes.rename_mailbox(owner, name, f"renamed{number}") is None
        case ("delete", name):
            mailboxes.delete_mailbox(owner, name)
    for name in NAMES:
        mailboxes.create_mailbox(owner, name)


_people = itertools.count()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=12))
def test_everything_agrees_after_anything(lisi: Owner, steps: list[tuple]) -> None:
    address = f"u{next(_people)}@benet.com"
    owner = Owner(directory.create_account(address, "", password_hash=HASH), address)
    for name in NAMES:
        mailboxes.create_mailbox(owner, name)
    grown: dict[int, tuple[int, int, int]] = {}
    for number, step in enumerate(steps):
        take(owner, step, number)
        for id_, *now in Mailbox.objects.values_list("id", "uid_validity", "uid_next", "highest_modseq"):
            assert grown.get(id_, (0, 0, 0)) <= tuple(now)
            grown[id_] = tuple(now)
    check(owner)


def test_a_disk_that_refuses_leaves_nothing(lisi: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    put(lisi, "INBOX", b"a: b\r\n\r\n", b"a: c\r\n\r\n")

    def refusing(function: Callable[..., None]) -> Callable[..., None]:
        """The second name and every later one is too many."""
        done: list[int] = []

        def refuse(*values: object, **named: object) -> None:
            done.append(1)
            if len(done) > 1:
                raise OSError(28, "No space left on device")
            function(*values, **named)

        return refuse

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refusing(os.link))
        with pytest.raises(OSError, match="No space"):
            copy_move.copy_messages(found(lisi, "INBOX"), EVERYTHING, found(lisi, "Archive"))
        patched.setattr(os, "rename", refusing(os.rename))
        with pytest.raises(OSError, match="No space"):
            put(lisi, "Archive", b"c: d\r\n\r\n", b"e: f\r\n\r\n")
    place = found(lisi, "Archive")
    leftovers = [path for part in ("tmp", "new", "cur") for path in Path(place.directory, part).iterdir()]
    assert leftovers == []


def test_large_sets_of_scattered_uids(lisi: Owner) -> None:
    put(lisi, "INBOX", *[b"Subject: %d\r\n\r\n" % n for n in range(300)])
    place = found(lisi, "INBOX")
    chosen = sorted(random.Random(1).sample(range(1, 301), 150))
    ranges = [(uid, uid) for uid in chosen]
    assert [row[0] for row in message_table.select_messages(place.id, ("uid", "envelope"), ranges)] == chosen
    pairs = [(low, low + 1) for low in range(1, 300, 4)]
    expected = [uid for low, high in pairs for uid in (low, high)]
    assert [row[0] for row in message_table.select_messages(place.id, ("uid", "flags"), pairs)] == expected
    many = [(low, low + 1000) for low in range(1, 100_000, 2000)]
    assert [row[0] for row in message_table.select_messages(place.id, ("uid", "flags"), many)] == list(range(1, 301))
    done = messages.store_flags(place, ranges, "add", wire_flags.DELETED, ())
    assert [row[0] for row in done.rows] == chosen
    assert expunge.expunge_deleted(place, EVERYTHING).uids == chosen


def asked(owner: Owner, program: str, now: Sequence[tuple[int, int]] = ()) -> list[int]:
    place = found(owner, "INBOX")
    key = wire.parse_program(Cursor(program.encode()))
    sets: dict[wire.Numbers, Sequence[tuple[int, int]]] = {}
    wire.walk_keys(key, lambda each: sets.update({each: now}) if isinstance(each, wire.Numbers) else None)
    return search_query.find_uids(place.id, key, search_query.SearchContext(EVERYTHING, sets, ()))


@pytest.mark.parametrize(
    ("program", "uids"),
    [
        ('HEADER x-note "second"', [1]),
        ('HEADER x-note "fir.t"', []),
        ('HEADER x-note "first\nx-other"', []),
        ('HEADER x-other ""', [1]),
        ("HEADER x ote", []),
        ('TEXT "100%"', [2]),
        ('BODY "_"', [2]),
        ('BODY "it\'s"', [2]),
        ('BODY "会议室"', [2]),
        ("KEYWORD red", [2]),
        ("KEYWORD re", []),
        ("NOT (KEYWORD red)", [1]),
        ("SENTON 31-Dec-2008", [1]),
        ("SENTON 1-Jan-2009", [2]),
    ],
)
def test_search_is_exact(lisi: Owner, program: str, uids: list[int]) -> None:
    put(
        lisi,
        "INBOX",
        b"X-Note: first\r\n and second\r\nX-Other: y\r\nDate: Wed, 31 Dec 2008 23:30:00 -0800\r\n\r\nbody\r\n",
    )
    zh = (
        "Date: Thu, 1 Jan 2009 00:30:00 +0800\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n100% of_it's 会议室\r\n"
    )
    put(lisi, "INBOX", zh.encode(), keywords=["Red"])
    assert asked(lisi, program.replace("\n", " ") if "\n" in program else program) == uids
