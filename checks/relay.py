"""turn.relay-range: does data go through the relay, from every port of its range, and back?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any  # evidence is JSON

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError
from calls_doctor.model.check import UDP_ECHO, Evidence, Finding, Status
from calls_doctor.model.site import ServerUri
from calls_doctor.net import echo, relay
from calls_doctor.spec import CheckSpec, Context, no_turn, nothing_behind, turn_targets

if TYPE_CHECKING:
    from calls_doctor.net.paired import PairedHost

RELAY_PORTS_SAMPLED = 8
STAND_IN_PORTS_SAMPLED = 2
"""Of a TURN server that stands on the media host itself: no firewall is between its relay ports and the media port."""
SIZES_BYTES = (200, 1200, 1272)
"""A small one, one as large as media's, and one that with a relay's header is as large as quality.mtu asks for."""
KEPT = 2
"""For the call through the relay, which has two sessions."""
DATAGRAMS = 10
ENOUGH_DATAGRAMS = 5
"""Each way: the way to the server may lose some, and whether it relays at all is the question."""
EXCHANGE_S = 1.0
"""How long datagrams may take from one allocation to another."""


async def relay_range_probe(context: Context) -> Finding:
    """Data through the relay and back: to the media host's echo, or between two allocations on the same server."""
    if context.paired is not None:
        return await _through_to(context, context.paired)
    uri = relay.usable((await context.turn()).uris, context.results)
    try:
        there, back = await _between_two(context, uri)
    except (NetworkError, ProtocolError, FarEndError) as error:
        evidence: Evidence = {"between": "two allocations", "detail": str(error)}
        return Finding(
            status=Status.UNKNOWN, summary=f"could not be tried: {error}", target=str(uri), evidence=evidence
        )
    evidence = {"between": "two allocations", "sent": 2 * DATAGRAMS, "arrived": there + back}
    summary = f"{there + back} of {2 * DATAGRAMS} datagrams went between two allocations"
    if min(there, back) >= ENOUGH_DATAGRAMS:
        return Finding(status=Status.PASS, summary=summary, target=str(uri), evidence=evidence)
    summary = f"{summary}; the server may deny its own range"
    return Finding(status=Status.UNKNOWN, summary=summary, target=str(uri), evidence=evidence)


async def _through_to(context: Context, paired: PairedHost) -> Finding:
    """Samples several relay ports by repeated allocations, an echo through each."""
    servers = await context.turn()
    uri = relay.usable(servers.uris, context.results)
    target = str(uri)
    ports = STAND_IN_PORTS_SAMPLED if servers.stands_in else RELAY_PORTS_SAMPLED
    rows = await asyncio.gather(*(_one_port(context, uri, paired, keep=n < KEPT) for n in range(ports)))
    # What a quota did not give is not sampled: that the user has fewer relays than we ask for at once breaks no call.
    # Nor is what a stand-in that is full refused: it came there through the relay, and its refusal came back.
    rows = [row for row in rows if row["code"] != relay.ALLOCATION_QUOTA_REACHED and not row["full"]] or rows
    if all(row["full"] for row in rows):
        summary = "the stand-in had no room for one session more; try again when fewer check at once"
        return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence={"ports": rows})
    good = [row for row in rows if row["returned"]]
    if not good and (word := context.link_trouble):
        return nothing_behind(word, UDP_ECHO)
    evidence: Evidence = {"between": "relay and media host", "ports": rows, "sampled": len(rows), "carried": len(good)}
    evidence |= {"stands_in": True} if servers.stands_in else {}
    evidence["sent"] = sum(row["sent"] for row in rows)
    evidence["returned"] = sum(row["returned"] for row in rows)
    if len(good) == len(rows):
        summary = f"data went to the media host and back through {len(rows)} relay ports"
        return Finding(status=Status.PASS, summary=summary, target=target, evidence=evidence)
    status = Status.WARN if good else Status.FAIL
    bad = [row for row in rows if not row["returned"]]
    if not any(row["sent"] for row in bad):  # the server gave relays before, and now refuses them, or is gone
        evidence |= {"stage": "allocate", "arrived": None}
        summary = f"no{' other' if good else ''} relay port could be tried: {bad[0]['detail']}"
        return Finding(status=status, summary=summary, target=target, evidence=evidence)
    books = await paired.books()
    sessions = {s.session: len(s.probes) for s in books.sessions} if books else {}
    evidence["arrived"] = sum(sessions.get(row["session"], 0) for row in rows) if books else None
    return Finding(status=status, summary=through_summary(evidence), target=target, evidence=evidence)


