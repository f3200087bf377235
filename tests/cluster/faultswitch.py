# SPDX-License-Identifier: BSD-3-Clause
"""A playground whose nodes are joined by a switch that can harm their frames (switch.c)."""

import os
import subprocess
import threading

import lab
from playground import TAG, Playground, run
from relay import Relay

SEED = int(os.environ.get("WEIR_SEED", "0")) or int.from_bytes(os.urandom(4), "little")


class FaultSwitch:
    """The process; it ends with this object, and with whoever made it."""

    def __init__(self, program, namespace, ports, tag, log, seed=SEED):
        self.lock = threading.Lock()
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, str(program), str(seed), *ports],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1,
                cwd="/", env={**os.environ, TAG: tag}, start_new_session=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line.startswith("OK"):
            raise ValueError(line or f"the switch has ended ({self.process.wait(5)})")
        return line

    def tell(self, line):
        with self.lock:
            self.process.stdin.write(line + "\n")
            return self.answer()

    def set(self, source="*", target="*", **harm):
        """@param harm loss, duplicate, corrupt: of 1000; delay: (least, most) in us; block: 0, 1"""
        if "delay" in harm:
            harm["delay"] = "-".join(map(str, harm["delay"]))
        self.tell(f"set {source} {target} " + " ".join(f"{k}={v}" for k, v in harm.items()))

    def clear(self):
        self.tell("clear")

    def counts(self):
        words = self.tell("counts").split()[1:]
        return {name: int(value) for name, value in (word.split("=") for word in words)}

    def close(self):
        self.process.stdin.close()
        self.process.wait(5)
        self.process.stdout.close()


class FaultyGround(Playground):
    """As a playground, with the switch in place of the bridge and a relay before Redis."""

    faults = None
    relays = {}

    def redis_of(self, node):
        return str(self.folder / f"{node}-redis.sock")

    def configuration(self, node):
        return {**super().configuration(node), "redis": {"socket": self.redis_of(node)}}

    def _wire(self):
        super()._wire()
        for node in self.nodes:
            run("ip", "-n", self.switch, "link", "set", node, "nomaster")
        self.relays = {node: Relay(self.redis_of(node), self.redis_socket) for node in self.nodes}
        self.faults = FaultSwitch(
            lab.BUILD / "tests" / "cluster" / "fault-switch", self.switch, self.nodes,
            f"{self.cluster}/switch", self.log("switch"))

    def down(self):
        if self.faults:
            self.faults.close()
            self.faults = None
        for relay in self.relays.values():
            relay.close()
        self.relays = {}
        super().down()
