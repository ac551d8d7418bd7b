"""Notifications by mail (RFC 5435, RFC 5436)."""

import email
import email.policy

import pytest

from mailcore.wire.sieve import notification
from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import Envelope, Keep, Limits, Notification, ScriptEnvironment, SieveRunError
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage

MESSAGE = "From: 李四 <li@far.example>\r\nSubject: 会议\r\n\r\ntext\r\n".encode()


def run(script: str, content: bytes = MESSAGE, **more) -> tuple[Notification, ...]:
    around = ScriptEnvironment(
        now=0.0, has_mailbox=lambda _: False, mailbox_for=lambda _: "", was_seen=lambda _: False, **more
    )
    compiled = compile_script(f'require ["enotify", "variables", "relational"]; {script}')
    made = run_script(compiled, SieveMessage(content, Envelope("", "a@b.cn")), around)
    assert made.keeps in ((Keep(),), ())
    return made.notifications


@pytest.mark.parametrize(
    ("uri", "parsed"),
    [
        ("mailto:a@b.cn", (("a@b.cn",), {})),
        ("MAILTO:a@b.cn,c@d.cn?cc=A@b.cn", (("A@b.cn", "c@d.cn"), {})),
        (
            "mailto:a%2Bx@b.cn?subject=%E4%BC%9A%20x&body=1%0D%0A2",
            (("a+x@b.cn",), {"subject": "会 x", "body": "1\r\n2"}),
        ),
        ("mailto:?to=a@b.cn&from=x@y.cn&bcc=z@y.cn", (("a@b.cn",), {})),
        ("mailto:a@b.cn%2cc@d.cn", (("a@b.cn", "c@d.cn"), {})),
        ("mailto:%22a%2cb%22@b.cn", (("a,b@b.cn",), {})),
        ("mailto:a@b.cn?", (("a@b.cn",), {})),
        ("mailto:a@b.cn;?x=y", None),
        ("mailto:a@b.cn?to=nobody", None),
        ("mailto:", None),
        ("mailto:nobody", None),
        ("mailto:a@b.cn,nobody", None),
        ("xmpp:a@b.cn", None),
        ("mailto:" + "a" * 4000 + "@b.cn", None),
    ],
)
def test_a_method(uri: str, parsed: object) -> None:
    assert notification.parse_mailto(uri) == parsed


def test_what_a_script_asks_for() -> None:
    [asked] = run('notify :message "New: x" :importance "1" :from "me@b.cn" "mailto:a@b.cn?subject=s";')
    assert asked == Notification(("a@b.cn",), "s", "", "New: x", "me@b.cn", "1")


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ('valid_notify_method ["mailto:a@b.cn"]', True),
        ('valid_notify_method ["mailto:a@b.cn", "tel:1"]', False),
        ('notify_method_capability "mailto:a@b.cn" "online" ["yes", "maybe"]', True),
        ('notify_method_capability "mailto:a@b.cn" "online" "yes"', False),
        ('notify_method_capability "tel:1" "online" "maybe"', False),
    ],
)
def test_what_a_script_may_ask_first(test: str, holds: bool) -> None:
    assert bool(run(f'if {test} {{ notify "mailto:a@b.cn"; }}')) == holds


def test_texts_are_encoded_for_a_uri() -> None:
    [asked] = run('set :encodeurl "s" "a&b 会"; notify "mailto:a@b.cn?subject=${s}";')
    assert asked.subject == "a&b 会"


@pytest.mark.parametrize(
    "script",
    [
        'notify :importance "4" "mailto:a@b.cn";',
        'notify "mailto:";',
        'notify "a@b.cn";',
        'notify "mailto:a@b.cn?x<=y";',
        'notify "mailto:a@b.cn?x:=y";',
        'notify :from "nobody" "mailto:a@b.cn";',
        'notify :from "" "mailto:a@b.cn";',
        'notify :options "" "mailto:a@b.cn";',
        'notify :options ["a=b", "c"] "mailto:a@b.cn";',
        'notify :options "_a=b" "mailto:a@b.cn";',
    ],
)
def test_what_is_wrong_is_said_when_the_script_is_stored(script: str) -> None:
    with pytest.raises(SieveError):
        run(script)


def test_a_method_that_is_not_there_fails_when_it_is_reached() -> None:
    """RFC 5435 §3.1: a script for another site can be stored, and ask first."""
    assert run('if valid_notify_method "xmpp:a@b.cn" { notify "xmpp:a@b.cn"; }') == ()
    with pytest.raises(SieveRunError, match=r'no method to notify "xmpp:a@b\.cn"'):
        run('notify "xmpp:a@b.cn";')
    with pytest.raises(SieveRunError, match="no mailto: address"):
        run('set "x" "nobody"; notify "mailto:${x}";')


def test_notifications_have_a_limit() -> None:
    with pytest.raises(SieveRunError, match="too many addresses"):
        run('notify "mailto:a@b.cn,c@b.cn"; notify "mailto:d@b.cn";', limits=Limits(redirects=2))


def rendered(asked: Notification) -> email.message.EmailMessage:
    message = SieveMessage(MESSAGE, Envelope("li@far.example", "me@b.cn"))
    raw = notification.render_notification(asked, message, owner="me@b.cn", date="now", message_id="1@b.cn")
    return email.message_from_bytes(raw, policy=email.policy.default)  # type: ignore[return-value]


def test_the_message() -> None:
    made = rendered(Notification(("a@c.cn",), importance="1"))
    assert (made["From"], made["To"], made["Subject"]) == ("me@b.cn", "a@c.cn", "会议")
    assert made["Importance"] == "high"
    assert made["Auto-Submitted"] == 'auto-notified; owner-email="me@b.cn"'
    assert made.get_content().splitlines() == ["From: 李四 <li@far.example>", "Subject: 会议"]


def test_no_field_of_the_uri_reaches_the_header() -> None:
    made = rendered(Notification(("a@c.cn",), "s\r\nBcc: x@y.cn", "body\r\n.\r\n"))
    assert made["Bcc"] is None
    assert made["Subject"] == "s Bcc: x@y.cn"


@pytest.mark.parametrize(("value", "is_due"), [("no", True), ("auto-replied", False), ("auto-notified; x=y", False)])
def test_programs_are_not_answered_with_notifications(value: str, is_due: bool) -> None:
    message = SieveMessage(f"Auto-Submitted: {value}\r\n\r\n".encode(), Envelope("", "a@b.cn"))
    assert notification.should_notify(message) == is_due
