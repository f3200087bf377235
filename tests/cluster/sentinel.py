#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Redis fails over, loses writes, forgets everything and stands still while a client loads flows."""

import contextlib
import threading
import time
import unittest

import lab
import resp
import rules
from lab import Loader, wait_until
from playground import Playground, Trouble, run

REDISES = ["r1", "r2", "r3"]
SENTINELS = ["s1", "s2", "s3"]
PORTS = {**{name: 6400 + int(name[1:]) for name in REDISES},
         **{name: 26400 + int(name[1:]) for name in SENTINELS}}
ADDRESS = "10.72.0.254"
LEASE = 2  # seconds, as nodes have it by default


class Watched(Playground):
    """A playground whose Redis has two replicas and three Sentinels. Nodes reach them by TCP, over
    a bridge of their own, so that the replication network stays what it is."""

    def _wire(self):
        super()._wire()
        run("ip", "-n", self.switch, "link", "set", "lo", "up")
        run("ip", "-n", self.switch, "link", "add", "br1", "type", "bridge")
        run("ip", "-n", self.switch, "addr", "add", f"{ADDRESS}/24", "dev", "br1")
        run("ip", "-n", self.switch, "link", "set", "br1", "up")
        for node in self.nodes:
            space = self.namespace(node)
            run("ip", "-n", self.switch, "link", "add", f"{node}-redis", "type", "veth",
                "peer", "name", "eth1", "netns", space)
            run("ip", "-n", self.switch, "link", "set", f"{node}-redis", "master", "br1", "up")
            run("ip", "-n", space, "addr", "add", f"10.72.0.{node[1:]}/24", "dev", "eth1")
            run("ip", "-n", space, "link", "set", "eth1", "up")

    def configuration(self, node):
        sections = super().configuration(node)
        sections["redis"] = {
            "sentinels": ", ".join(f"{ADDRESS}:{PORTS[name]}" for name in SENTINELS),
            "sentinel_master": self.cluster}
        return sections

    def down(self):
        # A Sentinel's command line does not name the cluster: nobody else would find it.
        for name in SENTINELS:
            self.ask(name, "SHUTDOWN", "NOSAVE")
        super().down()

    def ask(self, name, *words):
        """A command to a Redis or a Sentinel; None where it does not answer."""
        try:
            return resp.text(resp.call(str(self.folder / f"{name}.sock"), *words, timeout=3))
        except OSError:
            return None

    def _await(self, what, condition, seconds):
        value = wait_until(condition, seconds, 0.05)
        if not value:
            raise Trouble(f"{what}: not within {seconds} s; the log of s1 ends with\n"
                          + self.log_tail("s1"))
        return value

    def _server(self, name, *arguments):
        self._spawn(name, [
            "ip", "netns", "exec", self.switch, "redis-server", *arguments,
            "--port", str(PORTS[name]), "--bind", ADDRESS, "--protected-mode", "no",
            "--unixsocket", str(self.folder / f"{name}.sock"), "--dir", str(self.folder),
            "--daemonize", "no"])
        self._await(f"{name} answers", lambda: self.ask(name, "PING") == "PONG", 10)

    def one_start(self, name, *arguments):
        """A Redis that knows nothing, and is a primary unless it is told otherwise."""
        self._server(name, "--save", "", "--appendonly", "no", "--dbfilename", f"{name}.rdb",
                     "--repl-diskless-sync-delay", "0", "--set-proc-title", "no", *arguments)

    def _sentinel_start(self, name):
        (self.folder / f"{name}.conf").write_text(
            f"sentinel monitor {self.cluster} {ADDRESS} {PORTS['r1']} 2\n"
            f"sentinel down-after-milliseconds {self.cluster} 2000\n"
            f"sentinel failover-timeout {self.cluster} 2000\n"
            f"sentinel parallel-syncs {self.cluster} 2\n", encoding="ascii")
        self._server(name, str(self.folder / f"{name}.conf"), "--sentinel")

    def redis_start(self, seconds=10):
        for name in REDISES:
            self.one_start(name)
        for name in REDISES[1:]:
            self.ask(name, "REPLICAOF", ADDRESS, PORTS["r1"])
        self.await_replicas()
        for name in SENTINELS:
            self._sentinel_start(name)
        self._await("the Sentinels know each other", self._sentinels_agree, 20)

    def _sentinels_agree(self):
        for name in SENTINELS:
            state = resp.pairs(self.ask(name, "SENTINEL", "MASTER", self.cluster) or [])
            if state.get("num-slaves") != "2" or state.get("num-other-sentinels") != "2":
                return False
        return True

    def role(self, name):
        return (self.ask(name, "ROLE") or [None])[0] if self.pid(name) else None

    def primary(self, other_than=None, seconds=40):
        """The Redis that all Sentinels name and that says so itself."""

        def named():
            ports = {tuple(self.ask(name, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.cluster)
                           or [])[1:] for name in SENTINELS}
            for name in REDISES:
                if ports == {(str(PORTS[name]),)} and name != other_than \
                        and self.role(name) == "master":
                    return name
            return None

        return self._await("a primary", named, seconds)

    def replicas(self):
        primary = self.primary()
        return [name for name in REDISES if name != primary]

    def await_replicas(self):
        """Until one Redis has all others as replicas that follow."""

        def follow():
            primaries = [name for name in REDISES if self.role(name) == "master"]
            if len(primaries) != 1:
                return False
            self.ask(primaries[0], "PUBLISH", "test", "follow")
            return self.ask(primaries[0], "WAIT", len(REDISES) - 1, 100) == len(REDISES) - 1

        self._await("all replicas follow", follow, 20)

    def await_cluster(self, nodes, seconds=15):
        """As ever, but a failover that the machine's load has caused may have to end first."""
        try:
            super().await_cluster(nodes, 2 * seconds)
        except Trouble as trouble:
            logs = "".join(f"\n{name}'s log ends with\n{self.log_tail(name, 30)}"
                           for name in REDISES + SENTINELS)
            raise Trouble(f"{trouble}{logs}") from None

    def restore(self):
        for name in REDISES:
            if not self.pid(name):
                self.one_start(name, "--replicaof", f"{ADDRESS} {PORTS[self.primary(name)]}")
        self.await_replicas()


