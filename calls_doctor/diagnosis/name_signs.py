"""How each cause of names is read from the evidence; `names` declares them. Pure.

A fault of a name explains all that fails by that name where it shows. Whose it is, the vantages tell together: a name
that is well for another caller is its own resolver's fault here; one that fails for callers of several networks, and is
well for none outside, is the zone's. One vantage alone cannot tell, unless its resolver answers nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from calls_doctor.diagnosis.callers import is_inside
from calls_doctor.diagnosis.cause import BAD, Evidence, Outcome, Prediction, Row, bad_rows, outcome_of, outcomes
from calls_doctor.diagnosis.host import OWNERS
from calls_doctor.diagnosis.media_evidence import CLASS, TCP_CALL, UDP_CALLS, announced_in_vain, trouble
from calls_doctor.diagnosis.place import Place, host_and_port, role_of
from calls_doctor.diagnosis.stun import REACH
from calls_doctor.diagnosis.tls import SITE, WEBSOCKET
from calls_doctor.diagnosis.turn_signs import LISTENERS
from calls_doctor.model.check import API, ECHOES, CheckResult
from calls_doctor.model.flow import Endpoint, Flow, Party, Role
from calls_doctor.model.report import Confidence, Impact

NAMES = ("dns.media-names", "dns.site", "dns.rtcd")
ROLES = {"media": Role.MEDIA, "override": Role.MEDIA, "site": Role.MATTERMOST, "rtcd": Role.MEDIA, "turn": Role.TURN}
NEEDED = {"media", "override", "site", "rtcd"}
"""Uses without which there is no call at all."""
DNS_PORT = 53
NO_ADDRESS = ("dns.nxdomain", "dns.servfail", "dns.timeout")
DEAD = ["silent", "refused", "unreachable", "cut"]
SAID = {
    "dns.nxdomain": "{name} {detail}",
    "dns.servfail": "{name} cannot be looked up ({detail})",
    "dns.timeout": "{name} cannot be looked up in time ({detail})",
    "dns.slow": "{name} {detail}",
    "dns.private-answer": "{name} leads to a private address: {addresses}",
    "dns.wrong-answer": "{name} leads to {addresses}, where the media host is not",
    "dns.stale-record": "{name} leads to {addresses} too, where nothing answers",
    "dns.ipv6-dead": "{name} leads to {addresses} over IPv6, where nothing answers; over IPv4 it does",
}


@dataclass(frozen=True)
class Shown:
    """A fault of a name, at one vantage."""

    result: CheckResult
    row: Row

    @property
    def vantage(self) -> str:
        return self.result.vantage

    @property
    def name(self) -> str:
        return str(self.row["name"])


def named(what: str) -> Callable[[Evidence], Prediction | None]:
    """The prediction of one of these causes."""
    return lambda evidence: _prediction(evidence, what)


def _prediction(evidence: Evidence, what: str) -> Prediction | None:
    faults = (Shown(r, row) for r in evidence.bad(*NAMES) for row in r.evidence.get("faults", ()))
    shown = [one for one in faults if one.row["what"] == what and not _contradicted(evidence, one)]
    shown += _alike(evidence, shown)
    handed = _handed(evidence, what, {one.name for one in shown})
    names = list(dict.fromkeys([*(one.name for one in shown), *(r.evidence["override_name"] for r in handed)]))
    if not names:
        return None
    place = _whose(evidence, what, shown, names[0])
    addresses = [address for one in shown for address in one.row["addresses"]]
    addresses += [row["address"] for r in handed if what not in NO_ADDRESS for row in r.evidence["candidates"]]
    first = shown[0].result if shown else handed[0]
    uses = {use for one in shown for use in one.row["used_for"]} | ({"override"} if handed else set())
    return Prediction(
        explains=frozenset(
            (
                *(outcome_of(one.result, one.row) for one in shown),
                *(outcome for one in shown for outcome in _by_name(evidence, one)),
                *outcomes(handed),
            )
        ),
        flow=_flow(evidence, first, names[0], uses),
        summary=SAID[what].format(
            name=_joined(names),
            addresses=" and ".join(dict.fromkeys(addresses)),
            detail=shown[0].row["detail"] if shown else "is looked up in vain by the media host",
        ),
        subject=", ".join(names),
        party=place.party,
        impact=None if handed else _impact(what, uses, place),
        confidence=place.confidence if all(one.row.get("asked", True) for one in shown) else Confidence.LIKELY,
        steps_first=_dig(evidence, shown, names[0]),
    )


def _contradicted(evidence: Evidence, shown: Shown) -> bool:
    """An address that answers from elsewhere is the right one: what keeps it from answering here is no name's fault."""
    if shown.row["what"] not in ("dns.wrong-answer", "dns.stale-record"):
        return False
    rows = (_row_of(r, shown.name) for r in evidence.of(shown.result.id))
    answering = {one["address"] for row in rows if row for one in row["addresses"] if one["answers"]}
    return bool(answering & set(shown.row["addresses"]))


