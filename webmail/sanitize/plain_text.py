"""Plain text as HTML, with links, quotation levels and the signature; and HTML as plain text, to quote it.

The result must still pass `html_sanitizer.sanitize_text_markup`.
"""

import re
from html.parser import HTMLParser

from webmail.sanitize import links

_QUOTE = re.compile(r"(?:>[ ]?)+")
LARGEST = 1_000_000  # characters of one text
MOST_LINKS = 2000  # of one text; bleach takes 51 µs for each


def to_html(text: str) -> str:
    """Return plain text as HTML.

    Line breaks stay (the page preserves white space), quotation levels become blockquotes.
    """
    out: list[str] = []
    level = 0
    signature = False
    places = MOST_LINKS
    for line in text[:LARGEST].rstrip().split("\n"):
        match = _QUOTE.match(line) if line.startswith(">") else None
        depth = min(match[0].count(">"), 12) if match else 0
        if depth != level:
            if out and not out[-1].endswith(">"):
                out.append("\n")
            out.append("</blockquote>" * (level - depth) + "<blockquote>" * (depth - level))
            level = depth
        elif out and not out[-1].endswith('">'):
            out.append("\n")
        if line == "-- " and not level and not signature:
            signature = True
            out.append('<div class="sig">')
        linked, count = links.link_addresses(line[match.end() :] if match else line, places)
        places -= count
        out.append(linked)
    out.append("</blockquote>" * level + ("</div>" if signature else ""))
    return "".join(out)


def quote_text(text: str) -> str:
    """Prefix each line with >; deeper levels stay close together."""
    lines = text.rstrip().split("\n")
    return "\n".join((">" if line.startswith(">") else "> ") + line if line else ">" for line in lines)


def from_html(source: str, *, links: bool = False) -> str:
    """Return the text of sanitized HTML, for quoting and for pages that show text only.

    With `links` a web address follows the text of its link unless it is that text. Python's parser takes quadratic time
    for broken HTML; the sanitizer's output is well-formed.
    """
    reader = _TextCollector(links)
    reader.feed(source[:LARGEST])
    reader.close()
    text = "".join(reader.out)
    *lines, last = text.split("\n")
    text = "\n".join([*(line.rstrip(" \t") for line in lines), last])
    text = re.sub(r"^(?:>+\n)+(?=[^>]|\Z)", "\n", text, flags=re.MULTILINE)  # empty lines at a quotation's end
    text = re.sub(r"^(>+\n)\1+", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "table", "pre"})
_BLOCKS = _PARAGRAPHS | {
    "address",
    "article",
    "center",
    "div",
    "dl",
    "dt",
    "dd",
    "figure",
    "footer",
    "header",
    "hr",
    "li",
}
_BLOCKS |= {"main", "section", "tr"}
_SILENT = frozenset({"head", "script", "style", "template", "title"})


class _TextCollector(HTMLParser):
    """Collects text; a block begins a line, a paragraph is set apart, quotations get their >."""

    def __init__(self, links: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._links = links
        self._target = ""  # of the link that is open
        self._link_start = 0  # its first piece in `out`
        self._silent = 0
        self._quotes = 0
        self._pre = 0
        self._fresh = True  # at the start of a line

    def _line(self, separate: bool) -> None:
        if not self._fresh:
            self.out.append("\n")
            self._fresh = True
        if separate and self.out and not "".join(self.out[-2:]).endswith("\n\n"):
            self.out.append(">" * self._quotes + "\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag == "br":
            self.out.append("\n" if not self._fresh else ">" * self._quotes + "\n")
            self._fresh = True
        elif tag in _BLOCKS:
            self._line(tag in _PARAGRAPHS)
            if tag == "li":
                self._write("• ")
            elif tag == "hr":
                self._write("—" * 20)
                self._line(False)
        elif tag in ("td", "th") and not self._fresh:
            self._write("\t")
        if tag == "blockquote":
            self._quotes += 1
        elif tag == "pre":
            self._pre += 1
        elif tag == "a":
            href = dict(attrs).get("href") or ""
            self._target = href if self._links and href.startswith(("http:", "https:")) else ""
            self._link_start = len(self.out)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS:
            self._line(tag in _PARAGRAPHS)
        if tag == "blockquote":
            self._quotes = max(0, self._quotes - 1)
        elif tag == "pre":
            self._pre = max(0, self._pre - 1)
        elif tag == "a" and self._target:
            text = "".join(self.out[self._link_start :]).strip()
            if text and text.rstrip("/") not in (self._target.rstrip("/"), self._target.partition("//")[2].rstrip("/")):
                self._write(f" <{self._target}>")
            self._target = ""

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if self._pre:
            for index, line in enumerate(data.split("\n")):
                if index:
                    self.out.append("\n")
                    self._fresh = True
                self._write(line)
        else:
            text = re.sub(r"[ \t\r\n\f]+", " ", data).replace("\xa0", " ")
            self._write(text.lstrip(" ") if self._fresh else text)

    def _write(self, text: str) -> None:
        if text:
            if self._fresh and self._quotes:
                self.out.append(">" * self._quotes + " ")
            self.out.append(text)
            self._fresh = False