class Load:
    """A client that loads flows from a thread of its own, not too fast, until it is ended."""

    def __init__(self, test, flows):
        self.loader = Loader(test, flows, test.device, depth=32)
        self.thread = threading.Thread(target=self._run)
        self.ending = False
        self.fault = None

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        self.thread.join()

    def _run(self):
        try:
            while not self.ending and self.loader.waiting:
                with contextlib.suppress(AssertionError):  # no master yet: it asks again
                    self.loader.batch(None)
                time.sleep(0.02)
        except BaseException as fault:  # it is the test's, not the thread's
            self.fault = fault

    @property
    def count(self):
        if self.fault:
            raise self.fault
        return len(self.loader.acknowledged)


class Failing(lab.ClusterTest):
    """Each test has a device and looks at its terms all the time."""

    def setUp(self):
        self.device = f"dev-{self._testMethodName[5:30]}"
        self.restore()
        self.terms = {}
        self.marks = {node: len(self.log(node)) for node in self.ground.nodes}
        self.add_device(self.device, self.running()[0])

    def log(self, node):
        return self.ground.log(node).read_text(encoding="utf-8", errors="replace")

    def since(self, node):
        """What the node has logged in this test."""
        return self.log(node)[self.marks[node]:]

    def look(self):
        for node in self.ground.nodes:
            term = int(self.info(node, self.device).get("term", 0))
            self.assertGreaterEqual(term, self.terms.get(node, 0), f"{node}'s term went back")
            self.terms[node] = term or self.terms.get(node, 0)

    def until(self, what, condition, seconds=20):
        def holds():
            self.look()
            return condition()

        value = wait_until(holds, seconds, 0.05)
        self.assertTrue(value, f"{what}: not within {seconds} s; terms {self.terms}")
        return value

    def load(self):
        return Load(self, rules.rules(60000, seed=len(self.device)))

    def await_more(self, load, flows=500, seconds=40):
        wanted = load.count + flows
        self.until(f"{flows} more flows are acknowledged", lambda: load.count >= wanted, seconds)

    def finish(self, load):
        self.assertEqual(load.loader.refused, [])
        self.await_copies(self.device)
        self.assert_nothing_missing(load.loader.acknowledged, self.device)
        self.assert_copies_equal(self.device)
        self.look()
        print(f"{load.count} acknowledged, longest stall {load.loader.longest_stall:.2f} s, "
              f"terms {self.terms}", flush=True)

    def fenced(self, node):
        try:
            resp.call(self.ground.socket(node), "FLOW.ADD", self.device, rules.rules(1)[0])
        except resp.Error as error:
            return error.code == "FENCED"
        return False


    def leases_run_out(self, master):
        """Until the master says so, and it must be so for all of them."""
        began = time.monotonic()
        self.until("the master's lease runs out", lambda: self.fenced(master), 10)
        self.until("all leases run out", lambda: time.monotonic() - began > 2 * LEASE)


class FailingOver(Failing):
    playground = Watched

    def restore(self):
        self.ground.restore()
        return super().restore()

    def blind(self, replicas):
        """What the primary writes from now on never comes to the replicas, though it lives."""
        for name in replicas:
            self.ground.pause(name)
        # What is in the sockets of a stopped process would reach it yet.
        self.ground.ask(self.ground.primary(), "CLIENT", "KILL", "TYPE", "replica")

    def stored_term(self, redis):
        key = f"weir:{{{self.ground.cluster}}}:device:{self.device}"
        return int(self.ground.ask(redis, "HGET", key, "term") or 0)


