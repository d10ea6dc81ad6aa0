"""Many requests at once, with little work of the client's own: sockets and asyncio."""

import asyncio
import dataclasses
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


async def send(server, data, mark=b'"content":"', skip=1):
    """Sends the request's bytes and reads to the end. The first token is at the `mark` after `skip` others."""
    url = urllib.parse.urlparse(server.url)
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(data)
        await writer.drain()
        received, first = b"", None
        while part := await reader.read(65536):
            received += part
            if first is None and received.count(mark) > skip:
                first = time.monotonic() - started
    finally:
        writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if b"chunked" in head.lower():
        body = unchunked(body)
    return Reply(status, head, body, first, time.monotonic() - started)


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
