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
    steps=[
        "Allow UDP 3478 (the URI's port) inbound at every firewall before the TURN server",
        "On the TURN host: `nft list ruleset` (or `iptables-save`) shows its own firewall's rules",
    ],
    firewall_rows=["FW-40"],
    guide_steps=["1.6.10"],
)
_OPEN_TCP = Remedy(
    summary="Let TCP 3478 through to the TURN server",
    steps=[
        "Allow the TCP port of the URI inbound at every firewall before the TURN server",
        "On the TURN host: `nft list ruleset` (or `iptables-save`) shows its own firewall's rules",
    ],
    firewall_rows=["FW-41"],
    guide_steps=["1.6.11"],
)

_WHOSE_FIREWALL = (
    "On the TURN host: `ss -lnptu 'sport = :3478'`, and the same check from a second network; where it listens and "
    "fails "
    "from both, the block stands before the TURN server"
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
            steps=[
                "On the TURN host: `systemctl status coturn` says whether it runs, `ss -lnptu 'sport = :3478'` where "
                "it listens",
                "Compare the URI's host and port with that",
            ],
            firewall_rows=["FW-40", "FW-41"],
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
            steps=[
                "Allow UDP and TCP 3478 inbound at every firewall before the TURN server",
                "On the TURN host: `nft list ruleset` (or `iptables-save`) shows its own firewall's rules",
            ],
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
        predicts=signs.tls_invalid,
        remedy=Remedy(
            summary="Give the TURN server a certificate that callers trust, on the port that speaks TLS",
            steps=[
                "The full chain, for the name in the URI, not expired",
                "turns: belongs to 5349 (or 443), turn: to 3478",
                "On a caller's machine: `openssl s_client -connect TURN:5349 -servername TURN` shows the chain and its "
                "dates",
            ],
            firewall_rows=["FW-42"],
            guide_steps=["1.6.11", "2A.2.4"],
        ),
    ),
    Cause(
        id="turn.wrong-service",
        party=Party.TURN_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="Something that is not a TURN server answers at its address.",
        predicts=signs.wrong_service,
        remedy=Remedy(
            summary="Point the URI at the TURN server's port",
            steps=[
                "On the TURN host: `ss -lnptu 'sport = :3478'` shows what listens there",
                "A STUN-only server cannot relay: name a TURN server",
            ],
            firewall_rows=["FW-40", "FW-41"],
            guide_steps=["1.6.10", "1.6.11", "2A.2.4"],
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
            steps=[
                "In coturn's configuration, set use-auth-secret and static-auth-secret, or lt-cred-mech with users, "
                "and "
                "remove no-auth",
                "On the TURN host: `systemctl restart coturn`, since it reads them at its start",
            ],
            guide_steps=["2A.2.4"],
        ),
    ),
    Cause(
        id="turn.credentials-expired",
        party=Party.TURN_SETTINGS,
        impact=Impact.SOME_CALLERS,
        meaning="The user name's time has passed.",
        predicts=signs.credentials_expired,
        remedy=Remedy(
            summary="Issue credentials that are still valid",
            steps=[
                "On the Mattermost server and the TURN host: `timedatectl` shows whether their clocks are kept",
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
        predicts=signs.secret_mismatch,
        remedy=Remedy(
            summary="Use the same secret on both sides",
            steps=[
                "Compare coturn's static-auth-secret with the plugin's TURN static auth secret",
                "Do not mix lt-cred-mech users with use-auth-secret",
                "On a Mattermost node: `calls-doctor turn-credential` makes one from CALLS_DOCTOR_TURN_SECRET, to try "
                "it",
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
            steps=[
                "486: raise coturn's user-quota and total-quota",
                "508: widen min-port to max-port, or correct an external-ip that the host does not have",
                "On the TURN host: `ss -anup` lists its UDP sockets, of which each allocation has one",
            ],
            firewall_rows=["FW-43"],
            guide_steps=["1.6.12", "2A.2.4"],
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
                "On the TURN host: `journalctl -u coturn -n 100` at the time of this run",
                "403: a policy for the user or his address; 437: a broken allocation table (restart it); 438 again and "
                "again: several servers behind one name that do not share their nonces; 442: relays over TCP only",
                "300: it sends clients to another server (alternate-server): name that one",
            ],
            guide_steps=["1.6.12", "2A.2.4"],
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
            steps=[
                "In coturn's configuration, behind a NAT, set external-ip=PUBLIC/PRIVATE",
                "On the TURN host: `systemctl restart coturn`, since it reads that at its start",
            ],
            firewall_rows=["FW-43"],
            guide_steps=["1.6.12"],
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
            steps=[
                "In coturn's configuration, set allowed-peer-ip to the media host's address, or take it out of "
                "denied-peer-ip",
                "On the TURN host: `systemctl restart coturn`, since it reads that at its start",
            ],
            firewall_rows=["FW-44"],
            guide_steps=["1.6.12"],
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
        deciding_test="On the media host: `tcpdump -ni any udp port 8443`, while the check runs again, shows whether "
        "what the TURN server relays arrives, and whether the answers leave",
    ),
)
