"""Scripts that use lists of addresses outside of them (RFC 6134)."""

import pytest

from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.extensions.external_lists import DEFAULT, ExternalList
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import Envelope, Keep, Limits, ScriptEnvironment, SieveRunError
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage

REQUIRED = 'require ["extlists", "envelope", "copy", "variables"];\n'
BOOK = ["anna@x.example", "lisi@benet.com"]
LISTS = {DEFAULT: ExternalList(BOOK.__contains__, lambda: BOOK), "tag:empty": ExternalList(lambda _: False, list)}
MESSAGE = b"From: Anna <anna@x.example>\r\nCc: eve@y.example\r\n\r\n"


def run(script: str, **limits):
    around = ScriptEnvironment(
        now=0.0,
        has_mailbox=lambda _: True,
        mailbox_for=lambda _: "",
        was_seen=lambda _: False,
        find_list=LISTS.get,
        limits=Limits(**limits),
    )
    message = SieveMessage(MESSAGE, Envelope("anna@x.example", "lisi@benet.com"))
    return run_script(compile_script(REQUIRED + script), message, around)


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ('address :list "From" ":addrbook:default"', True),
        (f'address :list ["Cc", "From"] ["tag:empty", "{DEFAULT}"]', True),
        ('address :list "Cc" ":addrbook:default"', False),
        ('envelope :list "from" ":addrbook:default"', True),
        ('address :list "From" "tag:empty"', False),
        ('valid_ext_list [":addrbook:default", "tag:empty"]', True),
        ('valid_ext_list ["tag:empty", "tag:none"]', False),
    ],
)
def test_members_of_a_list(test, holds):
    assert (not run(f"if {test} {{ discard; }}").keeps) is holds


def test_a_message_goes_to_everybody_on_a_list():
    assert [each.address for each in run('redirect :list ":addrbook:default";').redirects] == BOOK
    assert run('redirect :list ":addrbook:default";').keeps == ()
    assert run('redirect :list :copy ":addrbook:default";').keeps == (Keep(),)
    with pytest.raises(SieveRunError, match="too many"):
        run('redirect :list ":addrbook:default";', redirects=1)


def test_a_message_for_an_empty_list_is_kept():
    made = run('redirect :list "tag:empty";')
    assert (made.keeps, made.redirects) == ((Keep(),), ())


@pytest.mark.parametrize("script", ['if address :list "From" "tag:none" { }', 'redirect :list "tag:none";'])
def test_there_must_be_such_a_list(script):
    with pytest.raises(SieveRunError, match='no list "tag:none"'):
        run(script)


def test_the_extension_must_be_required():
    with pytest.raises(SieveError, match="extlists"):
        compile_script('if header :list "From" "x" { }')
