#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What an idle node costs."""

import os
import pathlib
import time

import lab

SECONDS = 5
AIM = 3.0  # percent of a core
LIMIT = 6.0  # on a machine that does other things at the same time


class Idle(lab.ClusterTest):
    name = "idle"
    settings = {"options": ["idle.policy=sleep"]}

    def cpu(self, node):
        stat = pathlib.Path(f"/proc/{self.ground.pid(node)}/stat").read_text(encoding="ascii")
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_an_idle_node_takes_few_percent_of_a_core(self):
        self.await_copies()
        time.sleep(1)  # what the start left to do
        before = {node: self.cpu(node) for node in self.ground.nodes}
        began = time.monotonic()
        time.sleep(SECONDS)
        took = time.monotonic() - began
        shares = {n: 100 * (self.cpu(n) - before[n]) / took for n in self.ground.nodes}
        for node, share in shares.items():
            print(f"idle_{node} {share:.1f} percent_of_a_core (aim {AIM})", flush=True)
        self.assertLess(max(shares.values()), LIMIT)


if __name__ == "__main__":
    lab.main()
