"""api.*: does rtcd let the Calls plugin in, and whom else; are all that stand behind its name of one version?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # rows of evidence are JSON

from calls_doctor.errors import CallsDoctorError, NetworkError, ProtocolError
from calls_doctor.model.check import API, Evidence, Finding, Status
from calls_doctor.model.credentials import RtcdClient
from calls_doctor.model.flow import address_class
from calls_doctor.model.site import Phase
from calls_doctor.net.key_pace import Pace
from calls_doctor.spec import NETWORK_PHASES, UNAUTHORISED, CheckSpec, Context, no_rtcd_api, rtcd_versions
from calls_doctor.wire import rtcd_version
from calls_doctor.wire.rtcd_http import Refusal

if TYPE_CHECKING:
    pass

OPEN_REGISTRATION = "api.rtcd-open-registration"
TIMEOUT_S = 2.6
Row = dict[str, Any]


async def version_probe(context: Context) -> Finding:
    """What port.api-tcp was told at each address, and how busy each of them is."""
    url, versions = context.site.rtcd_url, rtcd_versions(context.results)
    loads = await asyncio.gather(*(_load(url, host) for host in versions))
    rows = [
        {"address": host, "version": version, "cpu_load_ratio": load}
        for (host, version), load in zip(versions.items(), loads, strict=True)
    ]
    evidence: Evidence = {"addresses": rows}
    named = " and ".join(sorted({one or "unnamed" for one in versions.values()}))
    if len(set(versions.values())) > 1:
        at = ", ".join(f"{host}: {one or 'unnamed'}" for host, one in versions.items())
        summary = f"behind one name answer several versions ({at}): what one can do, another cannot"
        return Finding(status=Status.WARN, summary=summary, target=url, evidence=evidence)
    several = f" at all {len(rows)} addresses" if len(rows) > 1 else ""
    return Finding(status=Status.PASS, summary=f"version {named}{several}", target=url, evidence=evidence)


async def _load(url: str, host: str) -> float | None:
    from calls_doctor.net.rtcd_api import RtcdApi

    try:
        load = await RtcdApi(url, TIMEOUT_S, host).cpu_load()
    except CallsDoctorError:
        return None  # an older rtcd does not tell, and whether it answers at all other checks say
    return None if load is None else round(load, 3)


async def open_registration_probe(context: Context) -> Finding:
    """Whether a stranger would be registered, asked with nothing that could be stored."""
    url = context.site.rtcd_url
    hosts = list(rtcd_versions(context.results))
    rows = await asyncio.gather(*(_registers(url, host) for host in hosts))
    evidence: Evidence = {"addresses": rows}
    unheard = next((row for row in rows if row["registers"] is None), None)
    if not (registering := [row["address"] for row in rows if row["registers"]]):
        if unheard is not None:
            summary = f"whether rtcd registers strangers was not told: {unheard['detail']}"
            return Finding(status=Status.UNKNOWN, summary=summary, target=url, evidence=evidence)
        admin = ", and an admin may" if any(row["has_admin"] for row in rows) else ""
        return Finding(
            status=Status.PASS, summary=f"strangers are not registered{admin}", target=url, evidence=evidence
        )
    public = [host for host in registering if not address_class(host).is_private]
    evidence["at_public_address"] = bool(public)
    said = "whoever reaches this API may register as a client"
    if public:
        summary = f"{said}, and {public[0]} is a public address: let Mattermost alone reach it, or turn it off"
        return Finding(status=Status.WARN, summary=summary, target=url, evidence=evidence)
    summary = f"{said}, and its address is private: keep it so"
    return Finding(status=Status.PASS, summary=summary, target=url, evidence=evidence)


async def _registers(url: str, host: str) -> Row:
    from calls_doctor.net.rtcd_api import RtcdApi

    api = RtcdApi(url, TIMEOUT_S, host)
    row: Row = {"address": host, "registers": None, "word": "", "detail": "", "has_admin": None}
    try:
        why_not = await api.would_register()
        row |= {"registers": why_not is None, "word": why_not or ""}
        if why_not is Refusal.NO_AUTHORIZATION:
            row["has_admin"] = await api.has_admin()
    except (NetworkError, ProtocolError) as error:
        return row | {"detail": str(error)}
    if why_not in (Refusal.NOT_RTCD, Refusal.OTHER):
        row |= {"registers": None, "detail": f"POST /register was answered otherwise ({why_not})"}
    return row


@dataclass(frozen=True)
class _Visitor:
    """Who asks for entrance, and how it came by the right to."""

    client: RtcdClient
    origin: str
    """"given", "link" or "registered"."""


async def auth_probe(context: Context) -> Finding:
    """Every address by itself: a wrong key is refused, the right one opens the WebSocket and gives a token."""
    from calls_doctor.net import rtcd_entrance

    url, versions = context.site.rtcd_url, rtcd_versions(context.results)
    refusals = await asyncio.gather(*(rtcd_entrance.refuses_a_wrong_key(url, host, TIMEOUT_S) for host in versions))
    rows: list[Row] = list(refusals)
    why_nobody = ""
    if all(row["ok"] for row in rows):
        registers = await _registering(context, url, list(versions))
        visitors, why_nobody = await _visitors(context, url, list(versions), bool(registers))
        if visitors:
            entering = (_enters(context, url, host, row, visitors) for host, row in zip(versions, rows, strict=True))
            entered = await asyncio.gather(*entering)
            rows = [_not_yet_registered(row) if row["address"] in registers else row for row, _ in entered]
            if all("hello_s" in row for row in rows) and len({id(client) for _, client in entered}) == 1:
                context.registration.let_in = entered[0][1]
    return await _judged(context, url, rows, why_nobody)


async def _judged(context: Context, url: str, rows: Sequence[Row], why_nobody: str) -> Finding:
    bad = next((row for row in rows if not row["ok"]), None)
    one = bad or rows[0]
    evidence: Evidence = {key: value for key, value in one.items() if key not in ("ok", "detail")}
    if len(rows) > 1:
        evidence["addresses"] = list(rows)
    if bad is None:
        if why_nobody:
            summary = f"a wrong key is refused; nobody went in: {why_nobody}"
            return Finding(status=Status.SKIP, summary=summary, target=url, evidence=evidence)
        if new := next((row for row in rows if "hello_s" not in row), None):
            return Finding(status=Status.WARN, summary=new["detail"], target=url, evidence=evidence)
        several = f" at all {len(rows)} addresses" if len(rows) > 1 else ""
        summary = f"the WebSocket greets in {one['hello_s'] * 1000:.0f} ms{several}, a wrong key is refused"
        return Finding(status=Status.PASS, summary=summary, target=url, evidence=evidence)
    if await _is_another_runs(context, bad):
        summary = (
            f"{url} is a stand-in that does not know this link: as far as anything here answers, it is another run's"
        )
        evidence["trouble"] = UNAUTHORISED
        return Finding(status=Status.UNKNOWN, summary=summary, target=url, evidence=evidence)
    where = f"{bad['address']}: " if len(rows) > 1 else ""
    return Finding(status=Status.FAIL, summary=f"{where}{bad['detail']}", target=url, evidence=evidence)


async def _is_another_runs(context: Context, row: Row) -> bool:
    """The media port tells whether the link is this run's: where it does not know it either, no key could be right."""
    is_stand_in = rtcd_version.is_stand_in(rtcd_versions(context.results)[row["address"]])
    if row["trouble"] != "unauthorized" or context.paired is None or not is_stand_in:
        return False
    if context.site.phase is Phase.SELF_TEST:
        return False
    return await context.told() is None


