"""Clients that attack a server on loopback: half and slow requests, wrong tokens, huge headers.

`make attack-page` attacks the live page and both example services by thousands of them.
"""

import contextlib
import random
import re
import socket
import struct

import psutil
import pytest
from watched import TOKEN, wait_until

ATTACKS = [(150, 0), *(pytest.param(2000, n, marks=pytest.mark.long) for n in range(1, 4))]
"""(count, seed); the long ones are run by `make attack-page`, and by `make soak`."""
PATIENCE = 60
"""Seconds that a server may take for a request while it is attacked; it takes milliseconds."""
MOST_OPEN = 100
"""Connections that the attack holds open at once."""
MOST_BYTES = 100 * 2**20
"""By how much a server may grow."""
PATHS = (
    *("/", "/recordings", "/recordings/0123456789abcdef/events", "/runs", "/runs/1", "/watch.js"),
    *("/../../etc/passwd", "/recordings/..%2f..%2fetc%2fpasswd/events", "//etc/passwd", "/%00"),
    *(
        "/recordings/%ff%fe/events",
        "/runs/99999999999999999999",
        "/runs/-1/cancel",
        "/" + "a" * 9000,
    ),
    *("/?token=wrong", f"/?token={TOKEN[:-1]}", "/?token=" + "t" * 4000, "/?token=%00&token=é"),
)
HEADERS = (
    *(
        "Host: evil.example",
        "Host: [::1",
        "Origin: http://evil.example",
        "Sec-Fetch-Site: cross-site",
    ),
    *("Cookie: trackside=wrong", "Cookie: " + "; ".join(f"a{n}=b" for n in range(300))),
    *("Last-Event-ID: 1.2:99999999999999999999", "Last-Event-ID: \x01", "Range: bytes=0-,5-1,-"),
    *("Content-Length: 999999999999", "Content-Length: -1", "Transfer-Encoding: chunked"),
    *(
        "X-Huge: " + "a" * 200_000,
        "Expect: 100-continue",
        "Upgrade: websocket",
        "Connection: close",
    ),
)
METHODS = (
    "GET",
    "GET",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "G\x00T",
    "x" * 99,
)


class Client:
    """One connection, which does what its seed says; `status` is the first answer's, or None."""

    def __init__(self, port, draw, streams):
        self.streams = streams
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.draw = draw
        self.status = None
        self.kind = draw.choice(KINDS)
        with contextlib.suppress(OSError):  # the server may hang up on it at any byte
            self.kind(self)

    def request(self):
        lines = [f"{self.draw.choice(METHODS)} {self.draw.choice(PATHS)} HTTP/1.1"]
        if self.draw.random() < 0.8:
            lines.append("Host: localhost")
        lines += self.draw.sample(HEADERS, self.draw.choice((0, 1, 1, 2, 4)))
        return "\r\n".join((*lines, "", "")).encode()

    def whole(self):
        """A request, whose answer is read."""
        self.socket.sendall(self.request())
        self.socket.settimeout(1)  # one with a body that does not come has no answer
        with contextlib.suppress(TimeoutError):
            if found := re.match(rb"HTTP/1\.[01] (\d{3})", self.socket.recv(4096)):
                self.status = int(found[1])

    def half(self):
        """A part of a request; the connection stays open."""
        request = self.request()
        self.socket.sendall(request[: self.draw.randrange(len(request))])

    def silent(self):
        """A connection without a byte."""

    def slow(self):
        for byte in b"GET / HTTP/1.1\r\nHost: loc":
            self.socket.sendall(bytes([byte]))

    def noise(self):
        self.socket.sendall(self.draw.randbytes(self.draw.choice((1, 100, 70_000))))

    def pipelined(self):
        self.socket.sendall(b"GET /recordings HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)

    def many_headers(self):
        headers = b"".join(b"X-%d: y\r\n" % n for n in range(3000))
        self.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + headers)

    def reset(self):
        """A request, and no interest in its answer."""
        self.socket.sendall(self.request())
        self.abort()

    def stream(self):
        """One that is allowed; its events are not read, and some leave at once."""
        if self.streams:
            self.socket.sendall(self.draw.choice(self.streams))
            if self.draw.random() < 0.5:
                self.abort()

    def abort(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


KINDS = (
    *(Client.whole, Client.whole, Client.whole, Client.half, Client.half, Client.silent),
    *(Client.slow, Client.noise, Client.pipelined, Client.many_headers, Client.reset),
    *(Client.stream, Client.stream),
)


def attack(pid, port, answers, count, seed, streams=()):
    """Attack a server by `count` clients.

    Args:
        pid: of its process.
        answers: called again and again; it checks that the server answers as it should.
        streams: whole requests of event streams that the server allows.
    """
    process, draw = psutil.Process(pid), random.Random(seed)
    answers()
    before = process.num_fds(), process.memory_info().rss
    clients, statuses = [], set()
    for number in range(count):
        clients.append(Client(port, random.Random(draw.random()), streams))
        statuses.add(clients[-1].status)
        while len(clients) > MOST_OPEN:
            clients.pop(draw.randrange(len(clients))).socket.close()
        if number % 50 == 0:
            answers()
    answers()  # while the last ones are still open
    for client in clients:
        client.socket.close()
    assert 500 not in statuses, statuses
    wait_until(lambda: process.num_fds() <= before[0] + 5, PATIENCE)
    assert process.memory_info().rss - before[1] < MOST_BYTES
    answers()


def listening_child(port):
    """The id of the process, started by this one, that listens at a port."""
    for child in psutil.Process().children(recursive=True):
        for connection in child.net_connections():
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return child.pid
    raise AssertionError(f"no child listens at {port}")
