"""Commands of any state, and those that only concern the session.

RFC 9051 §6.1, §6.3.1, RFC 2177 (IDLE), RFC 2971 (ID), RFC 5255 (LANGUAGE).
"""

from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.imap import capability as capabilities
from mailcore.servers.imap.tagged_response import TaggedResponse, bad, no, ok
from mailcore.wire.imap import response_format
from mailcore.wire.imap.cursor import BadSyntax

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

_MAX_ID_PAIRS = 30


async def capability(call: "Call") -> TaggedResponse:
    call.args.end()
    call.session.untagged(f"CAPABILITY {capabilities.capability_words(call.session)}")
    return ok("Capability completed.")


async def noop(call: "Call") -> TaggedResponse:
    """Execute NOOP or CHECK: send all changes, including files that other programs delivered."""
    call.args.end()
    await call.session.index_external_files()
    return ok(f"{call.name.capitalize()} completed.")


async def logout(call: "Call") -> TaggedResponse:
    call.args.end()
    session = call.session

    async def leave() -> None:
        session.leaving = True
        session.connection.close()

    session.untagged("BYE Logging out")
    return TaggedResponse("OK", "Logout completed.", then=leave)


async def id_command(call: "Call") -> TaggedResponse:
    """Execute ID; the client's data is not stored."""
    args = call.args
    if not args.skip_word(b"NIL"):
        pairs = args.list_of(args.nstring)
        if len(pairs) % 2 or None in pairs[::2]:
            raise BadSyntax("Pairs of field and value expected")
        if len(pairs) > 2 * _MAX_ID_PAIRS:
            return bad("Too many fields")
    args.end()
    name = response_format.format_string(conf.current().mail_name.encode())
    call.session.write(b'* ID ("name" %b)\r\n' % name)
    return ok("ID completed.")


async def language(call: "Call") -> TaggedResponse:
    """Execute LANGUAGE (RFC 5255 §3): all texts are English, which is also the default."""
    args = call.args
    ranges: list[str] = []
    while not args.at_end():
        ranges.append(args.astring().decode("ascii", "replace").lower())
        if not args.at_end():
            args.space()
    if not ranges:
        call.session.untagged("LANGUAGE (EN I-DEFAULT)")
        return ok("Language completed.")
    for language_range in ranges:
        if language_range in ("default", "i-default", "*") or language_range.partition("-")[0] == "en":
            call.session.untagged("LANGUAGE (EN)")
            return ok("Now speaking English.")
    return no("Unsupported language")


# The extensions that can be enabled, and those they imply (RFC 7162 §3.2.3).
ENABLES = {
    "CONDSTORE": ("CONDSTORE",),
    "QRESYNC": ("QRESYNC", "CONDSTORE"),
    "IMAP4REV2": ("IMAP4REV2",),
    "UTF8=ACCEPT": ("UTF8=ACCEPT",),
    "UIDONLY": ("UIDONLY",),
}
_CANONICAL_NAMES = {"IMAP4REV2": "IMAP4rev2"}


async def enable(call: "Call") -> TaggedResponse:
    """Execute ENABLE (RFC 5161); unknown extensions are ignored."""
    args = call.args
    words = [args.keyword()]
    while args.skip_space():
        words.append(args.keyword())
    args.end()
    session = call.session
    fresh = [word for word in dict.fromkeys(words) if word in ENABLES and word not in session.enabled]
    session.untagged(" ".join(["ENABLED", *[_CANONICAL_NAMES.get(word, word) for word in fresh]]))
    session.enable(*[each for word in fresh for each in ENABLES[word]])
    return ok("Enabled.")


async def idle(call: "Call") -> None:
    """Execute IDLE (RFC 2177). The tagged response is sent after DONE."""
    call.args.end()
    session = call.session
    await session.send_continuation("idling")
    session.begin_idle(call.tag)
    if session.view is not None:
        await session.send_updates(with_expunges=True)
