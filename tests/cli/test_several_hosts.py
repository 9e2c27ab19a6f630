"""Several media hosts as a person tests them: two `serve`, each with its own key, and one `check` with both links."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from tests.cli.command_line import calls_doctor
from tests.cli.test_serve import ended, key_of, serve

FIRST, SECOND = "127.0.0.1", "127.0.0.2"
ONLY = [word for check in ("port.rtc-udp-echo", "port.rtc-tcp-echo", "media.call-udp") for word in ("--only", check)]


def ports(host: str, port: int) -> tuple[str, ...]:
    return ("--bind", host, "--media-port", str(port), "--as", "media")


def test_each_host_is_tested_and_each_stand_in_has_the_report(free_port: Callable[[], int], tmp_path: Path) -> None:
    port, kept = free_port(), [tmp_path / "first.json", tmp_path / "second.json"]
    with (
        serve(*ports(FIRST, port), "--once", "-o", str(kept[0])) as (one, link),
        serve(*ports(SECOND, port), "--once", "-o", str(kept[1])) as (other, second),
    ):
        told = calls_doctor(
            "check", "--peer", str(link), "--peer", str(second), "--media-time", "0.3", *ONLY, "--format", "json"
        )
        codes = [ended(process)[0] for process in (one, other)]
    assert codes == [0, 0]
    report = json.loads(told.stdout)
    assert (report["verdict"], report["diagnosis"]) == ("ok", [])
    rows = {(row["id"], row["host"]): row["status"] for row in report["checks"]}
    hosts = [f"{FIRST}:{port}", f"{SECOND}:{port}"]
    assert rows == {("env.platform", ""): "pass"} | {(check, host): "pass" for check in ONLY[1::2] for host in hosts}
    assert len({row["run_id"] for row in report["books"]}) == 1
    assert len({row["session"][:8] for row in report["books"] if row["end"] == "far"}) == 2, "the books of both"
    for path in kept:
        merged = json.loads(path.read_text())
        assert {(row["id"], row["host"]): row["status"] for row in merged["checks"]} == rows
    both = calls_doctor("report", "merge", *map(str, kept), "--format", "json")
    merged = json.loads(both.stdout)
    assert len(merged["vantages"]) == 1 and len(merged["checks"]) == len(rows), "one run, though it came twice"


def test_one_of_two_that_is_gone_is_the_one_cause(free_port: Callable[[], int], tmp_path: Path) -> None:
    port, text = free_port(), tmp_path / "shown.txt"
    with serve(*ports(FIRST, port)) as (gone, dead), serve(*ports(SECOND, port)) as (_, link):
        gone.send_signal(signal.SIGINT)
        ended(gone)
        arguments = ("check", "--peer", str(dead), "--peer", str(link), "--media-time", "0.3", *ONLY)
        told = calls_doctor(*arguments, "--format", "json", "-o", str(text))
    report, shown = json.loads(told.stdout), text.read_text()
    (cause,) = report["diagnosis"]
    assert (cause["cause"], cause["party"], cause["host"]) == (
        "media.node-unreachable",
        "media-host",
        f"{FIRST}:{port}",
    )
    assert (told.code, report["verdict"]) == (1, "failed")
    assert f"no path brought this report to the stand-in at {FIRST}:{port}" in told.stderr
    assert "media.node-unreachable" in shown and f"({FIRST}:{port})" in shown
    assert "explained by no known cause" not in shown


def test_a_host_of_the_site_that_no_key_belongs_to_is_a_skip(free_port: Callable[[], int], tmp_path: Path) -> None:
    port, site = free_port(), tmp_path / "site.toml"
    site.write_text(f'[media]\nhosts = ["{FIRST}", "{SECOND}"]\nudp_port = {port}\ntcp_port = {port}\n')
    with serve(*ports(FIRST, port)) as (_, link):
        arguments = ("--site", str(site), "--media-time", "0.3", "--only", "port.rtc-udp-echo", "--format", "json")
        told = calls_doctor("check", "--peer", str(link), *arguments)
    report = json.loads(told.stdout)
    rows = {row["host"]: (row["status"], row["summary"]) for row in report["checks"] if row["category"] == "port"}
    assert rows[""][0] == "pass" and rows[f"{SECOND}:{port}"][0] == "skip"
    assert "no key that was given is known here" in rows[f"{SECOND}:{port}"][1]
    assert report["diagnosis"] == []
    proving = {step["step"]: step["checks"] for step in report["guide"]}
    assert proving["1.6.1"] == ["port.rtc-udp-echo"] * 2, "a step is passed at every node or not at all"
    site.write_text(f'[media]\nhost_override = "{SECOND}"\nudp_port = {port}\ntcp_port = {port}\n')
    with serve(*ports(FIRST, port)) as (_, link):
        report = json.loads(calls_doctor("check", "--peer", str(link), *arguments).stdout)
    assert {row["host"] for row in report["checks"]} == {"", f"{SECOND}:{port}"}
    proving = {step["step"]: step["checks"] for step in report["guide"]}
    assert proving["1.6.1"] == ["port.rtc-udp-echo"], "what the override names is no node more"


def test_a_stand_in_that_joins_brings_its_callers_and_its_books(free_port: Callable[[], int], tmp_path: Path) -> None:
    """Two hosts, two callers, each with the link of one host: the first stand-in's report shows both."""
    port, kept = free_port(), tmp_path / "all.json"
    with serve(*ports(FIRST, port), "-o", str(kept)) as (one, link):
        with serve(*ports(SECOND, port), "--peer", str(link)) as (other, second):
            assert key_of(link) != key_of(second)
            for label, peer in (("Berlin", link), ("London", second)):
                arguments = ("--label", label, "--media-time", "0.3", "--only", "port.rtc-udp-echo")
                assert calls_doctor("check", "--peer", str(peer), *arguments).code == 0
            other.send_signal(signal.SIGINT)
            code, _, joined = ended(other)
        one.send_signal(signal.SIGINT)
        first_code, _, told = ended(one)
    assert (code, first_code) == (0, 0), joined + told
    assert f"joined the run of {FIRST}:{port}" in joined and "Traceback" not in joined + told
    assert "client London: ok" in told and "the books of a stand-in that joined have come" in told
    merged = json.loads(kept.read_text())
    assert [vantage["label"] for vantage in merged["vantages"]] == ["Berlin", "London"]
    whole = [row for row in merged["books"] if row["end"] == "far" and row["session"] == ""]
    assert len({row["run_id"] for row in whole}) == 2, "both hosts kept books of their whole run"
    assert not any(key_of(each) in kept.read_text() for each in (link, second))


def test_a_stand_in_that_cannot_join_says_so_and_serves_on(free_port: Callable[[], int], tmp_path: Path) -> None:
    port, kept = free_port(), tmp_path / "own.json"
    with serve(*ports(FIRST, port)) as (one, link):
        one.send_signal(signal.SIGINT)
        ended(one)
    with serve(*ports(SECOND, port), "--peer", str(link), "--once", "-o", str(kept)) as (other, second):
        told = calls_doctor("check", "--peer", str(second), "--media-time", "0.3", "--only", "port.rtc-udp-echo")
        code, _, err = ended(other)
    assert (told.code, code) == (0, 0)
    assert f"{FIRST}:{port} is not reached from here; serving all the same" in err
    assert f"not all of this run arrived at {FIRST}:{port}" in err
    assert len(json.loads(kept.read_text())["vantages"]) == 1
    assert calls_doctor("serve", "--peer", "calls-doctor://nonsense").code == 2
