"""Results as the checks write them, for tests of what is concluded from them. They come from no network.

Each function is one thing that a check can find, with the evidence that its code puts there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any  # evidence is JSON

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.cover import diagnose
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.report import Diagnosis, Vantage
from calls_doctor.model.site import Mode, Phase

MEDIA_HOST, SENT = "203.0.113.20", 24
UDP, TCP = f"{MEDIA_HOST}:8443/udp", f"{MEDIA_HOST}:8443/tcp"
API = f"http://{MEDIA_HOST}:8045"
SITE = "https://mm.example.com"
NOW_UNIX_S, DAY_S = 1_800_000_000.0, 86_400.0
TURN_UDP, TURN_TCP = "turn:turn.example.com:3478?transport=udp", "turn:turn.example.com:3478?transport=tcp"
TURN_443 = "turn:turn.example.com:443?transport=tcp"
TURNS = "turns:turn.example.com:5349?transport=tcp"
CLIENT = "client"


def result(
    check: str, status: Status, target: str = "", at: str = CLIENT, summary: str = "", **evidence: Any
) -> CheckResult:
    """Any result; the summary says which, where a test cares for words."""
    return CheckResult(
        id=check, title=check, category=check.split(".")[0], status=status, vantage=at, target=target,
        summary=summary or f"{check} {status}", evidence=evidence,
    )  # fmt: skip


def passed(*checks: str, at: str = CLIENT) -> list[CheckResult]:
    """Passes of checks whose evidence nobody reads."""
    return [result(check, Status.PASS, at=at) for check in checks]


def echo(
    check: str, returned: int, trouble: str = "", arrived: int | None = None, sent: int = SENT, at: str = CLIENT,
    before: int | None = None,
) -> CheckResult:  # fmt: skip
    """An echo in the self-test or over UDP: below 80 % it fails, below 95 % it warns. `before`: what came back of one
    before it was repeated alone."""
    ratio = returned / sent if sent else 0.0
    status = Status.FAIL if ratio < 0.8 else Status.WARN if ratio < 0.95 else Status.PASS
    evidence: dict[str, Any] = {"sent": sent, "returned": returned, "arrived": arrived}
    if returned:
        evidence |= {"rtt_p50_s": 0.01, "rtt_p95_s": 0.02}
    if before is not None:
        evidence["returned_before"] = before
    if trouble:
        evidence["trouble"] = trouble
    target = UDP if check == "port.rtc-udp-echo" else TCP
    return result(check, status, target, at, f"{returned} of {sent} probes came back", **evidence)


def udp(returned: int = 0, trouble: str = "", arrived: int | None = None, at: str = CLIENT) -> CheckResult:
    return echo("port.rtc-udp-echo", returned, trouble, arrived, at=at)


def astray(arrived: int | None = 6, at: str = CLIENT) -> CheckResult:
    """port.rtc-udp-echo whose answers come from elsewhere than was asked."""
    silent = udp(trouble="silent", arrived=arrived, at=at)
    silent.evidence["stray_from"] = ["203.0.113.99", 8443]
    return silent


def thin_link(returned: int = 9, rate_bits_per_s: int = 64_000, at: str = CLIENT) -> CheckResult:
    """port.rtc-udp-echo over a link that is full: what came back came slowly and ever later."""
    full = udp(returned, "silent", returned, at=at)
    full.evidence.update(rtt_min_s=0.05, rtt_p50_s=0.4, rtt_p95_s=0.7, rate_bits_per_s=rate_bits_per_s)
    return full


def tcp(
    returned: int = 0, trouble: str = "", arrived: int | None = None, sent: int = SENT, at: str = CLIENT
) -> CheckResult:
    return echo("port.rtc-tcp-echo", returned, trouble, arrived, sent, at=at)


def good_echoes(at: str = CLIENT) -> list[CheckResult]:
    return [udp(SENT, arrived=SENT, at=at), tcp(SENT, arrived=SENT, at=at)]


def way(sent: int | None, received: int | None) -> dict[str, Any]:
    """One direction of a call, as checks.media counts it."""
    row: dict[str, Any] = {"sent": sent, "received": received}
    if sent and received is not None:
        row |= {"loss_ratio": 1 - received / sent, "reordered_ratio": 0.0, "duplicated_ratio": 0.0, "jitter_s": 0.001}
    return row


def call(
    check: str, stage: str, trouble: str = "", to_far: tuple[int | None, int | None] = (0, None),
    from_far: tuple[int | None, int | None] = (None, 0), status: Status = Status.FAIL, at: str = CLIENT,
) -> CheckResult:  # fmt: skip
    """A call that failed at a stage, or whose media was counted (stage "media")."""
    target = TCP if check == "media.call-tcp" else UDP
    evidence: dict[str, Any] = {"stage": stage, "to_far": way(*to_far), "from_far": way(*from_far)}
    if stage != "media" or trouble:
        evidence |= {"detail": f"no answer at {stage}", "trouble": trouble}
    return result(check, status, target, at, f"fails at {stage}", **evidence)


def api(stage: str, trouble: str, at: str = CLIENT, target: str = API) -> CheckResult:
    return result("port.api-tcp", Status.FAIL, target, at, stage=stage, trouble=trouble)


def turn_row(uri: str, trouble: str = "", code: int | None = None, **more: Any) -> dict[str, Any]:
    """One server in the evidence of turn.*."""
    transport = "tls" if uri.startswith("turns") else uri.rsplit("=", 1)[-1]
    row = {"uri": uri, "transport": transport, "ok": not trouble, "trouble": trouble, "code": code}
    return row | ({"detail": f"{uri}: {trouble}"} if trouble else {}) | more


def turn(check: str, *rows: dict[str, Any], at: str = CLIENT) -> CheckResult:
    """turn.challenge, turn.allocate or turn.permission: one that works is enough for a warning."""
    worst = any(row["trouble"] == "open" or row.get("relayed_private") for row in rows)
    status = Status.WARN if any(row["ok"] for row in rows) and not worst else Status.FAIL
    return result(check, status, ", ".join(row["uri"] for row in rows), at, servers=list(rows))


def site(stage: str, trouble: str, check: str = "signal.websocket", at: str = CLIENT, url: str = SITE) -> CheckResult:
    """tls.site or signal.websocket that failed at a stage."""
    return result(check, Status.FAIL, url, at, f"{url}: {trouble}", stage=stage, trouble=trouble)


def dates(began_days: float, ends_days: float) -> dict[str, float]:
    """When a certificate begins and ends, in days from when it was looked at."""
    return {
        "asked_unix_s": NOW_UNIX_S,
        "not_before_unix_s": NOW_UNIX_S + began_days * DAY_S,
        "not_after_unix_s": NOW_UNIX_S + ends_days * DAY_S,
    }


def certificate(fault: str, began_days: float = -90.0, ends_days: float = 90.0, at: str = CLIENT) -> CheckResult:
    """tls.site whose certificate is at fault."""
    return result(
        "tls.site", Status.FAIL, SITE, at, f"the certificate: {fault}",
        stage="tls", trouble=fault, fault=fault, ok=False, **dates(began_days, ends_days),
    )  # fmt: skip


def expired(at: str = CLIENT, days_ago: float = 3.0) -> CheckResult:
    """tls.site whose certificate's time is over by the clock of the machine that looked."""
    return certificate("expired", ends_days=-days_ago, at=at)


