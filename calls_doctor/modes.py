"""The six deployment modes as data: where media ends, who talks to whom on which port, and which ports are whose.

Source: Mattermost's self-hosted deployment document ("Network requirements", "Modes of operation").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from calls_doctor.model.check import TCP_ECHO, UDP_ECHO
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Mode

MEDIA_PORT = 8443
API_PORT = 8045
STUN_PORT = 3478
WITHOUT_RTCD = (Mode.INTEGRATED, Mode.HA_CLUSTERED, Mode.HA_HANDLER)
"""Modes in which the plugin serves media itself."""


class Need(StrEnum):
    """How much a flow matters."""

    REQUIRED = "required"
    CONDITIONAL = "conditional"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class PortFlow:
    """One row of the port table: who opens the conversation, to whom, on which port."""

    name: str
    from_: Role
    to: Role
    protocol: str
    port: int
    need: Need
    note: str
    firewall_row: str
    """The row of the firewall matrix that asks for it."""
    proven_by: tuple[str, ...] = ()
    """Ids of the checks that prove it."""


FIREWALL_ROWS: dict[str, str] = {
    "FW-01": "callers to Mattermost, TCP 443 in: HTTPS and the WebSocket",
    "FW-11": "callers to every Mattermost node that carries media, directly, UDP 8443 in",
    "FW-12": "callers to every rtcd, directly, UDP 8443 in: never through an HTTP proxy or a balancer over several",
    "FW-13": "callers to the media host, TCP 8443 in: the fallback where UDP is blocked",
    "FW-14": "the media host to callers, from source port 8443 out: only where a filter is stateless",
    "FW-15": "a caller's own network, out to the media host, UDP and TCP 8443: only where it filters what leaves it",
    "FW-20": "every Mattermost node to every rtcd address, TCP 8045 in, and nobody else",
    "FW-21": "every Mattermost node to rtcd's API through no HTTP proxy: rtcd's host stands in NO_PROXY",
    "FW-40": "callers to the TURN server, UDP 3478 in",
    "FW-41": "callers to the TURN server, TCP 3478 in",
    "FW-42": "callers to the TURN server, TCP 5349 or 443 in: only where turns: is used",
    "FW-43": "the media host to the TURN server's relay ports, UDP 49152-65535 in",
    "FW-44": "the TURN server, from its relay ports, to the media host, UDP 8443 in",
    "FW-50": "the media host to its STUN server, UDP 3478 out, source port 8443: not needed with ICE host override",
    "FW-51": "every server to its resolvers, UDP and TCP 53 out: names of STUN, TURN, rtcd and the override",
    "FW-52": "every server to its time servers, UDP 123 out: TURN credentials and certificates are timed",
    "FW-90": "anybody to the media host and TURN, ICMP 3/4 and ICMPv6 2 in: who sends too large packets must be told",
}
"""The rows of the firewall request by id, permanent: who opens the conversation, to whom, on which port, seen from who
must let it in or out. The plugin and rtcd have their own row for media (FW-11, FW-12); one of them is the site's."""

_TURN = ("turn.challenge", "turn.allocate", "turn.relay-range", "media.call-relay")
CLIENT_FACING = (
    PortFlow(
        "site",
        Role.CLIENT,
        Role.MATTERMOST,
        "tcp",
        443,
        Need.REQUIRED,
        "HTTPS and the WebSocket",
        "FW-01",
        ("signal.websocket", "tls.site"),
    ),
    PortFlow(
        "turn", Role.CLIENT, Role.TURN, "udp", STUN_PORT, Need.CONDITIONAL, "only where TURN is used", "FW-40", _TURN
    ),
    PortFlow(
        "turn", Role.CLIENT, Role.TURN, "tcp", STUN_PORT, Need.CONDITIONAL, "only where TURN is used", "FW-41", _TURN
    ),
)
SERVER_OUTBOUND = (
    PortFlow(
        "stun",
        Role.MEDIA,
        Role.STUN,
        "udp",
        STUN_PORT,
        Need.CONDITIONAL,
        "unless the address is set",
        "FW-50",
        ("stun.reach",),
    ),
)
RTCD_API = (
    PortFlow(
        "api",
        Role.MATTERMOST,
        Role.MEDIA,
        "tcp",
        API_PORT,
        Need.REQUIRED,
        "rtcd's API, internal only",
        "FW-20",
        ("port.api-tcp",),
    ),
)


def _media(row: str) -> tuple[PortFlow, ...]:
    return (
        PortFlow(
            "media",
            Role.CLIENT,
            Role.MEDIA,
            "udp",
            MEDIA_PORT,
            Need.REQUIRED,
            "calls' media",
            row,
            (UDP_ECHO, "media.call-udp"),
        ),
        PortFlow(
            "media",
            Role.CLIENT,
            Role.MEDIA,
            "tcp",
            MEDIA_PORT,
            Need.OPTIONAL,
            "the fallback over TCP",
            "FW-13",
            (TCP_ECHO, "media.call-tcp"),
        ),
    )


@dataclass(frozen=True)
class ModeFacts:
    """What a mode means for the network."""

    title: str
    media_nodes: str
    flows: tuple[PortFlow, ...]


_PLUGIN = (*CLIENT_FACING, *_media("FW-11"), *SERVER_OUTBOUND)
_RTCD = (*CLIENT_FACING, *_media("FW-12"), *RTCD_API, *SERVER_OUTBOUND)

MODES: dict[Mode, ModeFacts] = {
    Mode.INTEGRATED: ModeFacts("one server, media in the Calls plugin", "the one node", _PLUGIN),
    Mode.RTCD: ModeFacts("one server, media in rtcd", "every rtcd address", _RTCD),
    Mode.HA_CLUSTERED: ModeFacts("a cluster, media on every node", "every node by itself", _PLUGIN),
    Mode.HA_HANDLER: ModeFacts("a cluster, media on one handler node", "the handler", _PLUGIN),
    Mode.HA_RTCD: ModeFacts("a cluster, media in rtcd", "every rtcd address", _RTCD),
    Mode.KUBERNETES: ModeFacts("Kubernetes, media in rtcd's pods", "every pod's node", _RTCD),
}