async def _registering(context: Context, url: str, hosts: list[str]) -> set[str]:
    """The addresses at which rtcd registers strangers."""
    if OPEN_REGISTRATION in context.results:
        rows = context.results[OPEN_REGISTRATION].evidence["addresses"]
    else:
        rows = await asyncio.gather(*(_registers(url, host) for host in hosts))
    return {row["address"] for row in rows if row["registers"]}


def _not_yet_registered(row: Row) -> Row:
    """Where strangers are registered, a client that rtcd does not know is no trouble: the plugin registers itself."""
    if row["ok"] or row.get("login") != Refusal.UNKNOWN_CLIENT:
        return row
    told = {key: value for key, value in row.items() if key not in ("stage", "trouble")}
    said = "rtcd does not know this client; it registers whoever asks, so it takes the plugin when that starts"
    return told | {"ok": True, "detail": said}


async def _visitors(context: Context, url: str, hosts: list[str], registers: bool) -> tuple[list[_Visitor], str]:
    """As whom to ask for entrance, and why as nobody where there is none. A stand-in knows its link whatever rtcd is
    told; behind one name each of several knows its own run's key alone, so every link's is tried."""
    given, visitors = context.credentials, list[_Visitor]()
    if context.paired is not None and any(map(rtcd_version.is_stand_in, rtcd_versions(context.results).values())):
        pairs = (RtcdClient(one.api_client_id, one.api_auth_key) for one in (context.paired, *context.others))
        visitors += [_Visitor(one, "link") for one in pairs]
    if given.rtcd_client_id is not None and given.rtcd_auth_key is not None:
        visitors.append(_Visitor(RtcdClient(given.rtcd_client_id, given.rtcd_auth_key), "given"))
    if visitors:
        return visitors, ""
    if not registers:
        return (
            [],
            "no credentials were given (CALLS_DOCTOR_RTCD_CLIENT_ID and _AUTH_KEY), and rtcd registers no strangers",
        )
    why_not = await context.registration.register(url, hosts)
    client = context.registration.client
    return ([], why_not) if client is None else ([_Visitor(client, "registered")], "")


