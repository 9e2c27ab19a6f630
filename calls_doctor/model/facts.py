"""What a stand-in tells those who are paired with it: its own side of the network, which no probe from outside sees."""

from __future__ import annotations

import msgspec

from calls_doctor.model.flow import Address
from calls_doctor.model.site import ServerUri


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that rtcd or the plugin would hand to callers, with this site's settings on this machine."""

    kind: str
    """"override" (ICE host override), "mapped" (learnt by STUN) or "host" (a local address)."""
    protocol: str
    """"udp" or "tcp"."""
    address: str
    """An IP address literal; an override's name that could not be looked up is announced by nobody."""
    port: int


class StunSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How a STUN server sees the media port of this machine."""

    uri: str
    mapped: Address | None
    """None where it did not answer."""
    trouble: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Sealed for paired clients; it holds the run's TURN credential and enters no report as it is."""

    local_addresses: list[str]
    """Where it listens."""
    public_addresses: list[str]
    """By which callers should reach it: those of its links."""
    media_port: int
    announced: list[Announced]
    needs_stun: bool
    """True where only STUN can tell it its public address."""
    stun: list[StunSeen]
    control_port: int
    """A TCP port on which nothing listens; 0: none was found."""
    api_port: int = 0
    """0: it serves no API."""
    override_name: str = ""
    """The ICE host override where it is a name: what is announced is then what that name gives. "" otherwise."""
    override_trouble: str = ""
    """Why that name gives it nothing, as soon as it knows: "nxdomain", "servfail", "timeout" or "slow"
    (net/name_look_up.py); "" where it gives something."""
    turn_port: int = 0
    """Of the TURN server that it stands in for, on the address by which it is reached; 0: it serves none."""
    turn_servers: list[ServerUri] = []
    """The site's own, where it serves none itself."""
    turn_username: str = ""
    turn_credential: str = ""
    """A credential made for this run; "" where it has none to give."""
    unix_time_s: float = 0.0
    """Its wall clock when this was told."""
