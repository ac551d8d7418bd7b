"""The tests of a script (RFC 5228 §5 and extensions), one small function each.

`interpreter` owns the variables: every string is expanded by `state.text` first.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from mailcore.wire.message import dates, headers, mime
from mailcore.wire.sieve import comparison
from mailcore.wire.sieve.compiler import ZONE_TEXT, Call, can_enable
from mailcore.wire.sieve.extensions import part_values
from mailcore.wire.sieve.extensions.external_lists import expand_name
from mailcore.wire.sieve.extensions.filter_scores import level, percentage
from mailcore.wire.sieve.notification import parse_mailto
from mailcore.wire.sieve.regex import RegexError, compile_regex
from mailcore.wire.sieve.results import SieveRunError
from mailcore.wire.sieve.sieve_message import part_of, to_one_line
from mailcore.wire.sieve.signatures import ADDRESS_HEADERS, DATE_PARTS

if TYPE_CHECKING:
    from mailcore.wire.sieve.interpreter import RunState

_Value = TypeVar("_Value")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = tuple(name.capitalize() for name in dates.MONTHS)


def evaluate_test(state: "RunState", call: Call) -> bool:
    state.mind_time()
    return _TESTS[call.name](state, call)


def any_match(state: "RunState", call: Call, values: Iterable[str], keys: Iterable[str]) -> bool:
    """Return True if any value matches any key; captures of :matches are stored in the state."""
    kind, relation = call.tags.get("match", ("is", True))
    comparator = call.tags.get("comparator", ("", comparison.DEFAULT))[1]
    wanted = [state.text(key) for key in keys]
    if kind == "count":
        count = len(list(values))
        return any(comparison.compare_count(relation, comparator, count, key) for key in wanted)
    if kind == "list":
        lists = [state.external_list(name) for name in wanted]
        return any(each.contains(value) for value in values for each in lists)
    for value in values:
        state.mind_time()
        for key in wanted:
            if kind == "regex":
                found = _match_regex(state, comparator, value, key)
            else:
                found = comparison.compare(kind, comparator, relation, value, key, state.mind_time)
            if found is not None:
                if kind in ("matches", "regex"):
                    state.captures = found
                return True
    return False


def _match_regex(state: "RunState", comparator: str, value: str, pattern: str) -> tuple[str, ...] | None:
    """Return the text that matches and its groups, or None."""
    try:
        regex = compile_regex(
            pattern, ignore_case=comparator != comparison.OCTET, limits=state.surroundings.limits.regex
        )
    except RegexError as error:
        raise SieveRunError(f'"{pattern[:80]}" is no regular expression: {error}') from error
    spans = regex.search(value, state.mind_time)
    return None if spans is None else tuple(value[start:end] if start >= 0 else "" for start, end in spans)


def _true(state: "RunState", call: Call) -> bool:
    return True


def _false(state: "RunState", call: Call) -> bool:
    return False


def _allof(state: "RunState", call: Call) -> bool:
    return all(evaluate_test(state, each) for each in call.tests)


def _anyof(state: "RunState", call: Call) -> bool:
    return any(evaluate_test(state, each) for each in call.tests)


def _not(state: "RunState", call: Call) -> bool:
    return not evaluate_test(state, call.tests[0])


def _exists(state: "RunState", call: Call) -> bool:
    if "mime" in call.tags:
        parts = _parts_to_test(state, call)
        names = [state.text(name) for name in call.values[0]]
        return all(any(part_values.raw_values(part, name) for part in parts) for name in names)
    return all(state.message.has(state.text(name)) for name in call.values[0])


def _size(state: "RunState", call: Call) -> bool:
    limit = call.values[0]
    return bool(state.message.size > limit if call.tags["size"][0] == "over" else state.message.size < limit)


def _parts_to_test(state: "RunState", call: Call) -> list[mime.Part]:
    return part_values.parts_to_test(state.message, state.part, with_children="anychild" in call.tags)


def _mime_values(state: "RunState", call: Call) -> list[str]:
    """Return the values of a header test of parts (RFC 5703 §4.1)."""
    option, given = call.tags.get("mime-option", ("", ()))
    parameters = tuple(state.text(each) for each in given) if option == "param" else ()
    found = []
    for name in map(state.text, call.values[0]):
        raw = [value for part in _parts_to_test(state, call) for value in part_values.raw_values(part, name)]
        for value in _pick_index(call, raw):
            found += part_values.values(name, value, option, parameters)
    return found


def _header(state: "RunState", call: Call) -> bool:
    if "mime" in call.tags:
        return any_match(state, call, _mime_values(state, call), call.values[1])
    values = [v for name in call.values[0] for v in _pick_index(call, state.message.values(state.text(name)))]
    return any_match(state, call, values, call.values[1])


def header_index(call: Call) -> int | None:
    """Return the index of the header field that is meant (RFC 5260 §6), negative from the end, or None."""
    if "index" not in call.tags:
        return None
    number: int = call.tags["index"]
    return -number if "last" in call.tags else number - 1


def _pick_index(call: Call, values: list[_Value]) -> list[_Value]:
    at = header_index(call)
    if at is None:
        return values
    return [values[at]] if -len(values) <= at < len(values) else []


def _address(state: "RunState", call: Call) -> bool:
    names = [name for each in call.values[0] if (name := state.text(each)).lower() in ADDRESS_HEADERS]
    if "mime" in call.tags:
        fields = [
            mails
            for name in names
            for part in _parts_to_test(state, call)
            for mails in part_values.addresses(part, name)
        ]
        mails = [mail for each in _pick_index(call, fields) for mail in each]
    else:
        mails = [mail for name in names for mail in state.message.addresses(name, at=header_index(call))]
    return any_match(state, call, _parts(state, call, mails), call.values[1])


def _parts(state: "RunState", call: Call, mails: Iterable[str]) -> list[str]:
    part = call.tags.get("address-part", ("all", True))[0]
    delimiter = state.message.envelope.recipient_delimiter
    return [found for mail in mails if (found := part_of(mail, part, delimiter)) is not None]


def _envelope(state: "RunState", call: Call) -> bool:
    envelope = state.message.envelope
    ends = {"from": envelope.sender, "to": envelope.recipient}
    mails = [ends[name] for each in call.values[0] if (name := state.text(each).lower()) in ends]
    return any_match(state, call, _parts(state, call, mails), call.values[1])


def _body(state: "RunState", call: Call) -> bool:
    how, types = call.tags.get("transform", ("text", True))
    if how == "raw":
        values = state.message.body_raw()
    elif how == "text":
        values = state.message.body_text()
    else:
        values = state.message.body_of(tuple(state.text(each) for each in types))
    before = state.captures
    found = any_match(state, call, values, call.values[0])
    state.captures = before  # body does not set captures (RFC 5173 §6)
    return found


def _date(state: "RunState", call: Call) -> bool:
    name, part, keys = call.values
    values = _pick_index(call, state.message.raw(state.text(name)))
    # In Received and similar fields, the date follows the last semicolon.
    moments = [found for value in values[: 1 if header_index(call) is None else None]
               if (found := dates.parse_date(value.rpartition(";")[2])) is not None]  # fmt: skip
    shown = [_date_part(at, _zone_offset(state, call, zone), state.text(part)) for at, zone in moments]
    return any_match(state, call, [each for each in shown if each is not None], keys)


def _currentdate(state: "RunState", call: Call) -> bool:
    part, keys = call.values
    now = int(state.surroundings.now)
    shown = _date_part(now, _zone_offset(state, call, state.surroundings.zone_minutes), state.text(part))
    return any_match(state, call, [] if shown is None else [shown], keys)


def _zone_offset(state: "RunState", call: Call, own: int) -> int:
    """Return the zone of a date test in minutes ahead of UTC."""
    kind, text = call.tags.get("zone", ("", ""))
    if kind == "originalzone":
        return own
    if kind == "zone":
        text = state.text(text)
        if not ZONE_TEXT.fullmatch(text):
            raise SieveRunError(f'"{to_one_line(text)[:80]}" is no time zone such as "+0800"')
        minutes = int(text[1:3]) * 60 + int(text[3:])
        return -minutes if text[0] == "-" else minutes
    return state.surroundings.zone_minutes


def _date_part(at: int, zone: int, part: str) -> str | None:
    """Return a part of a date (RFC 5260 §4.2), or None if there is no such part."""
    part = part.lower()
    if part not in DATE_PARTS:
        return None
    there = time.gmtime(at + zone * 60)
    sign, hours, minutes = "-" if zone < 0 else "+", abs(zone) // 60, abs(zone) % 60
    day, clock = time.strftime("%Y-%m-%d", there), time.strftime("%H:%M:%S", there)
    return {
        "year": f"{there.tm_year:04}",
        "month": f"{there.tm_mon:02}",
        "day": f"{there.tm_mday:02}",
        "date": day,
        "julian": str(dates.day_number(there.tm_year, there.tm_mon, there.tm_mday) + 40587),
        "hour": f"{there.tm_hour:02}",
        "minute": f"{there.tm_min:02}",
        "second": f"{there.tm_sec:02}",
        "time": clock,
        "iso8601": f"{day}T{clock}{sign}{hours:02}:{minutes:02}",
        "std11": f"{_WEEKDAYS[there.tm_wday]}, {there.tm_mday:02} {_MONTHS[there.tm_mon - 1]} {there.tm_year}"
        f" {clock} {sign}{hours:02}{minutes:02}",
        "zone": f"{sign}{hours:02}{minutes:02}",
        "weekday": str((there.tm_wday + 1) % 7),
    }[part]


def _hasflag(state: "RunState", call: Call) -> bool:
    names, keys = call.values
    each = [state.flags] if names is None else [state.variable(name).split() for name in names]
    words = [word for key in keys for word in state.text(key).split() or [""]]
    if call.tags.get("match", ("is",))[0] == "count":  # of each variable by itself (RFC 5232 §4)
        each, words = [[*{flag.lower() for flag in flags}] for flags in each], [state.text(key) for key in keys]
    flags = [flag for found in each for flag in found]
    return any_match(state, call, flags, words)


def _string(state: "RunState", call: Call) -> bool:
    values = [state.text(source) for source in call.values[0]]
    if call.tags.get("match", ("is",))[0] == "count":
        values = [value for value in values if value]  # RFC 5229 §5: empty strings do not count
    return any_match(state, call, values, call.values[1])


def _environment(state: "RunState", call: Call) -> bool:
    """Evaluate an environment test (RFC 5183); an unknown item matches nothing."""
    name, keys = call.values
    value = state.surroundings.environment.get(state.text(name).lower())
    return value is not None and any_match(state, call, [value], keys)


def _ihave(state: "RunState", call: Call) -> bool:
    """Evaluate a test for extensions (RFC 5463)."""
    return all(map(can_enable, call.values[0]))


def _valid_notify_method(state: "RunState", call: Call) -> bool:
    return all(parse_mailto(state.text(uri)) is not None for uri in call.values[0])


def _notify_method_capability(state: "RunState", call: Call) -> bool:
    """Evaluate a test for a property of a notification method (RFC 5435 §5): whether mail is read now is unknown."""
    uri, name, keys = call.values
    known = parse_mailto(state.text(uri)) is not None and state.text(name).lower() == "online"
    return known and any_match(state, call, ["maybe"], keys)


def _unsupported(_: "RunState", call: Call) -> bool:
    """Fail for a test of an extension that is not there, evaluated without asking for it (RFC 5463 §4)."""
    raise SieveRunError(call.values[0])


def _valid_ext_list(state: "RunState", call: Call) -> bool:
    names = (expand_name(state.text(name)) for name in call.values[0])
    return all(state.surroundings.find_list(name) is not None for name in names)


def _spamtest(state: "RunState", call: Call) -> bool:
    """Evaluate a test of the spam filter's result (RFC 5235 §2): :count says whether there is one."""
    ratio = state.surroundings.spam_ratio(state.mind_time)
    number = percentage(ratio) if "percent" in call.tags else level(ratio, 10)
    return _match_number(state, call, number, was_tested=ratio is not None)


