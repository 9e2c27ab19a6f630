"""How each cause at the TURN server is read from the evidence; `turn` declares them. Pure.

A check of TURN looks at every URI by itself, so each bad row wants its own explanation. Rows of one host (the server
over UDP, TCP and TLS) are read together: silence on one transport means something else where another answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from calls_doctor.diagnosis.callers import Works, blamed, blamed_somewhere, is_inside, works_outside
from calls_doctor.diagnosis.cause import Evidence, Outcome, Prediction, Row, bad_rows, outcome_of, outcomes
from calls_doctor.diagnosis.clock_signs import certificate_is_at_fault, has_expired, others
from calls_doctor.diagnosis.media_evidence import (
    CONVINCING,
    RELAY,
    RELAY_CALL,
    THROUGH_RELAY,
    is_lossy,
    lossy_relays,
    stage,
)
from calls_doctor.diagnosis.place import Place, at_the_far_end, flow_of, host_and_port, own_machine, vantages_of
from calls_doctor.diagnosis.rtcd_calls import spares_the_relay
from calls_doctor.model.certificate import OF_TIME
from calls_doctor.model.check import NOT_SENT, CheckResult, Status
from calls_doctor.model.flow import Endpoint, Flow, Lost, Party, Role
from calls_doctor.model.report import Confidence
from calls_doctor.modes import STUN_PORT

LISTENER, ALLOCATE, PERMISSION = "turn.challenge", "turn.allocate", "turn.permission"
EXPIRY, TURN_TLS, RELAY_PORTS = "turn.expiry", "tls.turn", "turn.relay-ports"
LISTENERS = (LISTENER, "port.turn-listener")
"""Both ask each URI whether anybody is there: for credentials, and for nothing but an answer."""
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
    """A TURN server of the stand-in's own has no settings that could be to blame, and it listens: it says so."""
    rows = ((result, row) for result in results for row in bad_rows(result) if "uri" in row)
    return [Seen(result, row) for result, row in rows if not row.get("stands_in") and holds(row)]


def kind_of(row: Row) -> str:
    """What a firewall sees: TLS is TCP."""
    return "udp" if row.get("transport", "udp") == "udp" else "tcp"


def port_of(row: Row) -> int:
    """The server's."""
    return host_and_port(str(row["uri"]))[1] or STUN_PORT


def reaches(evidence: Evidence, holds: Callable[[Row], bool]) -> Works:
    """Whether a vantage had an answer from a server of which `holds`."""

    def works(vantage: str) -> bool:
        results = [r for check in LISTENERS if (r := evidence.at(check, vantage))]
        return any(row["ok"] and holds(row) for r in results for row in r.evidence.get("servers", ()))

    return works


def _found(
    evidence: Evidence,
    shown: Sequence[Seen],
    place: Place,
    summary: str,
    lost: Lost | None = None,
    also: Iterable[Outcome] = (),
) -> Prediction:
    first = shown[0]
    flow = flow_of(evidence, first.result, Role.TURN, kind_of(first.row), STUN_PORT, lost)
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
    for result in evidence.bad(*LISTENERS):
        rows = result.evidence.get("servers", ())
        for host in dict.fromkeys(host_and_port(row["uri"])[0] for row in rows):
            its = [row for row in rows if host_and_port(row["uri"])[0] == host]
            bad = [row for row in bad_rows(result) if row in its]
            if bad:
                yield result, its, bad


def _collected(
    evidence: Evidence,
    pick: Callable[[list[Row], list[Row], bool], list[Row]],
    summary: Callable[[Row], str],
    lost: Lost,
    refusal_is_sure: bool = False,
) -> Prediction | None:
    """A listener's cause: what `pick` takes of each server's rows and bad rows, knowing whether it runs."""
    found = _by_server(evidence)
    seen = [Seen(result, row) for result, its, bad in found for row in pick(its, bad, _runs(evidence, its))]
    seen = [one for one in seen if not _was_chance(evidence, one) and not _is_another(evidence, one)]
    shown = _for_callers(evidence, seen)
    if not shown:
        return None
    uris = {one.row["uri"] for one in shown}
    place = blamed_somewhere(evidence, [one.result for one in shown], reaches(evidence, lambda row: row["uri"] in uris))
    refused = all(one.row["trouble"] == "refused" for one in shown)
    if refusal_is_sure and refused and any(is_inside(evidence, one.result.vantage) for one in shown):
        place = at_the_far_end(evidence)  # no firewall before the servers does that
    return _found(evidence, shown, place, summary(shown[0].row), lost)


