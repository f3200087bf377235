# SPDX-License-Identifier: BSD-3-Clause
"""A small RESP2 client on a Unix socket, with pipelines: enough to talk to Weir and Redis."""

import socket


class Error(Exception):
    """An error that the server answered: code is its first word."""

    @property
    def code(self):
        return str(self).split(" ", 1)[0]


def encode(*words):
    """One request."""
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        out.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(out)


class Connection:
    """One connection. A call raises Error where the answer is one; a pipeline returns them."""

    def __init__(self, path, timeout=10.0):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.settimeout(timeout)
            self.socket.connect(path)
            self.file = self.socket.makefile("rb", 1 << 18)
        except OSError:
            self.socket.close()
            raise

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        """The next answer: bytes, int, list, None or an Error (not raised)."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"{self.path}: the connection was closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None
            data = self.file.read(length + 2)
            if len(data) != length + 2:
                raise ConnectionError(f"{self.path}: the connection was closed within an answer")
            return data[:-2]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"*":
            count = int(rest)
            return None if count < 0 else [self.read() for _ in range(count)]
        if kind == b"-":
            return Error(rest.decode(errors="replace"))
        raise ConnectionError(f"{self.path}: not RESP: {line[:60]!r}")

    def call(self, *words):
        self.send(encode(*words))
        answer = self.read()
        if isinstance(answer, Error):
            raise answer
        return answer

    def pipeline(self, requests, depth=512):
        """Answers to many requests, in their order, `depth` under way at a time."""
        batch = []
        for request in requests:
            batch.append(encode(*request))
            if len(batch) == depth:
                yield from self._flush(batch)
                batch = []
        if batch:
            yield from self._flush(batch)

    def _flush(self, batch):
        self.send(b"".join(batch))
        for _ in batch:
            yield self.read()


def call(path, *words, timeout=10.0):
    """One request on a connection of its own."""
    with Connection(path, timeout) as connection:
        return connection.call(*words)


def text(answer):
    """An answer with its bytes decoded, all the way down."""
    if isinstance(answer, bytes):
        return answer.decode(errors="replace")
    if isinstance(answer, list):
        return [text(item) for item in answer]
    return answer


def pairs(answer):
    """A flat list of names and values as a dictionary."""
    flat = text(answer)
    return dict(zip(flat[0::2], flat[1::2]))
