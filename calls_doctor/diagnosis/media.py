"""Causes on the way to the media port, 8443 over UDP and TCP, declared; `media_signs` reads them. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis import media_signs as signs
from calls_doctor.diagnosis import rtcd_calls
from calls_doctor.diagnosis.cause import Cause
from calls_doctor.diagnosis.rtcd_calls import or_else
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import MEDIA_PORT

WHOSE_FIREWALL = (
    "On a machine in a second network, another provider's best: `calls-doctor check --peer LINK`; where it fails there "
    "too, the block stands before the media host; where it passes, in this network"
)
UDP_ROWS = ["FW-11", "FW-12"]
"""The plugin's and rtcd's: one of them is the site's."""
UDP_STEPS, TCP_STEPS, CALL_STEPS = ["1.6.1", "1.6.3"], ["1.6.2", "1.6.4"], ["2A.3.2", "2B.5.2"]
"""Likewise."""
ARRIVING = "On the media host: `tcpdump -ni any {} port 8443` shows whether callers' packets come as far as that"
OWN_RULES = (
    "On the media host: `nft list ruleset` (or `iptables-save`, and `ip6tables-save`) shows its own firewall's rules"
)


def _open(protocol: str, rows: list[str], *steps: str) -> Remedy:
    return Remedy(
        summary=f"Let {protocol.upper()} {MEDIA_PORT} through",
        steps=list(steps),
        firewall_rows=rows,
        guide_steps=UDP_STEPS if protocol == "udp" else TCP_STEPS,
    )


CAUSES = (
    Cause(
        id="media.udp-blocked-inbound",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="No caller's datagrams reach the media host.",
        predicts=or_else(signs.udp_blocked_inbound, rtcd_calls.udp_blocked_inbound),
        remedy=_open(
            "udp",
            UDP_ROWS,
            "Allow UDP 8443 inbound at every firewall between callers and the media host (security group, edge, host); "
            "over IPv6 by rules of their own",
            OWN_RULES,
            ARRIVING.format("udp"),
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
            "On the media host: `ip route get CALLER` must name the interface by which the request came; else the "
            "answer leaves by another way, where a firewall knows nothing of it",
            OWN_RULES,
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
                "Where the media host has several addresses, bind Calls to the one that callers are handed (rtcd: "
                "ice_address_udp; plugin: RTC Server Address UDP)",
                "On the media host: `ip route get CALLER` shows by which address its answers leave",
                "On the media host: `nft list ruleset` (or `iptables-save -t nat`) shows whether source NAT "
                "(masquerade, "
                "snat) changes what leaves from UDP 8443; look for the same at the firewall before it",
            ],
            firewall_rows=UDP_ROWS,
            guide_steps=UDP_STEPS,
        ),
    ),
    Cause(
        id="media.udp-rejected",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="UDP to the media port is answered with an ICMP error although the service listens.",
        predicts=or_else(signs.udp_rejected, rtcd_calls.udp_rejected),
        remedy=_open(
            "udp", UDP_ROWS, "Find the rule that rejects UDP 8443 (reject, not drop) and allow it instead", OWN_RULES
        ),
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
                "On the media host: `nft list ruleset` (or `iptables-save`) shows limits of its own: limit, hashlimit",
            ],
            firewall_rows=UDP_ROWS,
            guide_steps=CALL_STEPS,
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.tcp-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="A TCP connection to the media port is never answered.",
        predicts=signs.tcp_blocked,
        remedy=_open(
            "tcp",
            ["FW-13"],
            "Allow TCP 8443 inbound: it is the fallback for callers without UDP",
            OWN_RULES,
            ARRIVING.format("tcp"),
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
    Cause(
        id="media.tcp-rejected",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="A TCP connection to the media port is reset although the service answers over UDP.",
        predicts=or_else(signs.tcp_rejected, rtcd_calls.tcp_rejected),
        remedy=_open(
            "tcp",
            ["FW-13"],
            "Find the rule that rejects TCP 8443 and allow it instead",
            OWN_RULES,
            "On the media host: `ss -ltnp 'sport = :8443'` shows whether the service listens over TCP at all",
        ),
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
            ARRIVING.format("tcp"),
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
            "udp",
            [*UDP_ROWS, "FW-13"],
            "Allow UDP and TCP 8443 inbound at every firewall before the media host (security group, edge, host); over "
            "IPv6 by rules of their own",
            OWN_RULES,
            "On the media host: `tcpdump -ni any port 8443` shows whether callers' packets come as far as that",
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
                "On the media host: `calls-doctor serve` listens before the install",
                "On the media host: after it, `systemctl status rtcd` and `journalctl -u rtcd -n 50` say why rtcd does "
                "not "
                "run; the plugin logs in Mattermost's log",
            ],
            firewall_rows=UDP_ROWS,
            guide_steps=UDP_STEPS,
        ),
        deciding_test="On the media host: `ss -lnptu 'sport = :8443'` says whether anything listens; if so, a "
        "firewall refuses in its name",
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
                "On that machine: `ss -lnptu 'sport = :8443'` names the program: stop it, or move it to another port",
                "Or set another RTC server port (80 to 49151), the same inside and outside",
            ],
            guide_steps=[*UDP_STEPS, "1.6.5"],
        ),
    ),
    Cause(
        id="media.dtls-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="ICE succeeds, DTLS never completes.",
        predicts=or_else(signs.dtls_blocked, rtcd_calls.dtls_blocked),
        remedy=Remedy(
            summary="Let DTLS through on 8443",
            steps=[
                "Look for application inspection (App-ID, DPI) that drops DTLS or unknown UDP on 8443",
                "Exempt 8443 from inspection, or allow the applications stun, dtls and webrtc",
                "On the media host: `tcpdump -ni any udp port 8443` shows whose handshake does not arrive",
            ],
            firewall_rows=UDP_ROWS,
            guide_steps=["2A.3.1", "2B.5.1"],
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
)
