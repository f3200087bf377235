#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Redis's own programs, and weirctl, speak to a node."""

import json
import subprocess
import tempfile

import lab
import resp
import rules
from lab import DEVICE


class Tools(lab.ClusterTest):
    name = "tools"

    def run_tool(self, *command, stdin=None):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                              stdin=stdin or subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def path(self):
        return self.ground.socket(self.await_copies())

    def test_redis_cli_speaks_to_a_node(self):
        cli = ("redis-cli", "-s", self.path())
        self.assertEqual(self.run_tool(*cli, "PING").strip(), "PONG")
        self.assertIn("n3", self.run_tool(*cli, "NODE.LIST"))
        self.assertIn("insync", self.run_tool(*cli, "DEVICE.INFO", DEVICE))
        self.assertIn("FLOW.ADD", self.run_tool(*cli, "COMMAND", "LIST").upper())
        self.assertIn("n1", self.run_tool(*cli, "-3", "MASTER.LIST"))

    def test_redis_cli_loads_a_rule_set_by_pipe(self):
        flows = rules.rules(20000, seed=31)
        with tempfile.TemporaryFile() as pipe:
            pipe.write(b"".join(resp.encode("FLOW.ADD", DEVICE, flow) for flow in flows))
            pipe.seek(0)
            said = self.run_tool("redis-cli", "-s", self.path(), "--pipe", stdin=pipe)
        self.assertRegex(said, r"errors: 0, replies: 20000\b")
        self.assert_nothing_missing(flows)
        self.assert_copies_equal()

    def test_redis_benchmark_speaks_to_a_node(self):
        said = self.run_tool("redis-benchmark", "-s", self.path(), "-n", "20000", "-P", "16", "-q",
                             "-r", "60000", "FLOW.ADD", DEVICE,
                             "in_port=0x__rand_int__,ip,nw_src=10.0.0.1,actions=drop")
        self.assertIn("requests per second", said)
        self.assertNotIn("Error", said)
        print(said.strip().splitlines()[-1], flush=True)

    def test_weirctl_lists_and_dumps_what_was_loaded(self):
        self.weirctl("add-flow", DEVICE, "table=9,priority=9,ip,nw_dst=9.9.9.0/24,actions=output:9")
        listed = json.loads(self.weirctl("--json", "nodes"))
        self.assertEqual(len(listed), 3)
        self.assertIn("nw_dst=9.9.9.0/24", self.weirctl("dump-flows", DEVICE))
        self.assertIn(DEVICE, self.weirctl("devices"))
        self.assertIn(DEVICE, self.weirctl("masters"))

    def test_weirctl_says_by_its_exit_status_what_went_wrong(self):
        self.weirctl("dump-flows", "nowhere", status=1)
        self.weirctl("no-such-verb", status=2)
        done = subprocess.run([self.ground.weirctl, "-s", "/nonexistent.sock", "nodes"],
                              capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 3)

    def test_a_dump_is_what_ovs_ofctl_reads(self):
        flows = rules.rules(500, seed=32)
        with resp.Connection(self.path()) as node:
            for answer in node.pipeline(("FLOW.ADD", DEVICE, flow) for flow in flows):
                self.assertNotIsInstance(answer, resp.Error)
        with tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
            file.write(self.weirctl("dump-flows", DEVICE))
            file.flush()
            self.run_tool("ovs-ofctl", "-O", "OpenFlow13", "parse-flows", file.name)


if __name__ == "__main__":
    lab.main()
