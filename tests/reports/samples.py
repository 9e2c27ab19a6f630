"""Reports as a run makes them, for tests of what is written: one in which all is well, one with a cause and every
status."""

from __future__ import annotations

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Endpoint, Flow, Lost, Party, Role
from calls_doctor.model.report import (
    Confidence,
    Diagnosis,
    GuideStep,
    Impact,
    NextStep,
    NotTested,
    Remedy,
    Report,
    Tool,
    Vantage,
    Verdict,
)
from calls_doctor.model.site import Mode, Phase, Setting

STARTED = "2026-03-01T12:00:00Z"
BERLIN = Vantage(
    id="Berlin office", label="Berlin office", role="client", public_address="203.0.113.9", started=STARTED
)
HERE = Vantage(id="client", role="client", started=STARTED)


def result(check: str, status: Status, summary: str, **facts: object) -> CheckResult:
    """One result; `facts` are other fields of it."""
    plain = {
        "id": check,
        "title": f"The title of {check}",
        "category": check.split(".")[0],
        "status": status,
        "vantage": BERLIN.id,
        "summary": summary,
        "duration_s": 0.25,
    }
    return CheckResult(**{**plain, **facts})  # type: ignore[arg-type]  # msgspec checks no types here, and tests give true ones


def cause() -> Diagnosis:
    """UDP 8443 is blocked on the way in."""
    return Diagnosis(
        cause="media.udp-blocked-inbound",
        confidence=Confidence.LIKELY,
        flow=Flow(
            from_=Endpoint(role=Role.CLIENT, address="203.0.113.9"),
            to=Endpoint(role=Role.MEDIA, address="198.51.100.20"),
            protocol="udp",
            port=8443,
            lost=Lost.REQUEST,
        ),
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        subject="198.51.100.20:8443/udp",
        summary="UDP 8443 is blocked on its way to the media host",
        because=["port.rtc-udp-echo"],
        remedy=Remedy(
            summary="Open UDP 8443 to the media host",
            steps=["Ask for the rule.", "Run this check again."],
            firewall_rows=["FW-12"],
            guide_steps=["1.6.3"],
        ),
    )


def healthy_report() -> Report:
    """A self-test in which everything passed."""
    return Report(
        tool=Tool(version="0.1.0"),
        run_id="0011223344556677",
        started=STARTED,
        duration_s=0.84,
        complete=True,
        command="calls-doctor check",
        phase=Phase.SELF_TEST,
        mode=None,
        site={"rtcd.url": Setting(value="http://127.0.0.1:8045", origin="self-test")},
        vantages=[HERE],
        verdict=Verdict.OK,
        next=[NextStep(command="calls-doctor check --mode rtcd --list", on_host="this machine", why="your deployment")],
        checks=[
            result("env.platform", Status.PASS, "Linux 6.1", vantage=HERE.id),
            result("port.rtc-udp-echo", Status.PASS, "24 of 24 came back", vantage=HERE.id, target="127.0.0.1:9/udp"),
        ],
        guide=[GuideStep(step="1.6.3", verdict="not tested", from_=Role.CLIENT, to=Role.MEDIA)],
    )


def failing_report() -> Report:
    """A caller's run with one cause, and one result of every status."""
    return Report(
        tool=Tool(version="0.1.0"),
        run_id="8899aabbccddeeff",
        started=STARTED,
        duration_s=4.5,
        complete=True,
        command="calls-doctor check --peer 198.51.100.20:8443",
        metadata={"ticket": "NET-1"},
        phase=Phase.PRE,
        mode=Mode.RTCD,
        site={
            "media.hosts": Setting(value=["198.51.100.20:8443"], origin="--peer"),
            "turn.secret": Setting(value="set", origin="CALLS_DOCTOR_TURN_SECRET"),
        },
        vantages=[BERLIN],
        verdict=Verdict.FAILED,
        diagnosis=[cause()],
        next=[
            NextStep(
                command="calls-doctor explain media.udp-blocked-inbound", on_host="this machine", why="how to mend it"
            )
        ],
        checks=[
            result("env.platform", Status.PASS, "Linux 6.1"),
            result("env.port-free", Status.WARN, "8443 is taken"),
            result(
                "port.rtc-udp-echo",
                Status.FAIL,
                "0 of 24 probes came back",
                target="198.51.100.20:8443/udp",
                evidence={"sent": 24, "returned": 0, "trouble": "two\nlines"},
                guide_steps=["1.6.3"],
                needs=["env.platform"],
            ),
            result("stun.reach", Status.UNKNOWN, "nothing came back, and nothing tells why"),
            result("media.call-udp", Status.SKIP, "port.rtc-udp-echo failed", blocked_by="port.rtc-udp-echo"),
            result("quality.path", Status.ERROR, "calls-doctor itself failed: ValueError", evidence={"traceback": "T"}),
        ],
        guide=[
            GuideStep(step="1.6.3", verdict="failed", from_=Role.CLIENT, to=Role.MEDIA, checks=["port.rtc-udp-echo"]),
        ],
        books=[{"run_id": "8899aabbccddeeff", "end": "near", "flow": "f", "probes": 24}],
        not_tested=[NotTested(what="turn.challenge", why="no TURN server was named")],
    )
