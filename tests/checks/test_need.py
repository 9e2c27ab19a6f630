"""turn.expiry by the time in a user name, and turn.necessity by what the other checks found."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from msgspec import structs

from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.facts import Facts
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Site
from calls_doctor.wire.turn import rest_credentials
from checks import need
from tests.diagnosis import findings as f
from tests.servers.media_host import context

URI = ServerUri(scheme="turn", host="192.0.2.1", port=3478)
SECRET = Secret("north")


async def lasting(
    credentials: Credentials, allocated: Status = Status.PASS, minutes: int = 1440, facts: Facts | None = None
) -> tuple[Finding, list[str]]:
    allocate = f.turn("turn.allocate", f.turn_row(f.TURN_UDP)) if allocated is Status.PASS else f.refused(-60.0)
    site = Site(phase=Phase.PRE, turn=(URI,), credential_minutes=minutes)
    given = context(None, results={"turn.allocate": allocate}, credentials=credentials, facts=facts, site=site)
    finding = await need.expiry_probe(given)
    assert SECRET.reveal() not in str(finding)
    result = f.result("turn.expiry", finding.status, finding.target, **finding.evidence)
    return finding, f.causes(result)


def named(minutes: float) -> Credentials:
    return Credentials(turn=rest_credentials(SECRET, int(time.time() + minutes * 60), "alice"))


@pytest.mark.parametrize(
    ("minutes", "status"), [(59, Status.WARN), (61, Status.PASS), (1440, Status.PASS), (7 * 1440 + 1, Status.WARN)]
)
async def test_a_user_name_should_last_as_long_as_a_call_and_not_for_good(minutes: int, status: Status) -> None:
    finding, causes = await lasting(named(minutes))
    assert (finding.status, causes) == (status, [])
    assert finding.evidence["life_s"] == pytest.approx(minutes * 60, abs=2)
    finding, causes = await lasting(Credentials(turn_secret=SECRET), minutes=minutes)
    assert (finding.status, causes, finding.evidence["credential_minutes"]) == (status, [], minutes)


async def test_one_that_has_expired() -> None:
    finding, causes = await lasting(named(-10), Status.FAIL)
    assert (finding.status, causes) == (Status.FAIL, ["turn.credentials-expired"])
    assert "600 s ago" in finding.summary or "601 s ago" in finding.summary
    finding, causes = await lasting(named(-10))
    assert (finding.status, causes) == (Status.WARN, []), "the server takes it all the same"


@pytest.mark.parametrize("credentials", [Credentials(), Credentials(turn=TurnCredentials("alice", SECRET))])
async def test_what_carries_no_time_has_nothing_to_judge(credentials: Credentials) -> None:
    finding, _ = await lasting(credentials)
    assert finding.status is Status.SKIP and finding.evidence == {"nothing_to_do": True}


WELL, SHUT, UNTRIED = "well", "shut", "untried"


def echoes(udp: str, tcp: str) -> list[CheckResult]:
    ids = {"udp": f.udp().id, "tcp": f.tcp().id}
    made = {
        "udp": {WELL: f.udp(24, arrived=24), SHUT: f.udp(trouble="silent")},
        "tcp": {WELL: f.tcp(24, arrived=24), SHUT: f.tcp(trouble="silent", sent=0)},
    }
    untried = {way: f.result(check, Status.UNKNOWN) for way, check in ids.items()}
    return [made[way].get(state, untried[way]) for way, state in (("udp", udp), ("tcp", tcp))]


RELAYS: dict[str, list[CheckResult]] = {
    WELL: [f.turn("turn.allocate", f.turn_row(f.TURN_UDP)), f.result("turn.relay-range", Status.PASS)],
    SHUT: [f.turn("turn.allocate", f.turn_row(f.TURN_UDP, "silent")), f.result("turn.relay-range", Status.SKIP)],
    "empty": [f.turn("turn.allocate", f.turn_row(f.TURN_UDP)), f.relay_range()],
    UNTRIED: [f.result("turn.allocate", Status.SKIP)],
    "unheard": [structs.replace(f.result("turn.allocate", Status.SKIP), blocked_by="turn.challenge")],
    "none": [
        structs.replace(f.result("turn.allocate", Status.SKIP, nothing_to_do=True), blocked_by="turn.challenge"),
    ],
}


@pytest.mark.parametrize(
    ("udp", "tcp", "relay", "status", "words"),
    [
        (WELL, WELL, SHUT, Status.PASS, "UDP and TCP work"),
        (WELL, SHUT, UNTRIED, Status.PASS, "UDP works"),
        (SHUT, WELL, SHUT, Status.PASS, "TCP works"),
        (SHUT, SHUT, WELL, Status.PASS, "needed here, and works"),
        (SHUT, SHUT, UNTRIED, Status.WARN, "there is none"),
        (SHUT, SHUT, SHUT, Status.FAIL, "does not work"),
        (SHUT, SHUT, "unheard", Status.FAIL, "does not work"),
        (SHUT, SHUT, "none", Status.WARN, "there is none"),
        (SHUT, SHUT, "empty", Status.FAIL, "does not work"),
        (UNTRIED, SHUT, WELL, Status.UNKNOWN, "nobody knows"),
        (SHUT, UNTRIED, WELL, Status.UNKNOWN, "nobody knows"),
    ],
)
async def test_whether_a_relay_is_needed(udp: str, tcp: str, relay: str, status: Status, words: str) -> None:
    results = {one.id: one for one in (*echoes(udp, tcp), *RELAYS[relay])}
    finding = await need.necessity_probe(context(None, results=results))
    assert finding.status is status and words in finding.summary


async def test_where_tcp_is_not_wanted_udp_alone_tells() -> None:
    results = {one.id: one for one in (*echoes(SHUT, UNTRIED), *RELAYS[UNTRIED])}
    given = context(None, results=results)
    without_tcp = replace(given, site=Site(media=(MediaAddress(host="192.0.2.1", tcp_port=0),)))
    assert (await need.necessity_probe(without_tcp)).status is Status.WARN
