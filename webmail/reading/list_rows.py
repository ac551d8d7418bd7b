"""The rows of a message list as HTML.

Built in Python and not in a template: a page has up to a thousand rows, and a template takes many times as long for
each. Untrusted text passes through `escape`; everything else is our own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from mailcore.conf import size_format
from webmail.account.preferences import WebmailPreferences
from webmail.reading import highlights
from webmail.values import date_format, labels
from webmail.values.labels import Label
from webmail.values.message_summary import MessageSummary


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation as one row of a list: its messages in this folder, oldest first."""

    rows: tuple[MessageSummary, ...]
    total: int  # number of its messages in the folder, perhaps more than in `rows`

    @property
    def writers(self) -> str:
        """Return the writers, each once, in the order of their first message."""
        names = list(dict.fromkeys(row.writer for row in self.rows if row.writer))
        return ", ".join(names if len(names) < 4 else [names[0], "…", *names[-2:]])


@dataclass(frozen=True, slots=True)
class ListView:
    """The display settings of one list."""

    options: WebmailPreferences
    labels: Mapping[str, Label]
    link: str = ""  # query string of a message's URL
    to_whom: bool = False  # shows recipients in place of senders
    check_all: bool = False
    bundles: Mapping[int, ConversationRow] | None = None  # conversations by the UID of their newest message
    folders: Mapping[str, tuple[str, str]] | None = None  # of rows from several folders: name → (title, query)
    opened: int = 0  # UID of the message shown beside the list
    pane: str = ""  # URL of a message opened beside the list, up to its UID


class _RowWords:
    """The translated texts of every row and its date and size formatters, looked up once."""

    def __init__(self) -> None:
        self.no_subject, self.no_sender, self.no_recipient = _("(no subject)"), _("(no sender)"), _("(no recipient)")
        self.select, self.flagged, self.unread = _("Select"), _("Flagged"), _("Unread")
        self.answered, self.forwarded, self.draft = _("Answered"), _("Forwarded"), _("Draft")
        self.deleted = pgettext("state", "Deleted")
        self.attachment, self.high, self.low = _("Attachment"), _("High priority"), _("Low priority")
        self.full, self.size = date_format.full_formatter(), size_format.size_formatter()


def icon(name: str) -> str:
    return f'<svg class="i" aria-hidden="true"><use href="#i-{name}"/></svg>'


def render_rows(rows: Sequence[MessageSummary], view: ListView) -> SafeString:
    """Return the rows as an ordered list."""
    words, date = _RowWords(), date_format.short_formatter(view.options.date_format)
    rules = highlights.load_rules(view.options.highlights)
    cells = [_CELLS[name] for name in view.options.columns]
    read, conversation, write = (
        reverse("read", args=[0])[:-1],
        reverse("conversation", args=[0])[:-1],
        reverse("compose"),
    )
    out = [f'<ol class="list-rows as-{view.options.layout}">']
    for row in rows:
        bundle = view.bundles.get(row.uid) if view.bundles else None
        query = view.link
        if view.folders is not None:
            query = view.folders.get(row.folder, ("", ""))[1]
        if row.draft and view.to_whom:
            address = f"{write}{query or '?'}{'&' if query else ''}mode=draft&of={row.uid}"
        elif bundle is not None and bundle.total > 1:
            address = f"{conversation}{row.uid}{query}"
        elif view.pane:
            address = f"{view.pane}{row.uid}#message"
        else:
            address = f"{read}{row.uid}{query}"
        seen = row.seen if bundle is None else all(each.seen for each in bundle.rows)
        starred = row.flagged if bundle is None else any(each.flagged for each in bundle.rows)
        colour = highlights.highlight_colour(row, rules)
        subject = escape(row.subject) or words.no_subject
        classes = "row" + " new" * (not seen) + " starred" * starred + " open" * (row.uid == view.opened)
        classes += " deleted" * row.deleted
        if colour is not None:
            classes += f" hl{colour}"
        checked, current = " checked" * view.check_all, _CURRENT * (row.uid == view.opened)
        out.append(
            f'<li class="{classes}"><label class="pick"><input type="checkbox" {_name(row, bundle, view)}'
            f'{checked}><span class="sr">{words.select}: {subject}</span></label>'
            f'<button class="star" name="star" value="{"-" * starred}{_reference(row, view)}"'
            f' aria-pressed="{"true" if starred else "false"}" aria-label="{words.flagged}">{_STAR}</button>'
            f'<a href="{escape(address)}"{current}>'
        )
        out += [cell(row, bundle, view, words, date, seen) for cell in cells]
        out.append("</a></li>")
    out.append("</ol>")
    return mark_safe("".join(out))  # noqa: S308 (escaped above)


