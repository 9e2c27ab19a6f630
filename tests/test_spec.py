"""What a declared check promises by its defaults."""

from __future__ import annotations

import dataclasses

import pytest

from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.credentials import Credentials, Secret
from calls_doctor.model.facts import Facts
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Site
from calls_doctor.spec import CheckSpec, Context, TurnServers, no_site_address, no_turn, site_address, turn_targets


async def probe(_context: Context) -> Finding:
    return Finding(status=Status.PASS, summary="fine")


SPEC = CheckSpec(id="port.rtc-udp-echo", title="It works", probe=probe)


def test_the_category_is_the_ids_first_word() -> None:
    assert SPEC.category == "port"


def test_by_default_a_check_fits_every_site_and_vantage_and_no_run_without_a_network() -> None:
    assert SPEC.vantages == set(Role)
    assert SPEC.phases == set(Phase) - {Phase.OFFLINE}
    assert (SPEC.nothing_to_do(Site()), list(SPEC.targets(Site())), SPEC.required) == ("", [], False)


def test_a_declared_check_never_changes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.title = "another"  # type: ignore[misc]  # that it is refused is the test


HERE, ELSEWHERE = (ServerUri(scheme="turn", host=host, port=3478) for host in ("turn.example.com", "192.0.2.9"))
OWN = Credentials(turn_secret=Secret("shared"))


def facts(port: int = 0, *servers: ServerUri, credential: str = "made") -> Facts:
    return Facts(
        local_addresses=[], public_addresses=[], media_port=8443, announced=[], needs_stun=False, stun=[],
        control_port=0, turn_port=port, turn_servers=list(servers), turn_username="name" if credential else "",
        turn_credential=credential,
    )  # fmt: skip


def context(told: Facts | None, *turn: ServerUri, given: Credentials | None = None) -> Context:
    async def tell() -> Facts | None:
        return told

    site = Site(paired=True, media=(MediaAddress(host="203.0.113.20"), MediaAddress(host="10.0.0.2")), turn=turn)
    return Context(
        site=site, credentials=given or Credentials(), results={}, paired=None, media_time_s=1.0, thorough=False,
        told=tell,
    )  # fmt: skip


async def test_the_turn_servers_are_the_sites_else_what_the_stand_in_tells() -> None:
    assert await context(facts(3478), HERE).turn() == TurnServers((HERE,))
    assert await context(facts(0, ELSEWHERE)).turn() == TurnServers((ELSEWHERE,))
    own = await context(facts(3479)).turn()
    assert [str(uri) for uri in own.uris] == [f"turn:203.0.113.20:3479?transport={way}" for way in ("udp", "tcp")]
    assert own.stands_in


async def test_where_nobody_names_a_turn_server_the_reason_is_told() -> None:
    for told, word in ((None, "no path"), (facts(), "--as turn")):
        servers = await context(told).turn()
        assert servers.uris == () and word in servers.why_none


async def test_a_credential_is_used_only_where_it_was_made_for() -> None:
    async def password(told: Facts | None, *turn: ServerUri, given: Credentials | None = None) -> str:
        found = await context(told, *turn, given=given).turn_credentials()
        return found.turn.password.reveal() if found.turn else "the secret" if found.turn_secret else ""

    assert await password(facts(3478)) == "made"
    assert await password(facts(3478), given=OWN) == "made", "the environment's is for servers that are named"
    assert await password(facts(0, HERE), HERE) == "made"
    assert await password(facts(0, HERE), HERE, given=OWN) == "the secret"
    assert await password(facts(0, HERE), ELSEWHERE) == ""
    assert await password(facts(3478), ELSEWHERE) == "", "a stand-in's is not for another server"
    assert await password(facts(0, HERE, credential=""), given=OWN) == "the secret"
    assert await password(None) == ""


def test_turn_is_planned_where_a_stand_in_may_name_a_server() -> None:
    assert no_turn(Site()) and not no_turn(Site(paired=True)) and not no_turn(Site(turn=(HERE,)))
    assert turn_targets(Site(turn=(HERE,))) == [str(HERE)]
    assert "stand-in" in " ".join(turn_targets(Site(paired=True)))


def looked_up(**addresses: bool | None) -> CheckResult:
    """Of dns.site: whether each address of the site's name, by its last number, answers."""
    rows = [{"address": f"203.0.113.{one[1:]}", "answers": answers} for one, answers in addresses.items()]
    return CheckResult(
        id="dns.site", title="", category="dns", status=Status.FAIL, vantage="client",
        evidence={"names": [{"name": "chat.example.com", "addresses": rows}]},
    )  # fmt: skip


SKIPPED = CheckResult(id="dns.site", title="", category="dns", status=Status.SKIP, vantage="client")


def after(*known: CheckResult) -> Context:
    return dataclasses.replace(context(None), results={one.id: one for one in known})


def test_a_site_whose_name_has_no_address_leaves_nothing_to_ask_and_one_that_was_not_looked_up_is_asked() -> None:
    found = no_site_address(after(looked_up()))
    assert found is not None and (found.status, found.blocked_by) == (Status.SKIP, "dns.site")
    # One resolver of several may be silent, or one address of several dead: the site is there all the same.
    assert no_site_address(after(looked_up(_5=True))) is None
    assert no_site_address(after()) is None
    assert no_site_address(after(SKIPPED)) is None


def test_the_site_is_asked_where_it_was_found_and_else_where_its_name_leads_first() -> None:
    assert site_address(after(looked_up(_5=False, _6=True, _7=True))) == "203.0.113.6"
    assert site_address(after(looked_up(_5=False, _6=None))) == ""
    assert [site_address(after()), site_address(after(SKIPPED)), site_address(after(looked_up()))] == ["", "", ""]
