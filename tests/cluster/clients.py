# SPDX-License-Identifier: BSD-3-Clause
"""Clients that write and read a few rules side by side, and record what they are answered."""

import random
import re
import threading
import time

from lab import wait_until  # first: it says where the others are
import resp
from history import ADD, DEL, GET, MOD, NOTFOUND, OK, PURGE, REFUSED, REMOVED, UNKNOWN, History

CLIENTS = 6
RULES = 3  # of each device
PATIENCE_S = 1.2  # then a client takes its operation for one of unknown fate
WATCH_S = 0.2  # the same, of a watcher
PAUSE_S = 0.002  # between two operations of a client, on average
OPS, WEIGHTS = (ADD, MOD, DEL, REMOVED, PURGE, GET), (25, 15, 10, 14, 1, 35)

# Answers that say that nothing was done, nor will be.
NOTHING_DONE = {"NOTMASTER", "FENCED", "BUSY", "TIMEOUT", "NODEVICE", "UNREACHABLE"}


def identity(number):
    return f"priority={100 + number},tcp,nw_dst=10.9.{number}.0/24"


def actions(cookie):
    """They belong to the cookie, so that a flow made of two writes would show."""
    return f"actions=output:{1 + cookie % 200}"


def request(op, rule, cookie):
    device, number = rule
    if op == PURGE:
        return resp.encode("FLOW.PURGE", device)
    text = identity(number)
    if op in (ADD, MOD):
        text = f"cookie={cookie:#x},{text},{actions(cookie)}"
    return resp.encode(f"FLOW.{op}", device, text)


def value_of(answer):
    """(cookie, state) of an answer to FLOW.GET."""
    flow = resp.pairs(answer)
    cookie = int(re.search(r"cookie=(0x[0-9a-f]+)", flow["flow"]).group(1), 16)
    if actions(cookie) not in flow["flow"]:
        raise AssertionError(f"a flow that nobody wrote: {flow['flow']}")
    return cookie, flow["state"]


def judged(operation, answer):
    """(what was answered, the value that was shown)"""
    if not isinstance(answer, resp.Error):
        return OK, value_of(answer) if operation.op == GET else None
    if answer.code in NOTHING_DONE:
        return REFUSED, None
    if answer.code in (NOTFOUND, UNKNOWN):
        return answer.code, None
    raise AssertionError(f"{operation} was answered {answer}")


class Client(threading.Thread):
    """One operation after the other, at the node that it takes for the master of the device."""

    def __init__(self, number, load):
        super().__init__(name=f"client {number}", daemon=True)
        self.number, self.load = number, load
        self.draw = random.Random(f"{load.seed} {number}")
        self.nodes = {}
        self.connections = {}
        self.cookies = 0

    def run(self):
        try:
            while not self.load.ends.is_set():
                self.turn()
                time.sleep(self.draw.expovariate(1 / PAUSE_S))
        except Exception as trouble:  # pylint: disable=broad-except
            self.load.trouble.append(f"{self.name}: {type(trouble).__name__}: {trouble}")
        finally:
            for connection in self.connections.values():
                connection.close()

    def move(self, device, to=None):
        self.nodes[device] = to or self.draw.choice(self.load.sockets)
        time.sleep(self.draw.uniform(0, 0.02))

    def connection(self, device):
        node = self.nodes.setdefault(device, self.draw.choice(self.load.sockets))
        if node not in self.connections:
            self.connections[node] = resp.Connection(node, timeout=PATIENCE_S)
        return self.connections[node]

    def turn(self):
        op = self.draw.choices(OPS, WEIGHTS)[0]
        rule = self.draw.choice(self.load.rules)
        cookie = 0
        if op in (ADD, MOD):
            self.cookies += 1
            cookie = self.number << 24 | self.cookies
        try:
            connection = self.connection(rule[0])
        except OSError:
            self.move(rule[0])
            return
        self.ask(connection, op, rule, cookie)

    def ask(self, connection, op, rule, cookie):
        history = self.load.history
        # A purge is an operation on each rule of its device.
        rules = [each for each in self.load.rules
                 if each == rule or (op == PURGE and each[0] == rule[0])]
        operations = [history.invoke(self.name, op, each, cookie) for each in rules]
        try:
            connection.send(request(op, rule, cookie))
            answer = connection.read()
        except OSError:  # the answer will not come: it stays one of unknown fate
            del self.connections[connection.path]
            connection.close()
            self.move(rule[0])
            return
        for operation in operations:
            history.answered(operation, *judged(operation, answer))
        if operations[0].answer in (OK, NOTFOUND):
            self.load.count(rule[0])
        elif operations[0].answer == REFUSED:
            self.follow(rule[0], answer)

    def follow(self, device, refusal):
        words = str(refusal).split()
        named = words[2] if words[0] == "NOTMASTER" and len(words) > 2 else "-"
        # Not always: whoever was told wrong must ask others too.
        trusts = named in self.load.sockets and self.draw.random() < 0.8
        self.move(device, named if trusts else None)


class Watcher(threading.Thread):
    """Reads at one node, whoever is master: nobody else asks those who should not serve any more.

    It is impatient, so that one that stands still finds questions that were asked of late when it
    goes on. An old one it might answer with what was true long ago.
    """

    def __init__(self, socket, load):
        super().__init__(name=f"watcher of {socket.rsplit('/', 1)[1]}", daemon=True)
        self.socket, self.load = socket, load
        self.draw = random.Random(f"{load.seed} {self.name}")

    def run(self):
        try:
            while not self.load.ends.is_set():
                try:
                    with resp.Connection(self.socket, timeout=WATCH_S) as connection:
                        self.watch(connection)
                except OSError:
                    time.sleep(PAUSE_S)
        except Exception as trouble:  # pylint: disable=broad-except
            self.load.trouble.append(f"{self.name}: {type(trouble).__name__}: {trouble}")

    def watch(self, connection):
        while not self.load.ends.is_set():
            rule = self.draw.choice(self.load.rules)
            operation = self.load.history.invoke(self.name, GET, rule)
            connection.send(request(GET, rule, 0))
            self.load.history.answered(operation, *judged(operation, connection.read()))
            time.sleep(self.draw.expovariate(1 / PAUSE_S))


class Clients:
    """All of them, with their history."""

    def __init__(self, sockets, devices, seed):
        self.sockets, self.seed = sockets, seed
        self.rules = [(device, number) for device in devices for number in range(RULES)]
        self.history = History()
        self.ends = threading.Event()
        self.trouble = []
        self.answers = dict.fromkeys(devices, 0)
        self.longest_stall = 0.0
        self.last_answer = dict.fromkeys(devices, time.monotonic())
        self.lock = threading.Lock()
        self.threads = [Client(number, self) for number in range(1, CLIENTS + 1)]
        self.threads += [Watcher(socket, self) for socket in sockets]
        for thread in self.threads:
            thread.start()

    def count(self, device):
        with self.lock:
            now = time.monotonic()
            self.longest_stall = max(self.longest_stall, now - self.last_answer[device])
            self.last_answer[device] = now
            self.answers[device] += 1

    def await_answers(self, count, seconds):
        """Until so many more operations were done on each device. @return whether they were"""
        wanted = {device: answers + count for device, answers in self.answers.items()}

        def done():
            return self.trouble or all(self.answers[d] >= n for d, n in wanted.items())

        return wait_until(done, seconds) is not None

    def last(self, seconds):
        """They go on for so long."""
        wait_until(lambda: self.trouble, seconds)

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(10)
        return not any(thread.is_alive() for thread in self.threads)
