"""media.multi-instance: does a call land whole on each rtcd behind the name, and work there?

The other calls go through the first address alone, as far as this machine can choose; callers are sent to any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any  # rows of evidence are JSON

from calls_doctor.model.check import API, Evidence, Finding, Status
from calls_doctor.model.credentials import RtcdClient
from calls_doctor.model.flow import CALLERS, Lost, Transport
from calls_doctor.net.rtcd_access import RtcdAccess, straight
from calls_doctor.spec import (
    NETWORK_PHASES,
    RTCD_CALLS,
    CheckSpec,
    Context,
    no_rtcd_api,
    nothing_to_do,
    rtcd_versions,
)
from checks import through_rtcd

if TYPE_CHECKING:
    from calls_doctor.net.rtcd_call import RtcdOutcome

NODES = "rtcd.nodes"
SESSIONS = 2
MEDIA_S = 1.0
"""Of each call at most: that rtcd forwards at all shows with the first packets."""
INSTANCES_MAX = 16
BEGINS_WITHIN_S = 40.0
"""No call begins later: one that fails takes five seconds, and no user waits for a dozen."""
UNUSABLE_LOSS_RATIO = 0.3
"""As of any call (contract section 6)."""
Row = dict[str, Any]


async def instances_probe(context: Context) -> Finding:
    """Two sessions of our own in a call, through each address by itself and one after the other."""
    client, url = context.registration.let_in, context.site.rtcd_url
    if client is None:
        return nothing_to_do("what stands behind this name has several keys: each is tested with its own link")
    hosts = _hosts(context, client)
    if len(hosts) < 2:
        return nothing_to_do(f"rtcd has one address ({', '.join(hosts)}): media.call-udp has tested it")
    loop = asyncio.get_running_loop()
    begins_until = loop.time() + BEGINS_WITHIN_S
    rows: list[Row] = []
    for host in hosts[:INSTANCES_MAX]:
        if loop.time() > begins_until:
            break
        rows.append(await _call_at(context, host, client))
    status, summary = judged(rows, hosts[len(rows) :], is_caller=context.site.vantage in CALLERS)
    worst = next((row for row in rows if not row["works"]), None)
    evidence: Evidence = {key: value for key, value in (worst or {}).items() if key not in ("works", "target")}
    evidence |= {"addresses": rows, "untried": hosts[len(rows) :]}
    return Finding(status=status, summary=summary, target=worst["target"] if worst else url, evidence=evidence)


def judged(rows: Sequence[Row], untried: Sequence[str], *, is_caller: bool) -> tuple[Status, str]:
    """What all come to. Silence of a media port decides nothing on a machine that is no caller, unless another
    instance's answers it."""
    broken = [row for row in rows if not row["works"]]
    late = f"; not tried for want of time: {', '.join(untried)}" if untried else ""
    if not broken:
        said = f"a call works through each of {len(rows)} addresses by itself: {_named(rows)}{late}"
        return (Status.WARN if untried else Status.PASS), said
    why = "; ".join(f"{row['address']} fails at {row['stage']}: {row['reason']}" for row in broken)
    if len(broken) < len(rows):
        well = [row for row in rows if row["works"]]
        said = f"{len(broken)} of {len(rows)} addresses hold no call: {why}; a call works through {_named(well)}{late}"
        return Status.FAIL, said
    said = f"no address of {len(rows)} holds a call: {why}{late}"
    silent = all(row["stage"] == "ice" and "trouble" not in row and row["lost"] is None for row in broken)
    if silent and not is_caller:
        return Status.UNKNOWN, f"{said}; callers do not come from here: from one of their networks it is decided"
    return Status.FAIL, said


def _named(rows: Sequence[Row]) -> str:
    return ", ".join(row["address"] for row in rows)


def _hosts(context: Context, client: RtcdClient) -> list[str]:
    """The name's addresses, and the site file's: the latter know a client that was registered for this run by none."""
    hosts = dict.fromkeys(rtcd_versions(context.results))
    setting = context.site.settings.get(NODES)
    if (
        setting is not None
        and isinstance(setting.value, list)
        and client.client_id == context.credentials.rtcd_client_id
    ):
        hosts |= dict.fromkeys(setting.value)
    return list(hosts)


async def _call_at(context: Context, host: str, client: RtcdClient) -> Row:
    """What came of a call through this one."""

    async def hold(access: RtcdAccess) -> RtcdOutcome:
        from calls_doctor.net import rtcd_call

        return await rtcd_call.hold(access, [straight(Transport.UDP)] * SESSIONS, min(context.media_time_s, MEDIA_S))

    return _row(host, await through_rtcd.held(context, host, client, hold), context.site.rtcd_url)


def _row(host: str, made: RtcdOutcome, url: str) -> Row:
    from calls_doctor.net import call

    counted = call.there_and_back(made.call)
    row: Row = {
        "address": host,
        "works": True,
        "target": made.media_target(Transport.UDP) or url,
        "stage": "media",
        "sent": counted.sent,
        "received": counted.received,
        "signalling": made.signalling,
        "lost": None,
    }
    if (failure := made.call.failure) is not None:
        checks_in = sum(path.stun_in for books in made.call.near for path in books.paths)
        is_silent = failure.stage == "ice" and failure.trouble is None
        lost = str(Lost.REQUEST) if is_silent and checks_in else None
        return row | failure.evidence() | {"works": False, "lost": lost, "reason": failure.reason}
    if (counted.loss_ratio or 0.0) > UNUSABLE_LOSS_RATIO:
        return row | {"works": False, "reason": f"{counted.received} of {counted.sent} RTP packets came through it"}
    return row


CHECKS = (
    CheckSpec(
        id="media.multi-instance",
        title="A call works through every rtcd behind the name",
        probe=instances_probe,
        needs=(API, "api.rtcd-auth"),
        uses=RTCD_CALLS,
        phases=NETWORK_PHASES,
        nothing_to_do=no_rtcd_api,
        targets=lambda site: [site.rtcd_url],
        packets_max=240,
        rtp="for 1 s in each of 2 sessions, at one address after the other",
        timeout_s=120.0,
        fails_when="Where rtcd's name, or [rtcd] nodes in the site file, gives several addresses, a call of two "
        "sessions is held through each by itself over UDP, one after the other. It fails where one of them holds no "
        "call, and names its address and the stage: callers of the calls that land there are without media, and those "
        "of others are well. [rtcd] nodes are tried with credentials that were given (CALLS_DOCTOR_RTCD_CLIENT_ID), "
        "since a client that registered itself is known where the name leads alone. Where there is one address there "
        "is nothing to do. After 40 s no further call begins, and it warns of addresses that were not tried.",
    ),
)
