"""turn.*: does the relay ask for credentials, take ours, allow the media host as a peer, and carry data?

Each check looks at every TURN URI by itself: one that works is enough for calls, one that does not is still named.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any  # evidence is JSON

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError, Refused, Silence, Unresolved
from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.flow import Address, address_class
from calls_doctor.model.site import Phase, ServerUri, Site
from calls_doctor.net import relay, resolver, turn_client
from calls_doctor.spec import CheckSpec, Context

if TYPE_CHECKING:
    from calls_doctor.net.paired import PairedHost

RELAY_PORTS_SAMPLED = 8
DATAGRAMS = 10


def _row(uri: ServerUri) -> dict[str, Any]:
    return {"uri": str(uri), "transport": uri.transport, "ok": False, "trouble": "", "code": None}


def _blame(row: dict[str, Any], error: Exception) -> None:
    """Writes into the row what went wrong, in a word that causes decide by and a sentence for people."""
    row["detail"] = str(error)
    if isinstance(error, FarEndError):
        row["trouble"], row["code"] = "refused-request", error.code
    elif isinstance(error, Silence):
        row["trouble"] = "silent"
    elif isinstance(error, Refused):
        row["trouble"] = "refused"
    elif isinstance(error, NetworkError):
        row["trouble"] = "unresolved" if isinstance(error, Unresolved) else "unreachable"
    else:
        row["trouble"] = "tls" if "TLS" in str(error) else "not-turn"


async def challenge_probe(context: Context) -> Finding:
    """An Allocate without credentials must be refused with 401, a realm and a nonce."""

    async def one(uri: ServerUri) -> dict[str, Any]:
        row = _row(uri)
        try:
            answer = await turn_client.challenge(uri, await relay.address_of(uri), timeout_s=relay.TIMEOUT_S)
        except (NetworkError, ProtocolError, FarEndError) as error:
            _blame(row, error)
            return row
        row |= {"code": answer.code, "realm": answer.realm, "has_nonce": answer.has_nonce}
        row |= {"software": answer.software, "rtt_s": round(answer.rtt_s, 6)}
        row["ok"] = answer.code == 401 and answer.has_nonce and bool(answer.realm)
        if not row["ok"]:
            row["trouble"] = "open" if answer.code == 0 else "odd-answer"
            row["detail"] = f"{uri} {'gave a relay to nobody in particular' if answer.code == 0 else 'answered oddly'}"
        return row

    rows = await asyncio.gather(*(one(uri) for uri in context.site.turn))
    opened = [row for row in rows if row["trouble"] == "open"]
    return _judge(rows, "asks for credentials", strict=bool(opened) or _every_stage_counts(context))


async def allocate_probe(context: Context) -> Finding:
    """An allocation with the credentials at hand, over every URI that asked for them."""
    credentials = relay.credentials_of(context.credentials, time.time())
    if credentials is None:
        return Finding(status=Status.SKIP, summary="no TURN credentials were given (CALLS_DOCTOR_TURN_SECRET, or "
                       "CALLS_DOCTOR_TURN_USERNAME and _CREDENTIAL)")  # fmt: skip

    async def one(uri: ServerUri) -> dict[str, Any]:
        row = _row(uri)
        try:
            async with await relay.opened(uri, context.credentials) as allocation:
                row |= _allocated(allocation, await relay.address_of(uri))
        except (NetworkError, ProtocolError, FarEndError) as error:
            _blame(row, error)
            row["expired_s"] = expired_s(credentials.username, time.time())
        return row

    rows = await asyncio.gather(*(one(uri) for uri in _answering(context)))
    relay_private = [row for row in rows if row["ok"] and row["relayed_private"]]
    return _judge(rows, "allocates a relay", strict=bool(relay_private) or _every_stage_counts(context))


def _allocated(allocation: turn_client.Allocation, server: Address) -> dict[str, Any]:
    relayed_class, server_class = address_class(allocation.relayed[0]), address_class(server[0])
    return {
        "ok": True,
        "relayed": list(allocation.relayed),
        "relayed_class": str(relayed_class),
        "server_class": str(server_class),
        # A private relay address is of no use to those who reach the server by a public one.
        "relayed_private": relayed_class.is_private and not server_class.is_private,
        "lifetime_s": allocation.lifetime_s,
        "software": allocation.software,
        "rtt_s": round(allocation.rtt_s, 6),
    }


def expired_s(username: str, now_s: float) -> float | None:
    """Seconds since the expiry in a REST user name (`expiry:name`); None where it carries none or is valid."""
    head = username.split(":")[0]
    return round(now_s - int(head), 1) if head.isdecimal() and int(head) < now_s else None


def _answering(context: Context) -> list[ServerUri]:
    """The URIs that asked for credentials; the others were judged by turn.challenge."""
    rows = context.results["turn.challenge"].evidence["servers"]
    answering = {row["uri"] for row in rows if row["ok"] or row["trouble"] == "open"}
    return [uri for uri in context.site.turn if str(uri) in answering]


def _allocating(context: Context) -> ServerUri:
    """The first URI that gave a relay."""
    return relay.first_good(context.site, context.results["turn.allocate"].evidence["servers"])


async def _open(context: Context) -> turn_client.Allocation:
    return await relay.opened(_allocating(context), context.credentials)


async def permission_probe(context: Context) -> Finding:
    """CreatePermission for each address of the media host; without one, for the relay's own address."""
    peers = await _peers(context)
    rows: list[dict[str, Any]] = []
    uri = str(_allocating(context))
    try:
        async with await _open(context) as allocation:
            for peer in peers or [allocation.relayed[0]]:
                row: dict[str, Any] = {"uri": uri, "peer": peer, "ok": False, "trouble": "", "code": None}
                rows.append(row)
                try:
                    await allocation.permit([peer])
                    row["ok"] = True
                except (FarEndError, NetworkError) as error:
                    _blame(row, error)
    except (NetworkError, ProtocolError, FarEndError) as error:
        row = {"uri": uri, "peer": "", "ok": False, "trouble": "", "code": None}
        _blame(row, error)
        rows.append(row)
    evidence: Evidence = {"servers": rows, "peer_is_media_host": bool(peers)}
    denied = [row for row in rows if not row["ok"]]
    if not denied:
        allowed = ", ".join(row["peer"] for row in rows)
        return Finding(status=Status.PASS, summary=f"{allowed} allowed as a peer", target=uri, evidence=evidence)
    # Without a media host to name, a server that denies its own range has done nothing wrong.
    status = Status.FAIL if peers else Status.UNKNOWN
    return Finding(status=status, summary=f"{denied[0]['peer']}: {denied[0]['detail']}", target=uri, evidence=evidence)


