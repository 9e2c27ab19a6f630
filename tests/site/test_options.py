"""Values as people write them: what is taken, and the one sentence for what is not."""

from __future__ import annotations

import pytest

from calls_doctor.errors import UsageError
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Mode, ServerUri
from calls_doctor.site import options


def refusal(function: object, text: str, *more: str) -> str:
    """The sentence with which a text is refused."""
    assert callable(function)
    with pytest.raises(UsageError) as caught:
        function(text, *more)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5), ("3s", 3.0), ("2m", 120.0), ("7", 7.0), ("0.3s", 0.3), ("1.5m", 90.0), (" 3s ", 3), ("0", 0.0),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert options.duration_s(text, "--wait") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "3h", "3 s", "-3s", "1e3", "nan", "inf", "3S", "3,5s", "٣s", "0x3", "1_000", "1" * 400, ".5s"]
)
def test_what_is_no_duration(text: str) -> None:
    assert "--wait" in refusal(options.duration_s, text, "--wait")


def test_a_duration_has_bounds() -> None:
    assert "30 days" in refusal(options.duration_s, "50000m", "--wait")
    with pytest.raises(UsageError, match=r"--media-time: .* at least 0\.02s"):
        options.duration_s("1ms", "--media-time", minimum_s=0.02)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("stun:stun.example.com", ServerUri(scheme="stun", host="stun.example.com", port=3478)),
        ("STUN:stun.example.com:19302", ServerUri(scheme="stun", host="stun.example.com", port=19302)),
        ("stun:[2001:db8::1]", ServerUri(scheme="stun", host="2001:db8::1", port=3478)),
        ("stun:[2001:DB8::1]:1", ServerUri(scheme="stun", host="2001:db8::1", port=1)),
        ("stuns:host", ServerUri(scheme="stuns", host="host", port=5349, transport="tls")),
        ("stun:bücher.example", ServerUri(scheme="stun", host="xn--bcher-kva.example", port=3478)),
    ],
)
def test_stun_uris(text: str, uri: ServerUri) -> None:
    assert options.stun_uri(text) == uri


@pytest.mark.parametrize(
    ("text", "transport", "port"),
    [
        ("turn:h", "udp", 3478),
        ("turn:h?transport=udp", "udp", 3478),
        ("turn:h?transport=TCP", "tcp", 3478),
        ("turn:h:5000?transport=tcp", "tcp", 5000),
        ("turns:h", "tls", 5349),
        ("turns:h:443?transport=tcp", "tls", 443),
    ],
)
def test_turn_uris(text: str, transport: str, port: int) -> None:
    uri = options.turn_uri(text)
    assert (uri.host, uri.transport, uri.port) == ("h", transport, port)
    assert options.turn_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("stn:h", 'did you mean "stun:"?'),
        ("h:3478", "write stun:host:3478"),
        ("h", "write stun:host:3478"),
        ("turn:h", "is a turn: URI where a stun: URI belongs"),
        ("stun://h", "has // after the scheme; write stun:host:3478"),
        ("stun:h?transport=udp", "has no ?query"),
        ("stun:", "host"),
        ("stun:2001:db8::1", "square brackets"),
        ("stun:[2001:db8::g]", "not an IP address"),
        ("stun:h:0", "1 to 65535"),
        ("stun:h:65536", "1 to 65535"),
        ("stun:h:", "is not a port"),
        ("stun:h:٣", "is not a port"),
        ("stun:1.2.3", "not an IP address"),
        ("stun:1.2.3.256", "not an IP address"),
        ("stun:a b", "not a host name"),
        ("stun:-a", "not a host name"),
        ("stun:a..b", "not a host name"),
        ("stun:" + "a" * 64, "not a host name"),
        ("stun:\x1b[31m", "?"),
    ],
)
def test_what_is_no_stun_uri(text: str, hint: str) -> None:
    sentence = refusal(options.stun_uri, text)
    assert hint in sentence
    assert sentence.startswith("--stun: ")
    assert sentence.isprintable()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("turn:h?transport=sctp", "?transport=udp or ?transport=tcp"),
        ("turn:h?", "?transport=udp or ?transport=tcp"),
        ("turns:h?transport=udp", "DTLS"),
        ("stun:h", "is a stun: URI where a turn: URI belongs"),
        ("trun:h", 'did you mean "turn:"?'),
    ],
)
def test_what_is_no_turn_uri(text: str, hint: str) -> None:
    assert hint in refusal(options.turn_uri, text)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (options.stun_uri, "stun:alice:hunter2@h"),
        (options.turn_uri, "turn:alice:hunter2@h"),
        (options.turn_uri, "alice:hunter2@h"),
    ],
)
def test_a_password_in_a_uri_is_refused_and_not_repeated(function: object, text: str) -> None:
    assert "hunter2" not in refusal(function, text)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("http://u:hunter2@h", "hunter2"),
        ("calls-doctor://h:8443/#a1b2c3d4.e5", "a1b2c3d4"),
    ],
)
def test_a_url_that_holds_a_secret_is_refused_and_not_repeated(text: str, hidden: str) -> None:
    assert hidden not in refusal(options.http_url, text, "--rtcd-url")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://rtcd:8045", "http://rtcd:8045"),
        ("http://rtcd:8045/", "http://rtcd:8045"),
        ("https://rtcd:443/a/", "https://rtcd/a"),
        ("HTTP://RTCD", "http://rtcd"),
        ("http://[::1]:8045", "http://[::1]:8045"),
    ],
)
def test_urls(text: str, url: str) -> None:
    assert options.http_url(text, "--rtcd-url") == url


@pytest.mark.parametrize(
    "text", ["", "rtcd:8045", "ftp://rtcd", "http://", "http://a b", "http://h/a b", "http://h?x=1", "http://h#x",
             "http://[::1", "http://h:99999", "http://h/ä", "//h"]
)  # fmt: skip
def test_what_is_no_url(text: str) -> None:
    assert refusal(options.http_url, text, "--rtcd-url").startswith("--rtcd-url: ")


def test_words_and_the_nearest() -> None:
    assert options.mode("ha-rtcd") is Mode.HA_RTCD
    assert options.vantage("media") is Role.MEDIA
    assert 'did you mean "integrated"?' in refusal(options.mode, "intergrated")
    assert 'did you mean "client"?' in refusal(options.vantage, "Client")
    assert "it is one of client, mattermost, media, turn, offloader" in refusal(options.vantage, "bananas")


def test_a_long_word_is_cut_in_its_sentence() -> None:
    assert len(refusal(options.mode, "x" * 5000)) < 250


@pytest.mark.parametrize(("text", "ports"), [("49152-65535", (49152, 65535)), ("1 - 1", (1, 1))])
def test_ranges_of_ports(text: str, ports: tuple[int, int]) -> None:
    assert options.port_range(text, "relay_ports") == ports


@pytest.mark.parametrize("text", ["5", "2-1", "0-1", "1-65536", "a-b", "-"])
def test_what_is_no_range_of_ports(text: str) -> None:
    assert "relay_ports" in refusal(options.port_range, text, "relay_ports")


def test_pairs() -> None:
    assert options.pair("a=b=c", "--metadata") == ("a", "b=c")
    assert options.pair("stun.reach", "--skip", value_needed=False) == ("stun.reach", "")
    assert options.pair("stun = no server ", "--skip", value_needed=False) == ("stun", "no server")
    assert "KEY=VALUE" in refusal(options.pair, "a", "--metadata")
    assert "KEY=VALUE" in refusal(options.pair, "=a", "--metadata")
