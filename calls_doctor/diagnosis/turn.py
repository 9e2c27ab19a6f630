"""Causes at the TURN server, declared: its listener, its authentication and limits, its relay; `turn_signs` reads them.

Pure.
"""

from __future__ import annotations

from calls_doctor.diagnosis import turn_signs as signs
from calls_doctor.diagnosis.cause import Cause
from calls_doctor.diagnosis.turn_signs import ALLOCATE, LISTENER, PERMISSION, row_shows
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Impact, Remedy

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

_WHOSE_FIREWALL = (
    "Run the same check from a second network, and on the TURN host: ss -lnptu 'sport = :3478'; where it listens and "
    "fails from both, the block stands before the TURN server"
)

CAUSES = (
    Cause(
        id="turn.not-running",
        party=Party.TURN_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="Nothing listens at the TURN server's address.",
        predicts=signs.not_running,
        remedy=Remedy(
            summary="Start the TURN server, or correct its address",
            steps=["On the TURN host: systemctl status coturn, and ss -lnptu 'sport = :3478'"],
            guide_steps=["1.6.10", "1.6.11"],
        ),
        deciding_test=_WHOSE_FIREWALL,
    ),
    Cause(
        id="turn.udp-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN listener is not reached over UDP.",
        predicts=signs.listener_blocked("udp"),
        remedy=_OPEN_UDP,
        deciding_test=_WHOSE_FIREWALL,
    ),
    Cause(
        id="turn.tcp-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN listener is not reached over TCP.",
        predicts=signs.listener_blocked("tcp"),
        remedy=_OPEN_TCP,
        deciding_test=_WHOSE_FIREWALL,
    ),
    Cause(
        id="turn.blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN listener is reached neither over UDP nor over TCP.",
        predicts=signs.blocked,
        remedy=Remedy(
            summary="Let UDP and TCP 3478 through to the TURN server",
            steps=["Allow UDP and TCP 3478 inbound at every firewall before the TURN server"],
            firewall_rows=["FW-40", "FW-41"],
            guide_steps=["1.6.10", "1.6.11"],
        ),
        deciding_test=_WHOSE_FIREWALL,
    ),
    Cause(
        id="turn.tls-invalid",
        party=Party.TURN_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server's TLS cannot be used: certificate, name, or no TLS where TLS is asked for.",
        predicts=row_shows(lambda row: row["trouble"] == "tls", lambda row: str(row["detail"]), LISTENER),
        remedy=Remedy(
            summary="Give the TURN server a certificate that callers trust, on the port that speaks TLS",
            steps=[
                "The full chain, for the name in the URI, not expired",
                "turns: belongs to 5349 (or 443), turn: to 3478",
            ],
            firewall_rows=["FW-42"],
        ),
    ),
    Cause(
        id="turn.wrong-service",
        party=Party.TURN_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="Something that is not a TURN server answers at its address.",
        predicts=row_shows(
            signs.not_a_turn_server,
            lambda row: str(row["detail"]),
            LISTENER,
        ),
        remedy=Remedy(
            summary="Point the URI at the TURN server's port",
            steps=[
                "See what listens there: ss -lnptu 'sport = :3478'",
                "A STUN-only server cannot relay: name a TURN server",
            ],
        ),
    ),
    Cause(
        id="turn.unauthenticated",
        party=Party.TURN_SETTINGS,
        impact=Impact.SECURITY,
        meaning="The TURN server relays for anyone: an open relay.",
        predicts=row_shows(
            lambda row: row["trouble"] == "open", lambda row: f"{row['uri']} relays for anyone", LISTENER
        ),
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
        predicts=row_shows(
            signs.wrong_credentials(expired=True),
            lambda row: f"{row['uri']} refuses a user name that expired {row['expired_s']:.0f} s ago",
            ALLOCATE,
        ),
        remedy=Remedy(
            summary="Issue credentials that are still valid",
            steps=[
                "Compare the clocks of the Mattermost server and the TURN server (timedatectl)",
                "Raise the credentials' expiration in the plugin's settings",
            ],
            guide_steps=["2A.2.4"],
        ),
    ),
    Cause(
        id="turn.secret-mismatch",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server knows another secret, or another password, than was given.",
        predicts=row_shows(
            signs.wrong_credentials(expired=False),
            lambda row: f"{row['uri']} does not accept the credentials ({row['code']})",
            ALLOCATE,
            PERMISSION,
        ),
        remedy=Remedy(
            summary="Use the same secret on both sides",
            steps=[
                "Compare coturn's static-auth-secret with the plugin's TURN static auth secret",
                "Do not mix lt-cred-mech users with use-auth-secret",
            ],
            guide_steps=["2A.2.4"],
        ),
    ),
    Cause(
        id="turn.quota",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server has no allocation left: a quota, or its relay ports are used up.",
        predicts=signs.quota,
        remedy=Remedy(
            summary="Raise the quota, or widen the relay range",
            steps=["486: coturn's user-quota and total-quota", "508: min-port and max-port, or an invalid external-ip"],
        ),
    ),
    Cause(
        id="turn.not-allocating",
        party=Party.TURN_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server asks for credentials and then allocates nothing, for a reason that is neither the "
        "credentials nor a quota.",
        predicts=signs.not_allocating,
        remedy=Remedy(
            summary="Find the reason in the TURN server's log",
            steps=[
                "coturn: journalctl -u coturn, at the time of this run",
                "403: a policy for the user or his address; 437: a broken allocation table (restart it); 438 again and "
                "again: several servers behind one name that do not share their nonces; 442: relays over TCP only",
                "300: it sends clients to another server (alternate-server): name that one",
            ],
        ),
    ),
    Cause(
        id="turn.relay-address-private",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The TURN server hands out a private relay address.",
        predicts=row_shows(
            lambda row: bool(row.get("relayed_private")),
            lambda row: f"{row['uri']} hands out the private relay address {row['relayed'][0]}",
            ALLOCATE,
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
        predicts=row_shows(
            lambda row: row["code"] == 403 and bool(row["peer"]),
            lambda row: f"{row['uri']} denies {row['peer']} as a peer (403)",
            PERMISSION,
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
        predicts=signs.relay_blocked,
        remedy=Remedy(
            summary="Open the way between the TURN server's relay ports and the media host",
            steps=[
                "Allow UDP 49152-65535 of the TURN host from the media host",
                "Allow UDP 8443 of the media host from the TURN host",
            ],
            firewall_rows=["FW-43", "FW-44"],
            guide_steps=["1.6.12"],
        ),
        deciding_test="On the media host, while the check runs again: tcpdump -ni any udp port 8443 shows whether what "
        "the TURN server relays arrives, and whether the answers leave",
    ),
)
