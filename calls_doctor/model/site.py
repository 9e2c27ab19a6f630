"""The site: what the doctor was told to test, each value with where it came from. Never a secret."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from calls_doctor.model.flow import Role, Transport, address_class, bracketed, is_literal, shown


class Mode(StrEnum):
    """The six modes of Mattermost's self-hosted deployment document."""

    INTEGRATED = "integrated"
    RTCD = "rtcd"
    HA_CLUSTERED = "ha-clustered"
    HA_HANDLER = "ha-handler"
    HA_RTCD = "ha-rtcd"
    KUBERNETES = "kubernetes"


class Phase(StrEnum):
    """What stands at the media host while the checks run (contract section 1)."""

    SELF_TEST = "self-test"
    PRE = "pre"
    POST = "post"
    UNDETERMINED = "undetermined"
    OFFLINE = "offline"


class ServerUri(msgspec.Struct, frozen=True, kw_only=True):
    """A STUN or TURN server (RFC 7064, RFC 7065)."""

    scheme: str
    """"stun", "stuns", "turn" or "turns"."""
    host: str
    port: int
    transport: str = "udp"
    """"udp", "tcp" or "tls": what runs between us and the server."""

    def __str__(self) -> str:
        query = f"?transport={'udp' if self.transport == 'udp' else 'tcp'}" if self.scheme.startswith("turn") else ""
        return f"{self.scheme}:{shown((self.host, self.port))}{query}"


class MediaAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where media ends: one address of a media host, as callers reach it."""

    host: str
    udp_port: int = 8443
    tcp_port: int = 8443
    """0: TCP is not wanted."""

    @property
    def shown_host(self) -> str:
        """The host as it stands before a port."""
        return bracketed(self.host)

    def target(self, transport: Transport) -> str:
        """HOST:PORT/PROTOCOL, as the reader knows the host."""
        if transport is Transport.TCP:
            return f"{self.shown_host}:{self.tcp_port}/tcp"
        return f"{self.shown_host}:{self.udp_port}/udp"


SettingValue = str | int | float | bool | list[str] | None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One value of the site with its origin."""

    value: SettingValue
    origin: str
    """file:line, option, environment variable, "default" or "self-test"."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tested, from where."""

    mode: Mode | None = None
    """None: nobody said; only what was named is tested."""
    vantage: Role = Role.CLIENT
    vantage_reason: str = "nothing told otherwise"
    phase: Phase = Phase.UNDETERMINED
    users: str = "public"
    """Where callers are: "public", "private" or "hybrid" (some share the servers' network)."""
    paired: bool = False
    """A stand-in's link was given."""
    media: tuple[MediaAddress, ...] = ()
    """One for each link where there are links; those of the site otherwise."""
    media_beside_links: tuple[MediaAddress, ...] = ()
    """Where links were given: other addresses of media hosts that the site names, at which their keys are tried."""
    media_names: tuple[str, ...] = ()
    """Names of media hosts as callers know them: the site's, and those that links carry beside an address."""
    host_override: str = ""
    """The ICE host override as configured; "" for none."""
    host_port_override: int = 0
    """0: none."""
    nat: tuple[tuple[str, str], ...] = ()
    """(public, private) addresses that belong together."""
    client_networks: tuple[str, ...] = ("0.0.0.0/0",)
    mattermost_networks: tuple[str, ...] = ()
    mattermost_url: str = ""
    """The site as callers open it."""
    rtcd_url: str = ""
    """rtcd's API as the Mattermost nodes reach it, without credentials."""
    stun: tuple[ServerUri, ...] = ()
    turn: tuple[ServerUri, ...] = ()
    credential_minutes: int = 1440
    """How long a TURN credential is valid that is made from the secret."""
    relay_ports: tuple[int, int] = (49152, 65535)
    settings: dict[str, Setting] = {}
    """Every value by its dotted name, for the report."""

    @property
    def over_loopback(self) -> bool:
        """True where every stand-in is asked by an address that leads to this very machine: no network is between."""
        hosts = [one.host for one in self.media]
        local = [one for one in hosts if is_literal(one) and address_class(one).is_loopback]
        return self.paired and bool(hosts) and local == hosts
