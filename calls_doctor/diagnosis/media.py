"""Causes on the way to the media port, 8443 over UDP and TCP, declared; `media_signs` reads them. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis import media_signs as signs
from calls_doctor.diagnosis.cause import Cause
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import MEDIA_PORT

WHOSE_FIREWALL = (
    "Run the same check from a second network, another provider's best: where it fails there too, the block stands "
    "before the media host; where it passes, in this network"
)
UDP_ROWS = ["FW-11", "FW-12"]
"""The plugin's and rtcd's: one of them is the site's."""


def _open(protocol: str, rows: list[str], *steps: str) -> Remedy:
    return Remedy(
        summary=f"Let {protocol.upper()} {MEDIA_PORT} through",
        steps=list(steps),
        firewall_rows=rows,
        guide_steps=["1.6.1", "1.6.3"] if protocol == "udp" else ["1.6.2", "1.6.4"],
    )


CAUSES = (
    Cause(
        id="media.udp-blocked-inbound",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="No caller's datagrams reach the media host.",
        predicts=signs.udp_blocked_inbound,
        remedy=_open(
            "udp",
            UDP_ROWS,
            "Allow UDP 8443 inbound at every firewall between callers and the media host (security group, edge, host)",
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.udp-blocked-return",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="Callers' datagrams reach the media host; its answers do not come back.",
        predicts=signs.udp_blocked_return,
        remedy=_open(
            "udp",
            [*UDP_ROWS, "FW-14"],
            "Allow UDP from source port 8443 outbound at the media host, and its return through stateless filters",
            "Look for asymmetric routing: the answer must leave by the way the request came",
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.reply-address-changed",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="The media host answers from another address or port than was asked, which no caller takes.",
        predicts=signs.reply_address_changed,
        remedy=Remedy(
            summary="Have the answers leave by the address and port that were asked",
            steps=[
                "On a media host with several addresses: bind Calls to the one that callers are handed (rtcd: "
                "ice_address_udp; plugin: RTC Server Address UDP), and look at its routes (ip route get CALLER)",
                "Look for source NAT (masquerade, snat) of what leaves from UDP 8443, on the host and at the firewall",
            ],
            firewall_rows=UDP_ROWS,
            guide_steps=["1.6.1", "1.6.3"],
        ),
    ),
    Cause(
        id="media.udp-rejected",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="UDP to the media port is answered with an ICMP error although the service listens.",
        predicts=signs.udp_rejected,
        remedy=_open("udp", UDP_ROWS, "Find the rule that rejects UDP 8443 (reject, not drop) and allow it instead"),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.udp-rate-limited",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="Single datagrams pass, a stream at the rate of voice does not.",
        predicts=signs.udp_rate_limited,
        remedy=Remedy(
            summary="Exempt UDP 8443 from rate limits and flood protection",
            steps=[
                "Look for UDP flood protection, policers and session limits on the path",
                "A call needs 50 packets/s each way for each voice that is heard",
            ],
            firewall_rows=UDP_ROWS,
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.tcp-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="A TCP connection to the media port is never answered.",
        predicts=signs.tcp_blocked,
        remedy=_open("tcp", ["FW-13"], "Allow TCP 8443 inbound: it is the fallback for callers without UDP"),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.tcp-rejected",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="A TCP connection to the media port is reset although the service answers over UDP.",
        predicts=signs.tcp_rejected,
        remedy=_open("tcp", ["FW-13"], "Find the rule that rejects TCP 8443 and allow it instead"),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.tcp-stalled",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="TCP to the media port connects and then carries nothing.",
        predicts=signs.tcp_stalled,
        remedy=_open(
            "tcp",
            ["FW-13"],
            "Something on the path answers for the media host: a SYN proxy, a transparent proxy or a load balancer "
            "without a backend; take TCP 8443 out of it",
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="UDP and TCP to the media port are both shut, the host is alive.",
        predicts=signs.blocked,
        remedy=_open(
            "udp", [*UDP_ROWS, "FW-13"], "Allow UDP and TCP 8443 inbound at every firewall before the media host"
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.not-running",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="Nothing listens on the media port.",
        predicts=signs.not_running,
        remedy=Remedy(
            summary="Start what should listen on 8443",
            steps=[
                "Before the install: run `calls-doctor serve` on the media host",
                "After it: systemctl status rtcd, and its log",
            ],
            guide_steps=["1.6.1", "1.6.3"],
        ),
        deciding_test="On the media host: ss -lnptu 'sport = :8443' says whether anything listens; if so, a firewall "
        "refuses in its name",
    ),
    Cause(
        id="media.port-taken",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="Another program owns a port that Calls needs.",
        predicts=signs.port_taken,
        remedy=Remedy(
            summary="Free the port, or choose another and use it everywhere",
            steps=[
                "Stop the program that is named, or move it to another port",
                "Or set another RTC server port (80 to 49151), the same inside and outside",
            ],
        ),
    ),
    Cause(
        id="media.dtls-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="ICE succeeds, DTLS never completes.",
        predicts=signs.dtls_blocked,
        remedy=Remedy(
            summary="Let DTLS through on 8443",
            steps=[
                "Look for application inspection (App-ID, DPI) that drops DTLS or unknown UDP on 8443",
                "Exempt 8443 from inspection, or allow the applications stun, dtls and webrtc",
            ],
            firewall_rows=UDP_ROWS,
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
)
