"""What a name comes to on this machine: the system's own answer, which its applications get, and beside it what each of
its resolvers says, so that a name without an address is told from a resolver that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any  # nothing is sent to a coroutine

from calls_doctor.model.flow import Address
from calls_doctor.net import resolver
from calls_doctor.net.dns_client import DnsAnswer, Outcome, ask
from calls_doctor.net.name_service import NameService
from calls_doctor.net.resolver import LookedUp

DNS_PORT = 53
BESIDE_S = 0.5
"""How long a resolver is waited for where the system has its answer already: from the hosts file, or a cache."""
ROOT_AFTER_S, ROOT_S = 1.0, 1.0
"""A resolver that is silent so long is asked for the root, which none has to look up, and has so long for it."""
KINDS = ("A", "AAAA")
SLOW_S = 2.0
"""Contract section 6."""
NONE = (Outcome.NXDOMAIN, Outcome.NO_DATA)


@dataclass(frozen=True)
class Resolver:
    """What one of this machine's resolvers says of a name."""

    server: str
    outcome: Outcome
    took_s: float
    addresses: tuple[str, ...] = ()
    ttl_s: int = 0
    canonical: str = ""
    answers_root: bool | None = None
    """Whether it answers for the root within a second: one that does not is slow or dead by itself, whatever zone it is
    asked about. None where it answered for the name sooner than that could be known."""


@dataclass(frozen=True)
class NameSeen:
    """All of it."""

    name: str
    system: LookedUp
    resolvers: tuple[Resolver, ...]
    in_hosts_file: tuple[str, ...] = ()

    @property
    def trouble(self) -> str:
        """One word: "nxdomain" (no such name, or no address of it), "servfail", "timeout", "slow"; "unresolved" where
        the system has no answer and nobody knows why; "" for none. The first resolver that answers counts, as it does
        there."""
        silent = [one for one in self.resolvers if one.outcome in (Outcome.SILENT, Outcome.UNREACHABLE)]
        if self.system.addresses:
            if self.system.took_s <= SLOW_S:
                return ""
            return "timeout" if silent and len(silent) < len(self.resolvers) else "slow"
        answers = [one for one in self.resolvers if one.outcome in (Outcome.FOUND, *NONE)]
        if answers and answers[0].outcome in NONE:
            return "nxdomain"
        if answers:
            return "timeout" if silent or answers[0].took_s > SLOW_S else "unresolved"
        if self.resolvers:
            return "timeout" if len(silent) == len(self.resolvers) else "servfail"
        return self._without_resolvers()

    def _without_resolvers(self) -> str:
        if self.system.trouble is not None and self.system.trouble.after_s:
            return "timeout"
        return "nxdomain" if self.system.is_final else "unresolved"


async def look_at(name: str, service: NameService) -> NameSeen:
    """Asks the system and each of its resolvers, side by side; it takes no longer than the system's own look-up may."""
    servers = service.servers if service.asks_dns and not name.rstrip(".").endswith(".local") else ()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    roots = [asyncio.create_task(_answers_root((server, DNS_PORT))) for server in servers]
    asking = [
        asyncio.create_task(_asked(server, service.questions(name), root))
        for server, root in zip(servers, roots, strict=True)
    ]
    try:
        system = await resolver.look_up(name)
        if asking:
            await asyncio.wait(asking, timeout=BESIDE_S if system.addresses else None)
        waited_s = loop.time() - began_s
        found = [
            task.result() if task.done() else _unheard(server, root, system.took_s + BESIDE_S, waited_s)
            for server, task, root in zip(servers, asking, roots, strict=True)
        ]
    finally:
        for one in (*asking, *roots):
            one.cancel()
        await asyncio.gather(*asking, *roots, return_exceptions=True)
    return NameSeen(name, system, tuple(found), service.hosts.get(name.rstrip(".").lower(), ()))


def _unheard(server: str, root: asyncio.Task[bool], took_s: float, waited_s: float) -> Resolver:
    return Resolver(server, Outcome.SILENT, took_s, answers_root=_known_of_root(root, waited_s))


def _known_of_root(root: asyncio.Task[bool], waited_s: float) -> bool | None:
    """What `Resolver.answers_root` says after so long."""
    return root.done() and root.result() if waited_s > ROOT_AFTER_S + ROOT_S else None


async def _asked(server: str, questions: Sequence[str], root: asyncio.Task[bool]) -> Resolver:
    """One resolver, until it knows one of the names; where it knows none, what it said of the one as it stands."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    said: dict[str, Resolver] = {}
    try:
        for question in questions:
            left_s = began_s + resolver.TIMEOUT_S - loop.time()
            said[question] = found = _joined(server, await _both((server, DNS_PORT), question, max(left_s, 0.0)))
            if found.outcome not in NONE:
                break
        last = found if found.outcome is Outcome.FOUND else said[min(said, key=len)]
        took_s = loop.time() - began_s
        return replace(last, took_s=took_s, answers_root=_known_of_root(root, took_s))
    finally:
        root.cancel()


async def _both(server: Address, question: str, limit_s: float) -> list[DnsAnswer]:
    """Records of both families, asked for at once as the C library does."""
    asking: list[Coroutine[Any, Any, DnsAnswer]] = [ask(server, question, kind, limit_s) for kind in KINDS]
    try:
        return list(await asyncio.gather(*asking))
    except ValueError:  # no name that DNS could hold
        return [DnsAnswer(Outcome.NXDOMAIN, 0.0)]


def _joined(server: str, answers: Sequence[DnsAnswer]) -> Resolver:
    """Both families' answers as one: an address of either is one, and trouble goes before a name that has none."""
    order = list(Outcome)
    found = [one for one in answers if one.outcome is Outcome.FOUND]
    if not found:
        worst = max(answers, key=lambda one: order.index(one.outcome))
        # A name with no address of either kind exists; one that does not has none of either.
        return Resolver(server, worst.outcome, worst.took_s, canonical=worst.canonical)
    return Resolver(
        server,
        Outcome.FOUND,
        max(one.took_s for one in answers),
        tuple(address for one in found for address in one.addresses),
        min(one.ttl_s for one in found),
        found[0].canonical,
    )


async def _answers_root(server: Address) -> bool:
    await asyncio.sleep(ROOT_AFTER_S)
    answer = await ask(server, ".", "SOA", resolver.TIMEOUT_S)
    return answer.outcome not in (Outcome.SILENT, Outcome.UNREACHABLE)
