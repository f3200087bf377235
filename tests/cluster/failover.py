#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Masters and backups die, leave, stand still or are cut off while a client loads flows."""

import time
import unittest

import lab
import resp
import rules
from lab import DEVICE, Loader, wait_until


class Failover(lab.ClusterTest):
    name = "fail"

    def setUp(self):
        self.device = f"dev-{self._testMethodName[5:30]}"
        self.restore()
        self.add_device(self.device, self.running()[0])

    def load_all(self, loader):
        loader.run()
        self.assertEqual(loader.refused, [])
        self.assert_nothing_missing(loader.acknowledged, self.device)

    def test_three_kills_of_the_master_lose_no_acknowledged_flow(self):
        flows = rules.rules(30000, seed=20260101)
        loader = Loader(self, flows, self.device)
        for kill in range(1, 4):
            master = self.await_copies(self.device)
            loader.run(until=kill * 8000, during=lambda victim=master: self.ground.kill(victim))
            successor = self.master(self.device, other_than=master)
            self.assert_nothing_missing(loader.acknowledged, self.device)
            loader.run(until=kill * 8000 + 1000)
            self.ground.start(master)
            print(f"kill {kill}: {master} to {successor}, {len(loader.acknowledged)} acknowledged, "
                  f"longest stall {loader.longest_stall:.2f} s", flush=True)
        self.load_all(loader)
        self.assertEqual(len(set(loader.acknowledged)), len(flows))
        self.await_copies(self.device)
        self.assert_copies_equal(self.device)

    def test_writes_go_on_without_a_backup_and_it_comes_back_in_sync(self):
        loader = Loader(self, rules.rules(12000, seed=5), self.device)
        master = self.await_copies(self.device)
        backup = next(node for node in self.ground.nodes if node != master)
        loader.run(until=4000, during=lambda: self.ground.kill(backup))
        loader.run(until=8000)
        self.assertEqual(self.master(self.device), master, "a backup's death moves no mastership")
        self.assertNotIn(backup, self.info(master, self.device)["insync"])
        self.ground.start(backup)
        self.load_all(loader)
        self.await_copies(self.device)
        self.assert_copies_equal(self.device)

    def test_sigterm_hands_over_within_a_second_and_loses_nothing(self):
        loader = Loader(self, rules.rules(12000, seed=6), self.device)
        master = self.await_copies(self.device)
        took = None

        def leave():
            nonlocal took
            took = self.ground.stop(master)

        loader.run(until=6000, during=leave)
        self.assertLess(took, 1.0, "seconds from SIGTERM to the end of the process")
        began = time.monotonic()
        self.master(self.device, other_than=master, seconds=3)
        print(f"gone {took:.3f} s after SIGTERM, a new master {time.monotonic() - began:.3f} s "
              f"later, longest stall {loader.longest_stall:.3f} s", flush=True)
        self.load_all(loader)
        self.assert_copies_equal(self.device)

    def test_a_master_that_stood_still_past_its_lease_does_not_serve_any_more(self):
        master = self.await_copies(self.device)
        flows = rules.rules(50, seed=7)
        old = resp.Connection(self.ground.socket(master), timeout=10)
        self.addCleanup(old.close)
        self.assertIsInstance(old.call("FLOW.ADD", self.device, flows[0]), (bytes, int))
        self.ground.pause(master)
        try:
            successor = self.master_among_others(master)
            resp.call(self.ground.socket(successor), "FLOW.ADD", self.device, flows[1])
            old.send(resp.encode("FLOW.ADD", self.device, flows[2]))
        finally:
            self.ground.resume(master)
        answer = old.read()
        self.assertIsInstance(answer, resp.Error, "the old master said OK to a write")
        self.await_copies(self.device)
        self.assert_nothing_missing(flows[:2], self.device)
        self.assert_copies_equal(self.device)

    def master_among_others(self, master):
        """As master(), while one node does not answer."""
        others = [node for node in self.ground.nodes if node != master]

        def serving():
            for node in others:
                info = self.info(node, self.device)
                if info.get("master") == node and info["active"] == info["term"]:
                    return node
            return None

        found = wait_until(serving, 15)
        self.assertIsNotNone(found, f"nobody took over from {master}")
        return found

    def test_a_master_cut_off_from_its_backups_loses_no_acknowledged_flow(self):
        loader = Loader(self, rules.rules(8000, seed=8), self.device)
        master = self.await_copies(self.device)
        loader.run(until=3000, during=lambda: self.ground.cut(master))
        try:
            loader.run(until=6000)
        finally:
            self.ground.mend(master)
        self.load_all(loader)
        self.await_copies(self.device)
        self.assert_copies_equal(self.device)

    def test_a_second_death_right_after_the_takeover_loses_nothing(self):
        loader = Loader(self, rules.rules(8000, seed=10), self.device)
        first = self.await_copies(self.device)
        loader.run(until=4000, during=lambda: self.ground.kill(first))
        second = self.master(self.device, other_than=first)
        self.await_copies(self.device, count=2)
        loader.run(until=6000, during=lambda: self.ground.kill(second))
        self.load_all(loader)
        self.ground.start(first)
        self.ground.start(second)
        self.await_copies(self.device)
        self.assert_copies_equal(self.device)

    def test_a_backup_that_stands_still_holds_writes_up_for_its_time_only(self):
        loader = Loader(self, rules.rules(6000, seed=12), self.device)
        master = self.await_copies(self.device)
        backup = next(node for node in self.ground.nodes if node != master)
        loader.run(until=2000, during=lambda: self.ground.pause(backup))
        try:
            loader.run(until=4000)
            self.assertNotIn(backup, self.info(master, self.device)["insync"])
        finally:
            self.ground.resume(backup)
        self.assertLess(loader.longest_stall, 5, "insync_timeout is one second")
        self.load_all(loader)
        self.await_copies(self.device)
        self.assert_copies_equal(self.device)

    def test_mastership_is_given_to_the_node_that_the_operator_names(self):
        loader = Loader(self, rules.rules(6000, seed=9), self.device)
        master = self.await_copies(self.device)
        heir = next(node for node in self.ground.nodes if node != master)
        loader.run(until=3000, during=lambda: resp.call(
            self.ground.socket(master), "MASTER.SET", self.device, heir))
        self.load_all(loader)
        self.assertEqual(self.master(self.device), heir)
        self.await_copies(self.device)
        self.assert_copies_equal(self.device)


if __name__ == "__main__":
    lab.main()
