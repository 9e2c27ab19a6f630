"""Causes at rtcd's API, 8045 over TCP, as a Mattermost node finds it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from calls_doctor.diagnosis import rtcd_calls
from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.media_evidence import listens, nothing_runs, stage, trouble
from calls_doctor.diagnosis.place import Place, at_the_far_end, flow_of, on_the_path, role_of
from calls_doctor.diagnosis.rtcd_calls import or_else
from calls_doctor.model.check import API, ECHOES, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import API_PORT

EXPOSURE, AUTH, VERSIONS = "port.api-exposure", "api.rtcd-auth", "config.versions"
DIFFER, OPEN_REGISTRATION = "api.rtcd-version", "api.rtcd-open-registration"


def _when(
    holds: Callable[[CheckResult], bool], sentence: str, lost: Lost | None, answered: bool
) -> Callable[[Evidence], Prediction | None]:
    """A prediction for the failures of which `holds`; `answered`: the far end itself has shown the fault."""

    def predicts(evidence: Evidence) -> Prediction | None:
        shown = [r for r in evidence.bad(API, AUTH) if holds(r)]
        if not shown:
            return None
        place = at_the_far_end(evidence) if answered else _between_servers(evidence, shown)
        return Prediction(
            explains=outcomes(shown),
            flow=flow_of(evidence, shown[0], Role.MEDIA, "tcp", API_PORT, lost),
            summary=f"{shown[0].target} {sentence}",
            subject=shown[0].target,
            party=place.party,
            confidence=place.confidence,
        )

    return predicts


def refused(evidence: Evidence) -> Prediction | None:
    """The API's port is shut on a host where something of Calls runs: else nothing runs there at all."""
    closed = _when(lambda r: _failed(r, "connect", "refused"), "refuses connections", Lost.REQUEST, answered=True)
    return None if nothing_runs(evidence) else closed(evidence)


def _between_servers(evidence: Evidence, shown: list[CheckResult]) -> Place:
    """Between a Mattermost node and a media host that is known to run, only the servers' own network can be silent."""
    runs = any(listens(evidence, r.vantage) for check in ECHOES for r in evidence.of(check))
    nodes = all(role_of(evidence, r.vantage) is Role.MATTERMOST for r in shown)
    return at_the_far_end(evidence) if runs and nodes else on_the_path(evidence)


def exposed(evidence: Evidence) -> Prediction | None:
    """The API answers a caller who may not reach it."""
    shown = evidence.of(EXPOSURE, Status.FAIL)
    if not shown:
        return None
    return Prediction(
        explains=outcomes([*shown, *evidence.bad(OPEN_REGISTRATION)]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, "tcp", API_PORT),
        summary=shown[0].summary,
        subject=shown[0].target,
    )


def unauthorized(evidence: Evidence) -> Prediction | None:
    """rtcd does not take the credentials; what it says to a login tells what is wrong with them."""
    shown = _when(
        lambda r: _failed(r, "websocket", *NOT_LET_IN), "does not accept the credentials", None, answered=True
    )
    found = shown(evidence)
    if found is None:
        return None
    words = [trouble(r) if trouble(r) == ADMIN else str(r.evidence.get("login", "")) for r in evidence.bad(API, AUTH)]
    return replace(found, steps_first=tuple(dict.fromkeys(_WITH_THEM[word] for word in words if word in _WITH_THEM)))


def too_old(evidence: Evidence) -> Prediction | None:
    """An rtcd that the Calls plugin refuses by its version."""
    shown = evidence.of(VERSIONS, Status.FAIL)
    if not shown:
        return None
    place = at_the_far_end(evidence)
    return Prediction(
        explains=outcomes([*shown, *evidence.bad(DIFFER)]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, "tcp", API_PORT),
        summary=shown[0].summary,
        subject=shown[0].target,
        party=place.party,
        confidence=place.confidence,
    )


def _failed(result: CheckResult, at: str, *words: str) -> bool:
    return stage(result) == at and trouble(result) in words


def _status(result: CheckResult, at: str) -> int:
    """The HTTP status that was the trouble; 0 where it was something else."""
    _, is_status, number = trouble(result).rpartition("status-")
    return int(number) if is_status and stage(result) == at else 0


ADMIN = "admin-secret"
NOT_LET_IN = ("unauthorized", ADMIN)
_WITH_THEM = {
    ADMIN: "This is the secret of rtcd's admin: give Mattermost the id and key of a client, which that admin registers",
    "unknown-client": "rtcd does not know this client: look whether its store was lost (a container without a "
    "volume, a folder below /tmp), and register the client again",
    "wrong-key": "rtcd knows this client by another key and tells whoever registers it again `already registered`: "
    "give Mattermost that key, or have rtcd's admin unregister the client and register it anew",
}
"""What trouble, or an answer to a login, tells of the credentials, as the first step."""
_NODE = "On a Mattermost node: "
_LOOK = _NODE + "`curl http://RTCD:8045/version` must answer JSON with buildVersion"
_LISTENING = "On the rtcd host: `ss -ltnp 'sport = :8045'` shows what listens there"

