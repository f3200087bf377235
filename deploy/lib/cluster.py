# SPDX-License-Identifier: BSD-3-Clause
"""deploy/cluster: the playground as a command."""

import argparse
import contextlib
import fnmatch
import os
import pathlib
import signal
import sys

import playground
import resp
import weir
from playground import Playground, Trouble

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

HELP = """\
Makes a cluster of Weir on this machine: each node in a network namespace of its own, joined by a
bridge, with a private Redis. Nodes are named n1, n2, ...; client sockets are
/run/weir/CLUSTER/n1.sock, ..., logs and pids stand beside them.
The cluster's name is taken from WEIR_CLUSTER (default: demo), so that several can stand together.
"""


def parser():
    top = argparse.ArgumentParser(
        prog="deploy/cluster", description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    up = verbs.add_parser("up", help="build, set up and start a cluster (ends an older one)")
    up.add_argument("-n", "--nodes", type=int, default=3, help="default: 3")
    up.add_argument("--workers", type=int, default=1, help="worker cores a node (default: 1)")
    up.add_argument("--memory", type=int, default=512, metavar="MB",
                    help="memory a node (default: 512; 1 M flows need about that)")
    up.add_argument("--no-huge", action="store_true", help="do without hugepages")
    up.add_argument("-o", action="append", default=[], metavar="SECTION.KEY=VALUE",
                    dest="options", help="a setting for all nodes, as in weir.conf")
    verbs.add_parser("status", help="a table of the nodes and their devices")
    for verb, text in (
        ("start", "start a node (or redis) that is not running"),
        ("stop", "SIGTERM: the node hands its masterships over and leaves"),
        ("kill", "SIGKILL"),
        ("pause", "SIGSTOP"),
        ("resume", "SIGCONT"),
        ("cut", "take the node's port of the bridge down"),
        ("mend", "take it up again"),
    ):
        verbs.add_parser(verb, help=text).add_argument("node", metavar="NODE")
    down = verbs.add_parser("down", help="end and remove everything of the cluster")
    down.add_argument("--matching", metavar="GLOB", help="all clusters of such a name instead")
    return top


def process_figures(pid):
    """(state, resident MB, CPU seconds) of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return fields[0], resident, (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def status_rows(ground):
    for node in ground.nodes:
        pid = ground.pid(node)
        if pid is None:
            yield (node, "-", "dead") + ("-",) * 5
            continue
        state, resident, cpu = process_figures(pid)
        row = [node, pid, "paused" if state == "T" else "alive"]
        try:
            info = {} if state == "T" else weir.info(ground.socket(node))
            figures = [info.get(name, "-")
                       for name in ("devices_master", "devices_standby", "flows")]
        except (OSError, resp.Error):
            row[2], figures = "silent", ["-"] * 3
        yield (*row, *figures, f"{resident:.0f}", f"{cpu:.1f}")


def print_table(rows):
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.rjust(width) if column else cell.ljust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))))


def status(ground):
    if not ground.settings:
        raise Trouble(f"there is no cluster {ground.cluster}; `deploy/cluster up` makes it")
    heads = ("node", "pid", "state", "master", "standby", "flows", "rss_mb", "cpu_s")
    print_table([heads, *status_rows(ground)])
    pages = ground.settings["hugepages"]
    memory = "no hugepages" if pages is None else f"{pages} hugepages of 2 MiB"
    redis = ground.pid("redis")
    print(f"redis: {'pid ' + str(redis) if redis else 'dead'}; {memory}; {ground.folder}")


def down(ground, matching):
    if not matching:
        ground.down()
        return
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted(playground.RUN.iterdir()):
            if fnmatch.fnmatchcase(folder.name, matching):
                Playground(folder.name).down()


def main():
    arguments = parser().parse_args()
    ground = Playground(os.environ.get("WEIR_CLUSTER", "demo"))
    verb = arguments.verb
    if verb == "up":
        try:
            ground.up(os.environ["WEIR_BUILD"], nodes=arguments.nodes, workers=arguments.workers,
                      memory_mb=arguments.memory, huge=not arguments.no_huge,
                      options=arguments.options)
        except KeyboardInterrupt:
            ground.down()
            raise
        status(ground)
        print(f"talk to it: redis-cli -s {ground.socket('n1')} NODE.LIST")
        return
    if verb == "status":
        # Whoever reads only a part of it ends it, as with any other command.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        status(ground)
        return
    if verb == "down":
        down(ground, arguments.matching)
        return
    node = arguments.node
    if node != "redis":
        ground.known(node)
    if verb == "start" and node == "redis":
        ground.redis_start()
    elif verb == "stop":
        print(f"{node} was gone after {ground.stop(node) * 1000:.0f} ms")
    else:
        getattr(ground, verb)(node)


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"cluster: {trouble}")
    except KeyboardInterrupt:
        sys.exit(130)
