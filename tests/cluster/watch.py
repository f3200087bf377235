#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a node tells of itself: on DPDK's telemetry socket, in INFO, through weirctl top."""

import contextlib
import json
import os
import pathlib
import socket
import threading

import lab
import resp
import rules
import weir
from lab import DEVICE

REPLY_MAX = 16 * 1024
FLOWS = 2000


class Telemetry:
    """A client of DPDK's telemetry socket, as dpdk-telemetry.py is one."""

    def __init__(self, prefix):
        run = pathlib.Path(os.environ.get("RUNTIME_DIRECTORY", "/var/run"))
        path = run / "dpdk" / prefix / "dpdk_telemetry.v2"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(5)
        self.socket.connect(str(path))
        hello = json.loads(self.socket.recv(1024))
        self.room = hello["max_output_len"]
        self.pid = hello["pid"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, command, *parameters):
        self.socket.send(",".join([command, *map(str, parameters)]).encode())
        reply = self.socket.recv(2 * REPLY_MAX)
        if len(reply) >= REPLY_MAX:
            raise AssertionError(f"{command} is answered with {len(reply)} bytes")
        return json.loads(reply)[command]


class Watch(lab.ClusterTest):
    name = "watch"
    settings = {"nodes": 2, "workers": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        flows = rules.rules(FLOWS, seed=41)
        with resp.Connection(cls.ground.socket(cls.master())) as node:
            for answer in node.pipeline(("FLOW.ADD", DEVICE, flow) for flow in flows):
                if isinstance(answer, resp.Error):
                    raise answer

    def telemetry(self, node):
        return Telemetry(self.ground.namespace(node))

    def sum(self, node, figure):
        with self.telemetry(node) as shown:
            return sum(shown.ask("/weir/worker/stats", worker)[figure]
                       for worker in shown.ask("/weir/worker/list"))

    def test_every_command_is_answered_in_json_that_fits(self):
        with self.telemetry("n1") as node:
            self.assertEqual(node.room, REPLY_MAX)
            self.assertEqual(node.pid, self.ground.pid("n1"))
            commands = [name for name in node.ask("/") if name.startswith("/weir/")]
            self.assertEqual(len(commands), 12)
            for command in commands:
                for parameter in ("0", "n1", DEVICE):
                    node.ask(command, parameter)
                self.assertIn(command, node.ask("/help", command))
            self.assertIsNone(node.ask("/weir/worker/stats", 2))

    def test_a_metric_has_one_name_in_all_places(self):
        info = weir.info(self.ground.socket("n1"))
        with self.telemetry("n1") as node:
            for command, line in (("/weir/worker/stats", "worker1"),
                                  ("/weir/link/stats", "worker1_link")):
                shown = node.ask(command, 1)
                self.assertEqual(shown.pop("worker"), 1)
                self.assertEqual(list(shown), list(info[line]))
            self.assertLessEqual(node.ask("/weir/info").keys(), info.keys())

    def test_nodes_tell_what_they_have_and_whom_they_see(self):
        master = self.await_copies(count=2)
        other = "n2" if master == "n1" else "n1"
        with self.telemetry(master) as node:
            shown = node.ask("/weir/info")
            self.assertEqual((shown["node"], shown["cluster"]), (master, self.ground.cluster))
            self.assertEqual((shown["devices_master"], shown["flows"]), (1, FLOWS))
            self.assertEqual((shown["nodes_live"], shown["workers"]), (2, 2))
            self.assertEqual(node.ask("/weir/node/list"), [master, other])
            self.assertEqual(node.ask("/weir/peer/list"), [other])
            self.assertEqual(node.ask("/weir/node/info", other)["node"], other)
            self.assertEqual(node.ask("/weir/device/list"), {"cursor": "", "devices": [DEVICE]})
            device = node.ask("/weir/device/info", DEVICE)
        told = self.info(master)
        self.assertEqual(device, {name: told[name] for name in device})
        with self.telemetry(other) as node:
            self.assertEqual(node.ask("/weir/info")["devices_standby"], 1)

    def test_work_is_counted_where_it_is_done(self):
        master = self.await_copies(count=2)
        other = "n2" if master == "n1" else "n1"
        # Figures of replicas are some 20 ms old.
        lab.wait_until(lambda: self.sum(other, "deltas_applied") >= FLOWS, 5)
        self.assertGreaterEqual(self.sum(master, "answers_ok"), FLOWS)
        self.assertGreaterEqual(self.sum(other, "deltas_applied"), FLOWS)
        for node in (master, other):
            with self.telemetry(node) as shown:
                for worker in shown.ask("/weir/worker/list"):
                    stats = shown.ask("/weir/worker/stats", worker)
                    self.assertLess(0, stats["operation_cycles"])
                    self.assertLess(0, stats["busy_ns"])
                    self.assertLess(stats["busy_ns"], stats["run_ns"])
                    self.assertLess(0, shown.ask("/weir/link/stats", worker)["tx_bytes"])

    def test_top_shows_all_nodes(self):
        shown = [json.loads(line) for line in
                 self.weirctl("--json", "top", "-d", "0.3", "-n", "2").splitlines()]
        self.assertEqual(len(shown), 2)
        for block in shown:
            self.assertEqual([node["node"] for node in block["nodes"]], ["n1", "n2"])
            self.assertEqual(sum(node["devices_master"] for node in block["nodes"]), 1)
            for node in block["nodes"]:
                self.assertEqual(node["flows"], FLOWS)
                self.assertEqual(len(node["workers"]), 2)
                self.assertLess(0, node["memory_used_bytes"])
                self.assertTrue(all(0 <= w["busy_share"] <= 1 for w in node["workers"]))
        self.assertIn("2 of 2 nodes answer", self.weirctl("top", "-d", "0.1", "-n", "1"))

    def test_zz_a_node_that_is_asked_without_pause_stops_all_the_same(self):
        """The last test: n2 is gone afterwards."""
        asked = threading.Event()

        def ask():
            with contextlib.suppress(OSError, ValueError), self.telemetry("n2") as node:
                while True:
                    for command in ("/weir/info", "/weir/worker/stats,1", "/weir/link/stats,1"):
                        node.socket.send(command.encode())
                        if not node.socket.recv(2 * REPLY_MAX):
                            return
                    asked.set()

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        self.assertTrue(asked.wait(5))
        self.ground.stop("n2")
        thread.join(5)
        self.assertFalse(thread.is_alive())
        self.assertNotIn("this must hold", self.ground.log_tail("n2", 100))


if __name__ == "__main__":
    lab.main()
