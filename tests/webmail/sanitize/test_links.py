"""Addresses in plain text: which ones become links, and where they begin and end."""

import re

import pytest

from webmail.sanitize import links

# a line, the address that is a link in it
FOUND = {
    "a new top-level domain": ("zs@x.top", "mailto:zs@x.top"),
    "another one that begins like an old one": ("zs@x.vip", "mailto:zs@x.vip"),
    "text directly around a mail address": ("联系zs@x.top谢谢", "mailto:zs@x.top"),
    "a mailto address": ("mailto:zs@x.top", "mailto:zs@x.top"),
    "a sentence ends after a mail address": ("Write to zs@x.com.", "mailto:zs@x.com"),
    "a mail address in angle brackets": ("Wang <zs@x.top>", "mailto:zs@x.top"),
    "emphasis": ("*zs@x.top*", "mailto:zs@x.top"),
    "a sign that needs escaping": ("a%b@x.top", "mailto:a%25b@x.top"),
    "a local part in Chinese": ("张三@例子.中国", "mailto:%E5%BC%A0%E4%B8%89@%E4%BE%8B%E5%AD%90.%E4%B8%AD%E5%9B%BD"),
    "angle brackets": ("<http://x.com/f>", "http://x.com/f"),
    "quotation marks": ('"http://x.com/q"', "http://x.com/q"),
    "single quotation marks": ("'http://x.com/q'", "http://x.com/q"),
    "square brackets": ("[http://x.com/br]", "http://x.com/br"),
    "parentheses": ("(see http://x.com/p)", "http://x.com/p"),
    "parentheses in the address": ("(http://x.com/a_(b))", "http://x.com/a_(b)"),
    "brackets in a query": ("http://x.com/?a[]=1", "http://x.com/?a[]=1"),
    "Chinese parentheses": ("（http://x.com/a）", "http://x.com/a"),
    "a Chinese comma": ("http://x.com/a，谢谢", "http://x.com/a"),
    "a Chinese quotation": ("《http://x.com/a》", "http://x.com/a"),
    "an ellipsis": ("http://x.com/a…", "http://x.com/a"),
    "a dash": ("http://x.com/a—b", "http://x.com/a"),
    "a full stop": ("See http://x.com.", "http://x.com"),
    "a new domain": ("https://x.group/a", "https://x.group/a"),
    "an IP address": ("https://192.168.1.10:8080/oa", "https://192.168.1.10:8080/oa"),
    "an IPv6 address": ("http://[2001:db8::1]:80/a", "http://[2001:db8::1]:80/a"),
    "an intranet name": ("https://oa/login", "https://oa/login"),
    "localhost": ("http://localhost/a", "http://localhost/a"),
    "a Chinese domain": ("http://例子.中国/", "http://例子.中国/"),
    "a domain below 公司": ("https://x.公司/", "https://x.公司/"),
    "a domain in Punycode": ("https://xn--fiqs8s.xn--fiqs8s/", "https://xn--fiqs8s.xn--fiqs8s/"),
    "text directly after a domain": ("http://x.com谢谢", "http://x.com"),
    "a host without scheme": ("访问www.baidu.com查看", "http://www.baidu.com"),
    "a domain without scheme": ("请看x.com/a", "http://x.com/a"),
    "an address in an address": ("http://x.com/?u=http://y.com/", "http://x.com/?u=http://y.com/"),
}


@pytest.mark.parametrize(("line", "target"), FOUND.values(), ids=FOUND.keys())
def test_an_address_becomes_a_link(line: str, target: str) -> None:
    text, count = links.link_addresses(line, 10)
    assert (re.findall(r'href="([^"]*)"', text), count) == ([target], 1)


@pytest.mark.parametrize(
    "line",
    ["文件a.py", "index.html", "ftp://x.com.cn/z", "zs@localhost", "zs@1.2.3.4", "a@b@c.com", "http://", "@", "a.b"],
)
def test_other_text_is_no_link(line: str) -> None:
    assert links.link_addresses(line, 10) == (line, 0)


def test_several_addresses_stand_in_one_word() -> None:
    text, count = links.link_addresses("a@x.com;b@y.com,王@例子.公司", 10)
    assert count == 3
    assert re.sub(r"<[^>]*>", "", text) == "a@x.com;b@y.com,王@例子.公司"


def test_only_so_many_addresses_become_links() -> None:
    assert links.link_addresses("a@x.com b@x.com", 1)[1] == 1
    assert links.link_addresses("a@x.com b@x.com", 0) == ("a@x.com b@x.com", 0)


@pytest.mark.parametrize(("length", "count"), [(links.LONGEST, 1), (links.LONGEST + 1, 0)])
def test_an_address_is_so_long_at_most(length: int, count: int) -> None:
    assert links.link_addresses("http://x.com/".ljust(length, "a"), 10)[1] == count


def test_text_is_escaped() -> None:
    assert links.link_addresses("<b>\"&' @", 10) == ("&lt;b&gt;&quot;&amp;&#x27; @", 0)
    assert links.link_addresses("<http://x.com/?a=1&b=2>", 10)[0] == (
        '&lt;<a href="http://x.com/?a=1&amp;b=2">http://x.com/?a=1&amp;b=2</a>&gt;'
    )


@pytest.mark.parametrize(("surplus", "targets"), [(0, ["http://a.cn/"]), (1, ["http://a.cn/"])])
def test_a_long_word_hides_no_address_beside_it(surplus: int, targets: list[str]) -> None:
    line = "http://a.cn/ " + "@" * (2 * links.LONGEST + surplus)
    assert re.findall(r'href="([^"]*)"', links.link_addresses(line, 10)[0]) == targets
