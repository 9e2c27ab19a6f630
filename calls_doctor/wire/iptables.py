"""What `iptables-save` prints, read for one packet: where a machine has no nft. Pure."""

from __future__ import annotations

import shlex

from calls_doctor.wire.ruleset import Base, Packet, Rule, Ruleset, Ruling, Turn, Verdict

TABLES = {"raw": ("PREROUTING",), "mangle": ("PREROUTING", "INPUT"), "nat": ("PREROUTING",), "filter": ("INPUT",)}
"""In the order in which an incoming packet meets them, each with its chains."""
OF_ANSWERS = {"raw": ("OUTPUT",), "mangle": ("OUTPUT",), "filter": ("OUTPUT",)}
"""The same for an answer; nat has been decided for a conversation that is known."""
_DOES: dict[str, Verdict | Turn] = {
    "ACCEPT": Verdict.ACCEPTED, "DROP": Verdict.DROPPED, "REJECT": Verdict.REJECTED, "DNAT": Verdict.FORWARDED,
    "REDIRECT": Verdict.FORWARDED, "RETURN": Turn.RETURN, "NFQUEUE": Verdict.DEPENDS,
}  # fmt: skip
_SILENT = {"LOG", "NFLOG", "MARK", "CT", "NOTRACK", "TCPMSS", "CONNMARK"}
_FORMS = {
    "-m",
    "--match",
    "--comment",
    "--reject-with",
    "--log-prefix",
    "--log-level",
    "--to-destination",
    "--to-ports",
}
"""Options that narrow nothing by themselves."""


def rules_for(text: str, packet: Packet) -> Ruleset:
    """Every rule that this packet may meet."""
    chains: dict[str, list[Rule]] = {}
    policies: dict[str, Verdict] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chain, _, rest = line[1:].partition(" ")
            policies[f"{table} {chain}"] = Verdict.DROPPED if rest.startswith("DROP") else Verdict.ACCEPTED
        elif line.startswith("-A ") and (words := _words(line)[1:]):
            name, *words = words
            chains.setdefault(f"{table} {name}", []).append(_rule(table, name, words, packet))
    tables = OF_ANSWERS if packet.answer else TABLES
    names = [f"{table} {chain}" for table, own in tables.items() for chain in own if f"{table} {chain}" in policies]
    return Ruleset([Base(name, Ruling(policies[name], f"the policy of {name}")) for name in names], chains)


def managers(text: str) -> list[str]:
    """Who keeps these rules, by the names that they give their chains: ufw, docker."""
    signs = {"ufw": ":ufw-", "docker": ":DOCKER"}
    return [manager for manager, sign in signs.items() if sign in text]


def _words(line: str) -> list[str]:
    """A comment may hold a quote that nobody closes."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _rule(table: str, chain: str, words: list[str], packet: Packet) -> Rule:
    applies: bool | None = True
    does: Verdict | Turn | None = None
    target, negated = "", False
    left = iter(words)
    for word in left:
        if word == "!":
            negated = True
            continue
        value = next(left, "") if word.startswith("-") else ""
        if word in ("-j", "-g"):
            does, target = _action(word, value, table)
        elif word not in _FORMS:
            holds = _holds(word, value, packet)
            holds = not holds if negated and holds is not None else holds
            applies = False if applies is False or holds is False else None if holds is None else applies
        negated = False
    return Rule(applies, does, target, f"{table}: -A {chain} {' '.join(words)}")


def _action(word: str, value: str, table: str) -> tuple[Verdict | Turn | None, str]:
    if value in _SILENT:
        return None, ""
    if value in _DOES:
        return _DOES[value], ""
    return Turn.GOTO if word == "-g" else Turn.JUMP, f"{table} {value}"


def _holds(word: str, value: str, packet: Packet) -> bool | None:
    """Whether an option holds for the packet; None where that is not known."""
    if word in ("-p", "--protocol"):
        return value in (packet.protocol, "all")
    if word in (("--sport", "--source-port", "--sports", "--ports") if packet.answer else
                ("--dport", "--destination-port", "--dports", "--ports")):  # fmt: skip
        return any(_in_range(packet.port, one) for one in value.split(","))
    if word in ("--ctstate", "--state"):
        return ("ESTABLISHED" if packet.answer else "NEW") in value.split(",")
    if word in (("-o", "--out-interface") if packet.answer else ("-i", "--in-interface")) and value == "lo":
        return False
    return None


def _in_range(port: int, text: str) -> bool:
    """One port, or FIRST:LAST of which either may be left out; iptables-save prints numbers only."""
    low, colon, high = text.partition(":")
    try:
        first, last = int(low or 0), int(high or 65535)
    except ValueError:
        return False
    return first <= port <= last if colon else port == first
