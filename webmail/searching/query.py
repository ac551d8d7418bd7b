"""The query language of the search field, parsed into search criteria.

    from:王芳 subject:"会议 纪要" has:attachment -label:private (before:2026-09-01 OR larger:5M) in:archive

Terms are combined with AND; OR between two terms means either, - or NOT in front of one negates it; parentheses and
quotation marks group. Operators have English and Chinese names, and full-width punctuation is accepted. Anything that
is not an operator is searched for literally, so no input is an error.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from webmail.values.labels import Label, keyword_for
from webmail.values.search_keys import (
    FIELDS,
    AllOf,
    AnyOf,
    Attachment,
    FieldContains,
    Flag,
    Header,
    Key,
    Keyword,
    Not,
    SentDate,
    Size,
)

LONGEST = 500  # characters
EVERYTHING: Key = AllOf(())
_DEEPEST = 20  # nested parentheses
_NAMES = {
    "发件人": "from", "收件人": "to", "抄送": "cc", "密送": "bcc", "主题": "subject", "正文": "body", "全文": "text",
    "含": "has", "状态": "is", "之前": "before", "之后": "after", "当天": "on", "大于": "larger", "小于": "smaller",
    "文件夹": "in", "标签": "label", "近": "newer", "早于": "older", "列表": "list",
    "since": "after", "until": "before", "bigger": "larger", "folder": "in", "tag": "label", "date": "on",
}  # fmt: skip
_VALUES = {
    "附件": "attachment", "attachments": "attachment", "file": "attachment", "未读": "unread", "已读": "read",
    "星标": "starred", "已回复": "answered", "已转发": "forwarded", "草稿": "draft", "flagged": "starred",
    "seen": "read", "unseen": "unread", "replied": "answered",
}  # fmt: skip
_FLAGS = {
    "unread": Flag("seen", on=False),
    "read": Flag("seen"),
    "starred": Flag("flagged"),
    "unstarred": Flag("flagged", on=False),
    "answered": Flag("answered"),
    "unanswered": Flag("answered", on=False),
    "forwarded": Flag("forwarded"),
    "draft": Flag("draft"),
}
_OPERATORS = {
    *FIELDS,
    "has",
    "is",
    "before",
    "after",
    "on",
    "larger",
    "smaller",
    "in",
    "label",
    "newer",
    "older",
    "list",
}
_WIDE = str.maketrans("：“”（）－\u3000", ':""()- ')
_TOKEN = re.compile(
    r'\s*(?:(?P<sign>-(?=\S)|[()])|(?P<name>[^\s:()"-][^\s:()"]*):(?=\S)|"(?P<phrase>[^"]*)"?|(?P<word>[^\s()"]+))'
)
_UNITS = {"": 1, "b": 1, "k": 1024, "kb": 1024, "m": 1024**2, "mb": 1024**2, "g": 1024**3, "gb": 1024**3}
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365, "天": 1, "周": 7, "月": 30, "年": 365}


@dataclass(frozen=True, slots=True)
class Query:
    key: Key | None  # None if nothing is searched for
    folders: tuple[str, ...] = ()  # folders named with in:, as typed
    excluded: tuple[str, ...] = ()


class _QueryReader:
    """Recursive-descent parser over the tokens; an operator's value may be a word or a phrase."""

    def __init__(self, text: str, labels: Mapping[str, Label], today: date) -> None:
        self.tokens = list(_tokens(text))
        self.position = 0
        self.labels, self.today = labels, today
        self.folders: list[str] = []
        self.excluded: list[str] = []

    def parse_alternatives(self, depth: int = 0) -> Key | None:
        """Parse groups separated by OR, up to a closing parenthesis or the end."""
        groups: list[Key] = []
        keys: list[Key] = []
        while self.position < len(self.tokens):
            kind, value = self.tokens[self.position]
            if kind == ")" and depth:
                break
            self.position += 1
            if kind == "word" and value in ("OR", "或"):
                groups += [_combine_keys(keys)] if keys else []
                keys = []
            elif (key := self._parse_term(kind, value, depth)) is not None:
                keys.append(key)
        groups += [_combine_keys(keys)] if keys else []
        return None if not groups else groups[0] if len(groups) == 1 else AnyOf(tuple(groups))

    def _parse_term(self, kind: str, value: str, depth: int, *, negated: bool = False) -> Key | None:
        match kind:
            case "(" if depth < _DEEPEST:
                inner = self.parse_alternatives(depth + 1)
                self.position += 1  # the closing parenthesis
                return inner
            case "-":
                return self._parse_negation(depth)
            case "word" if value in ("NOT", "非") and self.position < len(self.tokens):
                return self._parse_negation(depth)
            case "word" if value in ("AND", "与"):
                return None
            case "word" | "phrase":
                return FieldContains("text", value) if value.strip() else None
        if kind in "()":
            return None
        return self._parse_operator(kind, value, negated=negated)

    def _parse_negation(self, depth: int) -> Key | None:
        """Parse the rest of a negation; any number of signs may follow, and two cancel each other."""
        negated = True
        while self.position < len(self.tokens):
            kind, value = self.tokens[self.position]
            self.position += 1
            if kind == "-" or (kind == "word" and value in ("NOT", "非") and self.position < len(self.tokens)):
                negated = not negated
                continue
            inner = self._parse_term(kind, value, depth, negated=negated)
            return Not(inner) if negated and inner is not None else inner
        return None

    def _parse_operator(self, name: str, value: str, *, negated: bool) -> Key | None:
        folded = _VALUES.get(value.casefold(), value.casefold())
        if not value.strip():
            return None
        match name:
            case "in":
                (self.excluded if negated else self.folders).append(value)
                return None
            case "has" if folded == "attachment":
                return Attachment()
            case "is" | "has" if folded in _FLAGS:
                return _FLAGS[folded]
            case "label" | "has":
                return self._label_key(value)
            case "list":
                return Header("List-Id", value)
            case "larger" | "smaller" if (byte_count := _parse_size(folded)) is not None:
                return Size(name == "larger", byte_count)
            case "before" | "after" | "on" if (days := _parse_period(folded, self.today)) is not None:
                return _date_key(name, *days)
            case "newer" | "older" if (age := re.fullmatch(r"(\d{1,4})([dwmy天周月年])", folded)) is not None:
                day = self.today - timedelta(days=min(int(age[1]) * _DAYS[age[2]], 36500))
                return SentDate("since" if name == "newer" else "before", day)
        if name in FIELDS:
            return FieldContains(name, value)
        return FieldContains("text", f"{name}:{value}")

    def _label_key(self, value: str) -> Key:
        folded = value.casefold()
        own_keyword = next((each.keyword for each in self.labels.values() if each.name.casefold() == folded), "")
        keyword = own_keyword or (folded if folded in self.labels else keyword_for(value))
        return Keyword(keyword) if keyword else FieldContains("text", value)


