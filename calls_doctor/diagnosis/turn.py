"""Causes at the TURN server: its listener, its authentication and limits, its relay. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any  # rows of evidence are JSON

from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.place import Place, at_the_far_end, flow_of, on_the_path, port_of
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import STUN_PORT

LISTENER, ALLOCATE, PERMISSION, RELAY = "turn.challenge", "turn.allocate", "turn.permission", "turn.relay-range"
Row = dict[str, Any]


def _found(
    evidence: Evidence,
    result: CheckResult,
    place: Place,
    summary: str,
    row: Row | None = None,
    lost: Lost | None = None,
) -> Prediction:
    protocol = "udp" if row is None or row.get("transport") == "udp" else "tcp"
    return Prediction(
        explains=outcomes([result]),
        flow=flow_of(result, Role.TURN, protocol, port_of(result, STUN_PORT), lost),
        summary=summary,
        subject=row["uri"] if row else result.target,
        party=place.party,
        confidence=place.confidence,
    )


def _rows(result: CheckResult) -> Sequence[Row]:
    rows: Sequence[Row] = result.evidence.get("servers", ())
    return rows


def _listener(transports: tuple[str, ...], words: tuple[str, ...]) -> Callable[[Evidence], Prediction | None]:
    """The listener is in such trouble over exactly these transports, and over no other that was tried."""

    def predicts(evidence: Evidence) -> Prediction | None:
        for result in evidence.bad(LISTENER):
            bad = [row for row in _rows(result) if row["trouble"]]
            kinds = {"udp" if row["transport"] == "udp" else "tcp" for row in bad}
            tried = {"udp" if row["transport"] == "udp" else "tcp" for row in _rows(result)}
            # A transport that was not tried says nothing for or against the listener as a whole.
            if bad and kinds == set(transports) & tried and all(row["trouble"] in words for row in bad):
                if len(transports) == 2 and kinds != tried:
                    continue
                return _found(evidence, result, on_the_path(evidence), bad[0]["detail"], bad[0], Lost.BOTH)
        return None

    return predicts


def _row_where(
    check: str, holds: Callable[[Row], bool], sentence: Callable[[Row], str]
) -> Callable[[Evidence], Prediction | None]:
    """A row of a check's evidence shows the fault itself."""

    def predicts(evidence: Evidence) -> Prediction | None:
        for result in evidence.bad(check):
            for row in _rows(result):
                if holds(row):
                    return _found(evidence, result, at_the_far_end(evidence), sentence(row), row)
        return None

    return predicts


def relay_blocked(evidence: Evidence) -> Prediction | None:
    """Allocation and permission work, and no data comes through."""
    results = [r for r in evidence.bad(RELAY, "media.call-relay") if r.evidence.get("stage") != "allocate"]
    if not results:
        return None
    arrived = results[0].evidence.get("arrived")
    lost = Lost.REQUEST if arrived == 0 else Lost.REPLY if arrived else Lost.BOTH
    found = _found(
        evidence, results[0], on_the_path(evidence), f"the relay allocates, but {results[0].summary}", lost=lost
    )
    return Prediction(
        explains=outcomes(results), flow=found.flow, summary=found.summary, subject=found.subject,
        party=found.party, confidence=found.confidence,
    )  # fmt: skip


def not_running(evidence: Evidence) -> Prediction | None:
    """Every transport that was tried is refused."""
    for result in evidence.of(LISTENER, Status.FAIL):
        if _rows(result) and all(row["trouble"] == "refused" for row in _rows(result)):
            row = _rows(result)[0]
            return _found(
                evidence, result, at_the_far_end(evidence), f"nothing listens at {row['uri']}", row, Lost.REQUEST
            )
    return None


def _unauthorized(row: Row, expired: bool) -> bool:
    return row["code"] == 401 and row["trouble"] == "refused-request" and bool(row.get("expired_s")) is expired


_SILENT = ("silent", "unreachable")
_OPEN_UDP = Remedy(
    summary="Let UDP 3478 through to the TURN server",
    steps=["Allow UDP 3478 inbound at every firewall before the TURN server"],
    firewall_rows=["FW-40"],
    guide_steps=["1.6.10"],
)
_OPEN_TCP = Remedy(
    summary="Let TCP 3478 through to the TURN server",
    steps=["Allow the TCP port of the URI inbound at every firewall before the TURN server"],
    firewall_rows=["FW-41"],
    guide_steps=["1.6.11"],
)

