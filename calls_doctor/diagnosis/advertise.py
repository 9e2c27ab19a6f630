"""Causes in what callers are handed: an address that does not lead to the media host from where they are. Pure."""

from __future__ import annotations

from collections.abc import Callable

from calls_doctor.diagnosis import rtcd_calls
from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, Row, outcomes
from calls_doctor.diagnosis.media_evidence import CLASS, announced_in_vain
from calls_doctor.diagnosis.place import flow_of, host_and_port
from calls_doctor.diagnosis.rtcd_calls import or_else
from calls_doctor.model.check import UDP_ECHO, CheckResult
from calls_doctor.model.flow import Party, Role, bracketed
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import MEDIA_PORT, WITHOUT_RTCD


def settings_of(evidence: Evidence) -> Party:
    """Where what is announced is set: rtcd's own settings, or the plugin's in the System Console."""
    return Party.MATTERMOST_SETTINGS if evidence.mode in WITHOUT_RTCD else Party.RTCD_SETTINGS


def _handed(holds: Callable[[list[Row]], bool], sentence: str) -> Callable[[Evidence], Prediction | None]:
    """A cause that the candidates themselves show."""

    def predicts(evidence: Evidence) -> Prediction | None:
        shown = [
            r for r in _set([*evidence.bad(CLASS), *announced_in_vain(evidence)]) if holds(r.evidence["candidates"])
        ]
        return _prediction(evidence, shown, sentence) if shown else None

    return predicts


def _set(results: list[CheckResult]) -> list[CheckResult]:
    """Those where a setting tells what is announced. Where a name does, its records or its resolver may be at fault,
    and what it gave does not tell which: that is for the causes of names."""
    return [r for r in results if not r.evidence.get("override_name")]


def _prediction(evidence: Evidence, shown: list[CheckResult], sentence: str) -> Prediction:
    first = shown[0]
    named = dict.fromkeys(f"{bracketed(row['address'])}:{row['port']}" for row in first.evidence["candidates"])
    echo = evidence.at(UDP_ECHO, first.vantage)
    return Prediction(
        explains=outcomes(shown),
        flow=flow_of(evidence, echo or first, Role.MEDIA, "udp", MEDIA_PORT),
        summary=sentence.format(named=", ".join(named) or "nothing"),
        subject=", ".join(named),
        party=settings_of(evidence),
    )


def _all_private(candidates: list[Row]) -> bool:
    return bool(candidates) and all(row["private"] for row in candidates)


def wrong_address(evidence: Evidence) -> Prediction | None:
    """The media host is reached, and not by a public address that callers are handed."""

    def at_another_host(result: CheckResult) -> bool:
        echo = evidence.at(UDP_ECHO, result.vantage)
        here = host_and_port(echo.target)[0] if echo else ""
        public = [row for row in result.evidence["candidates"] if not row["private"]]
        return any(row["address"] != here for row in public)

    shown = [r for r in _set(announced_in_vain(evidence)) if at_another_host(r)]
    sentence = "callers are handed {named}, where the media host is not reached"
    return _prediction(evidence, shown, sentence) if shown else None


_OVERRIDE = "Set the ICE host override to the address by which callers reach the media host"

CAUSES = (
    Cause(
        id="advertise.private-address",
        party=Party.RTCD_SETTINGS,
        impact=Impact.NO_CALLS,
        meaning="Callers are handed a private address, which leads nowhere from where they are.",
        predicts=or_else(
            rtcd_calls.private_address,
            _handed(_all_private, "callers are handed {named}: private, and they are not in that network"),
        ),
        remedy=Remedy(
            summary=_OVERRIDE,
            steps=[
                "For rtcd that is rtc.ice_host_override, for the plugin ICE Host Override in the System Console; "
                "restart it",
                "Or let the media host ask a STUN server (UDP 3478 outbound), where its public address changes",
            ],
            firewall_rows=["FW-50"],
            guide_steps=["2A.2.3"],
        ),
    ),
    Cause(
        id="advertise.wrong-address",
        party=Party.RTCD_SETTINGS,
        impact=Impact.NO_CALLS,
        meaning="Callers are handed an address that is not the media host's.",
        predicts=or_else(wrong_address, rtcd_calls.wrong_address),
        remedy=Remedy(
            summary=_OVERRIDE,
            steps=[
                "Compare the override, and what its name gives, with the address that leads to the media host",
                "On the media host: `getent ahostsv4 NAME` shows what the override's name gives there; its first "
                "address "
                "is what callers are handed",
            ],
            guide_steps=["2A.2.3"],
        ),
    ),
    Cause(
        id="advertise.nothing",
        party=Party.RTCD_SETTINGS,
        impact=Impact.NO_CALLS,
        meaning="Callers are handed no address at all.",
        predicts=or_else(
            rtcd_calls.nothing_advertised,
            _handed(lambda candidates: not candidates, "callers are handed no address at all"),
        ),
        remedy=Remedy(
            summary=_OVERRIDE,
            steps=[
                "Leave the RTC server address empty: 0.0.0.0 or an address that it does not have leaves nothing to "
                "announce",
                "On the media host: `ip -br address` must show an address that is not loopback: without an override "
                "that "
                "is what is announced",
            ],
            guide_steps=["2A.2.3"],
        ),
    ),
)  # fmt: skip
