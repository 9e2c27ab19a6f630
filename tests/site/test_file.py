"""The site file: every key with a value that is taken and one that is not, lines, bounds, and what the site becomes."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any  # TOML holds values of every type

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls_doctor.errors import UsageError
from calls_doctor.model.site import MediaAddress, Mode, Setting
from calls_doctor.site import file as site_file
from calls_doctor.site.file import KEYS, read, unused
from calls_doctor.site.gather import gather
from calls_doctor.site.request import Request

GOOD: dict[str, list[tuple[str, Any]]] = {
    "mode": [(f'"{mode}"', str(mode)) for mode in Mode] + [('""', "")],
    "users": [('"public"', "public"), ('"private"', "private"), ('"hybrid"', "hybrid")],
    "mattermost.url": [('"https://chat.example.com/"', "https://chat.example.com"), ('""', "")],
    "mattermost.nodes": [('["10.0.1.10", "10.0.1.11"]', ["10.0.1.10", "10.0.1.11"]), ("[]", [])],
    "mattermost.handler": [('"10.0.1.10"', "10.0.1.10"), ('""', "")],
    "mattermost.plugin_version": [('"1.11.1"', "1.11.1")],
    "rtcd.url": [('"http://10.0.1.20:8045/"', "http://10.0.1.20:8045"), ('""', "")],
    "rtcd.nodes": [('["10.0.1.20", "fd00:0::2"]', ["10.0.1.20", "fd00::2"])],
    "media.hosts": [('["calls.example.com", "calls.example.com", "192.0.2.1"]', ["calls.example.com", "192.0.2.1"])],
    "media.udp_port": [("1", 1), ("65535", 65535)],
    "media.tcp_port": [("0", 0), ("443", 443)],
    "media.host_override": [('"203.0.113.20"', "203.0.113.20"), ('" calls.example.com "', "calls.example.com")],
    "media.host_port_override": [("0", 0), ("443", 443)],
    "media.nat": [('[{ public = "203.0.113.20", private = "10.0.1.20" }]', ["203.0.113.20/10.0.1.20"]), ("[]", [])],
    "stun.servers": [('["stun:stun.example.com"]', ["stun:stun.example.com:3478"]), ("[]", [])],
    "turn.servers": [('["turns:turn.example.com"]', ["turns:turn.example.com:5349?transport=tcp"])],
    "turn.auth": [('"secret"', "secret"), ('"password"', "password")],
    "turn.credential_minutes": [("1", 1), ("1440", 1440)],
    "turn.relay_ports": [('"49152-65535"', "49152-65535")],
    "offloader.url": [('"http://10.0.1.30:4545"', "http://10.0.1.30:4545")],
    "kubernetes.values": [('"values.yaml"', "values.yaml")],
    "kubernetes.chart": [('"mattermost/mattermost-rtcd"', "mattermost/mattermost-rtcd")],
    "kubernetes.exposure": [('"host-network"', "host-network"), ('"load-balancer"', "load-balancer")],
    "networks.clients": [('["0.0.0.0/0", "fd00::/8"]', ["0.0.0.0/0", "fd00::/8"])],
    "networks.mattermost": [('["10.0.1.0/24"]', ["10.0.1.0/24"])],
}  # fmt: skip
BAD: dict[str, list[tuple[str, str]]] = {
    "mode": [('"rtdc"', 'did you mean "rtcd"?'), ("3", "a text in quotes")],
    "users": [('"pubic"', 'did you mean "public"?'), ("true", "a text in quotes")],
    "mattermost.url": [('"chat.example.com"', "is not a URL"), ('"https://u:p@chat"', "no credentials"), ("1", "text")],
    "mattermost.nodes": [('["node"]', "not an IP address"), ('"10.0.1.10"', "a list belongs here"), ("[1]", "text")],
    "mattermost.handler": [('"node"', "not an IP address"), ("[]", "a text in quotes")],
    "mattermost.plugin_version": [("1.11", "a text in quotes")],
    "rtcd.url": [('"10.0.1.20:8045"', "is not a URL"), ("8045", "a text in quotes")],
    "rtcd.nodes": [('["10.0.1"]', "not an IP address"), ("1", "a list belongs here")],
    "media.hosts": [('["a b"]', "not a host name"), ('[""]', "not a host name"), ('"calls"', "a list belongs here")],
    "media.udp_port": [(bad, "a number from 1 to 65535") for bad in ("0", "65536", '"8443"', "8443.0", "true", "[]")],
    "media.tcp_port": [(bad, "a number from 0 to 65535") for bad in ("-1", "65536", '"8443"', "1979-05-27")],
    "media.host_override": [('"a:b"', "not an IP address"), ("1", "a text in quotes")],
    "media.host_port_override": [("70000", "a number from 0 to 65535")],
    "media.nat": [
        ('["203.0.113.20/10.0.1.20"]', "write [{ public"), ('[{ public = "203.0.113.20" }]', "public and private"),
        ('[{ public = "a", private = "10.0.1.20" }]', "not an IP address"), ('"x"', "write [{ public"),
        ('[{ public = "203.0.113.20", privat = "10.0.1.20" }]', '"privat" is not known'),
        ('[{ public = 1, private = "10.0.1.20" }]', "a text in quotes"),
    ],
    "stun.servers": [('["turn:a"]', "is a turn: URI where a stun: URI belongs"), ('"stun:a"', "a list belongs here")],
    "turn.servers": [('["turn:a?transport=sctp"]', "write ?transport=udp"), ("[[]]", "a text in quotes")],
    "turn.auth": [('"secert"', 'did you mean "secret"?')],
    "turn.credential_minutes": [("0", "a number from 1 to"), ("1.5", "a number from 1 to")],
    "turn.relay_ports": [('"65535-49152"', "runs backwards"), ('"all"', "not a range"), ("49152", "a text in quotes")],
    "offloader.url": [('"ftp://a"', "is not a URL")],
    "kubernetes.values": [("[]", "a text in quotes")],
    "kubernetes.chart": [("{}", "a text in quotes")],
    "kubernetes.exposure": [('"nodeport"', 'did you mean "node-port"?')],
    "networks.clients": [('["10.0.1.5/24"]', "not a network"), ('"0.0.0.0/0"', "a list belongs here")],
    "networks.mattermost": [('["everyone"]', "not a network")],
}  # fmt: skip


def line_of(name: str, value: str) -> str:
    table, dot, key = name.rpartition(".")
    return f"[{table}]\n{key} = {value}\n" if dot else f"{key} = {value}\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "calls-doctor.toml"


def refusal(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_key_is_tested() -> None:
    assert set(GOOD) == set(BAD) == set(KEYS)


@pytest.mark.parametrize(("name", "text", "value"), [(name, *row) for name, rows in GOOD.items() for row in rows])
def test_what_is_taken(name: str, text: str, value: object, place: Path) -> None:
    place.write_text(line_of(name, text))
    assert read(place) == {name: Setting(value=value, origin=f"calls-doctor.toml:{1 + name.count('.')}")}  # type: ignore[arg-type]  # msgspec judges it


@pytest.mark.parametrize(("name", "text", "said"), [(name, *row) for name, rows in BAD.items() for row in rows])
def test_what_is_refused_names_file_line_and_key(name: str, text: str, said: str, place: Path) -> None:
    sentence = refusal(place, line_of(name, text))
    assert sentence.startswith(f"{place}:{1 + name.count('.')} ({name}): ")
    assert said in sentence


@pytest.mark.parametrize(("name", "default"), [(name, key.default) for name, key in KEYS.items()])
def test_a_default_is_a_value_that_the_key_takes(name: str, default: object) -> None:
    assert KEYS[name].parse(default, name) == default


@pytest.mark.parametrize(("text", "said"), [
    ('modee = "rtcd"', ':1: "modee" is not known; did you mean "mode"?'),
    ("\n[media]\nudp_prot = 1", ':3: "media.udp_prot" is not known; did you mean "media.udp_port"?'),
    ("[meida]\nudp_port = 1", ':1: "meida" is not known; did you mean "media"?'),
    ("# one\nmedia.upd_port = 1", ':2: "media.upd_port" is not known; did you mean "media.udp_port"?'),
    ("[media.udp_port]\nx = 1", ":1 (media.udp_port): a number"),
    ("media = 3", ":1: media is a table: write [media]"),
    ("[[media]]\nudp_port = 1", ":1: media is a table: write [media]"),
    ('"a\\u0000@b" = 1', "not repeated here"),
    ("[zzzz]\nqqqq = 1", "it is one of mode, users, mattermost.url"),
])  # fmt: skip
def test_a_key_that_is_none_is_said_with_the_nearest_and_its_line(text: str, said: str, place: Path) -> None:
    assert said in refusal(place, text)


@pytest.mark.parametrize(("text", "said"), [
    (b"\xff", "is not UTF-8 text"), (b"mode", "not TOML"), (b"mode = 'a'\nmode = 'b'", "not TOML"),
    (b"media.udp_port = " + b"1" * 5000, "not TOML"), (b"mode = " + b"[" * 5000, "not TOML"),
    (b"#" * (site_file.SITE_FILE_MAX_BYTES + 1), "larger than 262144 bytes"),
])  # fmt: skip
def test_what_is_no_site_file(text: bytes, said: str, place: Path) -> None:
    sentence = refusal(place, text)
    assert sentence.startswith(f"{place}: ") and said in sentence


def test_the_largest_is_read(place: Path) -> None:
    place.write_bytes(b"#" * site_file.SITE_FILE_MAX_BYTES)
    assert read(place) == {}


@pytest.mark.parametrize(("name", "said"), [
    ("absent.toml", "No such file"), (".", "Is a directory"), ("a\0b", "no such path"),
])  # fmt: skip
def test_what_cannot_be_read(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path / name)


def test_what_the_mode_does_not_use_is_said(place: Path) -> None:
    place.write_text('mode = "integrated"\n[rtcd]\nurl = "http://a"\nnodes = []\n[kubernetes]\nvalues = ""\n')
    told = read(place)
    assert unused(told, Mode.INTEGRATED) == ["calls-doctor.toml:3: rtcd.url is not used in mode integrated"]
    assert unused(told, Mode.RTCD) == unused(told, None) == []


WHOLE = """\
mode = "rtcd"
users = "hybrid"
[rtcd]
url = "http://10.0.1.20:8045"
[media]
hosts = ["calls.example.com"]
udp_port = 9000
tcp_port = 0
host_override = "203.0.113.20"
host_port_override = 443
nat = [{ public = "203.0.113.20", private = "10.0.1.20" }]
[stun]
servers = ["stun:stun.example.com"]
[turn]
servers = ["turn:turn.example.com"]
relay_ports = "50000-50100"
[networks]
clients = ["192.0.2.0/24"]
mattermost = ["10.0.1.0/24"]
"""


def test_a_site_is_made_of_it(place: Path) -> None:
    place.write_text(WHOLE)
    found = gather(Request(site=str(place)), {})
    site = found.site
    assert (found.self_test, found.names_a_target, found.notes) == (False, True, ())
    assert (site.mode, site.users, site.rtcd_url) == (Mode.RTCD, "hybrid", "http://10.0.1.20:8045")
    assert site.media == (MediaAddress(host="calls.example.com", udp_port=9000, tcp_port=0),)
    assert (site.host_override, site.host_port_override) == ("203.0.113.20", 443)
    assert site.nat == (("203.0.113.20", "10.0.1.20"),)
    assert [str(uri) for uri in (*site.stun, *site.turn)] == [
        "stun:stun.example.com:3478", "turn:turn.example.com:3478?transport=udp"
    ]  # fmt: skip
    assert site.relay_ports == (50000, 50100)
    assert (site.client_networks, site.mattermost_networks) == (("192.0.2.0/24",), ("10.0.1.0/24",))
    assert site.settings["turn.relay_ports"].origin == "calls-doctor.toml:16"


def test_an_option_goes_before_it(place: Path) -> None:
    place.write_text(WHOLE)
    site = gather(Request(site=str(place), mode="integrated", stun=("stun:other",)), {}).site
    assert (site.mode, [uri.host for uri in site.stun]) == (Mode.INTEGRATED, ["other"])
    assert (site.settings["mode"].origin, site.settings["users"].origin) == ("--mode", "calls-doctor.toml:2")


def test_the_one_that_lies_here_is_read_unless_the_self_test_is_asked_for(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.parent)
    assert gather(Request(), {}).self_test
    place.write_text(WHOLE)
    assert gather(Request(), {}).site.mode is Mode.RTCD
    forced = gather(Request(self_test=True), {})
    assert forced.self_test and forced.site.mode is None
    with pytest.raises(UsageError, match="--self-test"):
        gather(Request(self_test=True, site=str(place)), {})


# Fuzz. Invariant: whatever the bytes, a file is read into settings of known keys or UsageError is raised, and nothing
# else; what is read makes a site.

SOME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
TOML_VALUES = st.recursive(
    st.sampled_from([text for rows in (*GOOD.values(), *BAD.values()) for text, *_ in rows])
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.sampled_from(["true", "1979-05-27T07:32:00Z", '"""\n[media]\nhosts = 1\n"""', "'x'"])
    | st.text(string.printable, max_size=20).map(lambda text: f"'''{text}'''"),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=4,
)


def take(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        found = read(path)
        assert set(found) <= set(KEYS)
        gather(Request(site=str(path)), {})
    except UsageError as error:
        assert "\n" not in str(error)


@SOME
@given(st.binary(max_size=200))
def test_any_bytes(place: Path, data: bytes) -> None:
    take(place, data)


@SOME
@given(st.lists(st.tuples(st.sampled_from(sorted(KEYS)), TOML_VALUES), max_size=4, unique_by=lambda row: row[0]))
def test_any_value_of_any_key(place: Path, rows: list[tuple[str, str]]) -> None:
    take(place, "".join(f"{name} = {value}\n" for name, value in rows).encode("utf-8", "surrogatepass"))


@SOME
@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 255)), max_size=4), st.integers(0, len(WHOLE)))
def test_a_real_one_altered_and_cut(place: Path, changes: list[tuple[int, int]], at: int) -> None:
    changed = bytearray(WHOLE.encode())
    for index, value in changes:
        changed[index % len(changed)] = value
    take(place, bytes(changed))
    take(place, WHOLE.encode()[:at])
