# SPDX-License-Identifier: BSD-3-Clause
"""How long writes stand still when mastership moves: three nodes on this machine, real Redis.

A client writes one flow after the other and asks wherever it is sent; the longest time between two
of its acknowledged writes is what one move costs. Prints `name value unit (least to most)`, and
with --each every single figure. Nothing is asserted.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "deploy" / "lib"))

import resp  # noqa: E402
import weir  # noqa: E402
from playground import Playground, Trouble, wait_until  # noqa: E402

DEVICE = "sw1"
CALM_S = 0.15  # before and after a move, for the client to be at its pace
ONE_FLOW = "cookie=0x1,priority=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80,actions=output:2"


def flow(number):
    return (f"priority=2,tcp,nw_src=10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255},"
            "nw_dst=10.0.0.2,tp_dst=80,actions=output:2")


class Writer(threading.Thread):
    """Writes one flow after the other, and notes when each was acknowledged."""

    def __init__(self, sockets):
        super().__init__(daemon=True)
        self.sockets = sockets
        self.connections = {}
        self.ends = threading.Event()
        self.done_s = []

    def connection(self, socket):
        if socket not in self.connections:
            self.connections[socket] = resp.Connection(socket, timeout=4)
        return self.connections[socket]

    def run(self):
        request = resp.encode("FLOW.ADD", DEVICE, ONE_FLOW)
        at = 0
        while not self.ends.is_set():
            socket = self.sockets[at]
            try:
                connection = self.connection(socket)
                connection.send(request)
                answer = connection.read()
            except OSError:
                self.connections.pop(socket, None)
                at = (at + 1) % len(self.sockets)
                time.sleep(0.001)
                continue
            if not isinstance(answer, resp.Error):
                self.done_s.append(time.monotonic())
            else:
                at = self.other(at, str(answer).split())
        for connection in self.connections.values():
            connection.close()

    def other(self, at, refusal):
        time.sleep(0.0002)
        named = refusal[2] if refusal[0] == "NOTMASTER" and len(refusal) > 2 else None
        if named in self.sockets and self.sockets.index(named) != at:
            return self.sockets.index(named)
        return (at + 1) % len(self.sockets)


def longest_ms(done_s):
    return max(b - a for a, b in zip(done_s, done_s[1:])) * 1000


def whole(ground, node, copies):
    """Whether the node is master, and so many copies are in sync."""
    return serving(ground) == node and \
        len(weir.device(ground.socket(node), DEVICE)["insync"]) == copies


def observed(ground, move, after_s):
    """Longest silence, in ms, from shortly before `move` until so long after it."""
    writer = Writer(ground.sockets)
    writer.start()
    time.sleep(CALM_S)
    move()
    time.sleep(after_s)
    writer.ends.set()
    writer.join()
    return longest_ms(writer.done_s)


def hand_over(ground, number):
    """@return the silence of one move to the next node, asked for at a node by turns"""
    nodes = ground.nodes
    to, asked = nodes[(number + 1) % len(nodes)], nodes[number // len(nodes) % len(nodes)]
    silent = observed(
        ground, lambda: resp.call(ground.socket(asked), "MASTER.SET", DEVICE, to), CALM_S)
    if not wait_until(lambda: whole(ground, to, len(nodes)), 20):
        raise Trouble(f"{to} does not become master of {DEVICE} with all copies in sync")
    return silent


def serving(ground):
    """The node that is master and serves, or None."""
    for node in ground.nodes:
        with contextlib.suppress(OSError, resp.Error):
            info = weir.device(ground.socket(node), DEVICE)
            if info["master"] == node and info["active"] == info["term"]:
                return node
    return None


def kill(ground):
    victim = wait_until(lambda: serving(ground), 20)
    silent = observed(ground, lambda: ground.kill(victim), 3.5)
    ground.start(victim)
    if not wait_until(lambda: any(whole(ground, node, len(ground.nodes)) for node in ground.nodes),
                      30):
        raise Trouble(f"{DEVICE} is not whole after the death of {victim}")
    return silent


def row(name, values, each):
    if not values:
        return
    ranked = sorted(values)
    print(f"{name:<28} {statistics.median(ranked):>10.4g} ms   n {len(ranked)}, "
          f"p90 {ranked[len(ranked) * 9 // 10]:.4g}, ({ranked[0]:.4g} to {ranked[-1]:.4g})",
          flush=True)
    if each:
        print("  " + " ".join(f"{value:.1f}" for value in values), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--handovers", type=int, default=24)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--flows", type=int, default=100000)
    parser.add_argument("--each", action="store_true", help="every figure too")
    parser.add_argument("--log", help="where the nodes' logs are copied to")
    parser.add_argument("--option", action="append", default=[], help="section.key=value")
    arguments = parser.parse_args()
    ground = Playground(f"hand{os.getpid()}")
    try:
        ground.up(os.environ.get("WEIR_BUILD", str(TOP / "build")), options=arguments.option)
        resp.call(ground.socket("n1"), "DEVICE.ADD", DEVICE)
        if not wait_until(lambda: whole(ground, "n1", 3), 20):
            raise Trouble(f"the copies of {DEVICE} do not come in sync")
        with resp.Connection(ground.socket("n1")) as connection:
            for answer in connection.pipeline(
                    ("FLOW.ADD", DEVICE, flow(number)) for number in range(arguments.flows)):
                if isinstance(answer, resp.Error):
                    raise Trouble(str(answer))
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {arguments.flows} flows",
              flush=True)
        time.sleep(0.5)
        row("calm_silence", [observed(ground, lambda: None, CALM_S) for _ in range(5)],
            arguments.each)
        row("handover_silence",
            [hand_over(ground, number) for number in range(arguments.handovers)], arguments.each)
        row("kill_silence", [kill(ground) for _ in range(arguments.kills)], arguments.each)
    finally:
        if arguments.log and ground.folder.exists():
            for node in ground.nodes:
                pathlib.Path(arguments.log, f"{node}.log").write_bytes(
                    ground.log(node).read_bytes())
        ground.down()


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"bench: {trouble}")