def _is_another(evidence: Evidence, one: Seen) -> bool:
    """What was asked in more than one way has shown itself as no TURN server, or as one that speaks TLS at the other
    end only."""
    result = evidence.at(LISTENER, one.result.vantage)
    rows = result.evidence.get("servers", ()) if result else ()
    its = (row for row in rows if row["uri"] == one.row["uri"])
    return any(row["trouble"] == "tls" or not_a_turn_server(row) for row in its)


def _was_chance(evidence: Evidence, one: Seen) -> bool:
    """Silence where the same listener answered from here when it was asked another time."""
    heard = reaches(evidence, lambda row: row["uri"] == one.row["uri"])
    return one.row["trouble"] in SILENT and heard(one.result.vantage)


def _for_callers(evidence: Evidence, seen: Sequence[Seen]) -> list[Seen]:
    """Without what servers alone do not reach: TURN is for callers, and a server needs none."""

    def is_missed(one: Seen) -> bool:
        return not is_inside(evidence, one.result.vantage) or not answers_outside(evidence, one.row["uri"])

    return [one for one in seen if is_missed(one)]


def answers_outside(evidence: Evidence, uri: str) -> bool:
    """Some caller outside had an answer from this server."""
    return works_outside(evidence, reaches(evidence, lambda row: row["uri"] == uri))


def _answering(rows: Iterable[Row]) -> list[Row]:
    """Rows on which something of the server was heard, whatever it said."""
    return [row for row in rows if row["trouble"] not in (*SILENT, "refused", "unresolved", *NOT_SENT)]


def _runs(evidence: Evidence, rows: Sequence[Row]) -> bool:
    """Somebody, wherever he is, heard this server; or it stands in, and says that it listens."""
    hosts = {host_and_port(row["uri"])[0] for row in rows}
    every = [row for check in LISTENERS for r in evidence.of(check) for row in r.evidence.get("servers", ())]
    its = [row for row in every if host_and_port(row["uri"])[0] in hosts]
    return bool(_answering(its)) or any(row.get("stands_in") for row in rows)


def _is_shut(row: Row, runs: bool) -> bool:
    """Whether it shows that the way to a listener is shut: a refusal does by a router, or where one is known to run."""
    return row["trouble"] in SILENT or (row["trouble"] == "refused" and (runs or bool(row.get("on_the_way"))))


def not_running(evidence: Evidence) -> Prediction | None:
    """No transport answers anybody, and at least one is refused."""

    def pick(_its: list[Row], bad: list[Row], runs: bool) -> list[Row]:
        refused = any(row["trouble"] == "refused" and not row.get("on_the_way") for row in bad)
        return bad if refused and not runs else []

    return _collected(evidence, pick, lambda row: f"nothing listens at {row['uri']}", Lost.REQUEST, True)


def blocked(evidence: Evidence) -> Prediction | None:
    """Both UDP and TCP were tried, and both are shut."""

    def pick(its: list[Row], bad: list[Row], runs: bool) -> list[Row]:
        shut = len(bad) == len(its) and all(_is_shut(row, runs) for row in bad)
        return bad if shut and {kind_of(row) for row in bad} == {"udp", "tcp"} else []

    def summary(row: Row) -> str:
        return f"the TURN server at {host_and_port(row['uri'])[0]} answers neither over UDP nor over TCP"

    return _collected(evidence, pick, summary, Lost.BOTH)