def parse_query(text: str, labels: Mapping[str, Label], today: date) -> Query:
    """Parse a query; dates such as "yesterday" are relative to `today`."""
    reader = _QueryReader(text[:LONGEST].translate(_WIDE), labels, today)
    key = reader.parse_alternatives()
    return Query(key, tuple(reader.folders), tuple(reader.excluded))


def quote_value(value: str) -> str:
    """Return a value as an operator takes it, quoted if necessary."""
    value = " ".join(value.replace('"', " ").split())
    return f'"{value}"' if re.search(r"[\s():]", value) or not value else value


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, value): "(", ")", "-", "word", "phrase", or the name of an operator with its value."""
    position = 0
    while match := _TOKEN.match(text, position):
        position = match.end()
        if match["sign"]:
            yield match["sign"], match["sign"]
        elif match["name"] is not None:
            typed_name = match["name"].casefold()
            name = _NAMES.get(typed_name, typed_name)
            value = re.compile(r'"([^"]*)"?|[^\s()"]+').match(text, position)
            if name not in _OPERATORS or value is None:
                rest = re.compile(r"[^\s()\"]*").match(text, match.end("name"))
                assert rest is not None
                yield "word", match["name"] + rest[0]
                position = rest.end()
            else:
                yield name, (value[1] if value[1] is not None else value[0])
                position = value.end()
        elif match["phrase"] is not None:
            yield "phrase", match["phrase"]
        else:
            yield "word", match["word"]


def _combine_keys(keys: list[Key]) -> Key:
    return keys[0] if len(keys) == 1 else AllOf(tuple(keys))


def _parse_size(text: str) -> int | None:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([kmg]?b?)", text)
    return int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else None


def _parse_period(text: str, today: date) -> tuple[date, date] | None:
    """Return the first day and the day after the last of "2026-09-12", "2026-09", "2026", "yesterday" and so on."""
    near = {"today": 0, "今天": 0, "yesterday": 1, "昨天": 1}
    if text in near:
        day = today - timedelta(days=near[text])
        return day, day + timedelta(days=1)
    match = re.fullmatch(r"(\d{4})(?:[-/.年](\d{1,2})(?:[-/.月](\d{1,2}))?)?[年月日]?", text)
    if match is None:
        return None
    year, month, day_of_month = (int(part) if part else 0 for part in match.groups())
    try:
        if day_of_month:
            first = date(year, month, day_of_month)
            return first, first + timedelta(days=1)
        if month:
            return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)
        return date(year, 1, 1), date(year + 1, 1, 1)
    except (ValueError, OverflowError):
        return None


def _date_key(name: str, first: date, after: date) -> Key:
    if name == "before":
        return SentDate("before", first)
    if name == "after":
        return SentDate("since", first)
    return (
        SentDate("on", first)
        if after - first == timedelta(days=1)
        else AllOf((SentDate("since", first), SentDate("before", after)))
    )
