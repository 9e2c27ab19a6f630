"""The TURN checks one after the other, as the runner would have them, and what the diagnosis makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.cover import diagnose
from calls_doctor.engine.runner import BLOCKING
from calls_doctor.model.check import CheckResult
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Setting, Site
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.relay import Relays
from calls_doctor.spec import Context
from calls_doctor.standin.turn_server import TurnServer
from calls_doctor.wire.turn_requests import Limits
from checks import relay, turn
from tests.servers.media_host import result
from tests.servers.middlebox import HOST

USER, PASSWORD = "alice", "wonderland"
GIVEN = Credentials(turn=TurnCredentials(USER, Secret(PASSWORD)))
SPECS = (*turn.CHECKS, *relay.CHECKS)
CHECKS = tuple(spec.id for spec in SPECS)
SECRET = Secret("north")
OTHER_HOST = "127.0.0.2"
ALL_PASS = dict.fromkeys(("challenge", "allocate", "permission", "relay-range"), "pass")


def uri(port: int, transport: str = "udp", host: str = HOST) -> ServerUri:
    """Of a TURN server here."""
    return ServerUri(scheme="turns" if transport == "tls" else "turn", host=host, port=port, transport=transport)


def server(
    host: str = HOST,
    *,
    may_relay: Callable[[str], bool] = {HOST, OTHER_HOST}.__contains__,
    limits: Limits | None = None,
) -> TurnServer:
    """One that knows USER with PASSWORD, and SECRET."""
    return TurnServer([host], users={USER: Secret(PASSWORD)}, secret=SECRET, may_relay=may_relay, limits=limits)


@dataclass(frozen=True)
class Checked:
    """What came of them."""

    results: Mapping[str, CheckResult]
    causes: list[str]

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each that ran, by its name without "turn."."""
        return {name.removeprefix("turn."): str(one.status) for name, one in self.results.items()}

    def rows(self, check: str) -> list[dict[str, object]]:
        """The rows of evidence of one check, server by server."""
        return list(self.results[f"turn.{check}"].evidence["servers"])


async def checked(
    *uris: ServerUri,
    credentials: Credentials = GIVEN,
    host: PairedHost | None = None,
    media: Sequence[str] = (),
    phase: Phase = Phase.PRE,
    only: Sequence[str] = CHECKS,
    relay_ports: tuple[int, int] | None = None,
) -> Checked:
    """Runs them against these servers; a check whose need has failed is left out. `media` names a media host that no
    stand-in answers at, `host` is one that does."""
    hosts = tuple(MediaAddress(host=name) for name in media or ([HOST] if host else []))
    site = Site(phase=phase, turn=uris, media=hosts)
    if relay_ports is not None:
        named = {"turn.relay_ports": Setting(value="-".join(map(str, relay_ports)), origin="calls-doctor.toml:1")}
        site = msgspec.structs.replace(site, relay_ports=relay_ports, settings=named)
    results: dict[str, CheckResult] = {}
    relays = Relays()
    context = Context(
        site=site, credentials=credentials, results=results, paired=host, media_time_s=0.3, thorough=False,
        relays=relays,
    )  # fmt: skip
    try:
        for spec in SPECS:
            needed = [results.get(need) for need in spec.needs if need in CHECKS]
            if spec.id not in only or any(need is None or need.status in BLOCKING for need in needed):
                continue
            finding = await spec.probe(context)
            results[spec.id] = msgspec.structs.replace(result(spec.id, finding), target=finding.target)
    finally:
        await relays.close()
    causes = [one.cause for one in diagnose(Evidence(phase, list(results.values())), CAUSES)]
    return Checked(results, causes)
