"""How each cause at the TURN server is read from the evidence; `turn` declares them. Pure.

A check of TURN looks at every URI by itself, so each bad row wants its own explanation. Rows of one host (the server
over UDP, TCP and TLS) are read together: silence on one transport means something else where another answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from calls_doctor.diagnosis.cause import Evidence, Outcome, Prediction, Row, bad_rows, outcome_of, outcomes
from calls_doctor.diagnosis.place import Place, at_the_far_end, flow_of, host_and_port, on_the_path
from calls_doctor.model.check import CheckResult
from calls_doctor.model.flow import Endpoint, Flow, Lost, Role
from calls_doctor.modes import STUN_PORT

LISTENER, ALLOCATE, PERMISSION, RELAY, RELAY_CALL = (
    "turn.challenge", "turn.allocate", "turn.permission", "turn.relay-range", "media.call-relay",
)  # fmt: skip
RELAY_STAGES = ("allocate", "permit")
"""Stages of a relayed call, or of data through the relay, that the TURN server itself refuses."""
SILENT = ("silent", "unreachable")
QUOTA_CODES = (486, 508)
"""RFC 8656: Allocation Quota Reached, Insufficient Capacity."""
WRONG_CREDENTIALS_CODES = (401, 441)
TRY_ALTERNATE = 300
"""RFC 8489: the server is one, and serves nobody itself."""


class Seen(NamedTuple):
    """A bad row and the result that it belongs to."""

    result: CheckResult
    row: Row

    @property
    def outcome(self) -> Outcome:
        return outcome_of(self.result, self.row)


def _seen(results: Iterable[CheckResult], holds: Callable[[Row], bool] = lambda _row: True) -> list[Seen]:
    return [Seen(result, row) for result in results for row in bad_rows(result) if "uri" in row and holds(row)]


def _kind(row: Row) -> str:
    """What a firewall sees: TLS is TCP."""
    return "udp" if row.get("transport", "udp") == "udp" else "tcp"


def _found(
    evidence: Evidence,
    shown: Sequence[Seen],
    place: Place,
    summary: str,
    lost: Lost | None = None,
    also: Iterable[Outcome] = (),
) -> Prediction:
    first = shown[0]
    flow = flow_of(evidence, first.result, Role.TURN, _kind(first.row), STUN_PORT, lost)
    host, port = host_and_port(first.row["uri"])
    return Prediction(
        explains=frozenset((*(one.outcome for one in shown), *also)),
        flow=Flow(
            from_=flow.from_, to=Endpoint(role=Role.TURN, address=host), protocol=flow.protocol,
            port=port or STUN_PORT, lost=lost,
        ),
        summary=summary,
        subject=", ".join(dict.fromkeys(str(one.row["uri"]) for one in shown)),
        party=place.party,
        confidence=place.confidence,
    )  # fmt: skip


def _by_server(evidence: Evidence) -> Iterator[tuple[CheckResult, list[Row], list[Row]]]:
    """Each server of each vantage whose listener is in trouble: the result, all its rows, those in trouble."""
    for result in evidence.bad(LISTENER):
        rows = result.evidence.get("servers", ())
        for host in dict.fromkeys(host_and_port(row["uri"])[0] for row in rows):
            its = [row for row in rows if host_and_port(row["uri"])[0] == host]
            bad = [row for row in bad_rows(result) if row in its]
            if bad:
                yield result, its, bad


def _collected(
    evidence: Evidence,
    pick: Callable[[list[Row], list[Row]], list[Row]],
    place: Callable[[list[Row]], Place],
    summary: Callable[[Row], str],
    lost: Lost,
) -> Prediction | None:
    """A listener's cause: what `pick` takes of each server's rows and bad rows."""
    shown = [Seen(result, row) for result, its, bad in _by_server(evidence) for row in pick(its, bad)]
    return _found(evidence, shown, place([one.row for one in shown]), summary(shown[0].row), lost) if shown else None


def _answering(rows: Iterable[Row]) -> list[Row]:
    """Rows on which something of the server was heard, whatever it said."""
    return [row for row in rows if row["trouble"] not in (*SILENT, "refused", "unresolved")]


def not_running(evidence: Evidence) -> Prediction | None:
    """No transport answers, and at least one is refused."""

    def pick(its: list[Row], bad: list[Row]) -> list[Row]:
        return bad if not _answering(its) and any(row["trouble"] == "refused" for row in bad) else []

    def place(rows: list[Row]) -> Place:
        refused = all(row["trouble"] == "refused" for row in rows)
        return at_the_far_end(evidence) if refused else on_the_path(evidence)

    return _collected(evidence, pick, place, lambda row: f"nothing listens at {row['uri']}", Lost.REQUEST)


def blocked(evidence: Evidence) -> Prediction | None:
    """Both UDP and TCP were tried, and both are silent."""

    def pick(its: list[Row], bad: list[Row]) -> list[Row]:
        silent = len(bad) == len(its) and all(row["trouble"] in SILENT for row in bad)
        return bad if silent and {_kind(row) for row in bad} == {"udp", "tcp"} else []

    def summary(row: Row) -> str:
        return f"the TURN server at {host_and_port(row['uri'])[0]} answers neither over UDP nor over TCP"

    return _collected(evidence, pick, lambda _rows: on_the_path(evidence), summary, Lost.BOTH)


def listener_blocked(kind: str) -> Callable[[Evidence], Prediction | None]:
    """The listener is not reached over this transport; a refusal counts where another transport shows that it runs."""

    def pick(its: list[Row], bad: list[Row]) -> list[Row]:
        words = (*SILENT, "refused") if _answering(its) else SILENT
        return [row for row in bad if _kind(row) == kind and row["trouble"] in words]

    def predicts(evidence: Evidence) -> Prediction | None:
        return _collected(
            evidence, pick, lambda _rows: on_the_path(evidence), lambda row: str(row["detail"]), Lost.BOTH
        )

    return predicts


def row_shows(
    holds: Callable[[Row], bool], sentence: Callable[[Row], str], *checks: str
) -> Callable[[Evidence], Prediction | None]:
    """A row of a check's evidence shows the fault itself."""

    def predicts(evidence: Evidence) -> Prediction | None:
        shown = _seen(evidence.bad(*checks), holds)
        if not shown:
            return None
        return _found(evidence, shown, at_the_far_end(evidence), sentence(shown[0].row))

    return predicts


