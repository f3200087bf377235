# SPDX-License-Identifier: BSD-3-Clause
"""A way to Redis that can be held up: what is sent in the meantime comes late."""

import contextlib
import socket
import threading


class Relay:
    """Listens at a Unix socket and passes all to another, and back."""

    def __init__(self, path, target):
        self.target = target
        self.passes = threading.Event()
        self.passes.set()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen()
        self.open = {self.listener}
        self.run(self.accept)

    @staticmethod
    def run(action, *arguments):
        threading.Thread(target=action, args=arguments, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.run(self.join, near)

    def join(self, near):
        """One connection; it ends when either side does."""
        self.passes.wait()
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.open |= {near, far}
        with contextlib.suppress(OSError):
            far.connect(self.target)
            self.run(self.pump, far, near)
            self.pump(near, far)
        self.end(near, far)

    def pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.passes.wait()
                target.sendall(data)
        self.end(source, target)

    def end(self, *sockets):
        for ended in sockets:
            with contextlib.suppress(OSError):
                ended.shutdown(socket.SHUT_RDWR)
            ended.close()
            self.open.discard(ended)

    def hold(self):
        self.passes.clear()

    def go_on(self):
        self.passes.set()

    def close(self):
        self.go_on()
        self.end(*self.open.copy())
