# SPDX-License-Identifier: BSD-3-Clause
"""deploy/demo: a cluster keeps a real rule set through the kill -9 of its master."""

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import resp
import weir
from playground import TOP, Playground, Trouble, wait_until

DEVICE = "fw1"
KILL_AT = 0.4  # share of the flows that the master holds when it is killed
LOAD_SECONDS = 90
CATCH_UP_SECONDS = 60


class Screen:
    """What is said, one line a fact; colours and moving bars on a terminal only."""

    def __init__(self):
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def colour(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.terminal else text

    def head(self, text):
        print("\n" + self.colour("1", text), flush=True)

    def fact(self, name, text):
        print(f"  {name:<20} {text}", flush=True)

    def verdict(self, name, good, text):
        mark = self.colour("32", "ok") if good else self.colour("1;31", "WRONG")
        print(f"  {name:<20} {text}  {mark}", flush=True)
        return good

    def bar(self, name, done, total):
        if not self.terminal:
            return
        width = 40
        full = min(width, width * done // max(1, total))
        print(f"\r  {name:<20} [{'#' * full}{'.' * (width - full)}] {done:,} of {total:,}",
              end="", flush=True)

    def bar_end(self):
        if self.terminal:
            print("\r\033[K", end="", flush=True)


class Demo:
    def __init__(self, ground, flows_file, screen):
        self.ground = ground
        self.file = flows_file
        self.screen = screen
        self.flows = self.read_flows(flows_file)
        self.acked = ground.folder / "acknowledged"
        self.loader = None
        self.good = True

    @staticmethod
    def read_flows(path):
        opener = gzip.open if str(path).endswith(".gz") else open
        try:
            with opener(path, "rt", encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except (OSError, EOFError, UnicodeDecodeError) as problem:
            raise Trouble(f"{path}: {problem}") from problem
        flows = [line for line in lines if line and not line.startswith("#")]
        if not flows:
            raise Trouble(f"{path}: no flows in it")
        return flows

    def judge(self, name, good, text):
        self.good &= self.screen.verdict(name, good, text)

    def weirctl(self, *words, node=None, fails=False):
        """What weirctl prints, asked of one node or of any."""
        sockets = [self.ground.socket(node)] if node else self.ground.sockets
        command = [self.ground.weirctl, "-s", ",".join(sockets), *words]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode and not fails:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise Trouble(f"weirctl {' '.join(words)}: {said}")
        return done.stdout

    def device(self, node):
        """DEVICE.INFO at a node, or {} where it does not answer."""
        try:
            return weir.device(self.ground.socket(node), DEVICE)
        except (OSError, resp.Error):
            return {}

    def await_device(self, node, condition, seconds, what):
        def look():
            info = self.device(node)
            return info if info and condition(info) else None

        info = wait_until(look, seconds)
        if not info:
            raise Trouble(f"{what}: not within {seconds} s; {node} says {self.device(node)}")
        return info

    # --------------------------------------------------------------------------- acts ---

    def add_device(self):
        self.weirctl("device-add", DEVICE)
        master = "n1"
        copies = min(3, len(self.ground.nodes))
        info = self.await_device(
            master, lambda i: i["active"] == i["term"] and len(i["insync"]) == copies, 15,
            f"{copies} copies in sync")
        self.screen.fact("device", f"{DEVICE}: master {info['master']}, in sync "
                         + " ".join(info["insync"]))
        return info["master"]

    def start_load(self):
        command = [self.ground.weirctl, "-s", ",".join(self.ground.sockets), "--json",
                   "add-flows", "--acked-log", str(self.acked), DEVICE, str(self.file)]
        # Its progress bar stands where our own lines stand.
        shown = None if self.screen.terminal and sys.stderr.isatty() else subprocess.PIPE
        self.loader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=shown, text=True,
                                       stdin=subprocess.DEVNULL)

    def kill_in_the_middle(self, master):
        """Waits for KILL_AT of the flows, then SIGKILL. @return flows a second until then"""
        enough = int(KILL_AT * len(self.flows))
        began = first = None
        deadline = time.monotonic() + LOAD_SECONDS
        while True:
            held = int(self.device(master).get("flows", 0))
            now = time.monotonic()
            if held and began is None:
                began, first = now, held
            if held >= enough:
                break
            if self.loader.poll() is not None:
                raise Trouble("the load was over before the master could be killed: "
                              + self.loader_words())
            if now > deadline:
                raise Trouble(f"{master} holds {held} flows after {LOAD_SECONDS} s of loading")
            time.sleep(0.005)
        pid = self.ground.pid(master)
        self.ground.kill(master)
        self.screen.bar_end()
        share = 100 * held / len(self.flows)
        self.screen.fact("kill -9", self.screen.colour(
            "1;33", f"{master} (pid {pid}), the master, at {share:.0f} % of the load"))
        return (held - first) / (now - began) if now > began else 0

    def loader_words(self):
        out, err = self.loader.communicate()
        return ((err or "") + (out or "")).strip() or f"exit status {self.loader.returncode}"

    def finish_load(self):
        try:
            out, err = self.loader.communicate(timeout=LOAD_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise Trouble(f"the load was not over after {LOAD_SECONDS} s") from late
        try:
            result = json.loads(out.strip().splitlines()[-1])
        except (ValueError, IndexError) as problem:
            raise Trouble(f"weirctl add-flows, exit status {self.loader.returncode}, said "
                          f"{(err or out).strip()!r}") from problem
        self.loader = None
        return result

    # ------------------------------------------------------------------------- checks ---

    def dump_hash(self, node):
        """(flows, SHA-256 of all of them in order) of the copy at this node."""
        rows = sorted(self.weirctl("--local", "dump-flows", DEVICE, node=node).splitlines())
        return len(rows), hashlib.sha256(b"\n".join(rows)).hexdigest()

    def copies_equal(self, nodes):
        """By the content sum that each node keeps, and by a hash of each copy's whole dump."""
        wait_until(lambda: len({self.device(n).get("content") for n in nodes}) == 1, 10)
        sums = {node: self.device(node).get("content") for node in nodes}
        dumps = {node: self.dump_hash(node) for node in nodes}
        for node in nodes:
            count, digest = dumps[node]
            self.judge(f"copy on {node}", sums[node] == sums[nodes[0]] is not None
                       and dumps[node] == dumps[nodes[0]],
                       f"{count:,} flows, content {sums[node]}, dump {digest[:16]}")

    def check_flows(self, master, loaded):
        report = json.loads(self.weirctl("--json", "verify", "--acked", str(self.acked), DEVICE,
                                         str(self.file), node=master, fails=True))
        self.judge("acknowledged", loaded["acknowledged"] == len(self.flows),
                   f"{loaded['acknowledged']:,} of {len(self.flows):,}")
        self.judge(f"found on {master}", report["found"] == loaded["acknowledged"],
                   f"{report['found']:,}, each with its content")
        self.judge("missing", report["missing"] == 0, f"{report['missing']:,}")

    def figures(self, master, result, rate, sent_before):
        count = len(self.flows)
        seconds, stall = result["seconds"], result["longest_stall_ms"] / 1000
        sent = self.ground.wire_bytes()
        wire = sum(sent[node] - sent_before[node] for node in sent)
        used = weir.memory_used(self.ground.socket(master))
        self.screen.fact("flows a second", f"{rate:,.0f} until the kill; "
                         f"{count / seconds:,.0f} over the whole load, the failover included")
        self.screen.fact("writes stood still", f"{stall:.2f} s")
        self.screen.fact("on the wire", f"{wire / count:,.0f} bytes a flow, all frames of all "
                         f"nodes ({len(sent) - 1} backups, {result['resent']:,} sent again)")
        self.screen.fact("memory", f"{used / count:,.0f} bytes a flow on {master}")

    # ---------------------------------------------------------------------- the whole ---

    def bring_back(self, dead, master):
        began = time.monotonic()
        self.ground.start(dead)
        total = int(self.device(master)["flows"])

        def whole():
            self.screen.bar("catching up", int(self.device(dead).get("flows", 0)), total)
            return dead in self.device(master).get("insync", [])

        back = wait_until(whole, CATCH_UP_SECONDS, 0.05)
        self.screen.bar_end()
        took = time.monotonic() - began
        held = int(self.device(dead).get("flows", 0))
        self.judge(f"{dead} in sync again", bool(back),
                   f"{held:,} flows, {took:.2f} s after its start")

    def play(self):
        master = self.add_device()
        sent_before = self.ground.wire_bytes()
        self.screen.fact("load", f"{len(self.flows):,} flows of {self.file.name} through weirctl")
        self.start_load()
        rate = self.kill_in_the_middle(master)
        result = self.finish_load()
        alive = [node for node in self.ground.nodes if node != master]
        successor = self.await_device(
            alive[0], lambda i: i["master"] != master and i["active"] == i["term"], 10,
            "a new master")["master"]
        self.screen.bar_end()
        self.screen.fact("new master", f"{successor}, followed by weirctl, which finished the load")

        self.screen.head("What became of the flows")
        self.check_flows(successor, result)
        self.copies_equal(alive)
        self.figures(successor, result, rate, sent_before)

        self.screen.head(f"{master} comes back with empty memory")
        self.bring_back(master, successor)
        self.copies_equal(self.ground.nodes)

    def abandon(self):
        if self.loader:
            self.loader.kill()
            self.loader.wait()


def parse():
    parser = argparse.ArgumentParser(
        prog="deploy/demo", description=__doc__.split(": ", 1)[1].strip().capitalize())
    parser.add_argument("--keep", action="store_true", help="leave the cluster running at the end")
    parser.add_argument("--flows", type=pathlib.Path, metavar="FILE",
                        default=TOP / "tests" / "data" / "classbench-fw1.flows.gz",
                        help="another rule set in ovs-ofctl syntax, also .gz")
    parser.add_argument("--nodes", type=int, default=3, help="3 or more (default: 3)")
    parser.add_argument("--workers", type=int, default=1, help="worker cores a node (default: 1)")
    arguments = parser.parse_args()
    if arguments.nodes < 3:
        parser.error("with fewer than 3 nodes nobody is left to compare with")
    return arguments


def how_to_talk(ground):
    screen = Screen()
    screen.head("The cluster is still running. To talk to it:")
    for line in (
        f"redis-cli -s {ground.socket('n2')} DEVICE.INFO {DEVICE}",
        f"redis-cli -s {ground.socket('n2')} FLOW.COUNT {DEVICE}",
        f"{os.path.relpath(ground.weirctl)} -s {','.join(ground.sockets)} nodes",
        f"{os.path.relpath(TOP / 'deploy' / 'cluster')} status | kill n2 | start n2 | down",
    ):
        print("  " + line)


def on_signal(number, _):
    print("\ndemo: ended by a signal, taking everything down", file=sys.stderr)
    raise SystemExit(128 + number)


def main():
    arguments = parse()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    screen = Screen()
    ground = Playground(os.environ.get("WEIR_CLUSTER", "demo"))
    demo, kept = None, False
    try:
        demo = Demo(ground, arguments.flows, screen)
        screen.head(f"Weir: {arguments.nodes} nodes keep {len(demo.flows):,} flows "
                    "through the death of their master")
        if ground.settings:
            screen.fact("cluster", "an older one of this name is taken down first")
        began = time.monotonic()
        ground.up(os.environ["WEIR_BUILD"], nodes=arguments.nodes, workers=arguments.workers)
        pages = ground.settings["hugepages"]
        screen.fact("cluster", f"{' '.join(ground.nodes)} up in {time.monotonic() - began:.1f} s, "
                    f"{len(os.sched_getaffinity(0))} CPUs, "
                    + ("no hugepages" if pages is None else "hugepages"))
        demo.play()
        screen.head("All as it should be." if demo.good else "Something is WRONG, see above.")
        kept = arguments.keep
        return 0 if demo.good else 1
    except Trouble as trouble:
        screen.bar_end()
        print(f"\ndemo: {trouble}", file=sys.stderr)
        for name in [*ground.nodes, "redis"]:
            print(f"{name}'s log ends with\n{ground.log_tail(name, 8)}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if demo:
            demo.abandon()
        if kept:
            how_to_talk(ground)
        else:
            ground.down()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"demo: {trouble}")