def _alike(evidence: Evidence, shown: list[Shown]) -> list[Shown]:
    """Other vantages at which the name gives the same private address, which is silent there too: whether it might have
    been for them, they cannot tell by themselves."""
    found: list[Shown] = []
    for one in (one for one in shown if one.row["what"] == "dns.private-answer"):
        for result in evidence.of(one.result.id):
            known = any((each.vantage, each.name) == (result.vantage, one.name) for each in (*shown, *found))
            addresses = (_row_of(result, one.name) or {}).get("addresses", ())
            silent = {at["address"] for at in addresses if at["answers"] is False}
            if silent & set(one.row["addresses"]) and not known:
                found.append(Shown(result, one.row))
    return found


def _flow(evidence: Evidence, first: CheckResult, name: str, uses: set[str]) -> Flow:
    """To where the name should lead; what is asked on the way is a resolver."""
    here = Endpoint(role=role_of(evidence, first.vantage))
    to = next((ROLES[use] for use in ("media", "override", "site", "rtcd", "turn") if use in uses), Role.STUN)
    return Flow(from_=here, to=Endpoint(role=to, address=name), protocol="udp", port=DNS_PORT)


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}, as {' and '.join(names[1:])},"


def _impact(what: str, uses: set[str], place: Place) -> Impact | None:
    """None: the cause's own. A name of a fallback, or one that fails for some, leaves the others their calls."""
    if what not in (*NO_ADDRESS, "dns.private-answer", "dns.wrong-answer"):
        return None
    return None if uses & NEEDED and place.party is not Party.DNS_RESOLVER else Impact.SOME_CALLERS


def _handed(evidence: Evidence, what: str, names: set[str]) -> list[CheckResult]:
    """Callers who are handed what the name of the override gives the media host: nothing, a private address, or one
    where it is not. That they are handed nothing is explained where somebody, the media host itself too, says why."""
    of_names = [r for r in (*evidence.bad(CLASS), *announced_in_vain(evidence)) if r.evidence.get("override_name")]

    def fits(result: CheckResult) -> bool:
        candidates = result.evidence["candidates"]
        if what in (*NO_ADDRESS, "dns.slow"):
            said = result.evidence.get("override_trouble") == what.removeprefix("dns.")
            return not candidates and (said or result.evidence["override_name"] in names)
        all_private = all(row["private"] for row in candidates)
        return bool(candidates) and what == ("dns.private-answer" if all_private else "dns.wrong-answer")

    return [r for r in of_names if fits(r)]


def _by_name(evidence: Evidence, shown: Shown) -> Iterable[Outcome]:
    """What else fails by this name at this vantage."""
    name, words = shown.name, ["unresolved"]
    if shown.row["what"] not in (*NO_ADDRESS, "dns.slow"):
        words = DEAD
    for result in evidence.results:
        if result.vantage != shown.vantage or result.status not in BAD:
            continue
        if result.id in LISTENERS:
            yield from (
                outcome_of(result, row) for row in bad_rows(result) if _of(name, row) and row["trouble"] in words
            )
        elif result.id in (SITE, WEBSOCKET):
            if host_and_port(result.target)[0] == name and trouble(result) in words:
                yield from outcomes([result])
        elif result.id == REACH:
            missed = [row for row in result.evidence.get("servers", ()) if row.get("trouble")]
            if missed and all(_of(name, row) and row["trouble"] in words for row in missed):
                yield from outcomes([result])
        elif _asks(result, name, shown.row, words):
            yield from outcomes([result])


def _of(name: str, row: Row) -> bool:
    return host_and_port(str(row.get("uri", "")))[0] == name