def clocks(at: str = CLIENT, *, timed: bool = True, **offsets_s: float) -> CheckResult:
    """clocks.skew: each other clock less this machine's; `stand_in` and the like stand for what has a dash."""
    targets = {"site": SITE, "rtcd": API, "stand-in": MEDIA_HOST, "turn": TURN_UDP}
    named = {name.replace("_", "-"): offset_s for name, offset_s in offsets_s.items()}
    rows = [
        {"whose": name, "target": targets[name], "offset_s": offset_s, "uncertainty_s": 0.5}
        for name, offset_s in named.items()
    ]
    every = [0.0, *named.values()]
    apart_s = max(every) - min(every) - 1.0
    status = Status.PASS if apart_s <= 2.0 else Status.FAIL if timed and apart_s > 30.0 else Status.WARN
    return result("clocks.skew", status, SITE, at, clocks=rows, apart_s=apart_s, turn_is_timed=timed)


def refused(expires_in_s: float | None, issued_by: str = "given", at: str = CLIENT, uri: str = TURN_UDP) -> CheckResult:
    """turn.allocate: 401 after authentication, for a user name with this time left by the clock of the machine."""
    expired_s = -expires_in_s if expires_in_s is not None and expires_in_s < 0 else None
    row = turn_row(uri, "refused-request", 401, expired_s=expired_s, expires_in_s=expires_in_s, issued_by=issued_by)
    return turn("turn.allocate", row, at=at)


