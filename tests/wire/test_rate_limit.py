"""Token buckets by source address."""

from __future__ import annotations

import ipaddress

import pytest

from calls_doctor.wire.rate_limit import TOTAL_FACTOR, RateLimit, source_of


def allowed(limit: RateLimit, address: str, now: float, times: int) -> int:
    return sum(limit.allows(address, now) for _ in range(times))


def test_a_burst_and_then_a_rate() -> None:
    limit = RateLimit(10.0, 5.0)
    assert allowed(limit, "192.0.2.1", 0.0, 20) == 5
    assert allowed(limit, "192.0.2.1", 0.25, 20) == 2
    assert allowed(limit, "192.0.2.1", 100.0, 20) == 5, "no more is saved up than a burst"


def test_one_source_takes_nothing_from_another() -> None:
    limit = RateLimit(1.0, 2.0)
    assert allowed(limit, "192.0.2.1", 0.0, 9) == 2
    assert allowed(limit, "192.0.2.2", 0.0, 9) == 2


def test_all_together_have_an_end_too() -> None:
    limit = RateLimit(1.0, 2.0, sources_max=10_000)
    total = sum(limit.allows(f"10.0.{high}.{low}", 0.0) for high in range(4) for low in range(256))
    assert total == 2 * TOTAL_FACTOR
    assert limit.allows("192.0.2.1", 1.0)


def test_all_together_get_back_as_many_times_what_one_does() -> None:
    limit = RateLimit(2.0, 4.0, sources_max=10_000)
    at_once = sum(limit.allows(f"10.0.0.{low}", 0.0) for low in range(200))
    later = sum(limit.allows(f"10.0.1.{low}", 1.0) for low in range(200))
    assert (at_once, later) == (4 * TOTAL_FACTOR, 2 * TOTAL_FACTOR)


def test_what_one_source_gets_where_nobody_says_otherwise() -> None:
    limit = RateLimit()
    assert [allowed(limit, "192.0.2.1", now, 200) for now in (0.0, 1.0)] == [80, 40]
    assert sum(allowed(limit, f"10.0.0.{low}", 10.0, 80) for low in range(30)) == 2000, "a thousand a second follow"


def test_the_table_does_not_grow() -> None:
    limit = RateLimit(1.0, 1.0, sources_max=3)
    for number in range(10):
        limit.allows(f"192.0.2.{number}", 0.0)
    assert limit.sources == 3
    assert limit.allows("192.0.2.9", 0.0) is False, "the latest are remembered"


@pytest.mark.parametrize(("address", "source"), [
    ("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("fe80::1%eth0", "fe80::"),
    ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("::1", "::"),
])  # fmt: skip
def test_a_source_of_ipv6_is_its_network(address: str, source: str) -> None:
    assert ipaddress.ip_address(source_of(address)) == ipaddress.ip_address(source)