CAUSES = (
    Cause(
        id="api.blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="TCP to rtcd's API is silent.",
        predicts=_when(
            lambda r: _failed(r, "connect", "silent", "unreachable"), "is never answered", Lost.BOTH, answered=False
        ),
        remedy=Remedy(
            summary="Let TCP 8045 through from every Mattermost node to every rtcd address",
            steps=["Allow TCP 8045 between them, and from nowhere else", _LOOK],
            firewall_rows=["FW-20"],
            guide_steps=["1.6.5", "2B.2.1"],
        ),
        deciding_test="On the rtcd host: `ss -ltnp 'sport = :8045'` says whether it listens, and `tcpdump -ni any tcp "
        "port 8045` whether anything arrives",
    ),
    Cause(
        id="api.refused",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="TCP to rtcd's API is refused.",
        predicts=or_else(refused, rtcd_calls.gone),
        remedy=Remedy(
            summary="Start rtcd, or correct the port",
            steps=["On the rtcd host: `systemctl status rtcd` says whether it runs", _LISTENING, _LOOK],
            firewall_rows=["FW-20"],
            guide_steps=["1.6.5", "2B.2.1"],
        ),
    ),
    Cause(
        id="api.no-answer",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="rtcd's API accepts connections and sends no HTTP answer.",
        predicts=or_else(
            _when(
                lambda r: _failed(r, "http", "silent", "cut", "unreachable", "refused"),
                "accepts connections and does not answer",
                Lost.REPLY,
                answered=True,
            ),
            rtcd_calls.hangs,
        ),
        remedy=Remedy(
            summary="Restart what hangs behind 8045",
            steps=[
                "On the rtcd host: `journalctl -u rtcd -n 50` may say why it hangs; `systemctl restart rtcd` ends "
                "every call",
                "Look for a proxy between them that accepts in its name",
                _LOOK,
            ],
            firewall_rows=["FW-20", "FW-21"],
            guide_steps=["2B.2.1"],
        ),
    ),
    Cause(
        id="api.wrong-service",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="Something that is not rtcd answers on the API's port.",
        predicts=_when(
            lambda r: _failed(r, "http", "not-http") or 0 < _status(r, "http") < 500 or _failed(r, "websocket", "open"),
            "is answered by something that is not rtcd",
            None,
            answered=True,
        ),
        remedy=Remedy(
            summary="Point the RTCD service URL at rtcd",
            steps=[_LISTENING, _LOOK, "Correct the RTCD Service URL (System Console, Plugins, Calls): host and port"],
            firewall_rows=["FW-20", "FW-21"],
            guide_steps=["2B.3.4", "2B.2.1"],
        ),
    ),
    Cause(
        id="api.bad-gateway",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="A proxy in front of rtcd's API cannot reach it.",
        predicts=_when(lambda r: _status(r, "http") >= 500, "is a proxy that cannot reach rtcd", None, answered=True),
        remedy=Remedy(
            summary="Mend the proxy's way to rtcd, or go without a proxy",
            steps=["rtcd's API is internal: Mattermost nodes should reach it directly", _LISTENING, _LOOK],
            firewall_rows=["FW-20", "FW-21"],
            guide_steps=["2B.2.1"],
        ),
    ),
    Cause(
        id="api.websocket-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="HTTP to rtcd works, the WebSocket upgrade does not.",
        predicts=or_else(
            _when(
                lambda r: stage(r) == "websocket" and not _failed(r, "websocket", *NOT_LET_IN, "open"),
                "answers HTTP and does not upgrade to a WebSocket",
                Lost.BOTH,
                answered=True,
            ),
            rtcd_calls.websocket_cut,
        ),
        remedy=Remedy(
            summary="Pass the Upgrade and Connection headers to rtcd",
            steps=[
                "A proxy between Mattermost and rtcd strips them: configure it, or put rtcd's host into NO_PROXY",
                _NODE
                + "`curl -i --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' http://RTCD:8045/ws`: what "
                "answers names itself in its Server header; rtcd sends none",
            ],
            firewall_rows=["FW-20", "FW-21"],
            guide_steps=["2B.2.1"],
        ),
    ),
    Cause(
        id="api.unauthorized",
        party=Party.MATTERMOST_SETTINGS,
        impact=Impact.NO_CALLS,
        meaning="rtcd does not accept the client id and key.",
        predicts=unauthorized,
        remedy=Remedy(
            summary="Give Mattermost the client id and key that rtcd knows",
            steps=[
                "Compare what stands in the RTCD Service URL, or in MM_CALLS_RTCD_CLIENT_ID and "
                "MM_CALLS_RTCD_AUTH_KEY, "
                "with what was registered; rtcd answers 200 instead of 101 where they are wrong",
                "A store on a temporary folder forgets every client at a restart: set store.data_source",
            ],
            guide_steps=["2B.3.4"],
        ),
    ),
    Cause(
        id="api.too-old",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="rtcd is older than the Calls plugin takes.",
        predicts=too_old,
        remedy=Remedy(
            summary="Upgrade rtcd, before the plugin",
            steps=[
                "On the rtcd host: install a release that the plugin takes, at every address of the name, and "
                "`systemctl restart rtcd` when nobody is in a call",
                _LOOK,
                "Disable and enable the Calls plugin (System Console, Plugins, Calls): it asks for the version when it "
                "starts",
            ],
            guide_steps=["2B.2.2"],
        ),
    ),
    Cause(
        id="api.exposed",
        party=Party.SERVER_NETWORK,
        impact=Impact.SECURITY,
        meaning="rtcd's API answers callers on the media host's public address.",
        predicts=exposed,
        remedy=Remedy(
            summary="Let TCP 8045 through from the Mattermost nodes alone",
            steps=[
                "Close TCP 8045 at the firewall for all but the Mattermost nodes, or bind it to an internal address",
                "On the rtcd host: `ss -ltn 'sport = :8045'` shows on which address it listens; Docker publishes past "
                "ufw",
                "It limits no rate, and serves profiles and metrics without credentials",
            ],
            firewall_rows=["FW-20"],
            guide_steps=["1.6.5"],
        ),
    ),
)
