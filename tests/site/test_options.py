"""Values as people write them: what is right is read, what is wrong is one sentence that shows what would be right."""

from __future__ import annotations

import pytest

from calls_doctor.errors import UsageError
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Mode, ServerUri
from calls_doctor.site import options


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("3s", 3), ("2m", 120), ("1.5", 1.5), (" 4 ", 4), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert options.duration_s(text, "--wait") == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1h", "1e3", "٣s", "3 s", "1s2", "inf", "nan", "99999999999m"])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--wait: "):
        options.duration_s(text, "--wait")


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("stun:a", ServerUri(scheme="stun", host="a", port=3478)),
        ("STUN:a:1", ServerUri(scheme="stun", host="a", port=1)),
        ("stuns:a", ServerUri(scheme="stuns", host="a", port=5349, transport="tls")),
        ("stun:[2001:db8::1]:65535", ServerUri(scheme="stun", host="2001:db8::1", port=65535)),
        ("stun:bücher.example", ServerUri(scheme="stun", host="xn--bcher-kva.example", port=3478)),
    ],
)
def test_stun_uris(text: str, uri: ServerUri) -> None:
    assert options.stun_uri(text) == uri
    assert options.stun_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.example.com", "write stun:host:3478"),
        ("stunn:a", 'did you mean "stun:"?'),
        ("turn:a", "is a turn: URI where a stun: URI belongs"),
        ("stun://a", "has // after the scheme"),
        ("stun:a?transport=udp", "has no ?query"),
        ("stun:2001:db8::1", "square brackets"),
        ("stun:a:0", "is not a port"),
        ("stun:a:65536", "is not a port"),
        ("stun:1.2.3.4.5", "is not an IP address"),
        ("stun:-a", "is not a host name"),
        ("stun:", "is not a host"),
        ("stun:canary:canary@a", "holds no credentials"),
    ],
)
def test_no_stun_uris(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        options.stun_uri(text)
    assert str(caught.value).startswith("--stun: ")
    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "transport", "port"),
    [
        ("turn:a", "udp", 3478),
        ("turn:a?transport=tcp", "tcp", 3478),
        ("turn:a:80?TRANSPORT=UDP", "udp", 80),
        ("turns:a", "tls", 5349),
        ("turns:a:443?transport=tcp", "tls", 443),
    ],
)
def test_turn_uris(text: str, transport: str, port: int) -> None:
    uri = options.turn_uri(text)
    assert (uri.transport, uri.port) == (transport, port)
    assert options.turn_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "said"),
    [("turns:a?transport=udp", "DTLS"), ("turn:a?transport=sctp", "is not known"), ("turn:a?x", "is not known")],
)
def test_no_turn_uris(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        options.turn_uri(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://rtcd:8045", "http://rtcd:8045"),
        ("https://a:443/sub/", "https://a/sub"),
        ("http://[2001:db8::1]:8045/", "http://[2001:db8::1]:8045"),
    ],
)
def test_urls(text: str, url: str) -> None:
    assert options.http_url(text, "--rtcd-url") == url


@pytest.mark.parametrize(
    "text",
    ["rtcd:8045", "ftp://a", "http://", "http://a?x=1", "http://a/#f", "http://u:canary@a", "http://a/b c", "http://["],
)
def test_no_urls(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--rtcd-url: ") as caught:
        options.http_url(text, "--rtcd-url")
    assert "canary" not in str(caught.value)


def test_words_of_closed_sets() -> None:
    assert options.mode("ha-rtcd") is Mode.HA_RTCD
    assert options.vantage("turn") is Role.TURN
    with pytest.raises(UsageError, match='did you mean "kubernetes"'):
        options.mode("kubernets")
    with pytest.raises(UsageError, match="it is one of client, mattermost, media, turn, offloader"):
        options.vantage("banana")
    with pytest.raises(UsageError):
        options.vantage("stun")  # a role, and nowhere to run


def test_ranges_of_ports() -> None:
    assert options.port_range("49152-65535", "x") == (49152, 65535)
    for text in ("1", "2-1", "a-b", "0-1", "1-"):
        with pytest.raises(UsageError):
            options.port_range(text, "x")


def test_pairs() -> None:
    assert options.pair("a=b=c", "--metadata") == ("a", "b=c")
    assert options.pair("a", "--skip", value_needed=False) == ("a", "")
    for text in ("a", "=b", ""):
        with pytest.raises(UsageError):
            options.pair(text, "--metadata")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m\n", '"a?[31m?"'),
        ("a@b", "the value (it holds an @"),
        ("calls-doctor://a#b", "the value (it is a pairing"),
    ],
)
def test_a_wrong_text_is_repeated_without_harm(text: str, shown: str) -> None:
    assert options.shown(text).startswith(shown)


def test_a_long_text_is_cut() -> None:
    assert len(options.shown("x" * 1000)) == options.SHOWN_CHARS + 2