def _virustest(state: "RunState", call: Call) -> bool:
    ratio = state.surroundings.virus_ratio(state.mind_time)
    return _match_number(state, call, level(ratio, 5), was_tested=ratio is not None)


def _match_number(state: "RunState", call: Call, number: int, *, was_tested: bool) -> bool:
    is_count = call.tags.get("match", ("is",))[0] == "count"
    return any_match(state, call, [] if is_count and not was_tested else [str(number)], call.values[:1])


def _mailboxexists(state: "RunState", call: Call) -> bool:
    return all(state.surroundings.has_mailbox(state.text(name)) for name in call.values[0])


def _specialuse_exists(state: "RunState", call: Call) -> bool:
    mailbox, uses = call.values
    found = [state.surroundings.mailbox_for(state.text(use)) for use in uses]
    return all(found) and (mailbox is None or all(each == state.text(mailbox) for each in found))


def _duplicate(state: "RunState", call: Call) -> bool:
    """Evaluate a duplicate test (RFC 7352)."""
    tags = call.tags
    how, named = tags.get("unique", ("header", "Message-ID"))
    if how == "uniqueid":
        unique = state.text(named)
    else:
        values = state.message.raw(state.text(named))
        if not values:
            return False
        unique = headers.decode_value(values[0])
    key = f"duplicate\0{state.text(tags.get('handle', ''))}\0{how}\0{unique}"
    seen = state.surroundings.was_seen(key)
    if not seen or "last" in tags:
        state.remember[key] = int(tags.get("seconds", 0))
    return seen


_TESTS: dict[str, Callable[["RunState", Call], bool]] = {
    "true": _true,
    "false": _false,
    "not": _not,
    "allof": _allof,
    "anyof": _anyof,
    "exists": _exists,
    "size": _size,
    "header": _header,
    "address": _address,
    "envelope": _envelope,
    "body": _body,
    "date": _date,
    "currentdate": _currentdate,
    "hasflag": _hasflag,
    "string": _string,
    "environment": _environment,
    "valid_notify_method": _valid_notify_method,
    "notify_method_capability": _notify_method_capability,
    "valid_ext_list": _valid_ext_list,
    "spamtest": _spamtest,
    "virustest": _virustest,
    "ihave": _ihave,
    "error": _unsupported,
    "mailboxexists": _mailboxexists,
    "specialuse_exists": _specialuse_exists,
    "duplicate": _duplicate,
}
