"""Grammars of single commands, as clients spell them.

What is meant is what is read, and other input raises nothing but the grammar's own error.
"""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.imap import imap_url, mailbox_names, response_format, sequence_set
from mailcore.wire.imap.cursor import BadName, BadSyntax, Cursor
from mailcore.wire.imap.syntax import (
    acl_syntax,
    fetch_syntax,
    list_syntax,
    mailbox_filter,
    metadata_syntax,
    notify_syntax,
    search_syntax,
    select_syntax,
)
from mailcore.wire.message.body_section import Section


def read(parse: Callable[[Cursor], object], text: bytes) -> object:
    cursor = Cursor(text)
    found = parse(cursor)
    cursor.end()
    return found


# --- How a client spells it -----------------------------------------------------------------------


def listed(items) -> bytes:
    return b"(" + b" ".join(items) + b")"


def words(found) -> bytes:
    return listed(sorted(word.encode() for word in found))


def spell_select(meant: select_syntax.SelectParameters) -> bytes:
    given_ = [b"CONDSTORE"] if meant.condstore else []
    if (resync := meant.resync) is not None:
        known = b" " + sequence_set.format_ranges(resync.known) if resync.known is not None else b""
        matched = b" (1,3 7:9)" if resync.matched else b""
        given_.append(b"QRESYNC (%d %d%b%b)" % (resync.uid_validity, resync.modseq, known, matched))
    return b" " + listed(given_) if given_ else b""


def spell_modifiers(meant: fetch_syntax.FetchModifiers) -> bytes:
    given_ = []
    if meant.partial is not None:
        given_.append(b"PARTIAL %d:%d" % meant.partial)
    if meant.changed_since is not None:
        given_.append(b"CHANGEDSINCE %d" % meant.changed_since)
    if meant.vanished:
        given_.append(b"VANISHED")
    return b" " + listed(given_) if given_ else b""


def spell_question(meant: metadata_syntax.MetadataRequest) -> bytes:
    options = []
    if meant.max_size >= 0:
        options.append(b"MAXSIZE %d" % meant.max_size)
    if meant.depth:
        options.append(b"DEPTH " + (b"infinity" if meant.depth == metadata_syntax.INFINITE else b"1"))
    before = listed(options) + b" " if options else b""
    return before + mailbox_names.encode_name(meant.mailbox) + b" " + listed(each.encode() for each in meant.entries)


def spell_changes(meant: tuple[str, dict[str, bytes | None]]) -> bytes:
    mailbox, values = meant
    pairs = (each.encode() + b" " + response_format.format_nstring(value) for each, value in values.items())
    return mailbox_names.encode_name(mailbox) + b" " + listed(pairs)


def spell_scope(meant: mailbox_filter.MailboxFilter) -> bytes:
    if not meant.names:
        return meant.kind.lower().encode()
    return meant.kind.encode() + b" " + listed(map(mailbox_names.encode_name, meant.names))


def spell_notify(meant: notify_syntax.NotifyRequest | None) -> bytes:
    if meant is None:
        return b"NONE"
    return b"SET " + (b"STATUS " if meant.status else b"") + b" ".join(map(spell_group, meant.groups))


def spell_group(meant: notify_syntax.EventGroup) -> bytes:
    attributes = b" (FLAGS UID)" if meant.attributes is not None else b""
    events = [each.encode() + (attributes if each == "MESSAGENEW" else b"") for each in sorted(meant.events)]
    return listed([spell_scope(meant.scope), listed(events) if events else b"NONE"])


def spell_list(meant: list_syntax.ListArguments) -> bytes:
    out = words(meant.selections) + b" " if meant.selections else b""
    out += (mailbox_names.encode_name(meant.reference) if meant.reference else b'""') + b" "
    out += listed(map(mailbox_names.encode_name, meant.patterns))
    returns = [each.encode() for each in sorted(meant.returns)]
    if meant.status:
        returns.append(b"STATUS " + listed(each.encode() for each in meant.status))
    if meant.metadata:
        returns.append(b"METADATA " + listed(each.encode() for each in meant.metadata))
    return out + (b" RETURN " + listed(returns) if returns else b"")


def spell_returning(meant: search_syntax.ReturnOptions) -> bytes:
    flags = {"MIN": meant.minimum, "MAX": meant.maximum, "ALL": meant.all, "COUNT": meant.count, "SAVE": meant.save}
    flags |= {"UPDATE": meant.update, "CONTEXT": meant.context}
    given_ = [word.encode() for word, there in flags.items() if there]
    if meant.partial is not None:
        given_.append(b"PARTIAL %d:%d" % meant.partial)
    return b"RETURN " + listed(given_) + b" "


def spell_sort(meant: tuple[tuple[str, bool], ...]) -> bytes:
    return listed((b"REVERSE " if reverse else b"") + key.encode() for key, reverse in meant)


# --- What may be meant ----------------------------------------------------------------------------

