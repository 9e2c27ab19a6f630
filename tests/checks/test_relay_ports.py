"""turn.relay-ports on 127.0.0.1, where closed ports say so: a range that somebody holds and is silent on is shut."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from calls_doctor.model.check import Finding, Status
from calls_doctor.model.site import Phase, ServerUri, Site
from checks import relay_ports
from tests.diagnosis import findings as f
from tests.servers.media_host import context

URI = ServerUri(scheme="turn", host="127.0.0.1", port=3478)
pytestmark = pytest.mark.usefixtures("short_silence")


@pytest.fixture
def held() -> Iterator[tuple[int, int]]:
    """Ports that follow each other and whose holders say nothing."""
    while True:
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(relay_ports.SAMPLED)]
        try:
            sockets[0].bind(("127.0.0.1", 0))
            first = int(sockets[0].getsockname()[1])
            for number, sock in enumerate(sockets[1:], start=1):
                sock.bind(("127.0.0.1", first + number))
        except (OSError, OverflowError):
            for sock in sockets:
                sock.close()
            continue
        break
    yield first, first + relay_ports.SAMPLED - 1
    for sock in sockets:
        sock.close()


async def found(relay_range: tuple[int, int], *rows: dict[str, object], trouble: str = "") -> Finding:
    site = Site(phase=Phase.PRE, turn=(URI,), relay_ports=relay_range)
    results = {"turn.allocate": f.turn("turn.allocate", *rows)} if rows else {}
    results["turn.challenge"] = f.turn("turn.challenge", f.turn_row(str(URI), trouble))
    return await relay_ports.relay_ports_probe(context(None, results=results, site=site))


async def test_a_range_that_alone_says_nothing_is_shut(held: tuple[int, int]) -> None:
    finding = await found(held, f.turn_row(str(URI), "refused-request", 401))
    assert (finding.status, finding.target) == (Status.WARN, "127.0.0.1")
    assert f"{held[0]}-{held[1]}" in finding.summary
    (row,) = finding.evidence["hosts"]
    assert (row["range_says_so"], row["beside_say_so"]) == (0, relay_ports.SAMPLED)
    assert f.causes(f.result("turn.relay-ports", finding.status, **finding.evidence)) == ["turn.relay-blocked"]


async def test_closed_ports_of_the_range_say_that_nothing_shuts_them() -> None:
    assert (await found((20_000, 65_535))).status is Status.PASS


async def test_where_no_closed_port_says_so_nothing_is_known(
    held: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = held
    monkeypatch.setattr(relay_ports, "BESIDE", range(first, last + 1))
    monkeypatch.setattr(relay_ports, "sample", lambda _of, _number: list(range(first, last + 1)))
    finding = await found((last + 1, last + 3))
    assert finding.status is Status.SKIP and "allocation" in finding.summary


async def test_what_a_server_relays_tells_more(held: tuple[int, int]) -> None:
    finding = await found(held, f.turn_row(str(URI)))
    assert finding.status is Status.SKIP and "turn.relay-range" in finding.summary


async def test_where_nothing_is_heard_of_the_server_no_other_silence_is_waited_out(held: tuple[int, int]) -> None:
    finding = await found(held, trouble="silent")
    assert finding.status is Status.SKIP and "nothing is heard" in finding.summary
