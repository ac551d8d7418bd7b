"""A few thousand of the sessions that bench/fuzz_smtp.py makes; `make fuzz` makes a million."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))  # the benchmarks

import fuzz_smtp

pytestmark = pytest.mark.django_db(transaction=True)


def test_whatever_comes_is_answered_by_the_book(benet, parameters, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    parameters(
        smtpd_error_sleep_time="0",
        smtpd_hard_error_limit="1000",
        smtpd_forbid_unauth_pipelining="no",
        smtpd_peername_lookup="no",
        mynetworks="",
    )
    figures = asyncio.run(fuzz_smtp.run(2000, seed=2026, report=0))
    assert figures["sessions_left"] == 0
    assert {"250", "354", "500", "501", "550", "554"} <= figures["codes"].keys()
