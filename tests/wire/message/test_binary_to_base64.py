"""Uploaded bytes that IMAP strings cannot carry come back as they were."""

from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.message.binary_to_base64 import to_base64
from mailcore.wire.message.body_section import decode_part


@given(st.binary(max_size=400))
def test_a_binary_part_comes_back(data: bytes) -> None:
    message = b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n" + data
    stored = to_base64(message)
    assert b"\0" not in stored
    assert decode_part(stored, (1,)) == data


def test_only_binary_parts_change() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"--b\r\n\r\nplain\r\n--b\r\n"
        b"content-transfer-encoding: BINARY\r\nX: y\r\n\r\n\x00\x01\r\n--b--\r\n"
    )
    assert to_base64(message) == (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\n"
        b"Content-Transfer-Encoding: base64\r\nX: y\r\n\r\nAAE=\r\n\r\n--b--\r\n"
    )
    plain = b"Subject: x\r\n\r\nbody"
    assert to_base64(plain) == plain