_STAR, _CLIP = icon("star"), icon("clip")
_CURRENT = ' aria-current="true"'


def _reference(row: MessageSummary, view: ListView) -> str:
    """Return a form's reference to the message: its UID, and the folder if the list spans several."""
    return str(row.uid) if view.folders is None else row_reference(row)


def row_reference(row: MessageSummary) -> str:
    return escape(f"{row.uid}.{row.validity}.{row.folder}")


def _name(row: MessageSummary, bundle: ConversationRow | None, view: ListView) -> str:
    if view.folders is not None:
        return f'name="of" value="{row_reference(row)}"'
    return f'name="uid" value="{",".join(str(each.uid) for each in bundle.rows) if bundle else row.uid}"'


Date = Callable[[datetime | None], str]


def _from(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    if view.to_whom:
        people = escape(", ".join(a.short for a in row.recipients[:3])) or f"<i>{words.no_recipient}</i>"
    else:
        people = escape(bundle.writers if bundle else row.writer) or f"<i>{words.no_sender}</i>"
    if bundle is not None and bundle.total > 1:
        title = ngettext("%d message", "%d messages", bundle.total) % bundle.total
        people += f' <b class="count soft" title="{title}">{bundle.total}</b>'
    return f'<span class="from">{"" if seen else f"""<span class="sr">{words.unread}: </span>"""}{people}</span>'


def _subject(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    out = '<span class="about">'
    if row.answered:
        out += _mark("reply", words.answered)
    if row.forwarded:
        out += _mark("forward", words.forwarded)
    if row.deleted:
        out += f'<span class="tag">{words.deleted}</span>'
    if row.draft and not view.to_whom:
        out += f'<span class="tag">{words.draft}</span>'
    if view.folders is not None:
        out += f'<span class="tag">{escape(view.folders.get(row.folder, (row.folder, ""))[0])}</span>'
    flags = row.flags if bundle is None else frozenset().union(*(each.flags for each in bundle.rows))
    for label in labels.labels_of(flags, view.labels):
        out += f'<span class="label l{label.colour}">{escape(label.name)}</span>'
    out += f'<span class="subject">{escape(row.subject) or words.no_subject}</span>'
    if view.options.snippets and row.snippet:
        out += f'<span class="snippet">{escape(row.snippet)}</span>'
    return out + "</span>"


def _mark(name: str, word: str) -> str:
    return f'<span class="mark" title="{word}">{icon(name)}<span class="sr">{word}</span></span>'


def _attachment(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    has = row.attachments if bundle is None else any(each.attachments for each in bundle.rows)
    title = f'<span title="{words.attachment}">{_CLIP}<span class="sr">{words.attachment}</span></span>' if has else ""
    return f'<span class="clip">{title}</span>'


def _date(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    return f'<time title="{words.full(row.moment)}">{date(row.moment)}</time>'


def _received(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    return f'<span class="cell received">{date(row.arrived)}</span>'


def _size(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    return f'<span class="size">{words.size(row.size)}</span>'


def _priority(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    if not row.priority:
        return '<span class="cell priority"></span>'
    sign, word = ("up", words.high) if row.priority == "high" else ("down", words.low)
    return (
        f'<span class="cell priority {row.priority}" title="{word}">{icon(sign)}<span class="sr">{word}</span></span>'
    )


def _to(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    return f'<span class="cell people">{escape(", ".join(a.short for a in row.recipients[:3]))}</span>'


def _cc(
    row: MessageSummary, bundle: ConversationRow | None, view: ListView, words: _RowWords, date: Date, seen: bool
) -> str:
    return f'<span class="cell people">{escape(", ".join(a.short for a in row.copied[:3]))}</span>'


_CELLS = {
    "from": _from,
    "subject": _subject,
    "attachment": _attachment,
    "date": _date,
    "size": _size,
    "priority": _priority,
    "to": _to,
    "cc": _cc,
    "received": _received,
}
