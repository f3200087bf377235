#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Bad input of every kind: a clear error, and nothing lost or stopped."""

import contextlib
import pathlib
import subprocess
import sys

import lab
import resp
import rules
import weir
from lab import DEVICE

FRAMES = pathlib.Path(__file__).with_name("frames.py")


class BadInput(lab.ClusterTest):
    name = "input"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.flows = rules.rules(200, seed=21)
        cls.path = cls.ground.socket(cls.master())
        with resp.Connection(cls.path) as node:
            for answer in node.pipeline(("FLOW.ADD", DEVICE, flow) for flow in cls.flows):
                assert not isinstance(answer, resp.Error), answer
        cls.pids = {node: cls.ground.pid(node) for node in cls.ground.nodes}

    def tearDown(self):
        self.assertEqual({n: self.ground.pid(n) for n in self.ground.nodes}, self.pids,
                         "a node has ended")
        self.assert_nothing_missing(self.flows)
        self.assertEqual(resp.call(self.path, "FLOW.COUNT", DEVICE), len(self.flows))

    def refused(self, code, *words):
        with self.assertRaises(resp.Error) as caught:
            resp.call(self.path, *words)
        self.assertEqual(caught.exception.code, code, str(caught.exception))
        return str(caught.exception)

    def test_malformed_resp_ends_its_own_connection_only(self):
        with resp.Connection(self.path) as other:
            for bad in (b"*1\r\n$x\r\n", b"*-7\r\n$4\r\n", b"*2000000000\r\n",
                        b"*1\r\n$2000000000\r\n", b"*1\r\n:5\r\n", b"\0\1\2\n",
                        b"ECHO 'half\r\n", b"x" * 100000, b"*1\r\n$4\r\nPINGxx*1\r\n"):
                with resp.Connection(self.path) as node:
                    with contextlib.suppress(OSError):  # may be closed before all is sent
                        node.send(bad)
                    self.assertIsInstance(node.read(), resp.Error, bad)
                    self.assertTrue(self.closed(node), f"still open after {bad[:60]!r}")
                self.assertEqual(other.call("PING"), b"PONG")

    @staticmethod
    def closed(node):
        try:
            return node.file.read() == b""
        except ConnectionResetError:
            return True

    def test_half_a_request_and_a_closed_connection_harm_nobody(self):
        whole = resp.encode("FLOW.ADD", DEVICE, "priority=1,actions=drop")
        for size in range(1, len(whole), 3):
            with resp.Connection(self.path) as node:
                node.send(whole[:size])
        with resp.Connection(self.path) as node:
            request = resp.encode("PING")
            for offset in range(len(request)):
                node.send(request[offset:offset + 1])
            self.assertEqual(node.read(), b"PONG")

    def test_an_unknown_device_is_named(self):
        said = self.refused("NODEVICE", "FLOW.ADD", "nowhere", "actions=drop")
        self.assertIn("nowhere", said)

    def test_a_bad_flow_is_refused_with_its_column(self):
        said = self.refused("BADFLOW", "FLOW.ADD", DEVICE, "priority=7,nonsense=3,actions=drop")
        self.assertIn("nonsense", said)
        self.assertIn("12", said, "the column of the word at fault")
        self.refused("BADFLOW", "FLOW.ADD", DEVICE, "priority=70000,actions=drop")
        self.refused("BADFLOW", "FLOW.ADD", DEVICE, "ip,nw_src=1.2.3.4")
        self.refused("BADFLOW", "FLOW.ADD", DEVICE, b"\xff\xfe\0actions=drop")
        self.refused("BADFLOW", "FLOW.ADD", DEVICE, "")

    def test_an_oversized_request_is_refused(self):
        with self.assertRaises(resp.Error) as caught:
            resp.call(self.path, "FLOW.ADD", DEVICE, "x" * 20000)
        self.assertIn(caught.exception.code, ("TOOBIG", "BADFLOW"))
        with resp.Connection(self.path) as node:
            node.send(b"*3\r\n$8\r\nFLOW.ADD\r\n$3\r\nsw1\r\n$%d\r\n" % (2 << 20))
            self.assertIsInstance(node.read(), resp.Error)

    def test_unknown_commands_and_wrong_arity_are_errors_not_ends(self):
        with resp.Connection(self.path) as node:
            for words in (("NONSENSE",), ("FLOW.ADD",), ("FLOW.ADD", DEVICE),
                          ("FLOW.SCAN", DEVICE, "x"), ("DEVICE.INFO",),
                          ("MASTER.SET", DEVICE, "n99"), ("FLOW.GET", DEVICE, "0xzz")):
                with self.assertRaises(resp.Error, msg=words):
                    node.call(*words)
            self.assertEqual(node.call("PING"), b"PONG")

    def test_garbage_frames_are_counted_and_dropped(self):
        before = self.bad_frames("n2")
        subprocess.run(["ip", "netns", "exec", self.ground.switch, sys.executable, str(FRAMES),
                        "n2", "10.71.0.1", "10.71.0.2"], check=True)
        lab.wait_until(lambda: self.bad_frames("n2") > before, 5)
        self.assertGreater(self.bad_frames("n2"), before)
        self.await_copies()
        self.assert_copies_equal()

    def bad_frames(self, node):
        causes = ("bad_truncated", "bad_checksum", "bad_foreign", "bad_stale")
        return sum(weir.workers_sum(self.ground.socket(node), cause) for cause in causes)


class BadStart(lab.ClusterTest):
    name = "start"

    @classmethod
    def setUpClass(cls):
        cls.ground = lab.Playground(f"{lab.RUN}-{cls.name}")
        cls.addClassCleanup(cls.ground.down)
        cls.ground.prepare(lab.BUILD, nodes=1)

    def start(self, *more, eal=(), port="iface=eth0", conf=None):
        command = [word.replace("iface=eth0", port) for word in self.ground.command("n1")]
        split = command.index("--")
        conf = conf or command[-1]
        command = [*command[:split], *eal, "--", "-c", conf, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20,
                              stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def test_check_finds_nothing_wrong_with_a_good_configuration(self):
        status, said = self.start("--check")
        self.assertEqual(status, 0, said)

    def test_an_unknown_key_is_named(self):
        status, said = self.start("--check", "-o", "node.colour=red")
        self.assertGreater(status, 0)
        self.assertIn("colour", said)

    def test_a_bad_value_is_named_with_its_key(self):
        status, said = self.start("--check", "-o", "port.udp_port=seventy")
        self.assertGreater(status, 0)
        self.assertIn("udp_port", said)

    def test_a_missing_file_is_named(self):
        status, said = self.start("--check", conf="/nonexistent/weir.conf")
        self.assertGreater(status, 0)
        self.assertIn("/nonexistent/weir.conf", said)

    def test_bad_eal_arguments_are_refused(self):
        status, said = self.start(eal=("--no-such-option",))
        self.assertGreater(status, 0)
        self.assertIn("no-such-option", said)

    def test_a_port_that_is_not_there_is_refused(self):
        status, said = self.start(port="iface=nowhere0")
        self.assertGreater(status, 0)
        self.assertIn("EAL has no port", said)

    def test_a_file_that_is_no_configuration_is_refused_with_its_line(self):
        conf = self.ground.folder / "broken.conf"
        conf.write_text("[node]\nid = n1\nthis is no key\n", encoding="utf-8")
        status, said = self.start("--check", conf=str(conf))
        self.assertGreater(status, 0)
        self.assertIn("broken.conf", said)


if __name__ == "__main__":
    lab.main()