async def _peers(context: Context) -> list[str]:
    return [address for media in context.site.media for address in (await resolver.resolve(media.host))[:1]]


async def relay_range_probe(context: Context) -> Finding:
    """Data through the relay and back: to the media host's echo, or between two allocations on the same server."""
    if context.paired is not None:
        return await _through_to(context, context.paired)
    uri = str(_allocating(context))
    try:
        carried = await _between_two(context)
    except (NetworkError, ProtocolError, FarEndError) as error:
        evidence: Evidence = {"between": "two allocations", "detail": str(error)}
        return Finding(status=Status.UNKNOWN, summary=f"could not be tried: {error}", target=uri, evidence=evidence)
    evidence = {"between": "two allocations", "sent": 2 * DATAGRAMS, "arrived": carried}
    if carried >= DATAGRAMS:
        summary = f"{carried} of {2 * DATAGRAMS} datagrams went from one allocation to another"
        return Finding(status=Status.PASS, summary=summary, target=uri, evidence=evidence)
    summary = f"{carried} of {2 * DATAGRAMS} datagrams went between two allocations; the server may deny its own range"
    return Finding(status=Status.UNKNOWN, summary=summary, target=uri, evidence=evidence)


async def _through_to(context: Context, paired: PairedHost) -> Finding:
    """Samples several relay ports by repeated allocations, an echo through each."""
    uri = str(_allocating(context))
    rows = await asyncio.gather(*(_one_port(context, paired) for _ in range(RELAY_PORTS_SAMPLED)))
    # What a quota did not give is not sampled: that the user has fewer relays than we ask for at once breaks no call.
    rows = [row for row in rows if row["code"] != relay.ALLOCATION_QUOTA_REACHED] or rows
    good = [row for row in rows if row["returned"]]
    evidence: Evidence = {"between": "relay and media host", "ports": rows, "sampled": len(rows), "carried": len(good)}
    evidence["sent"] = sum(row["sent"] for row in rows)
    evidence["returned"] = sum(row["returned"] for row in rows)
    if len(good) == len(rows):
        summary = f"data went to the media host and back through {len(rows)} relay ports"
        return Finding(status=Status.PASS, summary=summary, target=uri, evidence=evidence)
    books = await paired.books()
    sessions = {s.session: len(s.probes) for s in books.sessions} if books else {}
    evidence["arrived"] = sum(sessions.get(row["session"], 0) for row in rows) if books else None
    status = Status.WARN if good else Status.FAIL
    lost = {None: "", 0: ", none arrived at the media host"}.get(
        evidence["arrived"], f", {evidence['arrived']} arrived"
    )
    summary = f"data came back through {len(good)} of {len(rows)} relay ports{lost}"
    return Finding(status=status, summary=summary, target=uri, evidence=evidence)


