"""What a pairing link gives to checks."""

from __future__ import annotations

from calls_doctor.errors import Unresolved
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import MediaAddress
from calls_doctor.net.paired import PairedHost
from calls_doctor.wire.direct import Fragment
from tests.servers.media_host import media_host, paired

SIZES = (200, 400, 600, 800, 1000, 1200) * 4
WAYS = (Transport.UDP, Transport.TCP)


async def test_a_name_that_does_not_resolve_is_trouble_and_no_crash() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        host = PairedHost(stand_in.ready.pairing, MediaAddress(host="nobody.invalid"))
        for way in WAYS:
            outcome = await host.echo(host.opener(way), SIZES)
            assert isinstance(outcome.trouble, Unresolved) and outcome.sent == 0
        assert await host.books() is None


async def test_the_link_gives_all_that_checks_ask_for() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready, 8443)
        assert host.target(Transport.UDP) == "127.0.0.1:8443/udp" and host.target(Transport.TCP) == "127.0.0.1:8443/tcp"
        assert stand_in.ready is not None
        keys = stand_in.ready.pairing.keys
        assert host.api_client_id == keys.api_client_id
        assert host.api_auth_key.reveal() == keys.api_auth_key.reveal()
        call = host.new_call()
        one, other = (host.session_settings("U", call) for _ in range(2))
        fragments = [Fragment.parse(settings.remote_fragment) for settings in (one, other)]
        assert [fragment.call for fragment in fragments] == [call, call] and one.session != other.session
        assert one.ssrc != other.ssrc
        assert one.remote_password == keys.password(one.remote_fragment)
        assert fragments[0].digest == one.certificate.fingerprint and one.remote_password not in repr(one)
        six = PairedHost(stand_in.ready.pairing, MediaAddress(host="2001:db8::1"))
        assert six.target(Transport.UDP) == "[2001:db8::1]:8443/udp"
