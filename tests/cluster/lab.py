# SPDX-License-Identifier: BSD-3-Clause
"""What the cluster tests share: a playground for a class of tests, and a client that counts."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "deploy" / "lib"))

import resp  # noqa: E402
import weir  # noqa: E402
from playground import Playground, wait_until  # noqa: E402

BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", TOP / "build"))
RUN = os.environ.get("WEIR_TEST_RUN", f"t{os.getpid()}")
DEVICE = "sw1"

# Answers after which the client may ask again, here or elsewhere.
PASSING = {"NOTMASTER", "FENCED", "BUSY", "TIMEOUT", "UNKNOWN", "NODEVICE", "UNREACHABLE"}


class ClusterTest(unittest.TestCase):
    """A test with a cluster of its own, which stands for all tests of the class."""

    name = None
    settings = {}
    playground = Playground
    with_device = True

    def run(self, result=None):
        """Shows the nodes' logs where a test has failed."""
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for name in [*self.ground.nodes, "redis"]:
                print(f"{name}'s log ends with\n{self.ground.log_tail(name, 40)}", flush=True)
        return result

    @classmethod
    def setUpClass(cls):
        cls.ground = cls.playground(f"{RUN}-{cls.name}")
        cls.addClassCleanup(cls.ground.down)
        try:
            cls.ground.up(BUILD, **cls.settings)
            if cls.with_device:
                cls.add_device(DEVICE)
        except BaseException:
            cls.ground.down()
            raise

    @classmethod
    def add_device(cls, device, node="n1"):
        resp.call(cls.ground.socket(node), "DEVICE.ADD", device)
        cls.await_copies(device, min(3, len(cls.running())))

    @classmethod
    def running(cls):
        return [node for node in cls.ground.nodes if cls.ground.pid(node)]

    @classmethod
    def info(cls, node, device=DEVICE):
        try:
            return weir.device(cls.ground.socket(node), device)
        except (OSError, resp.Error):
            return {}

    @classmethod
    def master(cls, device=DEVICE, other_than=None, seconds=15):
        """The node that says of itself that it serves the device."""

        def serving():
            for node in cls.running():
                info = cls.info(node, device)
                if node != other_than and info and info["master"] == node \
                        and info["role"] == "master" and info["active"] == info["term"]:
                    return node
            return None

        found = wait_until(serving, seconds)
        if not found:
            raise AssertionError(f"no master of {device} within {seconds} s: "
                                 + str({n: cls.info(n, device) for n in cls.running()}))
        return found

    @classmethod
    def await_copies(cls, device=DEVICE, count=3, seconds=30):
        """Until so many copies are in sync. @return the master"""
        master = None

        def whole():
            nonlocal master
            master = cls.master(device, seconds=seconds)
            return len(cls.info(master, device).get("insync", ())) == count

        if not wait_until(whole, seconds):
            raise AssertionError(f"{count} copies of {device} not in sync within {seconds} s: "
                                 f"{cls.info(master, device)}")
        return master

    def restore(self):
        """All nodes run and all copies are in sync."""
        for node in self.ground.nodes:
            if not self.ground.pid(node):
                self.ground.start(node)
        return self.await_copies(count=min(3, len(self.ground.nodes)))

    def assert_copies_equal(self, device=DEVICE, nodes=None):
        """By content sum, and by every flow of every copy."""
        nodes = nodes or self.running()
        wait_until(lambda: len({self.info(n, device).get("content") for n in nodes}) == 1, 10)
        sums = {node: self.info(node, device).get("content") for node in nodes}
        self.assertEqual(len(set(sums.values())), 1, f"content sums differ: {sums}")
        dumps = {node: weir.dump_hash(self.ground.socket(node), device) for node in nodes}
        self.assertEqual(len(set(dumps.values())), 1, f"dumps differ: {dumps}")

    def assert_nothing_missing(self, flows, device=DEVICE):
        left = list(flows)
        deadline = time.monotonic() + 30
        while left:
            lost, unsaid = weir.look_up(self.ground.socket(self.master(device)), device, left)
            self.assertEqual(len(lost), 0, f"{len(lost)} acknowledged flows are not there, "
                             f"such as {lost[:3]}")
            # A machine that is too busy may cost a master its lease: it must be asked for again.
            left = [flow for group in unsaid.values() for flow in group]
            self.assertLess(time.monotonic(), deadline, f"no answer for 30 s: {list(unsaid)}")
            if left:
                print(f"asked again for {len(left)} flows: {list(unsaid)}", flush=True)

    def weirctl(self, *words, status=0, sockets=None):
        sockets = sockets or self.ground.sockets
        command = [self.ground.weirctl, "-s", ",".join(sockets), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, status, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout


class Loader:
    """A plain client: pipelines FLOW.ADD on one socket, keeps account, looks for the master."""

    def __init__(self, test, flows, device=DEVICE, depth=256):
        self.test = test
        self.device = device
        self.depth = depth
        self.waiting = list(reversed(flows))
        self.acknowledged = []
        self.refused = []
        self.longest_stall = 0.0
        self.connection = None
        self.last_answer = time.monotonic()
        test.addCleanup(self.drop)

    def run(self, until=None, during=None):
        """Loads until so many are acknowledged (default: all).

        @param during called once, when the last batch but none of its answers is on its way
        """
        until = len(self.acknowledged) + len(self.waiting) if until is None else until
        deadline = time.monotonic() + 90
        while self.waiting and len(self.acknowledged) < until:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.acknowledged)} of {until} acknowledged in 90 s")
            last = len(self.acknowledged) + self.depth >= until
            self.batch(during if last else None)
            if last:
                during = None

    def batch(self, during):
        flows = [self.waiting.pop() for _ in range(min(self.depth, len(self.waiting)))]
        done, moved = 0, False
        try:
            if self.connection is None:
                self.connection = resp.Connection(
                    self.test.ground.socket(self.test.master(self.device)), timeout=8)
            self.connection.send(b"".join(
                resp.encode("FLOW.ADD", self.device, flow) for flow in flows))
            if during:
                during()
            for flow in flows:
                answer = self.connection.read()
                done += 1
                moved |= self.account(flow, answer)
        except OSError:
            moved = True
        if moved:
            self.drop()
        # What was not answered is not known: it is asked again.
        self.waiting.extend(reversed(flows[done:]))

    def account(self, flow, answer):
        """@return whether the master must be looked for anew"""
        if isinstance(answer, resp.Error):
            if answer.code in PASSING:
                self.waiting.append(flow)
            else:
                self.refused.append((flow, str(answer)))
            return answer.code in PASSING - {"BUSY"}
        now = time.monotonic()
        self.longest_stall = max(self.longest_stall, now - self.last_answer)
        self.last_answer = now
        self.acknowledged.append(flow)
        return False

    def drop(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def main():
    """Runs the tests of the calling file; whatever ends it, its clusters are taken down."""

    def ended(number, _):
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    unittest.main(verbosity=2)
