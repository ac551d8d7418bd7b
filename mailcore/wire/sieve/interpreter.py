"""Execution of a script for one message: the resulting actions, all of them or none.

Actions are collected, not carried out. If a script fails, SieveRunError is raised and none of its actions is carried
out: the message is kept (RFC 5228 §2.10.6).
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any
from urllib.parse import quote

from mailcore.wire.message import envelope_address, mime
from mailcore.wire.sieve import conditions
from mailcore.wire.sieve.compiler import Call, Script, compile_script
from mailcore.wire.sieve.extensions import part_values
from mailcore.wire.sieve.extensions.external_lists import ExternalList, expand_name
from mailcore.wire.sieve.extensions.header_edits import NEVER_DELETED, is_field_name, matching_fields, render_field
from mailcore.wire.sieve.notification import method_fault, parse_mailto
from mailcore.wire.sieve.results import (
    Keep,
    Notification,
    Redirect,
    Reject,
    ScriptEnvironment,
    SieveResult,
    SieveRunError,
    VacationReply,
)
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage, parse_target, to_one_line
from mailcore.wire.sieve.variable_names import GLOBAL, REFERENCE, capture_number

MAX_VARIABLES = 256
MAX_VALUE = 8000  # characters in a variable
_FLAG = re.compile(r"\\?[!#$&'+,./0-9:;<=>?@A-Z^_`a-z|~\[\]-]{1,100}")
_SYSTEM = {name.lower(): name for name in ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")}


class _Stop(Exception):
    """The script executed `stop`."""


class _Break(Exception):
    """The script executed `break`; the argument is the name of the loop to end, "" for the innermost."""


class _Return(Exception):
    """An included script executed `return`."""


def run_script(script: Script, message: SieveMessage, surroundings: ScriptEnvironment) -> SieveResult:
    """Run a script; raise SieveRunError."""
    return RunState(message, surroundings).result(script)


class RunState:
    """The state of one run, which tests read and whose `captures` and `remember` they set."""

    def __init__(self, message: SieveMessage, surroundings: ScriptEnvironment) -> None:
        self.message = message
        self.surroundings = surroundings
        self.variables: dict[str, str] = {}
        self.captures: tuple[str, ...] = ()
        self.flags: list[str] = []
        self.part: mime.Part | None = None  # the part that the innermost loop is at
        self.remember: dict[str, int] = {}
        self._globals: dict[str, str] = {}
        self._global_names: set[str] = set()  # variables of the current script that are global
        self._included: list[tuple[str, str]] = []  # scripts that were included, in order
        self._depth = 0
        self._added = 0  # header fields
        self._deadline = monotonic() + surroundings.limits.seconds
        self._expands = False
        self._implicit = True
        self._keeps: dict[str, Keep] = {}
        self._redirects: dict[str, Redirect] = {}
        self._reject: Reject | None = None
        self._vacation: VacationReply | None = None
        self._notifications: list[Notification] = []

    def result(self, script: Script) -> SieveResult:
        with contextlib.suppress(_Stop):
            self._run_script(script)
        if self._implicit:
            self._keep(Keep(flags=tuple(self.flags), header=self.message.header))
        if self._reject is not None and (self._keeps or self._redirects or self._vacation):
            raise SieveRunError("a message cannot be rejected and also kept, passed on or answered")
        return SieveResult(
            tuple(self._keeps.values()),
            tuple(self._redirects.values()),
            self._reject,
            self._vacation,
            tuple(self._notifications),
            tuple(self.remember.items()),
        )

    def mind_time(self) -> None:
        if monotonic() > self._deadline:
            raise SieveRunError("the script takes too long")

    def external_list(self, name: str) -> ExternalList:
        """Return a list outside of the script (RFC 6134)."""
        found = self.surroundings.find_list(expand_name(name))
        if found is None:
            raise SieveRunError(f'there is no list "{to_one_line(name)[:80]}"')
        return found

    # --- Strings ---

    def text(self, string: str) -> str:
        """Return a string with its variables expanded (RFC 5229 §3)."""
        if not self._expands or "${" not in string:
            return string
        return REFERENCE.sub(self._value, string)[: MAX_VALUE * 4]

    def _value(self, match: re.Match[str]) -> str:
        if not match[1].isdecimal():
            return self.variable(match[1])
        number = capture_number(match[1])
        return self.captures[number] if number < len(self.captures) else ""

    def variable(self, name: str) -> str:
        """Return a variable of the current script, which may share it with others (RFC 6609 §3.3)."""
        scope, name = self._scope(name)
        return scope.get(name, "")

    def _scope(self, name: str) -> tuple[dict[str, str], str]:
        name = name.lower()
        if name.startswith(GLOBAL):
            return self._globals, name[len(GLOBAL) :]
        return (self._globals if name in self._global_names else self.variables), name

    # --- Included scripts (RFC 6609) ---

    def _run_script(self, script: Script) -> None:
        self._expands = "variables" in script.extensions
        with contextlib.suppress(_Return):
            self._do(script.calls)

    def _include(self, call: Call) -> None:
        limits = self.surroundings.limits
        key = (call.tags.get("location", ("personal",))[0], self.text(call.values[0]).strip())
        if "once" in call.tags and key in self._included:
            return
        text = self.surroundings.load_script(*key)
        if text is None:
            if "optional" in call.tags:
                return
            raise SieveRunError(f'there is no {key[0]} script "{to_one_line(key[1])[:80]}" to include')
        if self._depth >= limits.include_depth or len(self._included) >= limits.includes:
            raise SieveRunError("the script includes too many others")
        try:
            script = compile_script(text, limits.regex)
        except SieveError as error:
            raise SieveRunError(f'included script "{to_one_line(key[1])[:80]}": {error}') from error
        outer = (self._expands, self.variables, self._global_names, self.captures, self.part)
        self.variables, self._global_names, self.captures, self.part = {}, set(), (), None
        self._included.append(key)
        self._depth += 1
        self._run_script(script)
        self._depth -= 1
        self._expands, self.variables, self._global_names, self.captures, self.part = outer

    def _return(self, _: Call) -> None:
        raise _Return

    def _global(self, call: Call) -> None:
        for name in map(str.lower, call.values[0]):
            if name in self.variables:  # RFC 6609 §3.4.1
                raise SieveRunError(f'the variable "{name}" is in use and cannot become global')
            self._global_names.add(name)

    def _error(self, call: Call) -> None:
        raise SieveRunError(to_one_line(self.text(call.values[0]))[:200])

    # --- Commands ---

    def _do(self, calls: Iterable[Call]) -> None:
        taken = False  # a branch of the current if was executed
        for call in calls:
            self.mind_time()
            if call.name in ("if", "elsif", "else"):
                if call.name == "if":
                    taken = False
                if not taken and (call.name == "else" or conditions.evaluate_test(self, call.tests[0])):
                    taken = True
                    self._do(call.block)
            else:
                _ACTIONS[call.name](self, call)

    def _foreverypart(self, call: Call) -> None:
        """Run a block for each part of the message (RFC 5703 §3)."""
        outer, name = self.part, call.tags.get("name", "")
        try:
            for part in part_values.parts_to_visit(self.message, outer):
                self.part = part
                self._do(call.block)
        except _Break as ended:
            if ended.args[0] not in ("", name):
                raise
        finally:
            self.part = outer

    def _break(self, call: Call) -> None:
        raise _Break(call.tags.get("name", ""))

    def _addheader(self, call: Call) -> None:
        """Add a field at the beginning or the end of the header (RFC 5293 §4)."""
        name, value = self.text(call.values[0]), to_one_line(self.text(call.values[1]))
        limits = self.surroundings.limits
        if not is_field_name(name):
            raise SieveRunError(f'"{to_one_line(name)[:80]}" is no name of a header field')
        if len(name) + len(value) > limits.header_size:
            raise SieveRunError(f'the header field "{name[:80]}" is too long')
        if name.lower() in limits.protected_fields:
            return
        self._added += 1
        if self._added > limits.added_fields:
            raise SieveRunError("the script adds too many header fields")
        fields, end = self.message.raw_fields()
        line_end = b"\n" if end == b"\n" else b"\r\n"
        if fields and not fields[-1].endswith(b"\n"):
            fields[-1] += line_end
        fields.insert(len(fields) if "last" in call.tags else 0, render_field(name, value, line_end))
        self.message.replace_header(b"".join(fields) + (end or line_end))

    def _deleteheader(self, call: Call) -> None:
        """Delete fields by name, place and value (RFC 5293 §5); protected ones stay."""
        name, patterns = self.text(call.values[0]), call.values[1]
        if name.lower() in NEVER_DELETED | self.surroundings.limits.protected_fields:
            return
        before = self.captures
        fields, end = self.message.raw_fields()
        gone = matching_fields(
            fields,
            name,
            conditions.header_index(call),
            lambda value: patterns is None or conditions.any_match(self, call, [value], patterns),
        )
        self.captures = before
        if gone:
            kept = [field for at, field in enumerate(fields) if at not in gone]
            self.message.replace_header(b"".join(kept) + end)

    def _extracttext(self, call: Call) -> None:
        assert self.part is not None
        first = min(call.tags.get("first", MAX_VALUE), MAX_VALUE)
        text = self.message.part_text(self.part, first)[:first]
        self._store(call.values[0].lower(), _modify(text, call.tags))

    def _stop(self, _: Call) -> None:
        raise _Stop

    def _count(self) -> None:
        actions = (
            len(self._keeps)
            + len(self._redirects)
            + len(self._notifications)
            + (self._vacation is not None)
            + (self._reject is not None)
        )
        if actions > self.surroundings.limits.actions:
            raise SieveRunError("the script asks for too many actions")

    def _keep(self, keep: Keep) -> None:
        """Add a copy; a mailbox gets one copy, with the flags of its last mention."""
        self._keeps[keep.mailbox] = keep
        self._count()

    def _do_keep(self, call: Call) -> None:
        self._implicit = False
        self._keep(Keep(flags=self._flags_of(call), header=self.message.header))

    def _discard(self, _: Call) -> None:
        self._implicit = False

    def _redirect(self, call: Call) -> None:
        given = self.text(call.values[0])
        for address in self.external_list(given).members() if "list" in call.tags else (given,):
            self._redirect_to(address)
            if "copy" not in call.tags:  # RFC 3894: :copy leaves the implicit keep unchanged
                self._implicit = False

    def _redirect_to(self, given: str) -> None:
        target = parse_target(given)
        if not target:
            raise SieveRunError(f'"{to_one_line(given)[:80]}" is no address to redirect to')
        self._redirects[envelope_address.fold_address(target)] = Redirect(target, self.message.header)
        if len(self._redirects) > self.surroundings.limits.redirects:
            raise SieveRunError("the script redirects to too many addresses")
        self._count()

    def _notify(self, call: Call) -> None:
        uri = self.text(call.values[0])
        method = parse_mailto(uri)
        if method is None:
            fault = method_fault(uri) or f'there is no method to notify "{to_one_line(uri)[:80]}"'
            raise SieveRunError(fault)
        recipients, fields = method
        self._notifications.append(
            Notification(
                recipients,
                fields.get("subject", ""),
                fields.get("body", ""),
                self.text(call.tags.get("message", "")),
                parse_target(self.text(call.tags.get("from", ""))),
                self.text(call.tags.get("importance", "2")),
            )
        )
        addresses = len(self._redirects) + sum(len(each.recipients) for each in self._notifications)
        if addresses > self.surroundings.limits.redirects:
            raise SieveRunError("the script notifies too many addresses")
        self._count()

    def _fileinto(self, call: Call) -> None:
        mailbox = self.text(call.values[0]).strip()
        if use := call.tags.get("specialuse"):  # RFC 8579
            mailbox = self.surroundings.mailbox_for(self.text(use)) or mailbox
        if mailbox.upper() == "INBOX":
            mailbox = "INBOX"
        if not mailbox or re.search(r"[\x00-\x1f\x7f]", mailbox):
            raise SieveRunError("fileinto was given no name of a mailbox")
        if "copy" not in call.tags:
            self._implicit = False
        self._keep(Keep(mailbox, self._flags_of(call), "create" in call.tags, self.message.header))

    def _do_reject(self, call: Call) -> None:
        if self._reject is not None:
            raise SieveRunError("a message can be rejected only once")
        self._implicit = False
        self._reject = Reject(self.text(call.values[0]))
        self._count()

    def _set(self, call: Call) -> None:
        self._store(call.values[0].lower(), _modify(self.text(call.values[1]), call.tags))

    def _store(self, name: str, value: str) -> None:
        scope, name = self._scope(name)
        if name not in scope and len(scope) >= MAX_VARIABLES:
            raise SieveRunError("the script uses too many variables")
        scope[name] = value[:MAX_VALUE]

    def _do_vacation(self, call: Call) -> None:
        if self._vacation is not None:
            raise SieveRunError("a message can be answered only once")
        tags = call.tags
        kind, number = tags.get("period", ("", None))
        self._vacation = VacationReply(
            reason=self.text(call.values[0]),
            seconds=number * 86400 if kind == "days" else number,  # RFC 6131 allows seconds
            subject=self.text(tags.get("subject", "")),
            sender=self.text(tags.get("from", "")),
            addresses=tuple(self.text(each) for each in tags.get("addresses", ())),
            mime="mime" in tags,
            handle=self.text(tags.get("handle", "")),
        )
        self._count()

    # --- Flags (RFC 5232) ---

    def _flags_of(self, call: Call) -> tuple[str, ...]:
        given = call.tags.get("flags")
        return tuple(self.flags) if given is None else tuple(self._words(given))

    def _words(self, texts: Iterable[str]) -> list[str]:
        """Return the flags in these strings, each once, ignoring words that cannot be flags."""
        found: dict[str, str] = {}
        for word in (word for each in texts for word in self.text(each).split()):
            if word.startswith("\\"):
                if word.lower() in _SYSTEM:
                    found[word.lower()] = _SYSTEM[word.lower()]
            elif _FLAG.fullmatch(word):
                found.setdefault(word.lower(), word)
        return list(found.values())

    def _flag_list(self, call: Call) -> tuple[str, list[str]]:
        """Return (variable, or "" for the internal variable; its flags)."""
        name = (call.values[0] or "").lower()
        return name, self.variable(name).split() if name else self.flags

    def _put_flags(self, name: str, flags: list[str]) -> None:
        if name:
            self._store(name, " ".join(flags))
        else:
            self.flags = flags

    def _setflag(self, call: Call) -> None:
        self._put_flags(self._flag_list(call)[0], self._words(call.values[1]))

    def _addflag(self, call: Call) -> None:
        name, flags = self._flag_list(call)
        there = {flag.lower() for flag in flags}
        self._put_flags(name, [*flags, *(f for f in self._words(call.values[1]) if f.lower() not in there)])

    def _removeflag(self, call: Call) -> None:
        name, flags = self._flag_list(call)
        gone = {flag.lower() for flag in self._words(call.values[1])}
        self._put_flags(name, [flag for flag in flags if flag.lower() not in gone])


def _modify(value: str, tags: Mapping[str, Any]) -> str:
    """Apply the modifiers of `set` and `extracttext` (RFC 5229 §4.1), by their precedence."""
    match tags.get("case", ("",))[0]:
        case "lower":
            value = value.lower()
        case "upper":
            value = value.upper()
    match tags.get("first-letter", ("",))[0]:
        case "lowerfirst":
            value = value[:1].lower() + value[1:]
        case "upperfirst":
            value = value[:1].upper() + value[1:]
    match tags.get("quote", ("",))[0]:
        case "quotewildcard":
            value = re.sub(r"([*?\\])", r"\\\1", value)
        case "quoteregex":
            value = re.sub(r"([][.*+?(){}|^$\\])", r"\\\1", value)
    if "encodeurl" in tags:
        value = quote(value, safe="")
    if "length" in tags:
        value = str(len(value))
    return value


_ACTIONS: dict[str, Callable[[RunState, Call], Any]] = {
    "stop": RunState._stop,
    "keep": RunState._do_keep,
    "discard": RunState._discard,
    "redirect": RunState._redirect,
    "fileinto": RunState._fileinto,
    "error": RunState._error,
    "notify": RunState._notify,
    "include": RunState._include,
    "return": RunState._return,
    "global": RunState._global,
    "reject": RunState._do_reject,
    "ereject": RunState._do_reject,
    "set": RunState._set,
    "foreverypart": RunState._foreverypart,
    "break": RunState._break,
    "extracttext": RunState._extracttext,
    "addheader": RunState._addheader,
    "deleteheader": RunState._deleteheader,
    "vacation": RunState._do_vacation,
    "setflag": RunState._setflag,
    "addflag": RunState._addflag,
    "removeflag": RunState._removeflag,
}
