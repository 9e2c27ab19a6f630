"""The site from all its sources: which goes before which, where each value came from, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from calls_doctor.errors import UsageError
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Mode, Phase
from calls_doctor.site.gather import gather
from calls_doctor.site.request import Request
from calls_doctor.wire.direct import Keys, Link

LINK = str(Link("192.0.2.7", 8443, Keys(bytes(range(16))), bytes(32)))
OTHER = str(Link("192.0.2.8", 8443, Keys(bytes(16)), bytes(32)))
KEY = LINK.partition("#")[2].partition(".")[0]


def refusal(request: Request, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        gather(request, environment or {})
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_nothing_named_is_the_self_test() -> None:
    found = gather(Request(), {})
    assert found.self_test
    assert not found.names_a_target
    assert found.links == ()


def test_a_mode_alone_is_neither_a_self_test_nor_something_to_run() -> None:
    found = gather(Request(mode="rtcd"), {})
    assert (found.self_test, found.names_a_target, found.site.mode) == (False, False, Mode.RTCD)


@pytest.mark.parametrize(
    "request_",
    [
        Request(peers=(LINK,)),
        Request(mattermost="https://mm.example.com"),
        Request(rtcd_url="http://rtcd:8045"),
        Request(stun=("stun:a",)),
        Request(turn=("turn:a",)),
    ],
    ids=["peer", "mattermost", "rtcd-url", "stun", "turn"],
)
def test_each_target_is_one(request_: Request) -> None:
    found = gather(request_, {})
    assert (found.self_test, found.names_a_target) == (False, True)
    with_mode = gather(Request(mode="rtcd", stun=("stun:a",)), {})
    assert with_mode.names_a_target


def test_every_value_knows_where_it_came_from() -> None:
    request = Request(
        mode="rtcd", vantage="media", phase="post", peers=(LINK,), rtcd_url="http://rtcd:8045",
        mattermost="https://mm.example.com/chat/", stun=("stun:a",),
        turn=("turn:b",),
    )  # fmt: skip
    site = gather(request, {"CALLS_DOCTOR_TURN_SECRET": "hunter2"}).site
    assert {name: (one.value, one.origin) for name, one in site.settings.items()} == {
        "mode": ("rtcd", "--mode"),
        "from": ("media", "--from"),
        "phase": ("post", "--phase"),
        "peers": (["192.0.2.7:8443"], "--peer"),
        "mattermost.url": ("https://mm.example.com/chat", "--mattermost"),
        "rtcd.url": ("http://rtcd:8045", "--rtcd-url"),
        "stun.servers": (["stun:a:3478"], "--stun"),
        "turn.servers": (["turn:b:3478?transport=udp"], "--turn"),
        "turn.secret": ("set", "CALLS_DOCTOR_TURN_SECRET"),
    }
    assert site.media == (MediaAddress(host="192.0.2.7", udp_port=8443, tcp_port=8443),)


def test_a_vantage_that_nobody_named_is_a_client_and_says_that_it_is_a_default() -> None:
    site = gather(Request(stun=("stun:a",)), {}).site
    assert site.vantage is Role.CLIENT
    assert site.settings["from"].origin == "default: nothing told otherwise"


@pytest.mark.parametrize(
    ("request_", "phase"),
    [
        (Request(peers=(LINK,)), Phase.PRE),
        (Request(stun=("stun:a",)), Phase.UNDETERMINED),
        (Request(peers=(LINK,), phase="post"), Phase.POST),
        (Request(stun=("stun:a",), phase="pre"), Phase.PRE),
    ],
    ids=["paired", "not paired", "paired, said", "not paired, said"],
)
def test_the_phase(request_: Request, phase: Phase) -> None:
    assert gather(request_, {}).site.phase is phase


@pytest.mark.parametrize("phase", ["self-test", "offline", "prr", "PRE"])
def test_a_phase_that_cannot_be_asked_for(phase: str) -> None:
    assert refusal(Request(phase=phase, stun=("stun:a",))).startswith("--phase: ")


def test_a_server_that_is_named_twice_is_asked_once() -> None:
    site = gather(Request(stun=("stun:a", "stun:b", "stun:a"), turn=("turn:a", "turn:a")), {}).site
    assert [str(uri) for uri in site.stun] == ["stun:a:3478", "stun:b:3478"]
    assert len(site.turn) == 1


def test_a_link_comes_from_the_environment_and_an_option_goes_before_it() -> None:
    from_environment = gather(Request(), {"CALLS_DOCTOR_PEER": f" {LINK}\n"})
    assert [link.address for link in from_environment.links] == ["192.0.2.7"]
    assert from_environment.site.settings["peers"].origin == "CALLS_DOCTOR_PEER"
    from_option = gather(Request(peers=(OTHER,)), {"CALLS_DOCTOR_PEER": LINK})
    assert [link.address for link in from_option.links] == ["192.0.2.8"]


def test_a_link_comes_from_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "link"
    path.write_text(f"{LINK}\n", encoding="utf-8")
    for peer in (f"@{path}", "-"):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"\n  {LINK}\n"))
        found = gather(Request(peers=(peer,)), {})
        assert [str(link) for link in found.links] == [LINK]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@/nonexistent", "/nonexistent cannot be read: No such file or directory"),
        ("@/", "Is a directory"),
        ("@", "cannot be read"),
        ("@/dev/null", "/dev/null holds no link"),
        ("@a\0b", "cannot be read"),
        ("-", "standard input holds no link"),
        ("192.0.2.7:8443", "--peer: "),
        (LINK[:-1], "--peer: "),
        (LINK.replace("calls-doctor", "cals-doctor"), "--peer: "),
        (LINK.partition("#")[0], "--peer: "),
        ("", "--peer: "),
    ],
)
def test_a_link_that_cannot_be_used(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert said in refusal(Request(peers=(text,)))


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    path = tmp_path / "link"
    path.write_bytes(b"\xff\xfe" + LINK.encode())
    assert "it is no text file" in refusal(Request(peers=(f"@{path}",)))


def test_a_damaged_link_of_the_environment_is_named_by_its_variable() -> None:
    assert refusal(Request(), {"CALLS_DOCTOR_PEER": LINK[:-1]}).startswith("CALLS_DOCTOR_PEER: ")


def test_the_same_link_twice_is_one_and_several_are_kept_in_their_order() -> None:
    assert len(gather(Request(peers=(LINK, LINK)), {}).links) == 1
    both = gather(Request(peers=(OTHER, LINK)), {})
    assert [str(link) for link in both.links] == [OTHER, LINK]
    assert [media.host for media in both.site.media] == ["192.0.2.8", "192.0.2.7"]
    assert both.site.settings["peers"].value == ["192.0.2.8:8443", "192.0.2.7:8443"]
    assert gather(Request(), {"CALLS_DOCTOR_PEER": f"{OTHER} {LINK}"}).links == both.links
    assert both.notes == ()


def test_what_the_site_names_beside_the_links_is_kept_once(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(
        '[media]\nhosts = ["192.0.2.7", "b.example.com", "192.0.2.9"]\ntcp_port = 0\nhost_override = "192.0.2.10"\n'
        'host_port_override = 443\nnat = [{ public = "192.0.2.9", private = "10.0.0.9" }]\n'
    )
    found = gather(Request(peers=(LINK,), site=str(site)), {}).site
    beside = [(one.host, one.udp_port, one.tcp_port) for one in found.media_beside_links]
    assert beside == [("b.example.com", 8443, 0), ("192.0.2.9", 8443, 0), ("192.0.2.10", 443, 0)]
    assert gather(Request(site=str(site)), {}).site.media_beside_links == ()
    site.write_text('[media]\nhosts = ["b.example.com"]\nhost_port_override = 443\n')
    both = gather(Request(peers=(LINK,), site=str(site)), {}).site.media_beside_links
    named = [(one.host, one.udp_port) for one in both]
    assert named == [("b.example.com", 8443), ("b.example.com", 443)], "either may be the one that leads there"


@pytest.mark.parametrize(
    "request_",
    [
        Request(self_test=True, mode="rtcd"),
        Request(self_test=True, stun=("stun:a",)),
        Request(self_test=True, peers=(LINK,)),
        Request(self_test=True, rtcd_url="http://a"),
    ],
)
def test_the_self_test_names_nothing_else(request_: Request) -> None:
    assert refusal(request_).startswith("--self-test tests this machine against itself")


def test_the_self_test_can_be_forced_where_the_environment_names_a_stand_in() -> None:
    """A variable stays set where it is useful; the option says what is wanted now."""
    found = gather(Request(self_test=True), {"CALLS_DOCTOR_PEER": LINK})
    assert found.self_test
    assert found.links == ()


def test_what_has_no_effect_is_said() -> None:
    notes = gather(Request(vantage="media", wait_s=3.0), {"CALLS_DOCTOR_TRUN_SECRET": "x"}).notes
    assert notes == (
        "--from has no effect in the self-test",
        "--wait has no effect in the self-test",
        "CALLS_DOCTOR_TRUN_SECRET in the environment is not known; did you mean CALLS_DOCTOR_TURN_SECRET?",
    )
    assert "no rtcd" in gather(Request(mode="integrated", rtcd_url="http://a"), {}).notes[0]
    assert gather(Request(mode="rtcd", rtcd_url="http://a", vantage="media"), {}).notes == ()


def test_the_request_shows_no_link() -> None:
    assert KEY not in repr(Request(peers=(LINK,)))
