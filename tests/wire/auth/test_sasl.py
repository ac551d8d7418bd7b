"""SASL's mechanisms: the RFCs' own examples, what is refused, and SCRAM against a client written from the RFC."""

import base64
import contextlib
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.auth import sasl
from mailcore.wire.auth.sasl import SaslError, Scram, Unauthorized
from mailcore.wire.auth.saslprep import saslprep


def scram_client(first: bytes, password: str, server_first: bytes) -> tuple[bytes, bytes]:
    """(client-final, the server's last message it expects); RFC 5802 §3 with SHA-256."""
    fields = dict(field.split("=", 1) for field in server_first.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    bare = first.split(b",", 2)[2]
    without_proof = b"c=" + base64.b64encode(first[: -len(bare)]) + b",r=" + fields["r"].encode()
    message = bare + b"," + server_first + b"," + without_proof
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
    return without_proof + b",p=" + base64.b64encode(proof), b"v=" + base64.b64encode(verifier)


# RFC 7677 §3
FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_example_of_rfc_7677():
    exchange = Scram(FIRST)
    assert exchange.name == "user"
    assert exchange.challenge(SALT, 4096, NONCE) == SERVER_FIRST
    keys = sasl.make_keys("pencil", SALT, 4096)
    other = sasl.make_keys("other", SALT, 4096)
    assert exchange.verify(FINAL, [other, keys]) == (1, SERVER_FINAL)
    assert exchange.verify(FINAL, [other]) is None


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), st.binary(min_size=1, max_size=30))
def test_a_client_with_the_password_gets_in_and_knows_the_server(password, salt):
    exchange = Scram(FIRST)
    server_first = exchange.challenge(salt, 1, "server")
    final, expected = scram_client(FIRST, password, server_first)
    assert exchange.verify(final, [sasl.make_keys(password, salt, 1)]) == (0, expected)
    assert exchange.verify(final, [sasl.make_keys(password + "x", salt, 1)]) is None


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"n,,r=abc,n=user",
        b"n,,n=,r=abc",
        b"n,,n=user,r=",
        b"n,,n=us=er,r=abc",
        b"n,,n=user,r=a\x00b",
        b"p=tls-unique,,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"n,lisi,n=user,r=abc",
        b"n,,m=ext,n=user,r=abc",
    ],
)
def test_client_first_messages_that_are_none(first):
    with pytest.raises(SaslError):
        Scram(first)


def test_names_with_commas_and_for_somebody_else():
    assert Scram(b"y,,n=a=2Cb=3Dc,r=x").name == "a,b=c"
    assert Scram(b"n,a=user,n=user,r=x").name == "user"
    with pytest.raises(Unauthorized):
        Scram(b"n,a=admin,n=user,r=x")


@pytest.mark.parametrize(
    "final",
    [
        b"",
        b"c=biws",
        FINAL.replace(b"c=biws", b"c=eSws"),  # said n, now y: somebody meddled
        FINAL.replace(b",p=", b"x,p="),
        FINAL[:-5],
        FINAL.replace(b"dHzb", b"\xff\xff\xff\xff"),
        b"c=biws,r=another,p=" + FINAL[-44:],
    ],
)
def test_client_final_messages_of_another_exchange(final):
    exchange = Scram(FIRST)
    exchange.challenge(SALT, 4096, NONCE)
    with pytest.raises(SaslError):
        exchange.verify(final, [sasl.make_keys("pencil", SALT, 4096)])


@given(st.binary(max_size=200))
def test_nothing_but_a_sasl_error_comes_of_any_bytes(data):
    for read in (sasl.parse_plain, sasl.parse_oauthbearer, sasl.parse_xoauth2, sasl.decode_response, Scram):
        with contextlib.suppress(SaslError):
            read(data)
    exchange = Scram(FIRST)
    exchange.challenge(SALT, 1, "x")
    with pytest.raises(SaslError):
        exchange.verify(data, [])
    with pytest.raises(SaslError):
        sasl.parse_keys(data.decode("latin-1"))


def test_keys_as_text():
    keys = sasl.make_keys("pencil", SALT, 4096)
    assert str(keys).startswith("4096,W22ZaJ0SNY7soEsUEjb6gQ==,")
    assert sasl.parse_keys(str(keys)) == keys


def test_plain():
    assert sasl.parse_plain(b"\0lisi\0secret") == ("lisi", "secret")
    assert sasl.parse_plain(b"lisi\0lisi\0") == ("lisi", "")
    for wrong in (b"", b"lisi\0secret", b"a\0b\0c\0d"):
        with pytest.raises(SaslError):
            sasl.parse_plain(wrong)
    with pytest.raises(Unauthorized):
        sasl.parse_plain(b"admin\0lisi\0secret")


def test_bearer_tokens():
    # RFC 7628 §4.1
    given = b"n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"
    assert sasl.parse_oauthbearer(given) == ("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
    assert sasl.parse_oauthbearer(b"n,,\1auth=bearer x\1\1") == ("", "x")
    assert sasl.parse_xoauth2(b"user=lisi@benet.com\1auth=Bearer ya29\1\1") == ("lisi@benet.com", "ya29")
    for wrong in (b"n,,\1\1", b"n,,\1auth=Basic x\1\1", b"n,,\1auth=Bearer \1\1", b"n,,\1auth=Bearer x\1"):
        with pytest.raises(SaslError):
            sasl.parse_oauthbearer(wrong)
    with pytest.raises(SaslError):
        sasl.parse_xoauth2(b"auth=Bearer x\1\1")


@pytest.mark.parametrize(
    ("options", "clear", "names"),
    [
        (("noanonymous",), True, "SCRAM-SHA-256 PLAIN LOGIN"),
        (("noanonymous",), False, "SCRAM-SHA-256"),
        (("noanonymous", "noplaintext"), True, "SCRAM-SHA-256"),
        (("mutual_auth",), True, "SCRAM-SHA-256"),
        (("nodictionary",), True, ""),
    ],
)
def test_which_mechanisms_keep_to_the_options(options, clear, names):
    assert " ".join(sasl.available_mechanisms(options, tokens=False, clear=clear)) == names
    assert "XOAUTH2" in sasl.available_mechanisms((), tokens=True, clear=True)


# RFC 4013 §3
@pytest.mark.parametrize(
    ("given_text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("北京 hutong", "北京 hutong"),
    ],
)
def test_saslprep(given_text, prepared):
    assert saslprep(given_text) == prepared


@pytest.mark.parametrize("wrong", ["\u0007", "\u0627\u0031", "a\ud800", "\u06271x"])
def test_what_saslprep_prohibits(wrong):
    with pytest.raises(ValueError, match=r"prohibited|direction"):
        saslprep(wrong)
