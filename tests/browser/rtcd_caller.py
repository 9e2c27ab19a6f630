"""Two sessions of the system's Chromium in one call of rtcd's protocol, on this machine: `python -m
tests.browser.rtcd_caller URL CLIENT_ID AUTH_KEY PROTOCOL`. It does what the Calls plugin does, carries each page's
messages, and prints in JSON what each page says of the call.

PROTOCOL is "udp" or "tcp": the server's other candidates are kept from the pages.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
from collections.abc import Callable
from functools import partial
from typing import Any  # what a page says is JSON

from playwright.async_api import Page, async_playwright
from websockets.asyncio.client import ClientConnection, connect

from calls_doctor.wire import rtcd, rtcd_http
from calls_doctor.wire.rtcd import Close, Join, Leave, Rtc
from calls_doctor.wire.rtcd_signal import IceCandidate, Sender, SessionDescription, Signal
from tests.browser import chromium

PACKETS_LEAST = 40
"""Of each page from the other."""
CALL_S = 10.0


class Pages:
    """The sessions, and the one WebSocket that carries them."""

    def __init__(self, socket: ClientConnection, protocol: str) -> None:
        self._socket, self._protocol = socket, protocol
        self.pages: dict[str, Page] = {}
        self.closed: set[str] = set()

    async def join(self, page: Page, call: str, session: str) -> None:
        """One page's session begins with its click."""
        self.pages[session] = page
        await page.expose_function("say", partial(self._said, session))
        await self._socket.send(rtcd.encode(Join(call, "user", session), Sender.CLIENT))
        await page.click("#call")

    async def carry(self) -> None:
        """Brings the pages what the server says, one thing after the other."""
        async for frame in self._socket:
            message = rtcd.decode(frame if isinstance(frame, bytes) else b"", Sender.SERVER)
            if isinstance(message, Close):
                self.closed.add(message.session_id)
            elif isinstance(message, Rtc):
                await self._bring(self.pages[message.session_id], message.signal)

    async def _bring(self, page: Page, signal: Signal) -> None:
        match signal:
            case SessionDescription(kind, text):
                kept = [line for line in text.split("\r\n") if not line.startswith("a=candidate") or self._fits(line)]
                await page.evaluate("(one) => hear('description', one)", {"type": kind, "sdp": "\r\n".join(kept)})
            case IceCandidate(text, mid, index) if self._fits(text):
                candidate = {"candidate": text, "sdpMid": mid, "sdpMLineIndex": index}
                await page.evaluate("(one) => hear('candidate', one)", candidate)

    def _fits(self, candidate: str) -> bool:
        return f" {self._protocol} " in candidate

    async def _said(self, session: str, kind: str, text: str) -> None:
        value = json.loads(text)
        signal: Signal
        if kind == "candidate":
            signal = IceCandidate(value["candidate"], value["sdpMid"], value["sdpMLineIndex"])
        else:
            signal = SessionDescription(value["type"], value["sdp"])
        await self._socket.send(rtcd.encode(Rtc(session, signal), Sender.CLIENT))


async def hold(url: str, client_id: str, auth_key: str, protocol: str) -> list[dict[str, Any]]:
    """What each page says once both have heard enough, and left; raises TimeoutError where that takes too long."""
    header = [("Authorization", rtcd_http.basic(client_id, auth_key))]
    binary = shutil.which("chromium")
    with chromium.served(chromium.PAGE.with_name("rtcd_page.html")) as address:
        async with (
            async_playwright() as playwright,
            await playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"]) as browser,
            connect(url.replace("http", "ws") + "/ws", additional_headers=header, compression=None) as socket,
        ):
            pages = Pages(socket, protocol)
            opened = [await browser.new_page() for _ in range(2)]
            for page in opened:
                await page.goto(address)
            carrying = asyncio.create_task(pages.carry())
            call = secrets.token_hex(13)
            async with asyncio.timeout(CALL_S):
                await asyncio.gather(*(pages.join(page, call, secrets.token_hex(13)) for page in opened))
                said = await until(opened, lambda one: one["received"] >= PACKETS_LEAST and one["energy"] > 0)
                for session in pages.pages:
                    await socket.send(rtcd.encode(Leave(session), Sender.CLIENT))
                while pages.closed != set(pages.pages):
                    await asyncio.wait([carrying], timeout=0.02)
            carrying.cancel()
            await asyncio.wait([carrying])
            return said


async def until(pages: list[Page], enough: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """What they say when all have enough."""
    while True:
        said: list[dict[str, Any]] = [await page.evaluate("state()") for page in pages]
        if all(enough(one) for one in said):
            return said
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0.05))])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(hold(*sys.argv[1:]))) + "\n")
