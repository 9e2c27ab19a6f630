"""HTTP over one connection: answers of every form, and everything that is none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from calls_doctor.errors import Cut, HttpError, Refused, Silence, TlsError, Unresolved
from calls_doctor.net import resolver
from calls_doctor.net.http import BODY_MAX_BYTES, USER_AGENT, get
from tests.servers.plain_sockets import rest_of
from tests.servers.scripted_tcp import HOST, answering, http_answer, served

TIMEOUT_S = 2.0
CANARY = "Basic Y2FuYXJ5"


async def test_what_is_asked_and_what_comes_back() -> None:
    async with answering(http_answer(200, b"hello", "Content-Type: text/plain", "X-Two: a", "X-Two: b")) as server:
        answer = await get(server.url("/version?a=b"), timeout_s=TIMEOUT_S, headers=[("X-Mine", "yes")])
        assert (answer.status, answer.body) == (200, b"hello")
        assert (answer.header("content-type"), answer.header("x-two"), answer.header("nothing")) == (
            "text/plain", "a", "",
        )  # fmt: skip
        assert 0 < answer.connect_s < 1
        lines = server.requests[0].decode().split("\r\n")
        assert lines[0] == "GET /version?a=b HTTP/1.1"
        assert {f"Host: {HOST}:{server.port}", f"User-Agent: {USER_AGENT}", "Connection: close", "X-Mine: yes"} <= {
            *lines
        }


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://{}:{}", "GET / HTTP/1.1", "{}:{}"),
        ("http://{}:{}//a", "GET //a HTTP/1.1", "{}:{}"),
        ("http://id:canary@{}:{}/x", "GET /x HTTP/1.1", "{}:{}"),
    ],
)
async def test_target_and_host_of_urls(url: str, line: str, host: str) -> None:
    async with answering(http_answer(204)) as server:
        assert (await get(url.format(HOST, server.port), timeout_s=TIMEOUT_S)).status == 204
        sent = server.requests[0].decode()
        assert sent.startswith(f"{line}\r\n") and f"Host: {host.format(HOST, server.port)}\r\n" in sent
        assert "canary" not in sent


@pytest.fixture
def every_name_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async def here(_host: str) -> list[str]:
        return [HOST]

    monkeypatch.setattr(resolver, "resolve", here)


@pytest.mark.usefixtures("every_name_is_here")
async def test_a_name_that_is_not_ascii_is_sent_as_idna() -> None:
    async with answering(http_answer(200)) as server:
        await get(f"http://bücher.example:{server.port}/", timeout_s=TIMEOUT_S)
        assert f"Host: xn--bcher-kva.example:{server.port}\r\n".encode() in server.requests[0]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n",
            200,
            b"abcde",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, b""),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
            b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
            404,
            b"",
        ),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 301, b""),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
        (b"HTTP/1.1 500 \xfc\xff\r\nX-Odd: \xfc\r\nContent-Length: 0\r\n\r\n", 500, b""),
        (b"HTTP/1.1 204 None\r\n\r\nwhat follows is not its body", 204, b""),
    ],
    ids=["chunked", "1.0", "empty until the end", "1xx", "redirect", "no reason", "latin-1", "204"],
)  # fmt: skip
async def test_answers_of_every_form(answer: bytes, status: int, body: bytes) -> None:
    pieces = [answer[at : at + 1] for at in range(len(answer))]
    for said in (answer, pieces):
        async with answering(said) as server:
            got = await get(server.url(), timeout_s=TIMEOUT_S)
            assert (got.status, got.body) == (status, body)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"],
    ids=["announced", "until the end"],
)
async def test_a_body_that_is_too_long_is_cut(head: bytes) -> None:
    async with answering([head, bytes(BODY_MAX_BYTES), b"more"], hangs=True) as server:
        assert (await get(server.url(), timeout_s=TIMEOUT_S)).body == bytes(BODY_MAX_BYTES)


async def test_a_body_in_tiny_chunks_costs_no_time() -> None:
    chunks = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    async with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) as server:
        assert len((await get(server.url(), timeout_s=TIMEOUT_S)).body) == 20_000


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "HTTP but SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", "HTTP but TLS"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "HTTP$"),
        (b"<html>HTTP/0.9</html>", "HTTP$"),
        (b"HTTPS/1.1 200 OK\r\n\r\n", "HTTP$"),
        (b"220 mail.example.com ESMTP\r\n", "HTTP$"),
    ],
    ids=["ssh", "tls", "http2", "http/0.9", "https", "smtp"],
)
async def test_what_does_not_speak_http(answer: bytes, said: str) -> None:
    async with answering(answer, hangs=True) as server:
        with pytest.raises(HttpError, match=rf"127\.0\.0\.1:{server.port} does not speak {said}"):
            await get(server.url(), timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 2000 Odd\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_what_breaks_http(answer: bytes) -> None:
    async with answering(answer, hangs=True) as server:
        with pytest.raises(HttpError, match="breaks HTTP"):
            await get(server.url(), timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("line", [b"X: " + b"a" * 200_000, b"X: a\r\n" * 50_000], ids=["one", "many"])
async def test_headers_without_end_are_not_read_to_the_end(line: bytes) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n" + line, hangs=True) as server:
        with pytest.raises(HttpError, match="headers are too large"):
            await get(server.url(), timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "without an answer"),
        (b"HTT", "before the answer was whole"),
        (b"HTTP/1.1 200 OK\r\nContent-", "before the answer was whole"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "before the answer was whole"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", "before the answer was whole"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "before the answer was whole"),
    ],
    ids=["nothing", "in the first word", "in the headers", "in the body", "in a chunk", "after a 1xx"],
)
async def test_an_answer_that_is_cut(answer: bytes, said: str) -> None:
    async with answering(answer) as server:
        with pytest.raises(Cut, match=said):
            await get(server.url(), timeout_s=TIMEOUT_S)


async def test_a_connection_that_is_reset_is_cut() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async def reset_unread(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.transport.abort()

    for serve in (reset, reset_unread):
        async with served(serve) as server:
            with pytest.raises(Cut, match=r"GET http://127\.0\.0\.1"):
                await get(server.url(), timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([], r"nothing came back in 0\.2 s$"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 100], "but for a part"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 100], "but for a part"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"] * 100, "but for a part"),
    ],
    ids=["nothing", "headers", "body", "1xx"],
)
async def test_an_answer_that_takes_its_time_is_silence(pieces: list[bytes], said: str) -> None:
    async with answering(pieces, pause_s=0.02, hangs=True) as server:
        began = asyncio.get_running_loop().time()
        with pytest.raises(Silence, match=said):
            await get(server.url(), timeout_s=0.2)
        assert asyncio.get_running_loop().time() - began < 0.5


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: \0"])
async def test_no_error_repeats_what_was_sent_even_where_the_far_end_does(begins: bytes) -> None:
    async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(begins + request)
        await rest_of(reader)

    async with served(parrot) as server:
        with pytest.raises((HttpError, Silence)) as refused:
            url = f"http://id:Y2FuYXJ5@{HOST}:{server.port}/"
            await get(url, timeout_s=0.1, headers=[("Authorization", CANARY)])
        assert "Y2FuYXJ5" not in f"{refused.value}{refused.value!r}"


async def test_the_connection_is_closed_whatever_comes_of_it() -> None:
    ended: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers))
        ended.put_nowait(await rest_of(reader))

    answers = iter([http_answer(200, b"x"), b"SSH-2.0\r\n", b""])
    async with served(serve) as server:
        assert (await get(server.url(), timeout_s=TIMEOUT_S)).status == 200
        with pytest.raises(HttpError):
            await get(server.url(), timeout_s=TIMEOUT_S)
        with pytest.raises(Silence):
            await get(server.url(), timeout_s=0.05)
        for _ in range(3):
            assert await asyncio.wait_for(ended.get(), 2) == b""


async def test_what_the_connection_itself_meets(free_port: Callable[[], int]) -> None:
    with pytest.raises(Refused):
        await get(f"http://{HOST}:{free_port()}/", timeout_s=TIMEOUT_S)
    with pytest.raises(Unresolved):
        await get("http://nobody.invalid/", timeout_s=TIMEOUT_S)


@pytest.mark.usefixtures("every_name_is_here")
async def test_https_is_verified_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    async with answering(http_answer(200, b"over TLS"), tls=context) as server:
        with pytest.raises(TlsError, match="not to be trusted"):
            await get(f"https://localhost:{server.port}/", timeout_s=TIMEOUT_S)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert (await get(f"https://localhost:{server.port}/", timeout_s=TIMEOUT_S)).body == b"over TLS"
        with pytest.raises(TlsError, match="not to be trusted"):
            await get(server.url(scheme="https"), timeout_s=TIMEOUT_S)
