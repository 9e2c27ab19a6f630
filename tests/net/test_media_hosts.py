"""Which media hosts a run tests, against stand-ins on 127.0.0.1 and 127.0.0.2: each key at each address."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from calls_doctor.model.site import MediaAddress, Site
from calls_doctor.net import media_hosts
from calls_doctor.net.media_hosts import Target
from calls_doctor.standin.serving import Served, Serving
from calls_doctor.wire.direct import KEY_BYTES, Keys, Link

HERE, THERE, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.3"
LINK = Link("192.0.2.7", 8443, Keys(bytes(KEY_BYTES)), bytes(32))


@contextlib.asynccontextmanager
async def standing(port: int, *local: str) -> AsyncIterator[Link]:
    """A stand-in at these addresses: the link to the first."""
    served = Served(site=Site(), local=local, parts=frozenset({"media"}), media_port=port, api_port=0, turn_port=0)
    async with Serving(served, lambda _report: None) as serving:
        yield serving.links()[0]


def media(host: str, port: int) -> MediaAddress:
    return MediaAddress(host=host, udp_port=port, tcp_port=port)


def site(*links: Link, beside: tuple[MediaAddress, ...] = ()) -> Site:
    hosts = tuple(media(link.address, link.port) for link in links)
    return Site(media=hosts, media_beside_links=beside, paired=bool(links))


async def test_without_a_choice_nothing_is_asked_of_anybody() -> None:
    (target,) = (await media_hosts.find([LINK], site(LINK))).targets
    assert (target.media.host, target.link) == (LINK.address, LINK)
    without = await media_hosts.find([], Site(media=(media(HERE, 1), media(THERE, 1))))
    assert [one.name for one in without.targets] == [f"{HERE}:1", f"{THERE}:1"]


async def test_a_key_is_tested_where_it_answers_and_left_out_where_it_belongs_to_nobody(
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    async with standing(port, HERE, THERE) as link:
        beside = (media(THERE, port), media(NOBODY, port), media("localhost", port))
        found = await media_hosts.find([link], site(link, beside=beside))
    assert [one.name for one in found.targets] == [f"{HERE}:{port}", f"{THERE}:{port}"], "localhost is the first again"
    assert list(found.left_out) == [f"{NOBODY}:{port}"]
    assert "no key that was given is known here" in found.left_out[f"{NOBODY}:{port}"]


async def test_another_key_is_another_host_and_those_that_answer_come_first(free_port: Callable[[], int]) -> None:
    port = free_port()
    async with standing(port, HERE) as one, standing(port, THERE) as other:
        dead = replace(other, address=NOBODY, keys=LINK.keys)
        found = await media_hosts.find([dead, one, other, one], site(dead, one, other, one))
    assert [target.name for target in found.targets] == [f"{HERE}:{port}", f"{THERE}:{port}", f"{NOBODY}:{port}"]
    assert found.left_out == {}, "a link's own address is tested whatever it says"


async def test_a_private_address_that_is_silent_is_left_out_where_the_host_answers_elsewhere(
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    async with standing(port, HERE) as link:
        inside = replace(link, address=THERE)
        found = await media_hosts.find([inside, link], site(inside, link))
        alone = await media_hosts.find([inside], site(inside, beside=(media(NOBODY, port),)))
    assert [one.name for one in found.targets] == [f"{HERE}:{port}"]
    assert f"the same host answers at {HERE}:{port}" in found.left_out[f"{THERE}:{port}"]
    assert [one.name for one in alone.targets] == [f"{THERE}:{port}"], "the only one there is is tested"


async def test_links_of_two_hosts_to_all_addresses_of_one_name_are_each_tested_where_its_key_is_known(
    free_port: Callable[[], int],
) -> None:
    """Each `serve` looked the name up, and printed a link for either address."""
    port = free_port()
    async with standing(port, HERE) as one, standing(port, THERE) as other:
        links = [replace(link, address=address) for link in (one, other) for address in (HERE, THERE)]
        found = await media_hosts.find(links, site(*links))
    assert [(target.name, target.link) for target in found.targets] == [
        (f"{HERE}:{port}", links[0]), (f"{THERE}:{port}", links[3]),
    ]  # fmt: skip
    assert found.left_out == {}


async def test_an_address_without_a_route_is_left_out_where_the_host_answers_elsewhere(
    free_port: Callable[[], int],
) -> None:
    """As of a caller without IPv6, where the media host has both. Without its interface a link-local one has none."""
    port = free_port()
    async with standing(port, HERE) as link:
        over_ipv6 = replace(link, address="fe80::20")
        found = await media_hosts.find([over_ipv6, link], site(over_ipv6, link))
        silent = replace(link, address=NOBODY)
        neither = await media_hosts.find([over_ipv6, silent], site(over_ipv6, silent))
    assert [one.name for one in found.targets] == [f"{HERE}:{port}"]
    assert list(found.left_out) == [f"[fe80::20]:{port}"] and "no route" in found.left_out[f"[fe80::20]:{port}"]
    assert len(neither.targets) == 2, "nothing answers anywhere, and that is told of each"


@pytest.mark.parametrize(("host", "name"), [("192.0.2.1", "192.0.2.1:8443"), ("2001:db8::1", "[2001:db8::1]:8443")])
def test_a_target_is_named_as_the_reader_knows_it(host: str, name: str) -> None:
    assert Target(MediaAddress(host=host)).name == name
