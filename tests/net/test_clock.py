"""Another clock by HTTP's Date, from servers whose clock is off by a known time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import HttpError
from calls_doctor.model.certificate import TlsFault
from calls_doctor.net import clock
from calls_doctor.net.http import HttpAnswer
from tests.servers import certificates
from tests.servers.scripted_tcp import answering, http_answer
from tests.servers.site_servers import Site, site

TIMEOUT_S = 2.0


@pytest.mark.parametrize("ahead_s", [0.0, 3600.0, -86_400.0])
async def test_how_far_a_server_is_ahead(ahead_s: float) -> None:
    async with site(Site(ahead_s=ahead_s)) as server:
        read = await clock.of_http(server.url("/api/v4/system/ping"), TIMEOUT_S)
    assert abs(read.offset_s - ahead_s) <= read.uncertainty_s + 0.01
    assert 0.5 <= read.uncertainty_s < 1.0


async def test_what_a_cache_kept_is_as_old_as_it_says() -> None:
    async with site(Site(ahead_s=100.0, age_s=5000)) as server:
        read = await clock.of_http(server.url(), TIMEOUT_S)
    assert read.offset_s == pytest.approx(100.0, abs=1.5)


async def test_a_certificate_that_is_at_fault_hides_no_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = certificates.authority(tmp_path).trusted(monkeypatch)
    expired = certificates.faulty(TlsFault.EXPIRED, own, tmp_path)
    async with site(Site(ahead_s=-7200.0), expired) as server:
        read = await clock.of_http(f"https://localhost:{server.port}/", TIMEOUT_S)
    assert read.offset_s == pytest.approx(-7200.0, abs=1.5)


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Wed, 99 Nov 2026 14:42:48 GMT", "Wed, 25 Nov 99999999999 14:42:48 GMT", "0", "\xe9"]
)
async def test_no_date_and_what_is_none(date: str) -> None:
    async with answering(http_answer(200, b"", *([f"Date: {date}"] if date else []))) as server:
        with pytest.raises(HttpError, match="no date"):
            await clock.of_http(server.url(), TIMEOUT_S)


def test_between_two_of_our_own_times() -> None:
    assert clock.between(1_000_010.0, 1_000_000.0, 1_000_004.0) == clock.Reading(8.0, 2.0)
    assert clock.between(1_000_010.0, 1_000_000.0, 1_000_004.0, 0.5) == clock.Reading(8.0, 2.5)


@given(st.text(max_size=60), st.text(max_size=30))
def test_whatever_a_far_end_sends_is_a_time_or_none(date: str, age: str) -> None:
    """No text raises, and what is taken is a number."""
    answer = HttpAnswer(200, [("date", date), ("age", age)], b"", 0.0)
    told_s = clock._told_s(answer)
    assert told_s is None or isinstance(told_s, float)
    dated = HttpAnswer(200, [("date", "Wed, 25 Nov 2026 14:42:48 GMT"), ("age", age)], b"", 0.0)
    assert 1_795_000_000 < (clock._told_s(dated) or 0) < 3_000_000_000
