"""What `nft -j list ruleset` prints (libnftables-json(5)), read for one packet. Pure.

Expressions that are not known here make a rule one of which nobody knows whether it applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # JSON

from calls_doctor.wire.ruleset import Base, Packet, Rule, Ruleset, Ruling, Turn, Verdict

FAMILIES = ("inet", "ip")
HOOKS = {False: ("prerouting", "input"), True: ("output", "postrouting")}
"""What a packet meets, and what an answer does."""
_DOES: dict[str, Verdict | Turn] = {
    "accept": Verdict.ACCEPTED, "drop": Verdict.DROPPED, "reject": Verdict.REJECTED, "dnat": Verdict.FORWARDED,
    "redirect": Verdict.FORWARDED, "queue": Verdict.DEPENDS, "jump": Turn.JUMP, "goto": Turn.GOTO,
    "return": Turn.RETURN,
}  # fmt: skip
_SILENT = ("counter", "log", "comment", "notrack", "mangle", "ct helper")
_POLICIES = {"accept": Verdict.ACCEPTED, "drop": Verdict.DROPPED}
_PROTOCOLS = {"tcp": ("tcp", 6), "udp": ("udp", 17)}
Sets = Mapping[str, list[Any]]


def rules_for(document: Any, packet: Packet) -> Ruleset:
    """Every rule that this packet may meet; none where this is no ruleset of nft."""
    own = [(kind, one) for kind, one in _entries(document) if one.get("family") in FAMILIES]
    sets = {_key(one, "name"): one.get("elem", []) for kind, one in own if kind == "set"}
    chains: dict[str, list[Rule]] = {}
    for kind, one in own:
        if kind == "rule":
            chains.setdefault(_key(one, "chain"), []).append(_rule(one, packet, sets))
    hooks = HOOKS[packet.answer]
    # An answer belongs to a conversation that is known, for which nat has been decided.
    bases = [one for kind, one in own if kind == "chain" and one.get("hook") in hooks
             and not (packet.answer and one.get("type") == "nat")]  # fmt: skip
    bases.sort(key=lambda one: (hooks.index(one["hook"]), _number(one.get("prio"))))
    return Ruleset([_base(one) for one in bases], chains)


def managers(document: Any) -> list[str]:
    """Who keeps these rules, by the names that they give their chains: ufw, firewalld, docker."""
    names = {str(one.get(key)) for _, one in _entries(document) for key in ("table", "name")}
    signs = {"ufw": "ufw-", "firewalld": "firewalld", "docker": "DOCKER"}
    return [manager for manager, sign in signs.items() if any(name.startswith(sign) for name in names)]


def _entries(document: Any) -> list[tuple[str, dict[str, Any]]]:
    """(kind, what it is) of each table, chain, set and rule."""
    listed = document.get("nftables") if isinstance(document, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return [(kind, one) for entry in entries for kind, one in entry.items() if isinstance(one, dict)]


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _key(one: Mapping[str, Any], name: str) -> str:
    return f"{one.get('family')} {one.get('table')} {one.get(name)}"


def _base(one: Mapping[str, Any]) -> Base:
    key = _key(one, "name")
    return Base(key, Ruling(_POLICIES.get(one.get("policy", ""), Verdict.ACCEPTED), f"the policy of {key}"))


def _rule(one: Mapping[str, Any], packet: Packet, sets: Sets) -> Rule:
    """One of which nobody knows what it does, where another version of nft prints it otherwise."""
    try:
        return _read(one, packet, sets)
    except (AttributeError, LookupError, TypeError, ValueError):
        return Rule(None, Verdict.DEPENDS, "", _name(one))


def _name(rule: Mapping[str, Any]) -> str:
    return f"{_key(rule, 'chain')} handle {rule.get('handle', 0)}"


def _read(one: Mapping[str, Any], packet: Packet, sets: Sets) -> Rule:
    applies: bool | None = True
    does: Verdict | Turn | None = None
    said: Any = None
    for expression in one.get("expr", ()):
        for kind, about in expression.items():
            if kind == "match":
                applies = _both(applies, _matches(about, packet, one, sets))
            elif kind == "vmap":
                applies, does, said = _mapped(applies, about, packet)
            elif kind in _DOES:
                does, said = _DOES[kind], about
            elif kind not in _SILENT:
                applies = _both(applies, None)
                does = does or (Verdict.DEPENDS if kind == "xt" else None)
    target = said.get("target", "") if isinstance(said, dict) else ""
    chain = f"{one.get('family')} {one.get('table')} {target}"
    return Rule(applies, does, chain, _name(one))


def _mapped(applies: bool | None, about: Any, packet: Packet) -> tuple[bool | None, Verdict | Turn | None, Any]:
    """A map from what a packet holds to verdicts: the one that is known to be meant, none, or it depends."""
    data = about.get("data")
    pairs = data.get("set", []) if isinstance(data, dict) else None
    if pairs is None or any(_holds(about.get("key"), key, packet) is None for key, _ in pairs):
        return _both(applies, None), Verdict.DEPENDS, None
    verdict: dict[str, Any] = next((verdict for key, verdict in pairs if _holds(about.get("key"), key, packet)), {})
    kind, said = next(iter(verdict.items()), ("", None))
    return applies, _DOES.get(kind), said


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _matches(said: Mapping[str, Any], packet: Packet, rule: Mapping[str, Any], sets: Sets) -> bool | None:
    right = said.get("right")
    if isinstance(right, str) and right.startswith("@"):
        right = {"set": sets.get(f"{rule['family']} {rule['table']} {right[1:]}", [])}
    found = _holds(said.get("left"), right, packet)
    return not found if said.get("op") == "!=" and found is not None else found


def _holds(left: Any, right: Any, packet: Packet) -> bool | None:
    """Whether what a match looks at is among what it wants; None where that is not known."""
    if not isinstance(left, dict):
        return None
    if payload := left.get("payload"):
        return _payload_holds(payload, right, packet)
    key = (left.get("meta") or left.get("ct") or {}).get("key")
    if key == "l4proto":
        return any(_among(name, right) for name in _PROTOCOLS[packet.protocol])
    if key == "nfproto":
        return _among("ipv4", right)
    if key == "state":
        return _among("established" if packet.answer else "new", right)
    if key in (("oif", "oifname") if packet.answer else ("iif", "iifname")) and right == "lo":
        return False
    return None


def _payload_holds(payload: Mapping[str, Any], right: Any, packet: Packet) -> bool | None:
    protocol, field = payload.get("protocol"), payload.get("field")
    if field == ("sport" if packet.answer else "dport"):
        return protocol in (packet.protocol, "th") and _among(packet.port, right)
    if (protocol, field) == ("ip", "protocol"):
        return any(_among(name, right) for name in _PROTOCOLS[packet.protocol])
    return None if protocol in (packet.protocol, "th", "ip") else False


def _among(value: str | int, right: Any) -> bool:
    if isinstance(right, dict) and "set" in right:
        return _among(value, right["set"])
    if isinstance(right, dict) and "range" in right:
        low, high = right["range"]
        return isinstance(value, int) and isinstance(low, int) and isinstance(high, int) and low <= value <= high
    if isinstance(right, dict) and "elem" in right:
        return _among(value, right["elem"].get("val"))
    if isinstance(right, list):
        return any(_among(value, one) for one in right)
    return bool(value == right)