def relay_range(carried: int = 0, arrived: int | None = 0, codes: Iterable[int] = (), at: str = CLIENT) -> CheckResult:
    """turn.relay-range against a media host, over eight ports."""
    ports = [{"sent": 2, "returned": 2 if n < carried else 0} for n in range(8)]
    for row, code in zip(reversed(ports), codes, strict=False):
        row["code"] = code
    status = Status.WARN if carried else Status.FAIL
    return result("turn.relay-range", status, TURN_UDP, at, ports=ports, carried=carried, arrived=arrived, sampled=8)


def path(*faults: tuple[str, str], loss_ratio: float = 0.05, at: str = CLIENT) -> CheckResult:
    """quality.path with these faults: (what, direction)."""
    ways: dict[str, Any] = {name: {"loss_ratio": loss_ratio} for name in ("to_far", "from_far")}
    rows = [{"what": what, "direction": direction} for what, direction in faults]
    return result("quality.path", Status.WARN, at=at, faults=rows, **ways)


def mtu(largest_bytes: int, lost: str | None = "request", stage: str = "black-hole", at: str = CLIENT) -> CheckResult:
    """quality.mtu where larger payloads vanish."""
    status = Status.FAIL if largest_bytes < 1000 else Status.WARN
    return result("quality.mtu", status, UDP, at, payload_max_bytes=largest_bytes, stage=stage, lost=lost, icmp=False)


def public_ip(mapped: dict[str, list[str]]) -> CheckResult:
    """stun.public-ip where more than one address was seen."""
    return result("stun.public-ip", Status.WARN, mapped=mapped, servers_agree=False)


def taken(at: str = "media") -> CheckResult:
    row = {"transport": "udp", "port": 8443, "use": "media", "owner": "tomcat (pid 7)", "pid": 7}
    return result("env.port-free", Status.FAIL, at=at, taken=[row])


def no_descriptor(at: str = CLIENT) -> CheckResult:
    """port.rtc-udp-echo of a program that may open no socket more."""
    echo = udp(trouble="not-sent", at=at)
    echo.evidence["trouble_detail"] = f"UDP to {UDP} could not be sent: EMFILE, Too many open files"
    return echo


def dropped(datagrams: int, at: str = "media") -> CheckResult:
    """env.limits on a media host whose socket has dropped so many."""
    status = Status.WARN if datagrams else Status.PASS
    return result("env.limits", status, at=at, media_socket_drops=datagrams, open_files_short=False)


def lost_there(datagrams: int, at: str = CLIENT) -> CheckResult:
    """quality.path that misses so many of 300 on the way to the media host."""
    measured = path(("loss", "to_far"), at=at)
    measured.evidence["to_far"] |= {"sent": 300, "received": 300 - datagrams}
    return measured


def caught_by_proxy() -> CheckResult:
    """env.proxy-vars at a Mattermost node whose environment sends requests to rtcd to a proxy."""
    return result("env.proxy-vars", Status.FAIL, API, "mattermost", variable="HTTP_PROXY", proxy="http://proxy:3128")


def egress(works: bool, at: str = CLIENT) -> CheckResult:
    """client.udp-egress."""
    asked = ["stun.reach", "port.rtc-udp-echo"]
    status = Status.PASS if works else Status.FAIL
    return result("client.udp-egress", status, at=at, asked=asked, answered=asked if works else [], tcp_works=True)


def stun_reach(works: bool = False, at: str = CLIENT, **more: Any) -> CheckResult:
    """stun.reach with one server."""
    uri = "stun:stun.example.com:3478"
    row = {"uri": uri, "tries": 3, "answered": 3 if works else 0, "mapped": [], "trouble": "" if works else "silent"}
    return result("stun.reach", Status.PASS if works else Status.FAIL, uri, at, servers=[row], **more)


