#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients write and read side by side while faults happen: some order must explain all answers.

histories.py CLASS... runs the tests of these classes. WEIR_SEED=N draws the same operations and
faults again; what becomes of them is up to real processes and need not be the same.
"""

import itertools
import os
import random

import clients
import lab
import resp
from faultswitch import FaultyGround
from history import READS, Undecided
from lab import wait_until

SEED = int(os.environ.get("WEIR_SEED", "0")) or int.from_bytes(os.urandom(4), "little")
LEASE_S = 1.0
BEFORE, AFTER = 100, 150  # operations done on each device before and after a fault
SERVES_S = 20  # within which operations are done again after a fault
RESTS_S = 20  # within which all copies are in sync again after a fault


class HistoryTest(lab.ClusterTest):
    """A cluster with a switch that harms frames, and a history for each test."""

    playground = FaultyGround
    with_device = False
    reads = READS
    settings = {"memory_mb": 256, "options": [
        f"node.lease_ms={LEASE_S * 1000:.0f}", "replication.insync_timeout_ms=500",
        "replication.anti_entropy_period_ms=1000", "cluster.join_grace_ms=500"]}

    numbers = itertools.count()

    def setUp(self):
        self.faults = self.ground.faults
        self.heal()
        self.addCleanup(self.heal)
        self.before = self.faults.counts()
        self.draw = random.Random(f"{SEED} {self._testMethodName}")
        self.ground.await_cluster(self.ground.nodes)
        number = next(self.numbers)
        self.devices = [f"sw{number}a", f"sw{number}b"]
        for node, device in zip(self.ground.nodes, self.devices):
            self.add_device(device, node)
        self.victim = self.master(self.devices[0])

    def heal(self):
        """No fault is left, whatever became of the test before."""
        self.faults.clear()
        self.ground.resume("redis")
        for node in self.ground.nodes:
            self.ground.mend(node)
            self.ground.relays[node].go_on()
            if self.ground.pid(node):
                self.ground.resume(node)
            else:
                self.ground.start(node)

    def backups(self):
        return [node for node in self.ground.nodes if node != self.victim]

    def suffer(self, begin, end=None, seconds=2.0):
        """Clients at work; in their midst a fault from begin() to end()."""
        load = self.load = clients.Clients(self.ground.sockets, self.devices,
                                           f"{SEED} {self._testMethodName}")
        try:
            self.assertTrue(load.await_answers(BEFORE, SERVES_S), "nothing works before the fault")
            begin()
            try:
                load.last(seconds)
            finally:
                (end or self.faults.clear)()
            self.assertTrue(load.await_answers(AFTER, SERVES_S), "nothing works after the fault")
        finally:
            stopped = load.stop()
        self.assertTrue(stopped, "a client hangs")
        self.assertEqual(load.trouble, [])
        self.rest(load.history)
        self.judge(load)

    def rest(self, history):
        """All copies are in sync and equal, and what stands there goes into the history."""
        for device in self.devices:
            self.await_copies(device, seconds=RESTS_S)
            self.assert_copies_equal(device)
            for number in range(clients.RULES):
                history.final((device, number), self.final_value(device, number))

    def final_value(self, device, number):
        said = []

        def read():
            try:
                said[:] = [resp.call(self.ground.socket(self.master(device)), "FLOW.GET", device,
                                     clients.identity(number))]
            except resp.Error as error:
                said[:] = [error]
            return not isinstance(said[0], resp.Error) or said[0].code == "NOTFOUND"

        self.assertTrue(wait_until(read, RESTS_S), said)
        return None if isinstance(said[0], resp.Error) else clients.value_of(said[0])

    def judge(self, load):
        counts = load.history.counts()
        harm = {name: value - self.before[name]
                for name, value in self.faults.counts().items() if value > self.before[name]}
        print(f"seed {SEED}: {len(load.history.operations)} operations {dict(counts)}, longest "
              f"stall {load.longest_stall:.2f} s, frames {harm}", flush=True)
        try:
            violations = load.history.violations(self.reads)
        except Undecided as undecided:
            violations = [str(undecided)]
        self.assertEqual(len(violations), 0, f"WEIR_SEED={SEED}\n" + "\n".join(violations))

    def harmed(self, name):
        return self.faults.counts()[name] - self.before[name]


class Network(HistoryTest):
    """Frames are harmed, or do not pass."""

    name = "hnet"

    def test_loss_duplication_reordering_and_delay(self):
        self.suffer(lambda: self.faults.set(loss=50, duplicate=50, delay=(0, 3000)))
        for name in ("lost", "duplicated", "delayed"):
            self.assertGreater(self.harmed(name), 0, name)

    def test_much_loss(self):
        self.suffer(lambda: self.faults.set(loss=400, delay=(0, 20000)))
        self.assertGreater(self.harmed("lost"), 0)

    def test_corruption(self):
        self.suffer(lambda: self.faults.set(corrupt=100))
        self.assertGreater(self.harmed("corrupted"), 0)

    def blocked(self, source, target):
        self.suffer(lambda: self.faults.set(source, target, block=1))
        self.assertGreater(self.harmed("blocked"), 0)

    def test_a_backup_does_not_hear_the_master(self):
        self.blocked(self.victim, self.draw.choice(self.backups()))

    def test_the_master_does_not_hear_a_backup(self):
        self.blocked(self.draw.choice(self.backups()), self.victim)

    def test_nobody_hears_the_master(self):
        self.blocked(self.victim, "*")

    def test_the_master_is_cut_off(self):
        self.suffer(lambda: self.ground.cut(self.victim), lambda: self.ground.mend(self.victim))


class Processes(HistoryTest):
    """Nodes and Redis die, stand still or forget."""

    name = "hproc"

    def test_kill_of_the_master(self):
        self.suffer(lambda: self.ground.kill(self.victim),
                    lambda: self.ground.start(self.victim))

    def test_a_master_stands_still_longer_than_its_lease(self):
        self.suffer(lambda: self.ground.pause(self.victim),
                    lambda: self.ground.resume(self.victim), seconds=3 * LEASE_S)

    def test_redis_stands_still_longer_than_a_lease(self):
        self.suffer(lambda: self.ground.pause("redis"), lambda: self.ground.resume("redis"),
                    seconds=2.5 * LEASE_S)

    def test_the_master_does_not_reach_redis_longer_than_its_lease(self):
        relay = self.ground.relays[self.victim]
        self.suffer(relay.hold, relay.go_on, seconds=3 * LEASE_S)

    def test_redis_forgets_everything(self):
        self.suffer(lambda: resp.call(self.ground.redis_socket, "FLUSHALL"))

    def test_mastership_moves_on_and_on(self):
        device = self.devices[0]

        def begin():
            for _ in range(12):
                heir = self.draw.choice(self.ground.nodes)
                resp.call(self.ground.socket(self.master(device)), "MASTER.SET", device, heir)
                self.assertTrue(self.load.await_answers(20, SERVES_S), f"{heir} does not serve")

        self.suffer(begin, seconds=0)

    def test_two_faults_at_once(self):
        self.two_faults_at_once()

    def test_two_faults_at_once_drawn_again(self):
        self.two_faults_at_once()

    def test_two_faults_at_once_drawn_a_third_time(self):
        self.two_faults_at_once()

    def two_faults_at_once(self):
        victim, other = self.victim, self.draw.choice(self.backups())
        kinds = {
            "frames are harmed": (
                lambda: self.faults.set(loss=50, duplicate=50, delay=(0, 3000)),
                self.faults.clear),
            "a backup does not hear the master": (
                lambda: self.faults.set(victim, other, block=1), self.faults.clear),
            "nobody hears a backup": (
                lambda: self.faults.set(other, "*", block=1), self.faults.clear),
            "the master dies": (
                lambda: self.ground.kill(victim), lambda: self.ground.start(victim)),
            "a backup dies": (
                lambda: self.ground.kill(other), lambda: self.ground.start(other)),
            "a backup stands still": (
                lambda: self.ground.pause(other), lambda: self.ground.resume(other)),
            "the master does not reach Redis": (
                self.ground.relays[victim].hold, self.ground.relays[victim].go_on),
            "Redis stands still": (
                lambda: self.ground.pause("redis"), lambda: self.ground.resume("redis")),
            "Redis forgets everything": (
                lambda: resp.call(self.ground.redis_socket, "FLUSHALL"), lambda: None),
        }
        pairs = [(a, b) for i, a in enumerate(kinds) for b in list(kinds)[i + 1:]
                 if not self.together_too_much(a, b)]
        first, second = self.draw.choice(pairs)
        print(f"seed {SEED}: {first}, and {second}", flush=True)

        def begin():
            kinds[first][0]()
            kinds[second][0]()

        def end():
            kinds[second][1]()
            kinds[first][1]()

        self.suffer(begin, end)

    @staticmethod
    def together_too_much(one, other):
        """They name the same node, or Redis twice."""
        return any(one.count(what) and other.count(what)
                   for what in ("backup", "Redis", "the master d"))


class Hanging(HistoryTest):
    """A master hangs on its writes, for its backups do not hear it, until it is master no more."""

    name = "hhang"
    settings = {**HistoryTest.settings, "options": [
        *HistoryTest.settings["options"], "replication.insync_timeout_ms=10000",
        "replication.request_timeout_ms=400"]}

    def test_a_master_that_nobody_hears_is_told_to_give_up(self):
        def begin():
            self.faults.set(self.victim, "*", block=1)
            self.load.last(LEASE_S / 2)
            resp.call(self.ground.socket(self.victim), "MASTER.SET", self.devices[0],
                      self.draw.choice(self.backups()))

        self.suffer(begin)

    def test_nobody_was_shown_a_write_that_is_lost(self):
        def begin():
            self.faults.set(self.victim, "*", block=1)
            self.load.last(LEASE_S / 2)
            self.ground.kill(self.victim)
            self.faults.clear()

        self.suffer(begin, lambda: self.ground.start(self.victim), seconds=0)


if __name__ == "__main__":
    lab.main()
