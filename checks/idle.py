"""nat.idle: how long NATs and firewalls on the way remember a UDP flow over which nothing is sent.

A muted caller sends nothing but ICE's consent checks, every four to six seconds (RFC 7675): what forgets a flow faster
cuts off who speaks to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calls_doctor.model.check import UDP_ECHO, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Transport
from calls_doctor.spec import PAIRED_PHASES, CheckSpec, Context, no_link, nothing_behind

if TYPE_CHECKING:
    from calls_doctor.net.binding_lifetime import Survival

REFRESHED_S = 6.0
"""A flow that is forgotten within it is forgotten before ICE refreshes it (contract section 6)."""
PROVEN = 2
"""So many flows must have been forgotten, each by itself, before it counts that calls suffer."""


async def idle_probe(context: Context) -> Finding:
    """Several flows, each silent for another time after two-way traffic: which of them are remembered?"""
    from calls_doctor.net import binding_lifetime

    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    if word := context.link_trouble:
        return nothing_behind(word, UDP_ECHO)
    settings = paired.session_settings("u")
    opener, silences_s = paired.opener(Transport.UDP), binding_lifetime.SILENCES_S
    flows = await binding_lifetime.run(opener, settings.ice_credentials, silences_s)
    books = await paired.books() if any(not (flow.came or flow.why) for flow in flows) else None
    session = next((s for s in books.sessions if s.session == settings.session), None) if books else None
    survivals = [binding_lifetime.survival(flow, session) for flow in flows]
    status, summary = judged(survivals)
    evidence = _evidence(survivals) | {"session": settings.session}
    return Finding(status=status, summary=summary, target=paired.target(Transport.UDP), evidence=evidence)


def judged(survivals: Sequence[Survival]) -> tuple[Status, str]:
    """What the flows come to, the shortest silence first."""
    remembered, forgotten = _split(survivals)
    if remembered and forgotten and max(remembered) > min(forgotten):
        words = f"silent for {min(forgotten):g} s a flow was forgotten, for {max(remembered):g} s another was not"
        return Status.UNKNOWN, f"{words}: that is no timeout"
    return _forgotten(remembered, forgotten) if forgotten else _not_forgotten(survivals)


def _not_forgotten(survivals: Sequence[Survival]) -> tuple[Status, str]:
    told, _ = _split(survivals)
    longest_s = survivals[-1].flow.silent_s
    if told and max(told) == longest_s:
        return Status.PASS, f"a UDP flow that is silent for {longest_s:g} s is still remembered"
    why = "; ".join(dict.fromkeys(one.why for one in survivals if one.why))
    words = f"a UDP flow that is silent for {max(told):g} s is remembered, longer" if told else "the"
    return Status.UNKNOWN, f"{words} silences told nothing: {why}"


def _forgotten(remembered: Sequence[float], forgotten: Sequence[float]) -> tuple[Status, str]:
    after = f"after {max(remembered):g} s and within" if remembered else "within"
    words = f"a UDP flow that is silent is forgotten {after} {min(forgotten):g} s"
    if min(forgotten) > REFRESHED_S:
        return Status.WARN, f"{words}; calls refresh theirs every few seconds"
    if len(forgotten) < PROVEN:
        return Status.UNKNOWN, f"{words}, by one flow alone"
    return Status.FAIL, f"{words}, before ICE refreshes it"


def _split(survivals: Sequence[Survival]) -> tuple[list[float], list[float]]:
    """For how long those were silent that were remembered, and those that were forgotten."""
    remembered = [one.flow.silent_s for one in survivals if one.remembered is True]
    return remembered, [one.flow.silent_s for one in survivals if one.remembered is False]


def _evidence(survivals: Sequence[Survival]) -> Evidence:
    remembered, forgotten = _split(survivals)
    return {
        "remembered_s": max(remembered, default=None),
        "forgotten_s": min(forgotten, default=None),
        "flows": [_row(one) for one in survivals],
    }


def _row(one: Survival) -> Evidence:
    return {
        "silent_s": one.flow.silent_s,
        "remembered": one.remembered,
        "mapped_before": list(one.flow.mapped_before or ()),
        "mapped_after": list(one.flow.mapped_after or ()),
        "why": one.why,
    }


CHECKS = (
    CheckSpec(
        id="nat.idle",
        title="A UDP flow that is silent for a while is remembered on the way",
        probe=idle_probe,
        about_host=True,
        needs=(UDP_ECHO,),
        vantages=CALLERS,
        phases=PAIRED_PHASES,
        thorough_only=True,
        nothing_to_do=no_link,
        targets=lambda site: [m.target(Transport.UDP) for m in site.media],
        packets_max=150,
        timeout_s=45.0,
        fails_when="After 3 s of two-way traffic a flow that is silent for 6 s or less is forgotten, by a NAT or a"
        " firewall: calls refresh theirs every 4 to 6 s, and who only listens is cut off. One that is forgotten later"
        " is a warning. Silences of 4, 6, 10, 15 and 25 s, each on a socket of its own: the stand-in holds its answers"
        " back for as long, and a fresh exchange afterwards shows that the path still carries.",
    ),
)
