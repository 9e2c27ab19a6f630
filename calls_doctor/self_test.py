"""The self-test as a site like any other: its stand-in on 127.0.0.1, on ports that are picked when it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Setting, Site

if TYPE_CHECKING:
    from calls_doctor.standin.launch import Ready

PORT_TO_BE_PICKED = 65536
"""In a plan of the self-test, for a port that is not known before it starts; no port has this number."""


def site(ready: Ready | None) -> Site:
    """The stand-in on 127.0.0.1 as a site; PORT_TO_BE_PICKED where it is only planned."""

    def port(name: str) -> int:
        return int(getattr(ready, name)) if ready else PORT_TO_BE_PICKED

    origin = "self-test"
    stun = ServerUri(scheme="stun", host="127.0.0.1", port=port("stun_port"))
    turn = tuple(
        ServerUri(scheme="turn", host="127.0.0.1", port=port("turn_port"), transport=transport)
        for transport in ("udp", "tcp")
    )
    rtcd_url = f"http://127.0.0.1:{port('api_port')}"
    settings = {
        "rtcd.url": Setting(value=rtcd_url, origin=origin),
        "stun.servers": Setting(value=[str(stun)], origin=origin),
        "turn.servers": Setting(value=[str(uri) for uri in turn], origin=origin),
    }
    return Site(
        vantage_reason="the self-test tests this machine against itself",
        phase=Phase.SELF_TEST,
        paired=True,
        media=(MediaAddress(host="127.0.0.1", udp_port=port("media_port"), tcp_port=port("media_port")),),
        rtcd_url=rtcd_url,
        stun=(stun,),
        turn=turn,
        settings=settings,
    )


def credentials(ready: Ready) -> Credentials:
    """For its TURN server."""
    return Credentials(turn=TurnCredentials(ready.turn_username, Secret(ready.turn_password)))
