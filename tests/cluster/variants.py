#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same promise in other clusters: without hugepages, several workers, more nodes than copies."""

import lab
import resp
import rules
from lab import DEVICE, Loader


class Variant:
    """A load with a kill of the master in its middle."""

    seed = 0

    def test_a_kill_of_the_master_loses_no_acknowledged_flow(self):
        flows = rules.rules(12000, seed=self.seed)
        loader = Loader(self, flows)
        master = self.await_copies()
        loader.run(until=6000, during=lambda: self.ground.kill(master))
        loader.run()
        self.assertEqual(loader.refused, [])
        self.assert_nothing_missing(flows)
        self.ground.start(master)
        self.await_copies()
        self.assert_holders_equal()

    def assert_holders_equal(self):
        self.assert_copies_equal()


class NoHugepages(Variant, lab.ClusterTest):
    name = "nohuge"
    settings = {"huge": False}
    seed = 41

    def test_no_hugepage_is_used(self):
        self.assertIsNone(self.ground.settings["hugepages"])
        self.assertIn("--no-huge", self.ground.command("n1"))


class TwoWorkers(Variant, lab.ClusterTest):
    name = "two"
    settings = {"workers": 2}
    seed = 42


class FiveNodes(Variant, lab.ClusterTest):
    name = "five"
    settings = {"nodes": 5, "memory_mb": 256}
    seed = 43

    def holders(self):
        return self.info(self.master())["insync"]

    def assert_holders_equal(self):
        self.assert_copies_equal(nodes=self.holders())

    def test_a_node_without_a_copy_names_the_master_and_its_socket(self):
        master = self.await_copies()
        other = next(node for node in self.ground.nodes if node not in self.holders())
        with self.assertRaises(resp.Error) as caught:
            resp.call(self.ground.socket(other), "FLOW.ADD", DEVICE, "actions=drop")
        said = str(caught.exception).split()
        self.assertEqual(said[:3], ["NOTMASTER", master, self.ground.socket(master)])

    def test_weirctl_finds_the_master_from_any_node(self):
        for node in self.ground.nodes:
            self.weirctl("add-flow", DEVICE, "table=7,priority=7,ip,actions=output:7",
                         sockets=[self.ground.socket(node)])


if __name__ == "__main__":
    lab.main()
