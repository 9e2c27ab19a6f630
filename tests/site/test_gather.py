"""The site from its sources: each value with where it came from, and what to make of too little or too much."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any  # keyword arguments of a Request

import pytest

from calls_doctor.errors import UsageError
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Mode, Phase, ServerUri, Setting
from calls_doctor.site.gather import Gathered, gather
from calls_doctor.site.request import Request
from calls_doctor.wire.direct import Keys, Link

LINK = Link("192.0.2.1", 8443, Keys(bytes(range(16))), bytes(32), "calls.example.com")
OTHER = Link("192.0.2.2", 8443, Keys(bytes(range(1, 17))), bytes(32))


def _gather(environment: dict[str, str] | None = None, **asked: Any) -> Gathered:
    return gather(Request(**asked), environment or {})


def test_nothing_named_is_the_self_test() -> None:
    found = _gather(label="Berlin")
    assert found.self_test
    assert not found.names_a_target
    assert found.notes == ()


@pytest.mark.parametrize(
    "asked",
    [{"stun": ("stun:a",)}, {"turn": ("turn:a",)}, {"rtcd_url": "http://a:8045"}, {"peers": (str(LINK),)}],
)
def test_whatever_names_a_target_is_a_run(asked: dict[str, Any]) -> None:
    found = _gather(**asked)
    assert found.names_a_target
    assert not found.self_test


def test_a_mode_alone_is_neither() -> None:
    found = _gather(mode="rtcd")
    assert not found.self_test
    assert not found.names_a_target
    assert found.site.mode is Mode.RTCD


def test_every_value_knows_where_it_came_from() -> None:
    found = _gather(
        {"CALLS_DOCTOR_TURN_SECRET": "canary"}, mode="ha-rtcd", vantage="media", phase="post", stun=("stun:a",) * 2,
        turn=("turns:b?transport=tcp",), rtcd_url="http://c:8045/", peers=(str(LINK),),
    )  # fmt: skip
    assert found.site.stun == (ServerUri(scheme="stun", host="a", port=3478),)
    assert found.site.turn == (ServerUri(scheme="turns", host="b", port=5349, transport="tls"),)
    assert found.site.media == (MediaAddress(host="192.0.2.1", udp_port=8443, tcp_port=8443),)
    assert (found.site.vantage, found.site.phase) == (Role.MEDIA, Phase.POST)
    assert found.site.settings == {
        "mode": Setting(value="ha-rtcd", origin="--mode"),
        "from": Setting(value="media", origin="--from"),
        "phase": Setting(value="post", origin="--phase"),
        "media.hosts": Setting(value=["calls.example.com:8443"], origin="--peer"),
        "rtcd.url": Setting(value="http://c:8045", origin="--rtcd-url"),
        "stun.servers": Setting(value=["stun:a:3478"], origin="--stun"),
        "turn.servers": Setting(value=["turns:b:5349?transport=tcp"], origin="--turn"),
        "turn.secret": Setting(value="set", origin="CALLS_DOCTOR_TURN_SECRET"),
    }
    assert found.credentials.turn_secret is not None


def test_the_default_vantage_gives_its_reason() -> None:
    site = _gather(stun=("stun:a",)).site
    assert site.vantage is Role.CLIENT
    assert site.settings["from"] == Setting(value="client", origin="default: nothing told otherwise")


def test_a_link_makes_the_phase_pre_and_nothing_makes_it_undetermined() -> None:
    assert _gather(peers=(str(LINK),)).site.phase is Phase.PRE
    assert _gather(stun=("stun:a",)).site.phase is Phase.UNDETERMINED


def test_a_link_comes_by_option_file_standard_input_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").write_text(f"{LINK}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"  {LINK}\n"))
    environment = {"CALLS_DOCTOR_PEER": str(LINK)}
    for asked, given in ((str(LINK), {}), (f"@{tmp_path}/link", {}), ("-", {}), (None, environment)):
        found = _gather(given, peers=(asked,) if asked else ())
        assert str(found.link) == str(LINK)
        origin = "--peer" if asked else "CALLS_DOCTOR_PEER"
        assert found.site.settings["media.hosts"] == Setting(value=["calls.example.com:8443"], origin=origin)


def test_an_option_goes_before_the_environment() -> None:
    found = _gather({"CALLS_DOCTOR_PEER": str(OTHER)}, peers=(str(LINK),))
    assert str(found.link) == str(LINK)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-", "--peer: standard input holds no link"),
        ("@empty", "--peer: empty holds no link"),
        ("@missing", "--peer: missing cannot be read: No such file or directory"),
        ("@binary", "--peer: binary cannot be read: it is no text file"),
        ("@a\0b", "cannot be read: it is no text file"),
        ("@.", "--peer: . cannot be read: Is a directory"),
        ("http://a", "--peer: a pairing link begins with calls-doctor://"),
        ("calls-doctor://192.0.2.1:8443/#canary", "--peer: the pairing link for 192.0.2.1:8443 is incomplete"),
    ],
)
def test_what_is_no_link_is_one_sentence(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    Path("empty").touch()
    Path("binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError) as caught:
        _gather(peers=(text,))
    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


def test_several_links_are_more_than_this_version_tests() -> None:
    with pytest.raises(UsageError, match="give one link"):
        _gather(peers=(str(LINK), str(OTHER)))


@pytest.mark.parametrize(
    "asked", [{"stun": ("stun:a",)}, {"mode": "rtcd"}, {"peers": (str(LINK),)}, {"turn": ("turn:a",)}]
)
def test_the_self_test_and_a_target_contradict_each_other(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--self-test tests this machine against itself"):
        _gather(self_test=True, **asked)


def test_the_self_test_that_was_asked_for_lets_the_environments_link_be() -> None:
    found = _gather({"CALLS_DOCTOR_PEER": str(LINK)}, self_test=True)
    assert found.self_test
    assert found.link is None


def test_what_has_no_effect_is_noted() -> None:
    notes = _gather({"CALLS_DOCTOR_PEERS": "x"}, vantage="media", phase="pre", wait_s=1.0).notes
    assert notes == (
        "--from has no effect in the self-test",
        "--phase has no effect in the self-test",
        "--wait has no effect in the self-test",
        "CALLS_DOCTOR_PEERS in the environment is not known; did you mean CALLS_DOCTOR_PEER?",
    )
    assert _gather(mode="integrated", rtcd_url="http://a:8045").notes == (
        "--rtcd-url: mode integrated has no rtcd; it is tested all the same",
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mode": "rtdc"}, '--mode: "rtdc" is not known; did you mean "rtcd"?'),
        ({"vantage": "server"}, "--from: "),
        ({"phase": "offline"}, "it is one of pre, post, undetermined"),
        ({"stun": ("stun.example.com",)}, "--stun: "),
        ({"turn": ("stun:a",)}, "a stun: URI where a turn: URI belongs"),
        ({"rtcd_url": "rtcd:8045"}, "--rtcd-url: "),
    ],
)
def test_a_wrong_word_names_its_option(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        _gather(**asked)
    assert said in str(caught.value)


def test_a_request_and_what_was_gathered_show_no_key() -> None:
    key = str(LINK).partition("#")[2]
    found = _gather(peers=(str(LINK),))
    assert key not in repr(Request(peers=(str(LINK),))) + repr(found)