def not_a_turn_server(row: Row) -> bool:
    """What answers, hangs up or refuses in its own words is no TURN server; one that names another is."""
    if row["trouble"] == "refused-request":
        return bool(row["code"] != TRY_ALTERNATE)
    return row["trouble"] in ("not-turn", "odd-answer", "cut")


def wrong_credentials(expired: bool) -> Callable[[Row], bool]:
    """Refused after authentication, with a user name whose time has passed or has not."""
    return lambda row: row.get("code") in WRONG_CREDENTIALS_CODES and (row.get("expired_s") is not None) is expired


def quota(evidence: Evidence) -> Prediction | None:
    """An allocation was refused for want of room, when it was tried alone or where several were made at once."""
    shown = _seen(evidence.bad(ALLOCATE, PERMISSION), lambda row: row.get("code") in QUOTA_CODES)
    # Some ports that carried say that there is room, if not for as many at once as the check samples.
    later = [
        r for r in evidence.bad(RELAY, RELAY_CALL) if _codes(r) & set(QUOTA_CODES) and not r.evidence.get("carried")
    ]
    if shown:
        detail = str(shown[0].row["detail"])
        return _found(evidence, shown, at_the_far_end(evidence), detail, also=outcomes(later))
    return (
        _relayed(evidence, later, at_the_far_end(evidence), "the relay allows too few allocations") if later else None
    )


def _codes(result: CheckResult) -> set[int]:
    """STUN error codes that the allocations of a check met with."""
    rows = (result.evidence, *result.evidence.get("ports", ()))
    return {code for row in rows if isinstance(code := row.get("code"), int)}


def _relayed(
    evidence: Evidence, shown: Sequence[CheckResult], place: Place, what: str, lost: Lost | None = None
) -> Prediction:
    return Prediction(
        explains=outcomes(shown),
        flow=flow_of(evidence, shown[0], Role.TURN, "udp", STUN_PORT, lost),
        summary=f"{what}: {shown[0].summary}",
        subject=shown[0].target,
        party=place.party,
        confidence=place.confidence,
    )


def not_allocating(evidence: Evidence) -> Prediction | None:
    """The server asked for credentials, and then refuses for a reason that no other cause here stands for."""

    def holds(row: Row) -> bool:
        known = (*QUOTA_CODES, *WRONG_CREDENTIALS_CODES)
        return not row.get("ok") and row.get("code") not in known and not (row.get("peer") and row.get("code") == 403)

    elsewhere = _seen(evidence.bad(LISTENER), lambda row: row.get("code") == TRY_ALTERNATE)
    shown = [*elsewhere, *_seen(evidence.bad(ALLOCATE, PERMISSION), holds)]
    refused = [r for r in evidence.bad(RELAY, RELAY_CALL) if r.evidence.get("stage") in RELAY_STAGES]
    later = [r for r in refused if not _codes(r) & set(QUOTA_CODES)]
    if shown:
        detail = str(shown[0].row["detail"])
        return _found(evidence, shown, at_the_far_end(evidence), detail, also=outcomes(later))
    return (
        _relayed(evidence, later, at_the_far_end(evidence), "the relay refuses what it gave before") if later else None
    )


def relay_blocked(evidence: Evidence) -> Prediction | None:
    """Allocation and permission work, and no data comes through."""
    shown = [r for r in evidence.bad(RELAY, RELAY_CALL) if r.evidence.get("stage") not in RELAY_STAGES]
    shown = [r for r in shown if not _codes(r) & set(QUOTA_CODES)]
    if not shown:
        return None
    arrived, carried = shown[0].evidence.get("arrived"), shown[0].evidence.get("carried")
    lost = None if carried else Lost.BOTH if arrived is None else Lost.REPLY if arrived else Lost.REQUEST
    return _relayed(
        evidence, shown, on_the_path(evidence), "the relay allocates, and what goes through it is lost", lost
    )