async def _one_port(context: Context, paired: PairedHost) -> dict[str, Any]:
    row: dict[str, Any] = {"relayed": None, "sent": 0, "returned": 0, "session": "", "detail": "", "code": None}
    try:
        async with await _open(context) as allocation:
            row["relayed"] = list(allocation.relayed)
            outcome = await paired.echo(paired.through(allocation), (200, 1200))
            row |= {"sent": outcome.sent, "returned": len(outcome.returned), "session": outcome.session}
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


async def _between_two(context: Context) -> int:
    """How many of 2 x DATAGRAMS arrive, each way between two allocations of the same server."""
    payloads = {f"calls-doctor {n}".encode() for n in range(DATAGRAMS)}
    async with await _open(context) as one, await _open(context) as other:
        at_one, at_other = _Counter(payloads), _Counter(payloads)
        there = await one.channel(other.relayed, at_one)
        back = await other.channel(one.relayed, at_other)
        for payload in sorted(payloads):
            there.send(payload)
            back.send(payload)
        try:
            async with asyncio.timeout(1.0):
                await asyncio.gather(at_one.complete.wait(), at_other.complete.wait())
        except TimeoutError:
            pass  # what is missing is counted below
        return 2 * DATAGRAMS - len(at_one.left) - len(at_other.left)


def _every_stage_counts(context: Context) -> bool:
    """The self-test is about this program and this machine: there is no fallback to be content with."""
    return context.site.phase is Phase.SELF_TEST


def _judge(rows: list[dict[str, Any]], does: str, strict: bool) -> Finding:
    """One that works is enough for calls, unless `strict`; all must work for a pass."""
    good = [row for row in rows if row["ok"]]
    target = ", ".join(row["uri"] for row in rows)
    evidence: Evidence = {"servers": rows}
    bad = [row for row in rows if not row["ok"] or row.get("relayed_private")]
    if bad and (strict or not good):
        first = bad[0]
        said = first.get("detail") or f"{first['uri']} hands out the private address {first['relayed'][0]}"
        return Finding(status=Status.FAIL, summary=said, target=target, evidence=evidence)
    if len(good) < len(rows):
        said = "; ".join(row["detail"] for row in bad)
        return Finding(status=Status.WARN, summary=said, target=target, evidence=evidence)
    how = " and ".join(dict.fromkeys(row["transport"].upper() for row in rows))
    return Finding(status=Status.PASS, summary=f"{does} over {how}", target=target, evidence=evidence)


def _none_named(site: Site) -> str:
    return "" if site.turn else "no TURN server was named: give it with --turn"


def _uris(site: Site) -> list[str]:
    return [str(uri) for uri in site.turn]


CHECKS = (
    CheckSpec(
        id="turn.challenge",
        title="The TURN server asks for credentials",
        probe=challenge_probe,
        needs=("env.platform",),
        nothing_to_do=_none_named,
        targets=_uris,
        guide_steps=("1.6.10", "1.6.11"),
        packets_max=8,
        timeout_s=8.0,
        fails_when="Nothing answers (blocked or not running), something that is no TURN server answers, or the server "
        "gives a relay to anyone who asks.",
    ),
    CheckSpec(
        id="turn.allocate",
        title="The TURN server takes the credentials and gives a relay address",
        probe=allocate_probe,
        needs=("turn.challenge",),
        nothing_to_do=_none_named,
        targets=_uris,
        packets_max=12,
        timeout_s=8.0,
        fails_when="401 after authentication means a wrong secret or password, or a user name that has expired; 486 a "
        "quota; a private relay address means that the server behind NAT was not told its public one (external-ip).",
    ),
    CheckSpec(
        id="turn.permission",
        title="The TURN server allows the media host as a peer",
        probe=permission_probe,
        needs=("turn.allocate",),
        nothing_to_do=_none_named,
        targets=_uris,
        packets_max=12,
        timeout_s=8.0,
        fails_when="403: the server's denied-peer-ip covers the address that calls announce.",
    ),
    CheckSpec(
        id="turn.relay-range",
        title="Data goes through the relay and back",
        probe=relay_range_probe,
        needs=("turn.allocate", "turn.permission"),
        nothing_to_do=_none_named,
        targets=_uris,
        guide_steps=("1.6.12",),
        packets_max=120,
        timeout_s=12.0,
        fails_when="Allocations succeed and data does not arrive: a firewall between the TURN server's relay ports and "
        "the media host. Between two allocations of one server a failure decides nothing.",
    ),
)
