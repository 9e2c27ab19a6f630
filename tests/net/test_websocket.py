"""WebSockets: the upgrade and what is refused instead, messages in every form, and a far end that breaks the rules."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from calls_doctor.errors import Cut, FarEndError, HttpError, Refused, Silence, Unresolved
from calls_doctor.net import websocket
from calls_doctor.net.http import READ_BYTES
from calls_doctor.net.websocket import open_websocket
from tests.servers.api_servers import accepting, frame
from tests.servers.plain_sockets import eventually, rest_of
from tests.servers.scripted_tcp import HOST, Scripted, answering, http_answer, served

TIMEOUT_S = 2.0
CANARY = "Y2FuYXJ5"
AUTHORIZATION = ("Authorization", f"Basic {CANARY}")
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
Then = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def upgraded(*frames: bytes, then: Then | None = None) -> AsyncIterator[Scripted]:
    """A server that takes the upgrade and sends these frames along with its answer."""
    scripted = Scripted()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        scripted.requests.append(request)
        writer.write(accepting(request) + b"".join(frames))
        if then is not None:
            await then(reader, writer)
        else:
            await rest_of(reader)

    async with served(serve, scripted=scripted):
        yield scripted


async def received(server: Scripted, timeout_s: float = TIMEOUT_S) -> bytes:
    async with asyncio.timeout(timeout_s), open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket:
        return await socket.receive()


async def test_the_upgrade_and_a_message_that_comes_along_with_its_answer() -> None:
    async with upgraded(frame(BINARY, b"hello")) as server:
        async with open_websocket(server.url("/ws", "ws"), TIMEOUT_S, headers=[AUTHORIZATION]) as socket:
            assert await socket.receive() == b"hello"
        sent = server.requests[0].decode()
        assert sent.startswith("GET /ws HTTP/1.1\r\n") and sent.lower().count("\r\nhost:") == 1
        for header in (
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            ": ".join(AUTHORIZATION),
        ):
            assert f"\r\n{header}\r\n" in sent
        assert "Origin" not in sent and "Extensions" not in sent


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([frame(TEXT, "grüß".encode())], "grüß".encode()),
        ([frame(BINARY)], b""),
        ([frame(BINARY, b"a", fin=False), frame(CONT, b"b", fin=False), frame(CONT, b"c")], b"abc"),
        ([frame(BINARY, b"a", fin=False), frame(PING, b"?"), frame(CONT, b"b")], b"ab"),
        ([frame(PONG, b"unasked"), frame(BINARY, b"x")], b"x"),
        ([frame(BINARY, bytes(70_000))], bytes(70_000)),
    ],
    ids=["text", "empty", "fragments", "a ping between fragments", "pong", "large"],
)
async def test_messages_come_whole(frames: Sequence[bytes], message: bytes) -> None:
    async with upgraded(*frames) as server:
        assert await received(server) == message
    data = b"".join(frames)[:200]

    async def slowly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await writer.drain()
        await rest_of(_reader)

    if len(message) < 100:
        async with upgraded(then=slowly) as server:
            assert await received(server) == message


async def test_pings_are_answered_while_a_message_is_waited_for() -> None:
    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        data = bytes(a ^ b for a, b in zip(await reader.readexactly(head[1] & 0x7F), mask, strict=False))
        writer.write(frame(BINARY, bytes([head[0] & 15]) + data))
        await rest_of(reader)

    async with upgraded(frame(PING, b"??"), then=then) as server:
        assert await received(server) == bytes([PONG]) + b"??"


async def test_whoever_asks_for_more_pongs_than_he_reads_has_to_wait() -> None:
    pings = frame(PING, bytes(125)) * 500

    async def then(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(pings)
            await writer.drain()

    async with upgraded(then=then) as server, open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket:
        receiving = asyncio.create_task(socket.receive())
        transport = socket._stream.writer.transport
        await eventually(lambda: transport.get_write_buffer_size() > READ_BYTES)
        held = []
        for _ in range(20):
            await asyncio.sleep(0.005)
            held.append(transport.get_write_buffer_size())
        assert max(held) == min(held), "nothing more was answered, and so nothing more was read"
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def test_the_end_is_said_to_the_far_end() -> None:
    said: asyncio.Queue[bytes] = asyncio.Queue()

    async def then(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        said.put_nowait(await rest_of(reader))

    async with upgraded(frame(BINARY, b"x"), then=then) as server:
        await received(server)
        goodbye = await asyncio.wait_for(said.get(), 2)
    assert (
        goodbye[0] == 0x80 | CLOSE
        and bytes(a ^ b for a, b in zip(goodbye[6:], goodbye[2:6], strict=False)) == b"\x03\xe8"
    )


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (frame(CLOSE, struct.pack("!H", 1011) + b"trouble"), "closed the WebSocket with code 1011"),
        (frame(CLOSE), "closed the WebSocket with code 1005"),
    ],
)
async def test_a_close_frame_is_a_cut_that_names_its_code(last: bytes, said: str) -> None:
    async with (
        upgraded(frame(BINARY, b"x"), last) as server,
        open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket,
    ):
        assert await socket.receive() == b"x"
        with pytest.raises(Cut, match=said):
            await socket.receive()


@pytest.mark.parametrize("part", [b"", frame(BINARY, b"whole")[:4], frame(BINARY, b"a", fin=False)])
async def test_a_connection_that_ends_is_a_cut(part: bytes) -> None:
    async def leave(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.transport.abort()

    for then in (leave, reset):
        async with upgraded(part, then=then) as server:
            with pytest.raises(Cut, match=r"the WebSocket at ws://127\.0\.0\.1:\d+/ws was cut"):
                await received(server)


@pytest.mark.parametrize(
    "what",
    [
        frame(3, b"reserved opcode"),
        bytes([0x80 | 0x40 | BINARY, 1, 0]),
        bytes([0x80 | BINARY, 0x80 | 1, 0, 0, 0, 0, 1]),
        frame(CONT, b"nothing to continue"),
        frame(BINARY, b"a", fin=False) + frame(BINARY, b"b"),
        frame(PING, bytes(200)),
        frame(PING, b"x", fin=False),
        frame(CLOSE, b"\x00"),
        frame(CLOSE, struct.pack("!H", 5)),
        b"HTTP/1.1 400 Bad Request\r\n" + b"X: y\r\n" * 20,
    ],
    ids=[
        "opcode", "reserved bit", "masked", "continuation", "new message", "long ping", "split ping", "short close",
        "close code", "http",
    ],
)  # fmt: skip
async def test_what_is_no_websockets_frame(what: bytes) -> None:
    async with upgraded(what) as server:
        with pytest.raises(HttpError, match="no WebSocket frame"):
            await received(server)


async def test_a_message_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    announced = b"\x82\x7f" + struct.pack("!Q", 1 << 40)
    async with upgraded(announced) as server:
        with pytest.raises(HttpError, match="larger than 1048576 bytes"):
            await received(server)
    monkeypatch.setattr(websocket, "MESSAGE_MAX_BYTES", 1000)
    parts = [frame(BINARY, bytes(300), fin=False), *[frame(CONT, bytes(300), fin=False)] * 3, frame(CONT)]
    async with upgraded(*parts) as server:
        with pytest.raises(HttpError, match="larger than 1000 bytes"):
            await received(server)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (http_answer(200), 200),
        (http_answer(400, b"Bad Request"), 400),
        (http_answer(403), 403),
        (b"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 502),
        (b"HTTP/1.0 504 Gateway Timeout\r\n\r\nno length", 504),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 301),
        (b"HTTP/1.1 599 Basic Y2FuYXJ5\r\nContent-Length: 0\r\n\r\n", 599),
    ],
    ids=["200", "400", "403", "chunked", "1.0", "redirect", "odd"],
)
async def test_an_answer_other_than_101_is_a_refusal_with_its_status(answer: bytes, code: int) -> None:
    async with answering(answer, hangs=True) as server:
        with pytest.raises(FarEndError) as refused:
            async with open_websocket(server.url("/ws", "ws"), TIMEOUT_S, headers=[AUTHORIZATION]):
                pass
        assert refused.value.code == code and CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        (b"Upgrade: websocket\r\n", b""),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Connection: Upgrade\r\n", b""),
        (b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"),
        (b"Sec-WebSocket-Accept", b"X"),
        (b"Connection", b"Sec-WebSocket-Extensions: permessage-deflate\r\nConnection"),
        (b"Connection", b"Sec-WebSocket-Protocol: chat\r\nConnection"),
        (b"Connection: Upgrade", b"Connection: \xfc\xff"),
    ],
)
async def test_a_101_that_is_none(change: tuple[bytes, bytes]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await reader.readuntil(b"\r\n\r\n")).replace(*change))
        await rest_of(reader)

    async with served(serve) as server:
        with pytest.raises(HttpError, match="not to this upgrade"):
            await received(server)


async def test_what_is_no_http_and_what_is_cut_before_the_answer() -> None:
    async with answering(b"SSH-2.0-OpenSSH_9.2\r\n", hangs=True) as server:
        with pytest.raises(HttpError, match="does not speak HTTP"):
            await received(server)
    for part in (b"", b"HTTP/1.1 101 Switching"):
        async with answering(part) as server:
            with pytest.raises(Cut):
                await received(server)


async def test_silence_before_the_answer_and_after_it() -> None:
    async with answering(b"", hangs=True) as server:
        with pytest.raises(Silence, match=r"the WebSocket at ws://127\.0\.0\.1"):
            async with open_websocket(server.url("/ws", "ws"), 0.1):
                pass
    async with upgraded() as server:
        with pytest.raises(TimeoutError):
            await received(server, 0.1)


async def test_what_the_connection_itself_meets(free_port: Callable[[], int]) -> None:
    with pytest.raises(Refused):
        async with open_websocket(f"ws://{HOST}:{free_port()}/ws", TIMEOUT_S):
            pass
    with pytest.raises(Unresolved):
        async with open_websocket("ws://nobody.invalid/ws", TIMEOUT_S):
            pass


async def test_nothing_that_is_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        upgraded(frame(BINARY, CANARY.encode())) as server,
        open_websocket(server.url("/ws", "ws"), TIMEOUT_S, headers=[AUTHORIZATION]) as socket,
    ):
        await socket.receive()
    assert CANARY not in caplog.text and "websocket" not in caplog.text.lower()


async def _answering_pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A message before each pong, and a pong that nobody asked for: neither is taken for the one that is waited for."""
    while True:
        head = await reader.readexactly(2)
        body = await reader.readexactly(4 + (head[1] & 0x7F))
        data = bytes(byte ^ body[n % 4] for n, byte in enumerate(body[4:]))
        if head[0] & 0x0F == PING:
            writer.write(frame(TEXT, b"{}") + frame(PONG, b"unasked") + frame(PONG, data))