def _asks(result: CheckResult, name: str, fault: Row, words: Iterable[str]) -> bool:
    """An exchange with a host of this name, or at one of these addresses, that failed for that reason; with several
    addresses, at these alone."""
    asked = host_and_port(result.target)[0]
    if result.id not in (API, *ECHOES, *UDP_CALLS, TCP_CALL) or asked not in (name, *fault["addresses"]):
        return False
    rows = result.evidence.get("addresses", ())
    if rows:
        return {row["address"] for row in rows if not row["ok"]} <= set(fault["addresses"])
    return trouble(result) in words


def _whose(evidence: Evidence, what: str, shown: list[Shown], name: str) -> Place:
    here = [one for one in shown if one.name == name]
    if here and all(one.row["by_hosts_file"] for one in here):
        role = role_of(evidence, here[0].vantage)
        return Place(OWNERS.get(role, Party.CALLER_MACHINE), Confidence.CERTAIN)
    if not here and (owner := _by_its_own_file(evidence, name)):
        return Place(owner, Confidence.CERTAIN)
    failing = {one.vantage for one in here}
    well = _well(evidence, what, name) - failing
    if what == "dns.ipv6-dead" and well:
        return Place(Party.CALLER_NETWORK, Confidence.CERTAIN)
    if any(not is_inside(evidence, one) for one in well) or (here and all(_is_dead(one) for one in here)):
        return Place(Party.DNS_RESOLVER, Confidence.CERTAIN)
    if len({_network(evidence, one) for one in failing}) > 1:
        return Place(Party.DNS_ZONE, Confidence.CERTAIN)
    if what == "dns.stale-record" and here and all(one.row["told_otherwise"] for one in here):
        return Place(Party.DNS_ZONE, Confidence.LIKELY)
    return Place(Party.UNDECIDED, Confidence.LIKELY)


def _by_its_own_file(evidence: Evidence, name: str) -> Party | None:
    """Whose the hosts file is from which the media host has what it hands out under this name; None where it is DNS."""
    for result in (r for check in NAMES for r in evidence.of(check)):
        row = _row_of(result, name) or {"used_for": (), "addresses": ()}
        addresses = {one["address"] for one in row["addresses"] if "override" in row["used_for"]}
        if addresses and addresses <= set(row["hosts_file"]):
            return OWNERS.get(role_of(evidence, result.vantage))
    return None


def _well(evidence: Evidence, what: str, name: str) -> set[str]:
    """Vantages at which this name has no such fault; where it lies in the addresses, those that have tried them."""
    found = set()
    for result in (r for check in NAMES for r in evidence.of(check)):
        row = _row_of(result, name)
        if row is None or not row["addresses"] or any(one["name"] == name for one in result.evidence["faults"]):
            continue
        tried = [one for one in row["addresses"] if what != "dns.ipv6-dead" or ":" in one["address"]]
        judged = any(one["answers"] or (one["answers"] is None and one["known"]) for one in tried)
        if judged or what in (*NO_ADDRESS, "dns.slow"):
            found.add(result.vantage)
    return found


def _row_of(result: CheckResult, name: str) -> Row | None:
    return next((row for row in result.evidence.get("names", ()) if row["name"] == name), None)


def _is_dead(shown: Shown) -> bool:
    """Every resolver that is silent on the name, or slow, is so whatever it is asked."""
    if shown.row["what"] not in ("dns.timeout", "dns.slow"):
        return False
    resolvers = (_row_of(shown.result, shown.name) or {}).get("resolvers", ())
    silent = [one for one in resolvers if one["outcome"] in ("silent", "unreachable")] or resolvers
    unable = (one["outcome"] == "unreachable" or one["answers_root"] is False for one in silent)
    return bool(silent) and all(unable)


def _network(evidence: Evidence, vantage: str) -> str:
    known = evidence.vantages.get(vantage)
    return (known.public_address if known else "") or vantage


def _dig(evidence: Evidence, shown: list[Shown], name: str) -> tuple[str, ...]:
    """What shows it by hand, where it shows."""
    if not shown:
        return (f"On the media host: `dig {name} A`, and `getent ahostsv4 {name}`",)
    row = _row_of(shown[0].result, name) or {}
    server = next((f" @{one['server']}" for one in row.get("resolvers", ())), "")
    steps = [f"On {role_of(evidence, shown[0].vantage)} {shown[0].vantage}: `dig {name} A{server}`"]
    if shown[0].row["by_hosts_file"]:
        steps.append(f"There /etc/hosts says so: correct or remove the line with {name}")
    return tuple(steps)