CAUSES = (
    Cause(
        id="turn.not-running",
        party=Party.TURN_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="Nothing listens at the TURN server's address.",
        predicts=not_running,
        remedy=Remedy(
            summary="Start the TURN server, or correct its address",
            steps=["On the TURN host: systemctl status coturn, and ss -lnptu 'sport = :3478'"],
            guide_steps=["1.6.10", "1.6.11"],
        ),
    ),
    Cause(
        id="turn.udp-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN listener is not reached over UDP.",
        predicts=_listener(("udp",), (*_SILENT, "refused")),
        remedy=_OPEN_UDP,
    ),
    Cause(
        id="turn.tcp-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN listener is not reached over TCP.",
        predicts=_listener(("tcp",), (*_SILENT, "refused")),
        remedy=_OPEN_TCP,
    ),
    Cause(
        id="turn.blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN listener is reached neither over UDP nor over TCP.",
        predicts=_listener(("udp", "tcp"), _SILENT),
        remedy=Remedy(
            summary="Let UDP and TCP 3478 through to the TURN server",
            steps=["Allow UDP and TCP 3478 inbound at every firewall before the TURN server"],
            firewall_rows=["FW-40", "FW-41"],
            guide_steps=["1.6.10", "1.6.11"],
        ),
    ),
    Cause(
        id="turn.tls-invalid",
        party=Party.TURN_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server's TLS cannot be used: certificate, name, or no TLS where TLS is asked for.",
        predicts=_row_where(LISTENER, lambda row: row["trouble"] == "tls", lambda row: row["detail"]),
        remedy=Remedy(
            summary="Give the TURN server a certificate that callers trust, on the port that speaks TLS",
            steps=["The full chain, for the name in the URI, not expired", "turns: belongs to 5349 (or 443), turn: to 3478"],
            firewall_rows=["FW-42"],
        ),
    ),
    Cause(
        id="turn.wrong-service",
        party=Party.TURN_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="Something that is not a TURN server answers at its address.",
        predicts=_row_where(LISTENER, lambda row: row["trouble"] in ("not-turn", "odd-answer", "refused-request"), lambda row: row["detail"]),
        remedy=Remedy(
            summary="Point the URI at the TURN server's port",
            steps=["See what listens there: ss -lnptu 'sport = :3478'", "A STUN-only server cannot relay: name a TURN server"],
        ),
    ),
    Cause(
        id="turn.unauthenticated",
        party=Party.TURN_SETTINGS,
        impact=Impact.SECURITY,
        meaning="The TURN server relays for anyone: an open relay.",
        predicts=_row_where(LISTENER, lambda row: row["trouble"] == "open", lambda row: f"{row['uri']} relays for anyone"),
        remedy=Remedy(
            summary="Turn authentication on",
            steps=["coturn: use-auth-secret and static-auth-secret, or lt-cred-mech with users; remove no-auth"],
        ),
    ),
    Cause(
        id="turn.credentials-expired",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The user name's time has passed.",
        predicts=_row_where(
            ALLOCATE, lambda row: _unauthorized(row, expired=True),
            lambda row: f"{row['uri']} refuses a user name that expired {row['expired_s']:.0f} s ago",
        ),
        remedy=Remedy(
            summary="Issue credentials that are still valid",
            steps=["Compare the clocks of the Mattermost server and the TURN server (timedatectl)",
                   "Raise the credentials' expiration in the plugin's settings"],
            guide_steps=["2A.2.4"],
        ),
    ),
    Cause(
        id="turn.secret-mismatch",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server knows another secret, or another password, than was given.",
        predicts=_row_where(
            ALLOCATE, lambda row: _unauthorized(row, expired=False),
            lambda row: f"{row['uri']} does not accept the credentials (401)",
        ),
        remedy=Remedy(
            summary="Use the same secret on both sides",
            steps=["Compare coturn's static-auth-secret with the plugin's TURN static auth secret",
                   "Do not mix lt-cred-mech users with use-auth-secret"],
            guide_steps=["2A.2.4"],
        ),
    ),
    Cause(
        id="turn.quota",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server has no allocation left: a quota, or its relay ports are used up.",
        predicts=_row_where(ALLOCATE, lambda row: row["code"] in (486, 508), lambda row: row["detail"]),
        remedy=Remedy(
            summary="Raise the quota, or widen the relay range",
            steps=["486: coturn's user-quota and total-quota", "508: min-port and max-port, or an invalid external-ip"],
        ),
    ),
    Cause(
        id="turn.relay-address-private",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server hands out a private relay address.",
        predicts=_row_where(
            ALLOCATE, lambda row: bool(row.get("relayed_private")),
            lambda row: f"{row['uri']} hands out the private relay address {row['relayed'][0]}",
        ),
        remedy=Remedy(
            summary="Tell the TURN server its public address",
            steps=["coturn behind NAT: external-ip=PUBLIC/PRIVATE, then restart it"],
            firewall_rows=["FW-43"],
        ),
    ),
    Cause(
        id="turn.peer-denied",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server refuses the media host as a peer.",
        predicts=_row_where(
            PERMISSION, lambda row: row["code"] == 403, lambda row: f"{row['uri']} denies {row['peer']} as a peer (403)"
        ),
        remedy=Remedy(
            summary="Allow the media host as a peer",
            steps=["coturn: allowed-peer-ip=<the media host's address>, or take it out of denied-peer-ip"],
        ),
    ),
    Cause(
        id="turn.relay-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="Allocation works, the relay carries nothing.",
        predicts=relay_blocked,
        remedy=Remedy(
            summary="Open the way between the TURN server's relay ports and the media host",
            steps=["Allow UDP 49152-65535 of the TURN host from the media host",
                   "Allow UDP 8443 of the media host from the TURN host"],
            firewall_rows=["FW-43", "FW-44"],
            guide_steps=["1.6.12"],
        ),
    ),
)  # fmt: skip
