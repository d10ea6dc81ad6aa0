"""Requests that no client library would send."""

import json
import socket
import time
import urllib.error
import urllib.parse
import urllib.request


class Answer:
    def __init__(self, status, text, seconds, headers):
        self.status, self.text, self.seconds, self.headers = status, text, seconds, headers

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


def ask(server, method, path, body=None, key=None, headers=(), timeout=60):
    """`body` is an object, or bytes as they are."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data=data, method=method, headers={
        "Authorization": f"Bearer {key or server.key}", "Content-Type": "application/json", **dict(headers)})
    started = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read().decode()
            return Answer(answer.status, text, time.monotonic() - started, answer.headers)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return Answer(error.code, text, time.monotonic() - started, error.headers)


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