def listener_blocked(kind: str) -> Callable[[Evidence], Prediction | None]:
    """The listener is not reached over this transport; a refusal counts where somebody's answer shows that it runs."""

    def pick(_its: list[Row], bad: list[Row], runs: bool) -> list[Row]:
        return [row for row in bad if kind_of(row) == kind and _is_shut(row, runs)]

    return lambda evidence: _collected(evidence, pick, lambda row: str(row["detail"]), Lost.BOTH)


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


def wrong_service(evidence: Evidence) -> Prediction | None:
    """What answers at a listener's address is no TURN server; so it is silent to whoever asks it as one."""
    shown = _seen(evidence.bad(LISTENER), not_a_turn_server)
    if not shown:
        return None
    said = str(shown[0].row["detail"])
    return _found(evidence, shown, at_the_far_end(evidence), said, also=_asked_otherwise(evidence, shown))


def _asked_otherwise(evidence: Evidence, shown: Iterable[Seen]) -> list[Outcome]:
    """What the same ports made of being asked in the other way, from the same place."""
    where = {(one.result.vantage, one.row["uri"]) for one in shown}
    return [one.outcome for one in _seen(evidence.bad(*LISTENERS)) if (one.result.vantage, one.row["uri"]) in where]


def credentials_expired(evidence: Evidence) -> Prediction | None:
    """Refused after authentication, with a user name whose time has passed."""
    shown = _wrong_credentials(evidence, True, None)
    over = [(r, has_expired(evidence, r.vantage, r.evidence)) for r in evidence.of(EXPIRY, Status.FAIL)]
    life = [r for r, expired in over if expired is not False]
    sure = all(has_expired(evidence, one.result.vantage, one.row) for one in shown) and all(said for _, said in over)
    place = at_the_far_end(evidence) if sure else Place(None, Confidence.LIKELY)
    if shown:
        since_s = shown[0].row.get("expired_s")
        when = "has expired" if since_s is None else f"expired {since_s:.0f} s ago"
        said = f"{shown[0].row['uri']} refuses a user name that {when}"
        return _found(evidence, shown, place, said, also=outcomes(life))
    return _relayed(evidence, life, place, "the TURN user name's time is over") if life else None


def secret_mismatch(evidence: Evidence) -> Prediction | None:
    """Refused after authentication, with a user name that is valid, or that carries no time. Where it carries one, a
    server whose clock is ahead says the same, so its clock must be known for this to be sure."""
    shown = _wrong_credentials(evidence, False)
    if not shown:
        return None
    said = f"{shown[0].row['uri']} does not accept the credentials ({shown[0].row['code']})"
    if all(one.row.get("expires_in_s") is None or _clock_is_known(evidence, one) for one in shown):
        return _found(evidence, shown, at_the_far_end(evidence), said)
    found = _found(evidence, shown, own_machine(evidence) or Place(None, Confidence.LIKELY), said)
    return replace(found, steps_first=(_OR_ITS_CLOCK,))


_OR_ITS_CLOCK = (
    "On the TURN host: `timedatectl` must show the right time: a clock that is ahead refuses good credentials as a "
    "wrong secret does"
)


def _clock_is_known(evidence: Evidence, one: Seen) -> bool:
    """Somebody who has the secret has read it."""
    host = host_and_port(str(one.row["uri"]))[0]
    return others(evidence, one.result.vantage).of("turn", host) is not None


def _wrong_credentials(evidence: Evidence, *expired: bool | None) -> list[Seen]:
    """Refusals of user names of which one of these holds."""
    refused = _seen(evidence.bad(ALLOCATE, PERMISSION), lambda row: row.get("code") in WRONG_CREDENTIALS_CODES)
    return [one for one in refused if has_expired(evidence, one.result.vantage, one.row) in expired]


