"""What rtcd itself hands to callers, and whether it is reached: as the calls through it have seen. No more is sent.

Its trickled candidates are what counts: a port override stands in no others. Loopback, of which it tells everybody,
leads to rtcd on its own machine alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # rows of evidence are JSON

from calls_doctor.model.check import API, UDP_ECHO, CheckResult, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, address_class, is_literal, shown
from calls_doctor.spec import RTCD_CALLS, Context, nothing_to_do, rtcd_versions

Row = dict[str, Any]
DIRECT = RTCD_CALLS[:2]
IN = (API, "api.rtcd-auth")
"""rtcd's API is there, and has let this run in."""
STUN = "stun.public-ip"
UNSPECIFIED = ("0.0.0.0", "::")
"""What no caller can try."""


async def class_probe(context: Context) -> Finding:
    """Is there a candidate among those that rtcd hands out which reaches as far as callers are?"""
    calls = _answered(context, RTCD_CALLS)
    if not calls:
        return _no_call()
    rows = _candidates(calls)
    if rows and _over_loopback(context) and all(address_class(row["address"]).is_loopback for row in rows):
        return nothing_to_do("rtcd is asked over loopback, where no caller comes from, and listens there alone")
    name = context.site.host_override
    evidence: Evidence = {"candidates": rows, "needs_stun": None, "users": context.site.users}
    evidence |= {"caller_is_public": caller_is_public(context), "override_trouble": ""}
    evidence["override_name"] = "" if not name or is_literal(name) else name
    if not rows:
        summary = "rtcd hands callers no address at all"
        return Finding(status=Status.FAIL, summary=summary, target=context.site.rtcd_url, evidence=evidence)
    named = ", ".join(dict.fromkeys(f"{row['address']} ({row['class']})" for row in rows))
    target = _target(rows[0])
    if all(address_class(row["address"]).is_loopback for row in rows):
        summary = f"rtcd hands callers loopback addresses alone: {named}"
        return Finding(status=Status.FAIL, summary=summary, target=target, evidence=evidence)
    summary = f"rtcd hands callers {named}"
    if context.site.users == "private" or not all(row["private"] for row in rows):
        return Finding(status=Status.PASS, summary=summary, target=target, evidence=evidence)
    summary = f"rtcd hands callers private addresses only: {named}"
    if context.site.vantage not in CALLERS:
        summary += f"; whether callers are in that network a caller's own network decides, not {context.site.vantage}"
        return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
    reached = any(row["returned"] for row in _checked(_answered(context, DIRECT)))
    # Whom rtcd's API answered by a private address is in its network, as whoever sees him elsewhere cannot tell.
    within = reached or any(address_class(host).is_private for host in rtcd_versions(context.results))
    status = Status.FAIL if evidence["caller_is_public"] and not within else Status.PASS
    return Finding(status=status, summary=summary, target=target, evidence=evidence)


async def reachable_probe(context: Context) -> Finding:
    """Which of them answered the checks of a call, unasked by rtcd's own."""
    calls = _answered(context, DIRECT)
    if not calls:
        return _no_call()
    rows = _checked(calls)
    evidence: Evidence = {"candidates": rows, "caller_is_public": caller_is_public(context)}
    evidence |= {"override_name": context.results["nat.advertised-class"].evidence["override_name"]}
    evidence["media_port"] = rows[0]["port"] if rows else None
    if reached := [row for row in rows if row["returned"]]:
        said = ", ".join(_target(row) for row in reached)
        return Finding(status=Status.PASS, summary=f"{said}: reached", target=_target(reached[0]), evidence=evidence)
    named = ", ".join(_target(row) for row in rows) or "nothing that can be tried"
    summary = f"none of what rtcd hands to callers is reached from here: {named}"
    target = _target(rows[0]) if rows else context.site.rtcd_url
    # What this place decides, the call over UDP has decided already.
    failed = any(call.status is Status.FAIL and call.evidence["stage"] in ("ice", "candidates") for call in calls)
    status = Status.FAIL if failed else Status.UNKNOWN
    return Finding(status=status, summary=summary, target=target, evidence=evidence)


def caller_is_public(context: Context) -> bool:
    """True where the far end, or a STUN server, sees this caller by a public address."""
    names = (UDP_ECHO, STUN)
    seen = [context.results[name].evidence for name in names if name in context.results]
    addresses = [evidence["mapped"][0] for evidence in seen if isinstance(evidence.get("mapped"), list)]
    addresses += [address for evidence in seen for address in evidence.get("addresses", ())]
    return any(not address_class(address).is_private for address in addresses)


def _answered(context: Context, checks: Sequence[str]) -> list[CheckResult]:
    """The calls in which rtcd answered an offer, so that its candidates were told."""
    results = [context.results[check] for check in checks if check in context.results]
    return [one for one in results if "answer_s" in one.evidence.get("signalling", {})]


def _no_call() -> Finding:
    said = "no call through rtcd came to its candidates"
    return Finding(status=Status.SKIP, summary=said, blocked_by=RTCD_CALLS[0])


def _over_loopback(context: Context) -> bool:
    return all(address_class(host).is_loopback for host in rtcd_versions(context.results))


def _candidates(calls: Sequence[CheckResult]) -> list[Row]:
    """All that were told and anybody could try; loopback only where there is nothing else."""
    told = dict.fromkeys(one for call in calls for one in call.evidence["signalling"]["advertised"])
    rows = []
    for one in told:
        where, _, protocol = one.rpartition("/")
        host, _, port = where.rpartition(":")
        host = host.strip("[]")
        if is_literal(host) and host not in UNSPECIFIED:
            rows.append(_with_class({"kind": "host", "protocol": protocol, "address": host, "port": int(port)}))
    return [row for row in rows if not address_class(row["address"]).is_loopback] or rows


def _with_class(row: Row) -> Row:
    kind = address_class(row["address"])
    return row | {"class": str(kind), "private": kind.is_private}


def _checked(calls: Sequence[CheckResult]) -> list[Row]:
    """What the calls have tried, each over its transport; loopback, which rtcd's own machine tries, is no caller's."""
    rows = [_with_class({"kind": "host", **row}) for call in calls for row in call.evidence["signalling"]["checked"]]
    return [row for row in rows if not address_class(row["address"]).is_loopback]


def _target(row: Row) -> str:
    return f"{shown((row['address'], row['port']))}/{row['protocol']}"