async def _enters(
    context: Context, url: str, host: str, row: Row, visitors: Sequence[_Visitor]
) -> tuple[Row, RtcdClient]:
    """Asks as one after the other, until one is let in or something else than his key is wrong; as whom it ended."""
    from calls_doctor.net import rtcd_entrance
    from calls_doctor.net.rtcd_api import RtcdApi

    is_stand_in = rtcd_version.is_stand_in(rtcd_versions(context.results)[host])
    api = RtcdApi(url, TIMEOUT_S, host, Pace(0.0) if is_stand_in else context.registration.pace(host))
    tried, client = row, visitors[0].client
    for one in visitors:
        client = one.client
        tried = {**row, "client": one.origin} | await rtcd_entrance.enter(api, client)
        if tried["ok"] or tried["trouble"] != "unauthorized":
            break
    return tried, client


CHECKS = (
    CheckSpec(
        id="api.rtcd-version",
        title="Every rtcd behind the name is of one version",
        probe=version_probe,
        needs=(API,),
        phases=NETWORK_PHASES,
        nothing_to_do=no_rtcd_api,
        targets=lambda site: [site.rtcd_url],
        packets_max=12,
        timeout_s=10.0,
        fails_when="It warns where the addresses of the name answer with different versions: an upgrade that stopped "
        "half way. How busy each machine is stands in the evidence, where rtcd tells (v0.15.0).",
    ),
    CheckSpec(
        id=OPEN_REGISTRATION,
        title="No stranger from the internet can register at rtcd",
        probe=open_registration_probe,
        needs=(API,),
        phases=NETWORK_PHASES,
        nothing_to_do=no_rtcd_api,
        targets=lambda site: [site.rtcd_url],
        packets_max=24,
        timeout_s=10.0,
        fails_when="It warns where rtcd registers whoever asks (allow_self_registration) and its API's address is a "
        "public one. Nothing is registered to find out: rtcd refuses an empty key before it stores anything.",
    ),
    CheckSpec(
        id="api.rtcd-auth",
        title="rtcd lets the Calls plugin in, and a wrong key not",
        probe=auth_probe,
        needs=(API,),
        uses=(OPEN_REGISTRATION,),
        nothing_to_do=no_rtcd_api,
        targets=lambda site: [site.rtcd_url],
        required=True,
        packets_max=80,
        timeout_s=30.0,
        fails_when="HTTP works and the WebSocket upgrade does not (a proxy in between that strips it), a wrong key is "
        "let in, or the right one is not: rtcd then answers 200 instead of 101, and to a login it says whether it does "
        "not know the client (its store was lost) or knows it by another key. Where no credentials were given and rtcd "
        "registers whoever asks, a client of this run's own is registered and unregistered at the end "
        "(--no-register: it is not); where it does not, nobody goes in.",
    ),
)