async def test_a_pong_is_the_one_that_was_asked_for() -> None:
    async with (
        upgraded(then=_answering_pings) as server,
        open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket,
    ):
        first_s = await socket.pong(TIMEOUT_S)
        await socket.idle(0.05)
        assert 0 < first_s < TIMEOUT_S and 0 < await socket.pong(TIMEOUT_S) < TIMEOUT_S


async def test_a_pong_that_does_not_come_and_a_close_instead_of_it() -> None:
    async with upgraded() as server, open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket:
        with pytest.raises(Silence):
            await socket.pong(0.1)
    goes = frame(CLOSE, struct.pack("!H", 1001))
    async with upgraded(goes) as server, open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket:
        with pytest.raises(Cut, match="1001"):
            await socket.pong(TIMEOUT_S)


async def test_being_left_alone_ends_after_its_time_or_when_the_far_end_goes() -> None:
    says = frame(TEXT, b"hello")
    async with upgraded(says) as server, open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket:
        began = asyncio.get_running_loop().time()
        await socket.idle(0.1)
        assert asyncio.get_running_loop().time() - began >= 0.1

    async def leaves(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with upgraded(then=leaves) as server, open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket:
        with pytest.raises(Cut):
            await socket.idle(TIMEOUT_S)


async def test_a_message_is_sent_masked_in_a_binary_frame_and_none_once_it_is_closing() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, size = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        masked = await reader.readexactly(size & 0x7F)
        assert (first, size & 0x80) == (0x80 | BINARY, 0x80)
        heard.put_nowait(bytes(byte ^ mask[n % 4] for n, byte in enumerate(masked)))
        writer.write(frame(CLOSE, struct.pack("!H", 1000)))
        heard.put_nowait(await reader.read())

    async with upgraded(then=hear) as server, asyncio.timeout(TIMEOUT_S):
        async with open_websocket(server.url("/ws", "ws"), TIMEOUT_S) as socket:
            socket.send(b"hello")
            assert await heard.get() == b"hello"
            with pytest.raises(Cut, match="code 1000"):
                await socket.receive()
            socket.send(b"more")
        assert b"more" not in await heard.get()
