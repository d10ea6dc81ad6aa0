"""Requests that no client library would send."""

import hashlib
import json
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request


class Answer:
    """`seconds` are the clock's; `computed` are those of them that a thread which only computes has of a processor."""

    def __init__(self, status, text, seconds, computed, headers):
        self.status, self.text, self.seconds, self.computed, self.headers = status, text, seconds, computed, headers

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def error(self):
        """An error in OpenAI's form, with nothing in it that is the server's own business."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}, self.text
        assert not any(word in error["message"] for word in ("/tmp/", "/home/", ".swift", "SELECT ", "Fatal")), self.text
        return error


class Yardstick:
    """Computes from a wait's second second on, for as long as it lasts. A busy machine gives this thread less of a
    processor, as it does the server: a bound on what it gets means what one on the time does where nothing else runs."""

    idle = 1

    def __enter__(self):
        self.spun, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.spin, daemon=True)
        self.thread.start()
        self.started = time.monotonic()
        return self

    def spin(self):
        if self.over.wait(self.idle):
            return
        begun = time.thread_time()
        while not self.over.is_set():
            # Without the interpreter's lock.
            hashlib.pbkdf2_hmac("sha256", b"", b"", 4000)
        self.spun = time.thread_time() - begun

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.started
        self.over.set()
        self.thread.join()
        self.computed = min(self.seconds, self.idle) + self.spun


def ask(server, method, path, body=None, key=None, headers=(), timeout=60):
    """`body` is an object, or bytes as they are."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data=data, method=method, headers={
        "Authorization": f"Bearer {key or server.key}", "Content-Type": "application/json", **dict(headers)})
    with Yardstick() as yardstick:
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text, headers = answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            status, text, headers = error.code, error.read().decode(), error.headers
    return Answer(status, text, yardstick.seconds, yardstick.computed, headers)


def post(server, path, body, **options):
    return ask(server, "POST", path, body, **options)


def chat(server, fields=None, **options):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "temperature": 0}
    return post(server, "/v1/chat/completions", {**body, **(fields or {})}, **options)


def alive(server):
    """The model still answers, and the server says that it is ready."""
    assert chat(server).status == 200
    assert ask(server, "GET", "/health/ready").status == 200


def exchange(server, data, timeout=10):
    """What the server says to these bytes, up to the connection's end or a second's silence."""
    url = urllib.parse.urlparse(server.url)
    with socket.create_connection((url.hostname, url.port), timeout=timeout) as connection:
        connection.sendall(data)
        connection.settimeout(1)
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
        except (TimeoutError, ConnectionResetError):
            pass
    return received
