#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who may join, and what a node does without its coordinator."""

import subprocess

import lab
import resp
import rules
import weir
from lab import DEVICE, wait_until


class Members(lab.ClusterTest):
    name = "memb"

    def test_a_second_process_of_the_same_name_is_refused_with_a_sentence(self):
        before = weir.nodes(self.ground.socket("n1"))["n2"]
        command = self.ground.command("n2")
        prefix = command.index("--file-prefix") + 1
        command[prefix] += "-twin"
        command += ["-o", f"api.socket={self.ground.folder}/twin.sock"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL)
        self.assertGreater(done.returncode, 0)
        self.assertIn("n2", done.stdout + done.stderr)
        self.assertTrue(self.ground.answers(self.ground.socket("n2")))
        self.assertEqual(weir.nodes(self.ground.socket("n1"))["n2"], before)
        self.await_copies()

    def test_nothing_changes_hands_while_redis_is_gone_and_all_goes_on_after_it(self):
        flows = rules.rules(40, seed=11)
        master = self.await_copies()
        resp.call(self.ground.socket(master), "FLOW.ADD", DEVICE, flows[0])
        self.ground.kill("redis")
        # Leases run out: the master must fence itself, for nobody can tell it that it still is.
        self.assertTrue(wait_until(lambda: self.refuses(master, flows[1]), 10),
                        "a master without a lease takes writes")
        for node in self.ground.nodes:
            self.assertTrue(self.ground.answers(self.ground.socket(node)), f"{node} is silent")
        self.ground.redis_start()
        master = self.master(seconds=20)
        self.assertTrue(wait_until(lambda: not self.refuses(master, flows[2]), 10))
        self.await_copies()
        self.assert_nothing_missing([flows[0], flows[2]])
        self.assert_copies_equal()

    def refuses(self, node, flow):
        try:
            resp.call(self.ground.socket(node), "FLOW.ADD", DEVICE, flow)
        except resp.Error:
            return True
        return False


class Forgotten(lab.ClusterTest):
    name = "forg"
    with_device = False

    def listed(self):
        return weir.nodes(self.ground.socket("n1"))

    def test_a_full_cluster_says_what_to_do_and_a_node_that_was_forgotten_makes_room(self):
        self.assertIn("lives", self.forget("n3", 1))
        self.ground.kill("n3")
        self.assertTrue(wait_until(lambda: not int(self.listed()["n3"]["live"]), 10))
        self.forget("n3", 0)
        self.assertTrue(wait_until(lambda: "n3" not in self.listed(), 5))
        # As many others as there is room for, all of them gone.
        nodes = f"weir:{{{self.ground.cluster}}}:nodes"
        entry = b"1 02:00:00:00:00:01 10.0.0.1 6640 1 1024 1 /run/x.sock"
        for number in range(30):
            resp.call(self.ground.redis_socket, "HSET", nodes, f"x{number}", entry)
        self.assertTrue(wait_until(lambda: len(self.listed()) == 32, 5))
        self.ground.launch("n3")
        self.assertTrue(wait_until(
            lambda: "weirctl forget NODE" in self.ground.log_tail("n3", 100), 10))
        self.assertNotIn("n3", self.listed())
        self.forget("x7", 0)
        self.ground.await_node("n3")
        self.ground.await_cluster(self.ground.nodes)
        # The place that it has at the others was another's: frames go to the right one.
        self.add_device(DEVICE)
        self.assert_copies_equal()
        self.assertIn("master or standby", self.forget("n3", 1, kill=True))

    def forget(self, node, status, kill=False):
        if kill:
            self.ground.kill(node)
            wait_until(lambda: not int(self.listed()[node]["live"]), 10)
        command = [self.ground.weirctl, "-s", self.ground.socket("n1"), "forget", node]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr


class RedisComesLate(lab.ClusterTest):
    name = "late"
    settings = {"nodes": 1}

    @classmethod
    def setUpClass(cls):
        cls.ground = lab.Playground(f"{lab.RUN}-{cls.name}")
        cls.addClassCleanup(cls.ground.down)
        cls.ground.prepare(lab.BUILD, nodes=1)

    def test_a_node_waits_for_redis_says_so_and_starts_when_it_comes(self):
        self.ground.launch("n1")
        said = wait_until(lambda: "redis" in self.ground.log_tail("n1", 200).lower()
                          and self.ground.redis_socket in self.ground.log_tail("n1", 200), 10)
        self.assertTrue(said, self.ground.log_tail("n1"))
        self.assertIsNotNone(self.ground.pid("n1"))
        self.ground.redis_start()
        self.ground.await_node("n1")
        self.ground.await_cluster(["n1"])
        self.assertIn(resp.call(self.ground.socket("n1"), "DEVICE.ADD", DEVICE), (b"OK", 1))
        self.assertEqual(self.master(), "n1")


if __name__ == "__main__":
    lab.main()
