"""`calls-doctor serve` as a person runs it: links at once, a check that pairs, the merged report, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calls_doctor.model.flow import Transport
from calls_doctor.net.local_ports import can_bind
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire.direct import Link, parse_link
from tests.cli.command_line import calls_doctor, started

HOST = "127.0.0.1"
LINK_WITHIN_S = 1.0
STARTED_S = 10.0
DYING_S = 2.0


@pytest.fixture
def ports(free_port: Callable[[], int]) -> tuple[str, ...]:
    return (
        "--bind", HOST, "--media-port", str(free_port()), "--api-port", str(free_port()),
        "--turn-port", str(free_port()),
    )  # fmt: skip


@contextmanager
def serve(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Link]]:
    """It stands, and this is its first link."""
    process = started(["serve", *arguments])
    try:
        yield process, link_of(process)
    finally:
        process.kill()
        process.communicate()


def link_of(process: subprocess.Popen[str]) -> Link:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], STARTED_S)
    assert ready, "no link came"
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return parse_link(line.rstrip("\n"))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=10)
    return process.returncode, out, err


def key_of(link: Link) -> str:
    return str(link).partition("#")[2].partition(".")[0]


def test_the_link_is_there_within_a_second(ports: tuple[str, ...]) -> None:
    began_s = time.monotonic()
    with serve(*ports) as (process, link):
        took_s = time.monotonic() - began_s
        assert (link.address, str(link.port)) == (HOST, ports[3])
        process.send_signal(signal.SIGINT)
        code, out, err = ended(process)
    assert took_s < LINK_WITHIN_S
    assert (code, out) == (0, ""), "links are all that standard output has"
    assert "calls-doctor check --peer" in err


def test_the_media_port_is_the_site_files_whether_or_not_it_names_hosts(
    ports: tuple[str, ...], free_port: Callable[[], int], tmp_path: Path
) -> None:
    port, site = free_port(), tmp_path / "site.toml"
    site.write_text(f"[media]\nudp_port = {port}\n")
    arguments = [one for one in ports if one not in ("--media-port", ports[3])]
    with serve(*arguments, "--site", str(site)) as (_, link):
        assert (link.address, link.port) == (HOST, port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_gives_its_ports_back(number: signal.Signals, ports: tuple[str, ...]) -> None:
    with serve(*ports) as (process, link):
        for transport in (Transport.UDP, Transport.TCP):
            assert can_bind(transport, HOST, link.port) is not None
        process.send_signal(number)
        code, _, err = ended(process)
    assert code == 0
    assert "Traceback" not in err
    for transport in (Transport.UDP, Transport.TCP):
        assert can_bind(transport, HOST, link.port) is None


def test_a_check_pairs_and_once_ends_with_the_merged_report(ports: tuple[str, ...], tmp_path: Path) -> None:
    kept = [tmp_path / "all.json", tmp_path / "all.txt"]
    outputs = [word for path in kept for word in ("-o", str(path))]
    with serve(*ports, "--once", *outputs) as (process, link):
        told = calls_doctor(
            "check", "--peer", str(link), "--media-time", "0.3", "--label", "Berlin", "--format", "json"
        )
        code, _, err = ended(process)
    assert (code, "Traceback" in err) == (0, False), err
    own = json.loads(told.stdout)
    merged = json.loads(kept[0].read_text())
    assert own["phase"] == merged["phase"] == "pre"
    assert [vantage["label"] for vantage in merged["vantages"]] == ["Berlin"]
    assert {row["id"]: row["status"] for row in merged["checks"]} == {row["id"]: row["status"] for row in own["checks"]}
    assert {row["end"] for row in merged["books"]} == {"near", "far"}
    assert "client Berlin: " in err
    before, after = err.split("client Berlin: ")
    command = f"calls-doctor check --peer '{link}'"
    assert f"nobody looked from client yet; there: {command}" in before
    assert "nobody looked" not in after and merged["missing"] == []
    assert "Berlin" in kept[1].read_text()
    for text in (told.stdout, told.stderr, *(path.read_text() for path in kept)):
        assert key_of(link) not in text


def test_a_client_that_dies_in_the_middle_leaves_nothing_that_the_next_one_meets(ports: tuple[str, ...]) -> None:
    with serve(*ports, "--once") as (process, link):
        dying = started(["check", "--peer", str(link), "--media-time", "20"])
        time.sleep(DYING_S)  # in the middle of its calls
        dying.kill()
        dying.communicate()
        told = calls_doctor("check", "--peer", str(link), "--media-time", "0.3", "--format", "json")
        code, _, err = ended(process)
    statuses = {row["id"]: row["status"] for row in json.loads(told.stdout)["checks"]}
    assert (code, "Traceback" in err) == (0, False), err
    assert statuses["media.call-udp"] == statuses["media.call-tcp"] == "pass"


def test_a_link_of_another_run_is_said_to_be_that_and_blames_no_network(
    ports: tuple[str, ...], free_port: Callable[[], int]
) -> None:
    with (
        serve("--bind", HOST, "--media-port", str(free_port()), "--as", "media") as (_, old),
        serve(*ports) as (process, new),
    ):
        foreign = str(old).replace(f":{old.port}/", f":{new.port}/")
        api = f"http://{HOST}:{ports[ports.index('--api-port') + 1]}"
        told = calls_doctor("check", "--peer", foreign, "--rtcd-url", api, "--format", "json")
        assert process.stderr is not None
        while "open nothing" not in (line := process.stderr.readline()):
            assert line, "it ends without a word of it"
        assert f"the last from {HOST}: 1 with the link of another `serve`" in line
        process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
    assert code == 0 and "requests with another run's link" in err
    report = json.loads(told.stdout)
    rows = {row["id"]: row for row in report["checks"]}
    assert (told.code, report["verdict"], report["diagnosis"]) == (4, "undecided", [])
    for echo in ("port.rtc-udp-echo", "port.rtc-tcp-echo", "api.rtcd-auth"):
        assert (rows[echo]["status"], rows[echo]["evidence"]["trouble"]) == ("unknown", "unauthorised")
    assert report["next"][0]["why"].startswith("is this the link of the `serve` that runs now?")
    assert rows["media.call-udp"]["status"] == rows["media.call-tcp"]["status"] == "skip"
    assert report["duration_s"] < 3.5


@pytest.mark.parametrize("address", ["192.0.2.77", "localhost"])
def test_an_address_that_this_machine_lacks_is_named_beside_those_that_it_has(address: str) -> None:
    done = calls_doctor("serve", "--bind", address)
    assert done.code == 2
    assert f"--bind: {address} is no address of this machine; it has 127.0.0.1" in done.stderr


def test_what_a_vantage_calls_itself_is_nothing_that_the_terminal_obeys(ports: tuple[str, ...]) -> None:
    with serve(*ports, "--once") as (process, link):
        calls_doctor("check", "--peer", str(link), "--only", "env.platform", "--label", "a\x1b]0;b\x07")
        code, _, err = ended(process)
    assert code == 0
    assert "\x1b" not in err and "client a\\x1b]0;b\\x07: " in err


def test_it_ends_by_itself_when_its_time_is_up(ports: tuple[str, ...], tmp_path: Path) -> None:
    kept = tmp_path / "all.json"
    with serve(*ports, "--for", "1s", "-o", str(kept)) as (process, link):
        code, _, err = ended(process)
    assert "for a trial on this machine alone" in err
    assert code == 0
    report = json.loads(kept.read_text())
    assert (report["vantages"], report["checks"]) == ([], []), "nobody came, and that is said too"
    assert key_of(link) not in kept.read_text()


def test_who_is_missing_is_told_with_the_whole_link_and_kept_without_it(ports: tuple[str, ...], tmp_path: Path) -> None:
    site, kept = tmp_path / "site.toml", tmp_path / "all.json"
    site.write_text('mode = "rtcd"\n')
    with serve(*ports, "--site", str(site), "--once", "-o", str(kept)) as (process, link):
        calls_doctor("check", "--peer", str(link), "--only", "port.rtc-udp-echo")
        _, _, err = ended(process)
    where = f"--from mattermost --rtcd-url http://{HOST}:{ports[5]}"
    assert f"nobody looked from mattermost yet; there: calls-doctor check --peer '{link}' {where}" in err
    (gap,) = json.loads(kept.read_text())["missing"]
    assert gap["command"].startswith(f"calls-doctor check --peer {HOST}:{link.port} --from mattermost")


@pytest.mark.parametrize(("option", "kind", "name"), [
    ("--media-port", socket.SOCK_DGRAM, "UDP"), ("--media-port", socket.SOCK_STREAM, "TCP"),
    ("--api-port", socket.SOCK_STREAM, "TCP"),
])  # fmt: skip
def test_a_port_that_is_taken_names_its_owner(
    option: str, kind: socket.SocketKind, name: str, ports: tuple[str, ...]
) -> None:
    port = int(ports[ports.index(option) + 1])
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind((HOST, port))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        told = calls_doctor("serve", *ports)
    assert (told.code, told.stdout) == (2, "")
    assert told.stderr.startswith(f"calls-doctor: {name} {port} on {HOST} belongs to ")
    assert f"pid {os.getpid()}" in told.stderr
    assert "calls-doctor check --rtcd-url http://HOST:8045" in told.stderr
    assert told.stderr.count("\n") == 1


async def test_a_port_that_is_taken_says_what_answers_there(ports: tuple[str, ...]) -> None:
    port = int(ports[ports.index("--media-port") + 1])
    async with StunServer([HOST], port):
        told = await asyncio.to_thread(calls_doctor, "serve", *ports)
    assert told.code == 2
    assert ", which answers as STUN; where that is Calls itself" in told.stderr


@pytest.mark.parametrize(("arguments", "said"), [
    (("--as", "medai"), 'did you mean "media"?'), (("--for", "0.5s"), "--for"), (("--host", "a b"), "--host"),
    (("--bind", "x y"), "--bind"), (("-o", "all.pdf"), "-o: all.pdf"), (("--bind", "192.0.2.250"), "192.0.2.250"),
    (("--site", "/nonexistent.toml"), "/nonexistent.toml"), (("--media-port", "70000"), "70000"),
])  # fmt: skip
def test_what_cannot_be_served_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    told = calls_doctor("serve", *arguments)
    assert (told.code, told.stdout) == (2, "")
    assert said in told.stderr and "Traceback" not in told.stderr
    assert told.stderr.splitlines()[-1].startswith("calls-doctor: ")


def test_a_link_in_the_environment_and_the_site_file_change_what_they_should(
    ports: tuple[str, ...], tmp_path: Path
) -> None:
    site = tmp_path / "site.toml"
    site.write_text('mode = "rtcd"\n[media]\nhosts = ["192.0.2.4"]\n')
    foreign = "calls-doctor://192.0.2.9:8443/#AAECAwQFBgcICQoLDA0ODw." + "A" * 43
    told = calls_doctor("serve", *ports, "--site", str(site), "--for", "1s", more={"CALLS_DOCTOR_PEER": foreign})
    assert told.code == 0
    assert [parse_link(line).address for line in told.lines] == ["192.0.2.4"]
    assert "no effect" not in told.stderr