def tls_invalid(evidence: Evidence) -> Prediction | None:
    """TLS is not spoken where it is asked for, or the certificate is at fault and no clock."""
    looked_at = [Seen(r, row) for r in evidence.of(TURN_TLS) for row in r.evidence.get("servers", ())]
    well_elsewhen = {
        (one.result.vantage, one.row["uri"])
        for one in looked_at
        if one.row.get("fault") in OF_TIME and not certificate_is_at_fault(evidence, one.result.vantage, one.row)
    }
    seen = _seen(evidence.bad(LISTENER, "port.turn-listener", TURN_TLS), lambda row: row["trouble"] == "tls")
    shown = [one for one in seen if (one.result.vantage, one.row["uri"]) not in well_elsewhen]
    if not shown:
        return None
    said = str(shown[0].row["detail"])
    return _found(evidence, shown, at_the_far_end(evidence), said, also=_asked_otherwise(evidence, shown))


def quota(evidence: Evidence) -> Prediction | None:
    """An allocation was refused for want of room, when it was tried alone or where several were made at once."""
    shown = _seen(evidence.bad(ALLOCATE, PERMISSION), lambda row: row.get("code") in QUOTA_CODES)
    # Some ports that carried say that there is room, if not for as many at once as the check samples.
    full = [r for r in _lost(evidence) if _codes(r) & set(QUOTA_CODES)]
    later = [r for r in full if not r.evidence.get("carried")]
    return _refused(evidence, shown, later, "the relay allows too few allocations")


def _refused(evidence: Evidence, shown: Sequence[Seen], later: Sequence[CheckResult], what: str) -> Prediction | None:
    """The server's own refusal: of one allocation, or only of the later ones, which `what` tells of."""
    place = at_the_far_end(evidence)
    if shown:
        return _found(evidence, shown, place, str(shown[0].row["detail"]), also=outcomes(later))
    return _relayed(evidence, later, place, what) if later else None


def _lost(evidence: Evidence) -> list[CheckResult]:
    """What went wrong through a relay. Not one that the stand-in serves: between it and the media port nothing could
    block, and nobody has settings for it. Nor what no call through rtcd comes to either."""
    bad = (r for r in evidence.bad(*THROUGH_RELAY) if not r.evidence.get("stands_in"))
    return [r for r in bad if stage(r) in RELAY_STAGES or not spares_the_relay(evidence, r)]


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
    refused = [r for r in _lost(evidence) if stage(r) in RELAY_STAGES]
    later = [r for r in refused if not _codes(r) & set(QUOTA_CODES)]
    return _refused(evidence, shown, later, "the relay refuses what it gave before")


def relay_blocked(evidence: Evidence) -> Prediction | None:
    """Allocation and permission work, and no data comes through."""
    lossy = vantages_of(lossy_relays(evidence))
    lost = [r for r in _lost(evidence) if stage(r) not in RELAY_STAGES and r.vantage not in lossy]
    shown = [r for r in lost if not _codes(r) & set(QUOTA_CODES) and not _hardly_tried(evidence, r) and not is_lossy(r)]
    unrelayed = evidence.bad(RELAY_PORTS)
    if not shown and unrelayed:
        return _relayed(evidence, unrelayed, Place(None, Confidence.LIKELY), "the relay's ports are shut", Lost.BOTH)
    if not shown:
        return None
    arrived, carried = shown[0].evidence.get("arrived"), shown[0].evidence.get("carried")
    way = None if carried else Lost.BOTH if arrived is None else Lost.REPLY if arrived else Lost.REQUEST
    # The relay's way to the media host is nobody's but the servers'; who of them, several callers do not tell.
    place = blamed(evidence, shown, lambda vantage: evidence.passed(RELAY, vantage))
    where = place or Place(Party.UNDECIDED, Confidence.LIKELY)
    return _relayed(evidence, [*shown, *unrelayed], where, "the relay allocates, and what goes through it is lost", way)


def _hardly_tried(evidence: Evidence, result: CheckResult) -> bool:
    """A call whose handshake came too late to be tried, through a relay that carried all that it was tried with."""
    near = result.evidence.get("near") or {}
    few = near.get("dtls_out", CONVINCING) < CONVINCING
    return result.id == RELAY_CALL and few and evidence.passed(RELAY, result.vantage)
