"""An SFU made of aiortc's own parts, as a process: each line on standard input is an offer, the answer goes out.

Whoever comes first is the sender; a MediaRelay gives its track to all who come after. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay

from calls_doctor.net.aiortc_peer import use_only


async def serve(address: str) -> None:
    """Answers offers from this address."""
    relay, source = MediaRelay(), None
    peers: list[RTCPeerConnection] = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peers.append(peer)
        source = await _answer(peer, json.loads(line), address, relay, source)
        sys.stdout.write(json.dumps(peer.localDescription.sdp) + "\n")
        sys.stdout.flush()
    for peer in peers:
        await peer.close()


async def _answer(
    peer: RTCPeerConnection, offer: str, address: str, relay: MediaRelay, source: MediaStreamTrack | None
) -> MediaStreamTrack:
    """Takes the offer; the track that is relayed."""
    await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    (transceiver,) = peer.getTransceivers()
    if source is None:
        source = transceiver.receiver.track
    else:
        peer.addTrack(relay.subscribe(source))
    use_only(transceiver.sender.transport, address)
    await peer.setLocalDescription(await peer.createAnswer())
    return source


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
