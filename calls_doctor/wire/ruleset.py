"""What a packet filter does with the first packet of a caller's conversation, and with the answer to it, as far as its
rules alone tell.

A rule that asks for what is not known of that packet (its source, a rate) may or may not apply: where that would change
the outcome, it depends. Rules come from `nftables` and `iptables`, read for one packet. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

JUMPS_MAX = 16
"""Deeper than the kernel lets them go (16, NFT_JUMP_STACK_SIZE)."""


class Packet(NamedTuple):
    """The first packet of a conversation, over IPv4, from another machine to this one; or the answer to it."""

    protocol: str
    """"udp" or "tcp"."""
    port: int
    """This machine's."""
    answer: bool = False


class Verdict(StrEnum):
    """What becomes of it."""

    ACCEPTED = "accepted"
    DROPPED = "dropped"
    REJECTED = "rejected"
    FORWARDED = "forwarded"
    """Its destination is changed (a container's published port): other rules decide."""
    DEPENDS = "depends"


SHUT = (Verdict.DROPPED, Verdict.REJECTED)


class Turn(StrEnum):
    """Where else a rule sends a packet."""

    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"


@dataclass(frozen=True)
class Rule:
    """One rule, held against one packet."""

    applies: bool | None
    """None: that is not known."""
    does: Verdict | Turn | None
    """None: nothing that decides (a counter, a log)."""
    target: str = ""
    """The chain of a jump or goto."""
    name: str = ""
    """By which an administrator finds it."""


@dataclass(frozen=True)
class Ruling:
    """A verdict and the rule that gave it, "" for a chain's policy."""

    verdict: Verdict
    rule: str = ""


@dataclass(frozen=True)
class Base:
    """A chain through which every packet goes, with what becomes of those that no rule decides."""

    chain: str
    policy: Ruling


@dataclass(frozen=True)
class Ruleset:
    """All rules of a machine that such packets meet."""

    bases: Sequence[Base]
    """In the order in which a packet meets them."""
    chains: Mapping[str, Sequence[Rule]]


def ruling(rules: Ruleset) -> Ruling:
    """What becomes of the packet: the first base chain that does not accept it decides."""
    last = Ruling(Verdict.ACCEPTED)
    for base in rules.bases:
        last = _Walk(rules.chains).through(base)
        if last.verdict is not Verdict.ACCEPTED:
            break
    return last


@dataclass
class _Walk:
    """One base chain and what it jumps to."""

    chains: Mapping[str, Sequence[Rule]]
    perhaps: list[Ruling] = field(default_factory=list)
    """What rules would do of which nobody knows whether they apply."""

    def through(self, base: Base) -> Ruling:
        found = self._chain(base.chain, 0) or base.policy
        other = next((one for one in self.perhaps if one.verdict is not found.verdict), None)
        return Ruling(Verdict.DEPENDS, other.rule) if other else found

    def _chain(self, name: str, depth: int) -> Ruling | None:
        """None where no rule of it decides."""
        for rule in self.chains.get(name, ()) if depth < JUMPS_MAX else ():
            if rule.applies is False or rule.does is None:
                continue
            found = self._act(rule, depth)
            if not rule.applies:
                self.perhaps += [found] if found else []
            elif found or rule.does in (Turn.GOTO, Turn.RETURN):
                return found
        return None

    def _act(self, rule: Rule, depth: int) -> Ruling | None:
        if isinstance(rule.does, Verdict):
            return Ruling(rule.does, rule.name)
        return None if rule.does is Turn.RETURN else self._chain(rule.target, depth + 1)