def through_summary(evidence: Evidence) -> str:
    """Through how many relay ports data came back, and how much arrived where that is known."""
    lost = {None: "", 0: ", none arrived at the media host"}.get(
        evidence["arrived"], f", {evidence['arrived']} arrived"
    )
    return f"data came back through {evidence['carried']} of {evidence['sampled']} relay ports{lost}"


async def _one_port(context: Context, uri: ServerUri, paired: PairedHost, *, keep: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"relayed": None, "sent": 0, "returned": 0, "session": "", "detail": "", "code": None}
    row["full"] = False
    try:
        async with context.relays.lent(uri, await context.turn_credentials(), keep=keep) as allocation:
            row["relayed"] = list(allocation.relayed)
            try:
                outcome = await paired.echo(paired.through(allocation), SIZES_BYTES)
            except FarEndError as error:
                row |= {"full": error.what == echo.WHAT, "code": error.code, "detail": str(error)}
                return row
            row |= {"sent": outcome.sent, "returned": len(outcome.returned), "session": outcome.session}
            row["sent_bytes"] = list(SIZES_BYTES)
            row["returned_bytes"] = sorted(one.size_bytes for one in outcome.returned)
            row["detail"] = str(outcome.trouble or "")
    except (NetworkError, ProtocolError, FarEndError) as error:
        row["detail"] = str(error)
        row["code"] = error.code if isinstance(error, FarEndError) else None
    return row


class _Counter:
    """Receives datagrams and counts those that are expected."""

    def __init__(self, expected: set[bytes]) -> None:
        self.left, self.complete = set(expected), asyncio.Event()

    def packet(self, data: bytes) -> None:
        self.left.discard(data)
        if not self.left:
            self.complete.set()

    def trouble(self, error: NetworkError) -> None:
        """An ICMP error says nothing here that the count does not."""


async def _between_two(context: Context, uri: ServerUri) -> tuple[int, int]:
    """How many of DATAGRAMS arrive each way between two allocations of the same server."""
    payloads = {f"calls-doctor {n}".encode() for n in range(DATAGRAMS)}
    given = await context.turn_credentials()
    async with context.relays.lent(uri, given) as one, context.relays.lent(uri, given) as other:
        at_one, at_other = _Counter(payloads), _Counter(payloads)
        there = await one.channel(other.relayed, at_one)
        back = await other.channel(one.relayed, at_other)
        for payload in sorted(payloads):
            there.send(payload)
            back.send(payload)
        try:
            async with asyncio.timeout(EXCHANGE_S):
                await asyncio.gather(at_one.complete.wait(), at_other.complete.wait())
        except TimeoutError:
            pass  # what is missing is counted below
        return DATAGRAMS - len(at_other.left), DATAGRAMS - len(at_one.left)


CHECKS = (
    CheckSpec(
        id="turn.relay-range",
        title="Data goes through the relay and back",
        probe=relay_range_probe,
        about_host=True,
        needs=("turn.allocate", "turn.permission"),
        nothing_to_do=no_turn,
        targets=turn_targets,
        guide_steps=("1.6.12",),
        packets_max=120,
        reworded=through_summary,
        timeout_s=12.0,
        fails_when="Allocations succeed and data does not arrive: a firewall between the TURN server's relay ports and "
        "the media host. Between two allocations of one server a failure decides nothing.",
    ),
)
