"""One-time codes: RFC 6238's own values, and what a phone's clock may do."""

import pytest

from mailcore.wire.auth import totp

KEY = b"12345678901234567890"


@pytest.mark.parametrize(
    ("now", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037"), (20000000000, "353130")],
)  # fmt: skip
def test_the_values_of_rfc_6238_appendix_b(now, code):
    assert totp.compute_code(KEY, totp.step_at(now)) == code


def test_a_clock_may_be_half_a_minute_off_and_no_more():
    now = 1111111109
    here = totp.step_at(now)
    fits = [
        totp.matching_step(KEY, totp.compute_code(KEY, here + off), now, 0) is not None for off in (-2, -1, 0, 1, 2)
    ]
    assert fits == [False, True, True, True, False]


def test_a_code_is_good_once_and_may_be_typed_with_a_gap():
    now = 1111111109
    assert totp.matching_step(KEY, "081 804", now, 0) == totp.step_at(now)
    assert totp.matching_step(KEY, "081804", now, totp.step_at(now)) is None
    assert totp.matching_step(KEY, "", now, 0) is None


def test_what_the_camera_reads():
    assert totp.provisioning_uri(KEY, "Youju", "lisi@benet.com") == (
        "otpauth://totp/Youju:lisi%40benet.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Youju"
    )
    assert totp.format_key(KEY) == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