NUMBERS = st.integers(1, 4294967295)
MODSEQS = st.integers(1, 2**63 - 1)
ENDS = st.integers(0, 4294967295)
RANGES = st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=4).map(tuple)
PARTIALS = st.one_of(st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS.map(int.__neg__), NUMBERS.map(int.__neg__)))
LEVELS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/*%"), min_size=1, max_size=8)
MAILBOXES = st.lists(LEVELS, min_size=1, max_size=3).map("/".join).map(mailbox_names.canonical_name)
SEVERAL = st.lists(MAILBOXES, min_size=1, max_size=3).map(tuple)
NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=8)
ENTRIES = st.builds("/{}/{}".format, st.sampled_from(["private", "shared"]), NAME)
SOME_ENTRIES = st.lists(ENTRIES, min_size=1, max_size=4, unique=True).map(tuple)

RESYNCS = st.builds(select_syntax.QresyncRequest, NUMBERS, MODSEQS, st.none() | RANGES, st.booleans())
MODIFIERS = st.one_of(
    st.builds(fetch_syntax.FetchModifiers, st.none() | MODSEQS, st.just(False), st.none() | PARTIALS),
    st.builds(fetch_syntax.FetchModifiers, MODSEQS, st.just(True), st.none() | PARTIALS),
)
QUESTIONS = st.builds(
    metadata_syntax.MetadataRequest,
    MAILBOXES,
    SOME_ENTRIES,
    st.integers(-1, 4294967295),
    st.sampled_from([0, 1, metadata_syntax.INFINITE]),
)
CHANGES = st.tuples(
    MAILBOXES, st.dictionaries(ENTRIES, st.none() | st.binary(max_size=20).filter(lambda v: b"\0" not in v), min_size=1)
)
OTHER_SCOPES = st.one_of(
    st.sampled_from(["INBOXES", "PERSONAL", "SUBSCRIBED"]).map(mailbox_filter.MailboxFilter),
    st.builds(
        mailbox_filter.MailboxFilter, st.sampled_from(["SUBTREE", "SUBTREE-ONE", "MAILBOXES"]), SEVERAL.map(frozenset)
    ),
)
SELECTED = st.sampled_from(["SELECTED", "SELECTED-DELAYED"]).map(mailbox_filter.MailboxFilter)
SCOPES = OTHER_SCOPES | SELECTED
NEW = frozenset(("MESSAGENEW", "MESSAGEEXPUNGE"))
CHANGED = st.sampled_from([frozenset(), NEW, NEW | {"FLAGCHANGE"}])
WHOLE = st.frozensets(st.sampled_from(["MAILBOXNAME", "SUBSCRIPTIONCHANGE"]))
OTHER_GROUPS = st.builds(
    lambda where, of, more: notify_syntax.EventGroup(where, of | more), OTHER_SCOPES, CHANGED, WHOLE
)
SELECTED_GROUPS = st.builds(
    lambda where, of, shown: notify_syntax.EventGroup(where, of, fetch_syntax.parse_fetch_items(Cursor(b"(FLAGS UID)")) if of and shown else None),
    SELECTED, CHANGED, st.booleans(),
)  # fmt: skip
GROUPS = st.tuples(st.lists(SELECTED_GROUPS, max_size=1), st.lists(OTHER_GROUPS, min_size=1, max_size=3)).map(
    lambda both: tuple(both[0] + both[1])
)
LISTS = st.builds(
    list_syntax.ListArguments,
    reference=st.just("") | MAILBOXES,
    patterns=SEVERAL,
    selections=st.frozensets(st.sampled_from(["SUBSCRIBED", "REMOTE", "SPECIAL-USE"]))
    | st.just(frozenset(("SUBSCRIBED", "RECURSIVEMATCH"))),
    returns=st.frozensets(st.sampled_from(["SUBSCRIBED", "CHILDREN", "SPECIAL-USE"])),
    status=st.lists(st.sampled_from(list_syntax.STATUS_ITEMS), unique=True, max_size=4).map(tuple),
    metadata=st.just(()) | SOME_ENTRIES,
    extended=st.just(True),
)
RETURNINGS = st.builds(
    search_syntax.ReturnOptions, st.just(True), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(),
    st.booleans(), st.booleans(), st.none() | PARTIALS,
).filter(lambda meant: not (meant.all and meant.partial))  # fmt: skip
# Where nothing that shows is asked for, ALL is.
SHOWING = RETURNINGS.filter(
    lambda meant: meant.save or meant.minimum or meant.maximum or meant.all or meant.count or meant.partial is not None
)
SORTS = st.lists(st.tuples(st.sampled_from(search_syntax.SORT_KEYS), st.booleans()), min_size=1, max_size=5).map(tuple)

GRAMMARS = {
    "select": (select_syntax.parse_select_parameters, spell_select, st.builds(select_syntax.SelectParameters, st.booleans(), st.none() | RESYNCS)),
    "fetch modifiers": (fetch_syntax.parse_modifiers, spell_modifiers, MODIFIERS),
    "getmetadata": (metadata_syntax.parse_request, spell_question, QUESTIONS),
    "setmetadata": (metadata_syntax.parse_changes, spell_changes, CHANGES),
    "scope": (mailbox_filter.parse_filter, spell_scope, SCOPES),
    "notify": (
        notify_syntax.parse_notify, spell_notify, st.none() | st.builds(notify_syntax.NotifyRequest, GROUPS, st.booleans()),
    ),
    "list": (list_syntax.parse_list_arguments, spell_list, LISTS),
    "return": (lambda cursor: search_syntax.parse_return_options(cursor, fetch_syntax.parse_partial_range), spell_returning, SHOWING),
    "sort": (search_syntax.parse_sort_criteria, spell_sort, SORTS),
}  # fmt: skip


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_what_is_meant_is_read(grammar: str) -> None:
    parse, spell, meanings = GRAMMARS[grammar]

    @given(meanings)
    def holds(meant) -> None:
        cursor = Cursor(spell(meant))
        found = parse(cursor)
        if grammar == "return":
            assert cursor.at_end()
        assert found == meant, spell(meant)

    holds()


# --- Whatever comes -------------------------------------------------------------------------------

PIECES = st.sampled_from(
    b'( ) "" "a" {1}\r\na {1+}\r\na * % 1:* 1,2 0 -1 7:9 &Bwg- a/b NIL CONDSTORE QRESYNC (1 2) CHANGEDSINCE PARTIAL 1:2 -3:-1 '
    b"VANISHED MAXSIZE DEPTH infinity /private/comment /shared/a INBOX selected personal subtree (selected inboxes "
    b"mailboxes SET STATUS NONE (MessageNew MessageExpunge) FlagChange) MailboxName (FLAGS AnnotationChange RETURN "
    b"(SUBSCRIBED) RECURSIVEMATCH METADATA CHILDREN (MESSAGES) COUNT MIN) REVERSE DATE) +lr -x lrswipkxtea \xff \x00".split(
        b" "
    )
)
ANYTHING = st.one_of(
    st.binary(max_size=60),
    st.lists(PIECES, max_size=12).map(b" ".join),
    st.lists(PIECES, max_size=12).map(b"".join),
)


@pytest.mark.parametrize("grammar", [*GRAMMARS, "rights", "identifier", "content"])
def test_nothing_but_the_grammars_errors_is_raised(grammar: str) -> None:
    others = {
        "rights": acl_syntax.parse_change,
        "identifier": acl_syntax.parse_identifier,
        "content": fetch_syntax.parse_fetch_items,
    }
    parse = others[grammar] if grammar in others else GRAMMARS[grammar][0]

    @given(ANYTHING)
    def holds(text: bytes) -> None:
        with contextlib.suppress(BadSyntax, BadName, notify_syntax.UnservedEvent):
            read(parse, text)

    holds()


# --- URLs -----------------------------------------------------------------------------------------

SECTIONS = st.one_of(
    st.builds(Section, st.lists(st.integers(1, 99), max_size=4).map(tuple), st.sampled_from(["", "HEADER", "TEXT"])),
    st.builds(Section, st.lists(st.integers(1, 99), min_size=1, max_size=4).map(tuple), st.just("MIME")),
    st.builds(Section, st.just(()), st.just("HEADER.FIELDS"), st.just(("SUBJECT", "X-A"))),
)
PARTS = st.none() | st.tuples(st.integers(0, 4294967295), st.integers(0, 4294967295))
LOCAL_URLS = st.builds(imap_url.MessageUrl, MAILBOXES, NUMBERS, st.integers(0, 4294967295), SECTIONS, PARTS)
HOST = st.just("mail.benet.com")
URLS = LOCAL_URLS | st.builds(
    imap_url.MessageUrl, MAILBOXES, NUMBERS, st.integers(0, 4294967295), SECTIONS, PARTS, LEVELS, HOST
)
URL_PIECES = st.sampled_from([
    "imap://", "imap://lisi@host", "/", "INBOX", "a%2Fb", "%ff", "%", ";UIDVALIDITY=1", "/;UID=7", "/;SECTION=1.2",
    "/;SECTION=HEADER.FIELDS%20(a)", "/;PARTIAL=0.9", ";EXPIRE=2030-01-01T00:00:00Z", ";URLAUTH=submit+lisi", ":internal",
    ";URLAUTH=anonymous", "\udcff",
])  # fmt: skip


@given(URLS)
def test_a_url_is_read_back(meant: imap_url.MessageUrl) -> None:
    assert imap_url.parse_url(imap_url.format_url(meant)) == meant


@given(st.text(max_size=60) | st.lists(URL_PIECES, max_size=8).map("".join))
def test_what_is_no_url(text: str) -> None:
    for parse in (imap_url.parse_url, imap_url.parse_authorized_url):
        with contextlib.suppress(imap_url.BadUrl):
            parse(text)