class Confirmed(FailingOver):
    name = "conf"
    settings = {"options": ["redis.min_replicas=1"]}

    def test_kill_9_of_the_primary_under_load_loses_nothing(self):
        with self.load() as load:
            self.await_more(load)
            victim = self.ground.primary()
            self.ground.kill(victim)
            successor = self.ground.primary(other_than=victim)
            self.await_more(load, 2000)
            self.ground.one_start(victim)  # back as what it was, and empty
            self.await_more(load, 1000)
            self.until("the former primary is made a replica",
                       lambda: self.ground.role(victim) == "slave", 40)
            self.await_more(load)
        self.assertEqual(self.ground.primary(), successor)
        self.finish(load)

    def test_without_its_replicas_redis_is_as_good_as_down(self):
        master = self.await_copies(self.device)
        with self.load() as load:
            self.await_more(load)
            replicas = self.ground.replicas()
            for name in replicas:
                self.ground.pause(name)
            try:
                self.leases_run_out(master)
                self.assertIn("0 of 1 replicas have confirmed", self.since(master))
            finally:
                for name in replicas:
                    self.ground.resume(name)
            self.await_more(load)
        self.finish(load)

    def test_what_no_replica_has_is_not_acted_upon(self):
        master = self.await_copies(self.device)
        heir = next(node for node in self.ground.nodes if node != master)
        with self.load() as load:
            self.await_more(load)
            primary, replicas = self.ground.primary(), self.ground.replicas()
            self.blind(replicas)
            with self.assertRaises(resp.Error):
                resp.call(self.ground.socket(master), "MASTER.SET", self.device, heir)
            self.assertEqual(self.stored_term(primary), 2)
            self.ground.kill(primary)
            for name in replicas:
                self.ground.resume(name)
            self.ground.primary(other_than=primary)
            self.await_more(load)
            self.assertEqual(set(self.terms.values()), {1})
        for node in self.ground.nodes:
            self.assertNotIn("has another record", self.since(node))
        self.finish(load)


class Careless(FailingOver):
    name = "care"

    def test_a_failover_that_loses_a_change_of_master_costs_no_flow_and_no_term(self):
        master = self.await_copies(self.device)
        heir = next(node for node in self.ground.nodes if node != master)
        with self.load() as load:
            self.await_more(load)
            primary, replicas = self.ground.primary(), self.ground.replicas()
            self.blind(replicas)
            resp.call(self.ground.socket(master), "MASTER.SET", self.device, heir)
            self.until("the heir serves", lambda: self.master(self.device) == heir)
            self.await_more(load)
            lost = self.stored_term(primary)
            self.until("all nodes have heard of it",
                       lambda: all(term == lost for term in self.terms.values()))
            self.ground.kill(primary)
            for name in replicas:
                self.ground.resume(name)
            self.assertLess(self.stored_term(replicas[0]), lost, "the change was not lost")
            successor = self.ground.primary(other_than=primary)
            self.until("a new term is agreed", lambda: self.stored_term(successor) > lost)
            self.until("all nodes have it", lambda: min(self.terms.values()) > lost)
            self.await_more(load)
        for node in self.ground.nodes:
            self.assertIn("the coordinator is another one", self.since(node))
        self.assertTrue(any("has another record than that of term" in self.since(node)
                            for node in self.ground.nodes))
        self.finish(load)


class Alone(Failing):
    name = "alone"

    def redis(self, *words):
        return resp.call(self.ground.redis_socket, *words)

    def test_flushall_under_load_loses_nothing(self):
        self.await_copies(self.device)
        with self.load() as load:
            self.await_more(load)
            for _ in range(2):
                self.look()
                before = max(self.terms.values())
                self.redis("FLUSHALL")
                self.until("a new term is agreed", lambda: min(self.terms.values()) > before)
                self.await_more(load)
        self.finish(load)

    def test_script_flush_under_load_goes_unnoticed(self):
        self.await_copies(self.device)
        with self.load() as load:
            for _ in range(10):
                self.redis("SCRIPT", "FLUSH")
                self.await_more(load, 100)
                self.redis("SCRIPT", "FLUSH")
                self.assertEqual(resp.call(self.ground.socket("n1"), "PING"), b"PONG")
        self.redis("SCRIPT", "FLUSH")
        self.add_device(f"{self.device}2")
        for node in self.ground.nodes:
            self.assertNotIn("NOSCRIPT", self.since(node))
        self.finish(load)
        self.assertEqual(set(self.terms.values()), {1})

    def test_a_redis_that_stands_still_past_the_lease_loses_nothing(self):
        master = self.await_copies(self.device)
        with self.load() as load:
            self.await_more(load)
            self.ground.pause("redis")
            try:
                self.leases_run_out(master)
            finally:
                self.ground.resume("redis")
            self.await_more(load)
        self.finish(load)


if __name__ == "__main__":
    lab.main()
