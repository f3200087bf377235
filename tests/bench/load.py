# SPDX-License-Identifier: BSD-3-Clause
"""What a user gets: three nodes on this machine, the shipped rule set through weirctl.

Prints `name value unit ratio baseline`, the median of the rounds and their spread. Rounds of Weir
and of the baseline, a Redis with two replicas that is sent as many texts of the same kind and does
not wait for the copies, take turns, so that a busy machine hits both. Nothing is asserted.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "deploy" / "lib"))

import resp  # noqa: E402
import weir  # noqa: E402
from playground import Playground, Trouble, wait_until  # noqa: E402

FLOWS = TOP / "tests" / "data" / "classbench-fw1.flows.gz"
ONE_FLOW = "cookie=0x1,priority=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80,actions=output:2"
TEXT_BYTES = 150
PIPELINE = 2048
TICKS = os.sysconf("SC_CLK_TCK")


def row(name, values, unit, baseline=None, baseline_name="-"):
    value = statistics.median(values)
    ratio = f"{value / statistics.median(baseline):.3f}" if baseline else "-"
    spread = f"({min(values):.4g} to {max(values):.4g})"
    print(f"{name:<34} {value:>12.4g} {unit:<10} {ratio:>7} {baseline_name:<28} {spread}",
          flush=True)


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1]
        total += sum(int(field) for field in fields.split()[11:13])
    return total / TICKS


class Redises:
    """A Redis with two replicas on Unix sockets and loopback, the baseline."""

    def __init__(self, first_port=17611):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-"))
        self.processes = []
        for number in range(3):
            command = ["redis-server", "--port", str(first_port + number), "--bind", "127.0.0.1",
                       "--unixsocket", self.socket(number), "--save", "", "--appendonly", "no",
                       "--dir", str(self.folder), "--repl-diskless-sync-delay", "0"]
            if number > 0:
                command += ["--replicaof", "127.0.0.1", str(first_port)]
            self.processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        if not wait_until(self.ready, 20):
            raise Trouble("the Redis of the baseline does not come up")

    def socket(self, number):
        return str(self.folder / f"{number}.sock")

    def ready(self):
        with contextlib.suppress(OSError, resp.Error):
            return b"connected_slaves:2" in resp.call(self.socket(0), "INFO", "replication")
        return False

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def benchmark(socket, count, pipeline, *command):
    """redis-benchmark. @return requests a second, p50 and p99 in us"""
    run = subprocess.run(
        ["redis-benchmark", "-s", socket, "-c", "1", "-n", str(count), "-P", str(pipeline),
         "--precision", "3", "--csv", *command], capture_output=True, text=True)
    if run.returncode != 0:
        raise Trouble(f"redis-benchmark failed: {run.stderr.strip() or run.stdout.strip()}")
    answer = run.stdout.splitlines()
    fields = [field.strip('"') for field in answer[-1].rsplit(",", 7)]
    return float(fields[1]), float(fields[4]) * 1000, float(fields[6]) * 1000


def load(ground, device, meanwhile=None):
    """Loads the rule set into a new device. @return weirctl's own account"""
    resp.call(ground.socket("n1"), "DEVICE.ADD", device)
    whole = wait_until(
        lambda: len(weir.device(ground.socket("n1"), device)["insync"]) == 3, 20)
    if not whole:
        raise Trouble(f"the copies of {device} do not come in sync")
    other = threading.Thread(target=meanwhile) if meanwhile else None
    if other:
        other.start()
    answer = subprocess.run(
        [ground.weirctl, "-s", ",".join(ground.sockets), "--json", "--pipeline", str(PIPELINE),
         "add-flows", device, str(FLOWS)], check=True, capture_output=True, text=True).stdout
    if other:
        other.join()
    return json.loads(answer)


def hand_over(ground, device):
    time.sleep(0.25)
    for node in ("n2", "n3"):
        resp.call(ground.socket("n1"), "MASTER.SET", device, node)
        time.sleep(0.2)


def rounds(ground, redises, count):
    rates, base, cpu, stalls = [], [], [], []
    pids = [ground.pid(node) for node in ground.nodes]
    for number in range(count):
        before = cpu_seconds(pids)
        account = load(ground, f"load{number}")
        rates.append(account["flows_per_second"])
        cpu.append((cpu_seconds(pids) - before) / account["acknowledged"] * 1e6)
        base.append(benchmark(redises.socket(0), account["acknowledged"], PIPELINE,
                              "SET", "key:__rand_int__", "x" * TEXT_BYTES)[0])
        stalls.append(load(ground, f"handed{number}",
                           lambda name=f"handed{number}": hand_over(ground, name))
                      ["longest_stall_ms"])
    row("acknowledged_flows_per_s", rates, "flows/s", base, "redis_set_2_replicas_no_wait")
    row("redis_set_2_replicas_no_wait", base, "sets/s")
    row("cpu_of_nodes_per_flow", cpu, "us")
    row("longest_stall_two_handovers", stalls, "ms")


def latencies(ground, redises, count):
    one, ping, base = [], [], []
    for _ in range(count):
        one.append(benchmark(ground.socket("n1"), 5000, 1, "FLOW.ADD", "load0", ONE_FLOW)[1:])
        ping.append(benchmark(ground.socket("n1"), 5000, 1, "PING")[1:])
        base.append(benchmark(redises.socket(0), 5000, 1, "SET", "key", "x" * TEXT_BYTES)[1:])
    row("one_acknowledged_add_p50", [a for a, _ in one], "us", [a for a, _ in base],
        "redis_set_no_wait_p50")
    row("one_acknowledged_add_p99", [b for _, b in one], "us", [b for _, b in base],
        "redis_set_no_wait_p99")
    row("ping_p50", [a for a, _ in ping], "us")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ground = Playground(f"bench{os.getpid()}")
    redises = None
    try:
        ground.up(os.environ.get("WEIR_BUILD", str(TOP / "build")))
        redises = Redises()
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, "
              f"{arguments.rounds} rounds; name value unit ratio baseline (spread)")
        rounds(ground, redises, arguments.rounds)
        latencies(ground, redises, arguments.rounds)
        sent = sum(ground.wire_bytes().values())
        flows = 2 * arguments.rounds * 194836
        row("wire_bytes_per_flow_all_nodes", [sent / flows], "bytes")
        used = weir.memory_used(ground.socket("n1"))
        row("memory_per_flow", [used / flows], "bytes")
    finally:
        if redises:
            redises.close()
        ground.down()


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"bench: {trouble}")
