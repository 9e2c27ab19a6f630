"""port.rtc-tcp-live by what has the port: as rtcd's, another service, nobody, or who is not to be judged from here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calls_doctor.errors import Refused, Silence
from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.flow import Address, Role
from calls_doctor.model.site import MediaAddress, Phase, Site
from calls_doctor.net.mux_reaction import Reaction, Reactions
from calls_doctor.wire.ice import Random
from calls_doctor.wire.rtcd_version import STAND_IN_PREFIX
from checks import live
from tests.diagnosis import findings as f
from tests.servers.media_host import context, media_host, paired

HOST, PORT = "127.0.0.1", 8443
CLOSED, HELD, ANSWERED = Reaction.CLOSED, Reaction.HELD, Reaction.ANSWERED
NAMED = (MediaAddress(host=HOST, tcp_port=PORT),)
SILENT, SHUT = Silence("TCP", 2.55), Refused("TCP")


async def found(
    monkeypatch: pytest.MonkeyPatch,
    seen: Reactions | Refused | Silence,
    *results: CheckResult,
    site: Site | None = None,
    vantage: Role = Role.CLIENT,
) -> Finding:
    """What is found where this is seen of the port (net/mux_reaction.py says what is)."""

    async def reactions(at: Address, _random: Random) -> Reactions:
        assert at == (HOST, PORT)
        if isinstance(seen, Reactions):
            return seen
        raise seen

    monkeypatch.setattr(live, "reactions", reactions)
    site = site or Site(phase=Phase.UNDETERMINED, vantage=vantage, media=NAMED)
    return await live.tcp_live_probe(context(None, results={one.id: one for one in results}, site=site))


def seen(bare: Reaction, unknown: Reaction | None, head: bytes = b"") -> Reactions:
    return Reactions(bare, unknown, head, 0.001)


async def test_one_that_is_as_rtcds_is_consistent_with_it_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = await found(monkeypatch, seen(CLOSED, HELD))
    assert finding.status is Status.PASS and "consistent with rtcd" in finding.summary
    assert finding.evidence["hosts"][0]["as_rtcds"] and finding.target == f"{HOST}:{PORT}/tcp"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (seen(ANSWERED, None, b"HTTP/1.1 400"), "a web server"),
        (seen(ANSWERED, None, b"\x15\x03\x01"), "a TLS server"),
        (seen(CLOSED, ANSWERED, b"220 smtp"), "another service"),
        (seen(HELD, None), "which rtcd closes at once"),
        (seen(CLOSED, CLOSED), "closes whatever comes"),
        (SHUT, str(SHUT)),
        (SILENT, str(SILENT)),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_what_is_not_as_rtcds_is_a_warning(
    what: Reactions | Refused | Silence, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = await found(monkeypatch, what)
    assert finding.status is Status.WARN and said in finding.summary


async def test_silence_towards_who_is_no_caller_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await found(monkeypatch, SILENT, vantage=Role.MATTERMOST)).status is Status.UNKNOWN
    assert (await found(monkeypatch, SHUT, vantage=Role.MATTERMOST)).status is Status.WARN


async def test_a_port_that_nobody_named_may_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(phase=Phase.UNDETERMINED, vantage=Role.MATTERMOST, rtcd_url=f"http://{HOST}:8045")
    shut = await found(monkeypatch, SHUT, site=site)
    assert shut.status is Status.SKIP and shut.evidence == {"nothing_to_do": True}
    assert (await found(monkeypatch, seen(CLOSED, HELD), site=site)).status is Status.PASS


async def test_a_port_that_was_found_shut_is_not_knocked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shut = f.result("port.rtc-tcp-echo", Status.WARN, f"{HOST}:{PORT}/tcp", "client", trouble="refused")
    finding = await found(monkeypatch, seen(CLOSED, HELD), shut)
    assert (finding.status, finding.blocked_by) == (Status.SKIP, shut.id)


async def test_a_stand_in_has_its_link_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    api = f.result("port.api-tcp", Status.PASS, "", "client", address=HOST, version=STAND_IN_PREFIX)
    assert (await found(monkeypatch, seen(CLOSED, HELD), api)).status is Status.SKIP
    async with media_host() as stand_in:
        given = replace(context(paired(stand_in.ready)), site=Site(phase=Phase.POST, media=NAMED))
        assert (await live.tcp_live_probe(given)).status is Status.SKIP
