"""What `check --list` prints: what would run, from where to where, how many packets at most, and why not the rest; for
a mode alone, who talks to whom in it. Nothing here touches a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any  # JSON
from urllib.parse import urlsplit

import msgspec

from calls_doctor.engine.select import CheckPlan, LeftOut
from calls_doctor.model.flow import Role, Transport, is_literal
from calls_doctor.model.site import MediaAddress, Mode, Phase, Site
from calls_doctor.modes import MODES, PortFlow
from calls_doctor.self_test import PORT_TO_BE_PICKED
from calls_doctor.spec import CheckSpec
from calls_doctor.wire.pages import REQUEST_BYTES
from reports.style import Style

ANY_PORT = "*"
INDENT = " " * 4

TRIAL_PACKETS = 6
"""To an address that says nothing (wire/stun.py); three where one answers (net/paired.py)."""


@dataclass(frozen=True)
class Planned:
    """What `--list` lists."""

    what: CheckPlan | Mode
    """A mode alone names nothing to test, and is listed by role."""
    media_time_s: float = 0.0
    """How long each call would last."""


MACHINES = {
    Role.CLIENT: "a caller's machine",
    Role.MATTERMOST: "a Mattermost node",
    Role.MEDIA: "the media host",
    Role.STUN: "the STUN server",
    Role.TURN: "the TURN server",
    Role.OFFLOADER: "the offloader",
}
"""The roles as their administrators name them."""


def text(planned: Planned, style: Style) -> str:
    """For people."""
    if isinstance(planned.what, Mode):
        lines = _mode(planned.what, style)
    else:
        lines = _plan(planned.what, planned.media_time_s, style)
    return "\n".join(lines) + "\n"


def json(planned: Planned, _style: Style) -> str:
    """For programs."""
    if isinstance(planned.what, Mode):
        facts = _mode_facts(planned.what)
    else:
        facts = _plan_facts(planned.what, planned.media_time_s) | {"media_time_s": planned.media_time_s}
    return msgspec.json.format(msgspec.json.encode(facts), indent=2).decode() + "\n"


PLAN_FORMATS: dict[str, Callable[[Planned, Style], str]] = {"text": text, "json": json}


def _targets(spec: CheckSpec, plan: CheckPlan) -> list[str]:
    return [target.replace(f":{PORT_TO_BE_PICKED}", f":{ANY_PORT}") for target in spec.targets(plan.site)]


def _plan(plan: CheckPlan, media_time_s: float, style: Style) -> Iterator[str]:
    yield from style.wrap(_headline(plan), "")
    for category, specs in groupby(plan.planned, key=lambda spec: spec.category):
        yield ""
        yield style.paint(category, "bold")
        for spec in specs:
            needed = " (needed by what --only names)" if spec.id in plan.for_others else ""
            yield from style.wrap(f"{spec.id}  {spec.title}{needed}", INDENT, "  ")
            yield from style.wrap(_way(spec, plan, media_time_s), INDENT * 2, INDENT)
    if beside := _beside(plan):
        yield ""
        yield style.paint("beside the checks", "bold")
        for one in beside:
            yield from style.wrap(one.what, INDENT, "  ")
            yield from style.wrap(f"{plan.site.vantage} to {', '.join(one.targets)}: {one.sent}", INDENT * 2, INDENT)
    if plan.left_out:
        yield ""
        yield style.paint("not these", "bold")
        for why, left in _by_reason(plan.left_out):
            yield from style.wrap(f"{', '.join(one.id for one in left)}: {why}", INDENT, "  ")


def _headline(plan: CheckPlan) -> str:
    count = f"{len(plan.planned)} check{'' if len(plan.planned) == 1 else 's'} would run"
    if plan.site.phase is Phase.SELF_TEST:
        return f"{count}, all on 127.0.0.1 and on ports that are free ({ANY_PORT}). Nothing was sent."
    where = f"from {MACHINES[plan.site.vantage]} ({plan.site.vantage_reason})"
    return f"{count}, {where}, phase {plan.site.phase}. Nothing was sent."


def _way(spec: CheckSpec, plan: CheckPlan, media_time_s: float) -> str:
    targets = _targets(spec, plan)
    if not targets or not spec.packets_max:
        return "sends nothing"
    when = spec.rtp.format(media_time=f"{media_time_s:g} s")
    rtp = f", and {spec.rtp_packets_per_s} RTP packets a second each way {when}" if when else ""
    each = " each" if len(targets) > 1 else ""
    return f"{plan.site.vantage} to {', '.join(targets)}: at most {spec.packets_max} packets{each}{rtp}"


@dataclass(frozen=True)
class Beside:
    """Something that a run sends and that is no check."""

    what: str
    targets: Sequence[str]
    sent: str


def _beside(plan: CheckPlan) -> list[Beside]:
    """The trial of a key at several addresses (net/media_hosts.py), what the stand-in is asked and given
    (net/stand_ins.py), and look-ups."""
    site = plan.site
    if site.phase is Phase.SELF_TEST:
        return []
    found = []
    every = (*site.media, *site.media_beside_links) if site.paired else ()
    ways = [one.target(way) for one in every for way in _ways(one)]
    if len(every) > 1:
        sent = f"at most {TRIAL_PACKETS} packets each for every key"
        found.append(Beside("Where does the stand-in of each link answer?", ways, sent))
    if every:
        sent = (
            f"requests of {REQUEST_BYTES} bytes by the first way that works: a few for its own side of the network and "
            "its books, and one for each 1000 bytes of this run's report, which it gets at the end"
        )
        found.append(Beside("What the stand-in is asked and given", ways, sent))
    if names := [name for name in _hosts(site) if not is_literal(name)]:
        found.append(Beside("Names are looked up", ["this machine's resolver"], ", ".join(names)))
    return found


def _ways(one: MediaAddress) -> tuple[Transport, ...]:
    return (Transport.UDP, Transport.TCP) if one.tcp_port else (Transport.UDP,)


def _hosts(site: Site) -> list[str]:
    uris = [uri.host for uri in (*site.stun, *site.turn)]
    media = [one.host for one in (*site.media, *site.media_beside_links)]
    urls = [urlsplit(url).hostname or "" for url in (site.rtcd_url, site.mattermost_url) if url]
    return list(dict.fromkeys([*media, *site.media_names, *uris, *urls]))


def _by_reason(left_out: Sequence[LeftOut]) -> Iterator[tuple[str, Iterator[LeftOut]]]:
    """Reasons in the order in which they first come."""
    places = {one.why: place for place, one in reversed(list(enumerate(left_out)))}
    return groupby(sorted(left_out, key=lambda one: places[one.why]), key=lambda one: one.why)


def _plan_facts(plan: CheckPlan, media_time_s: float) -> dict[str, Any]:
    return {
        "phase": str(plan.site.phase),
        "mode": str(plan.site.mode) if plan.site.mode else None,
        "from": {"role": str(plan.site.vantage), "reason": plan.site.vantage_reason},
        "checks": [
            {
                "id": spec.id,
                "title": spec.title,
                "category": spec.category,
                "targets": _targets(spec, plan),
                "packets_max": spec.packets_max,
                "rtp": spec.rtp.format(media_time=f"{media_time_s:g} s"),
                "needs": list(spec.needs),
                "for_others": spec.id in plan.for_others,
            }
            for spec in plan.planned
        ],
        "beside": [{"what": one.what, "targets": list(one.targets), "sent": one.sent} for one in _beside(plan)],
        "left_out": [{"id": one.id, "why": one.why} for one in plan.left_out],
    }


def _mode(mode: Mode, style: Style) -> Iterator[str]:
    facts = MODES[mode]
    yield from style.wrap(f"Mode {mode}: {facts.title}. Media ends at {facts.media_nodes}. Nothing was sent.", "")
    for role, flows in _by_role(mode):
        yield ""
        heading = style.wrap(f"from {MACHINES[role]} (--from {role})", "  ", "")
        yield from (style.paint(line, "bold") for line in heading)
        for flow in flows:
            yield from style.wrap(_flow(flow), INDENT, "  ")
    yield ""
    yield from style.wrap(
        "To run it, name what is to be tested: --peer LINK for the media host, --rtcd-url, --turn and --stun for the "
        "others.",
        "",
    )


def _by_role(mode: Mode) -> Iterator[tuple[Role, Iterator[PortFlow]]]:
    return groupby(sorted(MODES[mode].flows, key=lambda flow: list(Role).index(flow.from_)), key=lambda f: f.from_)


def _flow(flow: PortFlow) -> str:
    proven = f"proven by {', '.join(flow.proven_by)}" if flow.proven_by else "no check of this version proves it"
    ends = f"to {MACHINES[flow.to]}, {flow.protocol.upper()} {flow.port}"
    return f"{ends} ({flow.need}, {flow.firewall_row}): {flow.note}; {proven}"


def _mode_facts(mode: Mode) -> dict[str, Any]:
    return {
        "mode": str(mode),
        "media_nodes": MODES[mode].media_nodes,
        "flows": [
            {
                "from": str(flow.from_),
                "to": str(flow.to),
                "protocol": flow.protocol,
                "port": flow.port,
                "need": str(flow.need),
                "note": flow.note,
                "firewall_row": flow.firewall_row,
                "checks": list(flow.proven_by),
            }
            for flow in MODES[mode].flows
        ],
    }
