"""`check --list`: what would run, from where to where, how much of it; and not one packet."""

from __future__ import annotations

import json
import re
import socket
from typing import NoReturn

import pytest

from calls_doctor.model.site import Mode, Phase
from calls_doctor.modes import MODES
from calls_doctor.net import bandwidth, call, rtcd_video
from calls_doctor.wire import stun
from checks import CHECKS
from tests.cli.command_line import here

OF_THE_SELF_TEST = [spec for spec in CHECKS if Phase.SELF_TEST in spec.phases]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_args: object, **_kwargs: object) -> NoReturn:
        raise AssertionError("--list touches no network")

    monkeypatch.setattr(socket, "socket", no_socket)
    monkeypatch.setattr(socket, "getaddrinfo", no_socket)


def test_the_self_tests_plan_names_every_check_and_its_way(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys, "check", "--list")
    assert told.code == 0
    assert told.lines[0].startswith("17 checks would run, all on 127.0.0.1 and on ports that are free (*).")
    for spec in OF_THE_SELF_TEST:
        assert f"  {spec.id}  " in told.stdout
    assert "client to 127.0.0.1:*/udp: at most 61 packets" in told.stdout
    assert "50 RTP packets a second each way for 0.3 s in each session" in " ".join(told.stdout.split())
    left_out = told.stdout.partition("not these")[2]
    assert [spec.id for spec in CHECKS if spec.id in left_out] == [
        spec.id for spec in CHECKS if spec not in OF_THE_SELF_TEST
    ]
    assert "65536" not in told.stdout


def test_what_is_left_out_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys, "check", "--list", "--stun", "stun:stun.example.com", "--from", "media", "--media-time", "7s")
    assert "from the media host (--from says so), phase undetermined" in told.stdout
    assert "media to stun:stun.example.com:3478: at most 18 packets" in told.stdout
    left_out = " ".join(told.stdout.split())
    assert re.search(r"tls\.rtcd(, [a-z.-]+)*: no rtcd API was named: give it with --rtcd-url", left_out)


def test_what_runs_for_another_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys, "check", "--list", "--only", "stun.public-ip")
    flat = " ".join(told.stdout.split())
    assert "stun.reach The STUN servers answer (needed by what --only names)" in flat
    assert "is seen sends nothing" in flat


@pytest.mark.parametrize("mode", Mode)
def test_a_mode_alone_is_listed_by_role(capsys: pytest.CaptureFixture[str], mode: Mode) -> None:
    told = here(capsys, "check", "--mode", str(mode), "--list")
    assert told.code == 0
    flat = " ".join(told.stdout.split())
    for flow in MODES[mode].flows:
        assert f"(--from {flow.from_})" in flat
        assert f"{flow.protocol.upper()} {flow.port} ({flow.need}, {flow.firewall_row})" in flat
        assert all(check in flat for check in flow.proven_by)


def test_both_lists_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    checks = json.loads(here(capsys, "check", "--list", "--format", "json").stdout)
    assert [row["id"] for row in checks["checks"]] == [spec.id for spec in OF_THE_SELF_TEST]
    assert checks["media_time_s"] == 0.3
    flows = json.loads(here(capsys, "check", "--list", "--mode", "rtcd", "--format", "json").stdout)
    assert {row["from"] for row in flows["flows"]} == {"client", "mattermost", "media"}


def test_a_mode_alone_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys, "check", "--mode", "rtcd")
    assert told.code == 2
    assert "give --peer, --mattermost, --rtcd-url, --stun or --turn, or --list for the plan" in told.stderr


@pytest.mark.parametrize("columns", ["40", "80"])
def test_it_keeps_to_the_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (("--list",), ("--mode", "ha-rtcd", "--list")):
        told = here(capsys, "check", *arguments)
        assert [line for line in told.lines if len(line) > int(columns) and " " in line.strip()] == []


LINK = "calls-doctor://{}:8443/#y6jQ9HnbbETeTBTYaaoLOg.7VJ13ucqfVo4ZgPpo47jXMRRMsFQRRwBQjoeX97a2pY"


def test_what_no_check_sends_is_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    """The trial of a key at several addresses, the longer call of quality.path, what the stand-in gets, look-ups."""
    one = ("--peer", LINK.format("192.0.2.1"), "--stun", "stun:stun.example.com")
    told = " ".join(here(capsys, "check", "--list", *one).stdout.split())
    assert "192.0.2.1:8443/udp: at most 80 packets, and 50 RTP packets a second each way for 12 s in each of" in told
    assert "client to 192.0.2.1:8443/udp, 192.0.2.1:8443/tcp: requests of 1200 bytes" in told
    assert "client to this machine's resolver: stun.example.com" in told
    assert "Where does the stand-in" not in told, "there is no choice"
    several = (*one, "--peer", LINK.format("192.0.2.2"), "--format", "json")
    listed = json.loads(here(capsys, "check", "--list", *several).stdout)
    trial = next(row for row in listed["beside"] if row["what"].startswith("Where does the stand-in"))
    assert trial["targets"] == [f"192.0.2.{host}:8443/{way}" for host in (1, 2) for way in ("udp", "tcp")]
    assert trial["sent"] == f"at most {len(stun.PROBE_SCHEDULE_S)} packets each for every key"
    rtp = {row["id"]: row["rtp"] for row in listed["checks"]}
    assert {name for name, when in rtp.items() if when} == {
        "media.call-udp", "media.call-tcp", "media.call-relay", "quality.path",
    }  # fmt: skip
    assert rtp["media.call-udp"] == "for 3 s in each session"


def test_what_is_made_on_request_alone_is_listed_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    peer = ("--peer", LINK.format("192.0.2.1"))
    for more in ((), ("--thorough",), ("--only", "quality")):
        told = " ".join(here(capsys, "check", "--list", *peer, *more).stdout.split())
        assert "quality.bandwidth: only on request: --only quality.bandwidth runs it" in told
    told = " ".join(here(capsys, "check", "--list", *peer, "--only", "quality.bandwidth").stdout.split())
    assert "and 312 RTP packets a second each way of 1 kB for 2 s, one way after the other" in told


def test_the_self_test_sends_nothing_beside(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(here(capsys, "check", "--list", "--format", "json").stdout)["beside"] == []


def test_calls_send_as_much_as_the_list_says() -> None:
    told = {spec.id: spec.rtp_packets_per_s for spec in CHECKS if spec.rtp}
    assert told.pop("quality.bandwidth") == bandwidth.PACKETS_PER_S
    assert told.pop("media.video") == rtcd_video.PACKETS_PER_S
    assert set(told.values()) == {call.PACKETS_PER_S}