def hairpin(udp: int = 0, tcp: int | None = 0, at: str = "mattermost", status: Status | None = None) -> CheckResult:
    """nat.hairpin inside the servers' network; skipped where a caller is not there. `tcp` None: it is not wanted."""
    status = status or (Status.FAIL if 0 in (udp, tcp) else Status.PASS)
    rows = [{"address": MEDIA_HOST, "udp": udp, "tcp": tcp}]
    return result("nat.hairpin", status, UDP, at, inside=True, direct=["10.0.1.20"], needed=True, rows=rows)


def name_fault(what: str, *addresses: str, at: str = CLIENT) -> CheckResult:
    """dns.media-names where a media host's name has this fault."""
    name = "rtc.example.com"
    fault = {
        "name": name, "what": what, "addresses": list(addresses), "used_for": ["media"], "by_hosts_file": False,
        "told_otherwise": False, "detail": "is broken",
    }  # fmt: skip
    row = {"name": name, "used_for": ["media"], "addresses": [], "resolvers": [], "hosts_file": []}
    return result("dns.media-names", Status.FAIL, name, at, names=[row], faults=[fault])


def idle(forgotten_s: float | None = 6.0, at: str = CLIENT) -> CheckResult:
    """nat.idle whose flows are forgotten within so many seconds; None: not at all."""
    status = Status.PASS if forgotten_s is None else Status.FAIL if forgotten_s <= 6.0 else Status.WARN
    remembered_s = max((one for one in (4.0, 6.0, 10.0, 15.0, 25.0) if one < (forgotten_s or 30.0)), default=None)
    return result("nat.idle", status, UDP, at, remembered_s=remembered_s, forgotten_s=forgotten_s, flows=[])


def candidate(address: str = MEDIA_HOST, port: int = 8443, kind: str = "override", returned: int = 0) -> dict[str, Any]:
    """One address that callers would be handed."""
    private = address.startswith("10.")
    return {"kind": kind, "protocol": "udp", "address": address, "port": port, "private": private,
            "class": "private" if private else "public", "sent": 3, "returned": returned}  # fmt: skip


def advertised(
    check: str, *candidates: dict[str, Any], at: str = CLIENT, name: str = "", trouble: str = ""
) -> CheckResult:
    """nat.advertised-class or nat.advertised-reachable that failed; `name` is the override's, where it is one, and
    `trouble` why it gives the media host nothing."""
    return result(
        f"nat.advertised-{check}", Status.FAIL, at=at,
        candidates=list(candidates), caller_is_public=True, override_name=name, override_trouble=trouble,
    )  # fmt: skip


def led_to(port: int, kind: str = "override", at: str = CLIENT) -> CheckResult:
    """nat.advertised-reachable where 8443 is announced and leads nowhere, and another port to the media host."""
    handed = advertised("reachable", candidate(kind=kind), at=at)
    handed.evidence.update(media_port=8443, elsewhere=[candidate(port=port, kind="link", returned=3)])
    return handed


def here(at: str, role: str = "client", address: str = "") -> Vantage:
    """A vantage of this id."""
    return Vantage(id=at, label=at, role=role, public_address=address, started="2026-01-01T00:00:00Z")


def evidence(
    results: Iterable[CheckResult], phase: Phase = Phase.PRE, places: Iterable[Vantage] = (), mode: Mode | None = None
) -> Evidence:
    """Where `places` names no vantage, its id is its role."""
    found = list(results)
    known = {one.id: one for one in places}
    vantages = {r.vantage: known.get(r.vantage) or here(r.vantage, r.vantage) for r in found}
    return Evidence(phase, found, known | vantages, mode)


def diagnosed(
    *results: CheckResult, phase: Phase = Phase.PRE, places: Iterable[Vantage] = (), mode: Mode | None = None
) -> list[Diagnosis]:
    """What all causes make of these results."""
    return diagnose(evidence(results, phase, places, mode), CAUSES)


def causes(*results: CheckResult, phase: Phase = Phase.PRE, places: Iterable[Vantage] = ()) -> list[str]:
    return [one.cause for one in diagnosed(*results, phase=phase, places=places)]
