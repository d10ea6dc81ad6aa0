"""Many requests at once, with little work of the client's own: sockets and asyncio."""

import asyncio
import dataclasses
import functools
import json
import time
import urllib.parse


@dataclasses.dataclass
class Reply:
    """`first` and `total` are seconds from the request's sending to the first token and to the end."""

    status: int
    headers: bytes
    body: bytes
    first: float | None
    total: float

    @property
    def chunks(self):
        """The documents of a stream, without the `[DONE]` that ends a whole one."""
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line) for line in lines if line != b"[DONE]"]

    @property
    def is_whole(self):
        return b"data: [DONE]" in self.body

    @property
    def text(self):
        return "".join(
            choice["delta"].get("content") or "" for chunk in self.chunks for choice in chunk.get("choices", []))


def request(server, body, key=None, path="/v1/chat/completions"):
    data = json.dumps(body).encode()
    host = urllib.parse.urlparse(server.url).netloc
    return (f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key or server.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n").encode() + data


class Exchange(asyncio.Protocol):
    """One request on a connection of its own: bytes that are there already go out, and what comes is only kept."""

    def __init__(self, data, mark, skip):
        self.data, self.mark, self.left = data, mark, skip + 1
        self.parts, self.end, self.first = [], b"", None
        self.done = asyncio.get_running_loop().create_future()
        self.started = time.monotonic()

    def connection_made(self, transport):
        transport.write(self.data)

    def data_received(self, part):
        self.parts.append(part)
        if self.first is None:
            # A mark may lie across two parts.
            seen = self.end + part
            self.left -= seen.count(self.mark)
            self.end = seen[len(seen) - len(self.mark) + 1:] if len(seen) >= len(self.mark) else seen
            if self.left <= 0:
                self.first = time.monotonic() - self.started

    def connection_lost(self, error):
        if not self.done.done():
            self.done.set_result(time.monotonic() - self.started)


async def send(server, data, mark=b'"content":"', skip=1):
    """Sends the request's bytes and reads to the end. The first token is at the `mark` after `skip` others."""
    host, port = address(server)
    exchange = Exchange(data, mark, skip)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: exchange, host, port)
    try:
        total = await exchange.done
    finally:
        transport.abort()
    head, _, body = b"".join(exchange.parts).partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if b"chunked" in head.lower():
        body = unchunked(body)
    return Reply(status, head, body, exchange.first, total)


@functools.cache
def address(server):
    url = urllib.parse.urlparse(server.url)
    return url.hostname, url.port


def unchunked(body):
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        whole, body = whole + body[:length], body[length + 2:]
    return whole


def chat(text="Hi", **fields):
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], "temperature": 0, **fields}


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))]
