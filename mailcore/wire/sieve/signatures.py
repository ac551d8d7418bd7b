"""The commands and tests of Sieve with their arguments and tags (RFC 5228 and the extensions), as tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag: the kind of value that follows ("" for none), its extension, and its group.

    Tags of one group exclude each other.
    """

    takes: str = ""
    extension: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of a command or test. Kinds of values: string, strings (or one string), number."""

    values: tuple[str, ...] = ()
    tags: Mapping[str, Tag] = field(default_factory=dict)
    extension: str = ""
    tests: int = 0  # 1: one; 2: a list of them
    block: bool = False
    optional: int = 0  # how many of the first values may be missing
    optional_last: int = 0  # how many of the last values may be missing


_MATCH = {
    "is": Tag(group="match"),
    "contains": Tag(group="match"),
    "matches": Tag(group="match"),
    "regex": Tag("", "regex", "match"),
    "list": Tag("", "extlists", "match"),
    "count": Tag("string", "relational", "match"),
    "value": Tag("string", "relational", "match"),
    "comparator": Tag("string", group="comparator"),
}
_PART = {
    "localpart": Tag(group="address-part"),
    "domain": Tag(group="address-part"),
    "all": Tag(group="address-part"),
    "user": Tag("", "subaddress", "address-part"),
    "detail": Tag("", "subaddress", "address-part"),
}
_INDEX = {"index": Tag("number", "index"), "last": Tag("", "index")}
_MIME = {"mime": Tag("", "mime"), "anychild": Tag("", "mime")}
_MIME_OPTION = {
    "type": Tag("", "mime", "mime-option"),
    "subtype": Tag("", "mime", "mime-option"),
    "contenttype": Tag("", "mime", "mime-option"),
    "param": Tag("strings", "mime", "mime-option"),
}
_MODIFIERS = {
    "lower": Tag(group="case"),
    "upper": Tag(group="case"),
    "lowerfirst": Tag(group="first-letter"),
    "upperfirst": Tag(group="first-letter"),
    "quotewildcard": Tag(group="quote"),
    "quoteregex": Tag("", "regex", "quote"),
    "encodeurl": Tag("", "enotify"),
    "length": Tag(),
}
_FLAGS = {"flags": Tag("strings", "imap4flags")}
_COPY = {"copy": Tag("", "copy")}
_ZONE = {"zone": Tag("string", group="zone"), "originalzone": Tag(group="zone")}

COMMANDS: dict[str, Signature] = {
    "require": Signature(("strings",)),
    "if": Signature(tests=1, block=True),
    "elsif": Signature(tests=1, block=True),
    "else": Signature(block=True),
    "stop": Signature(),
    "keep": Signature(tags=_FLAGS),
    "discard": Signature(),
    "redirect": Signature(("string",), {**_COPY, "list": Tag("", "extlists")}),
    "fileinto": Signature(
        ("string",),
        {**_COPY, **_FLAGS, "create": Tag("", "mailbox"), "specialuse": Tag("string", "special-use")},
        "fileinto",
    ),
    "notify": Signature(
        ("string",),
        {
            "from": Tag("string"),
            "importance": Tag("string"),
            "options": Tag("strings"),
            "message": Tag("string"),
        },
        "enotify",
    ),
    "error": Signature(("string",), {}, "ihave"),
    "include": Signature(
        ("string",),
        {
            "personal": Tag(group="location"),
            "global": Tag(group="location"),
            "once": Tag(),
            "optional": Tag(),
        },
        "include",
    ),
    "return": Signature((), {}, "include"),
    "global": Signature(("strings",), {}, "include"),
    "reject": Signature(("string",), {}, "reject"),
    "ereject": Signature(("string",), {}, "ereject"),
    "setflag": Signature(("string", "strings"), {}, "imap4flags", optional=1),
    "addflag": Signature(("string", "strings"), {}, "imap4flags", optional=1),
    "removeflag": Signature(("string", "strings"), {}, "imap4flags", optional=1),
    "set": Signature(
        ("string", "string"),
        _MODIFIERS,
        "variables",
    ),
    "foreverypart": Signature((), {"name": Tag("string")}, "foreverypart", block=True),
    "break": Signature((), {"name": Tag("string")}, "foreverypart"),
    "addheader": Signature(("string", "string"), {"last": Tag()}, "editheader"),
    "deleteheader": Signature(
        ("string", "strings"), {**_MATCH, "index": Tag("number"), "last": Tag()}, "editheader", optional_last=1
    ),
    "extracttext": Signature(("string",), {**_MODIFIERS, "first": Tag("number")}, "extracttext"),
    "vacation": Signature(
        ("string",),
        {
            "days": Tag("number", group="period"),
            "seconds": Tag("number", "vacation-seconds", "period"),
            "subject": Tag("string"),
            "from": Tag("string"),
            "addresses": Tag("strings"),
            "mime": Tag(),
            "handle": Tag("string"),
        },
        "vacation",
    ),
}
TESTS: dict[str, Signature] = {
    "true": Signature(),
    "false": Signature(),
    "not": Signature(tests=1),
    "allof": Signature(tests=2),
    "anyof": Signature(tests=2),
    "exists": Signature(("strings",), _MIME),
    "size": Signature(("number",), {"over": Tag(group="size"), "under": Tag(group="size")}),
    "header": Signature(("strings", "strings"), {**_MATCH, **_INDEX, **_MIME, **_MIME_OPTION}),
    "address": Signature(("strings", "strings"), {**_MATCH, **_PART, **_INDEX, **_MIME}),
    "envelope": Signature(("strings", "strings"), {**_MATCH, **_PART}, "envelope"),
    "body": Signature(
        ("strings",),
        {
            **_MATCH,
            "raw": Tag(group="transform"),
            "text": Tag(group="transform"),
            "content": Tag("strings", group="transform"),
        },
        "body",
    ),
    "date": Signature(("string", "string", "strings"), {**_MATCH, **_INDEX, **_ZONE}, "date"),
    "currentdate": Signature(("string", "strings"), {**_MATCH, "zone": Tag("string", group="zone")}, "date"),
    "hasflag": Signature(("strings", "strings"), _MATCH, "imap4flags", optional=1),
    "string": Signature(("strings", "strings"), _MATCH, "variables"),
    "environment": Signature(("string", "strings"), _MATCH, "environment"),
    "valid_notify_method": Signature(("strings",), {}, "enotify"),
    "notify_method_capability": Signature(("string", "string", "strings"), _MATCH, "enotify"),
    "spamtest": Signature(("string",), {**_MATCH, "percent": Tag("", "spamtestplus")}, "spamtest"),
    "virustest": Signature(("string",), _MATCH, "virustest"),
    "valid_ext_list": Signature(("strings",), {}, "extlists"),
    "ihave": Signature(("strings",), {}, "ihave"),
    "mailboxexists": Signature(("strings",), {}, "mailbox"),
    "specialuse_exists": Signature(("string", "strings"), {}, "special-use", optional=1),
    "duplicate": Signature(
        (),
        {
            "handle": Tag("string"),
            "header": Tag("string", group="unique"),
            "uniqueid": Tag("string", group="unique"),
            "seconds": Tag("number"),
            "last": Tag(),
        },
        "duplicate",
    ),
}
# RFC 5228 §5.1: header fields that contain addresses.
ADDRESS_HEADERS = frozenset(
    (
        *("from", "to", "cc", "bcc", "sender", "reply-to", "resent-from", "resent-to", "resent-cc", "resent-bcc"),
        *("resent-sender", "return-path", "delivered-to", "x-original-to", "errors-to", "mail-followup-to"),
        *("disposition-notification-to", "list-post", "x-forwarded-to", "x-forwarded-for", "resent-reply-to"),
        *("mail-reply-to", "envelope-to", "envelope-from", "x-envelope-to", "x-envelope-from", "apparently-to"),
        *("return-receipt-to", "x-confirm-reading-to", "x-original-from", "x-sender", "x-original-sender"),
        *("for-approval", "for-handling", "for-comment", "x-admin", "read-receipt-to", "return-receipt-requested"),
        *("registered-mail-reply-requested-by", "x-complaints-to", "x-report-abuse-to", "x-beenthere"),
        *("author", "approved", "approved-by", "x-approved-by", "mail-copies-to", "x-envelope-sender", "x-rcpt-to"),
        *("alternate-recipient", "originator", "originator-return-address", "x-failed-recipients"),
        *("x-authenticated-sender", "x-x-sender", "x-loop", "list-subscribe"),
        *("abuse-reports-to", "x-abuse-to", "list-owner", "list-unsubscribe", "list-help", "x-delivered-to"),
    )
)
DATE_PARTS = frozenset(
    (
        *("year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601", "std11"),
        *("zone", "weekday"),
    )
)
