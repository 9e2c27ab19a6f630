"""HTTP_PROXY, HTTPS_PROXY and NO_PROXY as Go programs read them."""

from __future__ import annotations

import pytest

from calls_doctor.wire.proxy_rules import Choice, choice

RTCD = "http://rtcd.internal.example.com:8045"
PROXY = "http://proxy.example.com:3128"


def spared_by(no_proxy: str, url: str = RTCD) -> str:
    found = choice(url, {"HTTP_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert found.is_caught is not bool(found.exempt_by)
    return found.exempt_by


def test_no_variable_is_no_proxy() -> None:
    assert choice(RTCD, {}) == choice(RTCD, {"HTTPS_PROXY": PROXY, "HTTP_PROXY": ""}) == Choice()
    assert choice(RTCD, {"ALL_PROXY": PROXY}) == Choice(), "Go knows no such variable"


def test_the_scheme_picks_the_variable_and_the_upper_case_name_counts_first() -> None:
    both = {"http_proxy": "http://lower:1", "HTTP_PROXY": "http://upper:2", "https_proxy": "http://tls:3"}
    assert choice(RTCD, both) == Choice("HTTP_PROXY", "http://upper:2")
    assert choice(RTCD.replace("http", "https"), both) == Choice("https_proxy", "http://tls:3")


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("http://user:s3cr3t@proxy:3128/path?key=s3cr3t", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        ("user:s3cr3t@proxy:3128", "http://proxy:3128"),
        ("http://proxy", "http://proxy:80"),
        ("socks5://[2001:db8::1]", "socks5://[2001:db8::1]:1080"),
        ("http://user:s3cr3t@proxy:no-port", ""),
        ("http://[s3cr3t", ""),
        ("://s3cr3t", ""),
        ("http://user:1234/s3cr3t@proxy:3128", ""),
    ],
)
def test_of_a_proxys_url_only_scheme_host_and_port_are_told(value: str, proxy: str) -> None:
    found = choice(RTCD, {"HTTP_PROXY": value})
    assert found == Choice("HTTP_PROXY", proxy)
    assert "s3cr3t" not in repr(found)


@pytest.mark.parametrize(
    ("entry", "spares"),
    [
        ("rtcd.internal.example.com", True),
        ("RTCD.internal.example.com", True),
        ("rtcd.internal.example.com:8045", True),
        ("rtcd.internal.example.com:8046", False),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("*.internal.example.com", True),
        (".rtcd.internal.example.com", False),
        ("ample.com", False),
        ("*", True),
        ("10.0.0.0/8", False),
        ("[", False),
        ("10.0.0.0/99", False),
    ],
)
def test_a_name_is_spared_by_itself_its_domain_and_never_by_a_network(entry: str, spares: bool) -> None:
    assert spared_by(f"other.example.org, {entry} ,") == (entry.lower() if spares else "")


@pytest.mark.parametrize(
    ("entry", "url", "spares"),
    [
        ("10.0.0.0/8", "http://10.0.1.20:8045", True),
        ("10.0.1.20", "http://10.0.1.20:8045", True),
        ("10.0.1.20:8045", "http://10.0.1.20:8045", True),
        ("10.0.1.2", "http://10.0.1.20:8045", False),
        ("2001:db8::/32", "http://[2001:db8::1]:8045", True),
        ("2001:db8::1", "http://[2001:db8::1]:8045", True),
        ("[2001:db8::1]:8045", "http://[2001:db8::1]:8045", True),
        ("[2001:db8::1]:80", "http://[2001:db8::1]:8045", False),
    ],
)
def test_an_address_is_spared_by_itself_and_its_network(entry: str, url: str, spares: bool) -> None:
    assert spared_by(entry, url) == (entry if spares else "")


@pytest.mark.parametrize("url", ["http://localhost:8045", "http://127.0.0.1:8045", "http://[::1]:8045"])
def test_this_machine_itself_is_always_spared(url: str) -> None:
    assert spared_by("", url) == "loopback"
