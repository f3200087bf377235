# SPDX-License-Identifier: BSD-3-Clause
"""A cluster of Weir on one machine, made of network namespaces: the playground.

Each node runs in a namespace of its own, named weir-CLUSTER-n1, ..., behind a veth pair; the other
ends are ports (named as the nodes) of a bridge in the namespace weir-CLUSTER-sw. Nothing of it
shows in the machine's own namespace. Sockets, logs, pids and settings stand in /run/weir/CLUSTER.

Every process that is started carries WEIR_PLAYGROUND=CLUSTER/NAME in its environment: that is how
`down` knows what is its own, whatever became of the pid files.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import resp
import weir

RUN = pathlib.Path("/run/weir")
TOP = pathlib.Path(__file__).resolve().parents[2]
HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")
TAG = "WEIR_PLAYGROUND"
NAME_MAX = 20  # of a cluster, so that every name made from it stays within its limit
NODES_MAX = 32
UDP_PORT = 4739
MTU = 1500


class Trouble(Exception):
    """Something that the user is told in a sentence."""


def run(*command, check=True):
    """A command that is to be quiet; its output where it is not."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise Trouble(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def wait_until(condition, seconds, step=0.02):
    """Polls until the condition holds; its value, or None where time is up first."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            return None
        time.sleep(step)


def tag_of(pid):
    """The tag of a process; None: it is dead, or none of ours."""
    for _ in range(1000):
        try:
            environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            state = pathlib.Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0]
        except OSError:
            return None
        if environment or state in (b"Z", b"X"):
            break
        # It is just becoming another program; then it has no environment for a moment.
        time.sleep(0.001)
    for variable in environment.split(b"\0"):
        if variable.startswith(TAG.encode() + b"="):
            return variable.split(b"=", 1)[1].decode()
    return None


def tagged(prefix):
    """Processes whose tag begins with this: {pid: tag}."""
    found = {}
    wanted = f"{TAG}={prefix}".encode()
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and wanted in pathlib.Path(entry.path, "environ").read_bytes():
                tag = tag_of(int(entry.name))
                if tag and tag.startswith(prefix):
                    found[int(entry.name)] = tag
    return found


def end_all(prefix):
    """Ends the processes with this tag, paused ones too, and waits until they are gone."""

    def send():
        left = tagged(prefix)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return not left

    if not wait_until(send, 10):
        raise Trouble(f"these would not end: {tagged(prefix)}")


def namespaces(cluster):
    names = (line.split()[0] for line in run("ip", "netns", "list").splitlines() if line)
    return [name for name in names if re.fullmatch(rf"weir-{re.escape(cluster)}-(sw|n\d+)", name)]


class HugePages:
    """Reserves pages of 2 MiB for as long as a cluster stands, next to other clusters."""

    @staticmethod
    @contextlib.contextmanager
    def _lock():
        RUN.mkdir(mode=0o755, exist_ok=True)
        with open(RUN.parent / "weir-hugepages.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _free():
        meminfo = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
        fields = dict(line.split(":") for line in meminfo.splitlines())
        if fields.get("Hugepagesize", "").split()[:1] != ["2048"]:
            return 0, 0
        return int(fields["HugePages_Free"]), int(fields["MemAvailable"].split()[0]) // 2048

    @classmethod
    def take(cls, count):
        """@return pages added, or None where so many cannot be had (then nothing has changed)"""
        with cls._lock():
            _, available = cls._free()
            if count > available // 2:
                return None
            try:
                before = int(HUGEPAGES.read_text(encoding="ascii"))
                HUGEPAGES.write_text(str(before + count), encoding="ascii")
                added = int(HUGEPAGES.read_text(encoding="ascii")) - before
                if added < count:
                    HUGEPAGES.write_text(str(before), encoding="ascii")
                    return None
                return added
            except (OSError, ValueError):
                return None

    @classmethod
    def give(cls, count):
        if not count:
            return
        with cls._lock():
            now = int(HUGEPAGES.read_text(encoding="ascii"))
            HUGEPAGES.write_text(str(max(0, now - count)), encoding="ascii")


class Playground:
    """One cluster by its name. Whoever makes it need not be who takes it down."""

    def __init__(self, cluster="demo"):
        if not re.fullmatch(rf"[a-z0-9][a-z0-9-]{{0,{NAME_MAX - 1}}}", cluster):
            raise Trouble(f"{cluster!r} is no name for a cluster: up to {NAME_MAX} of a-z, 0-9, -")
        self.cluster = cluster
        self.folder = RUN / cluster
        self.redis_socket = str(self.folder / "redis.sock")
        self.switch = f"weir-{cluster}-sw"
        self.settings = {}
        with contextlib.suppress(OSError, ValueError):
            self.settings = json.loads((self.folder / "cluster.json").read_text(encoding="utf-8"))

    # --------------------------------------------------------------------------- names ---

    @property
    def nodes(self):
        return [f"n{number}" for number in range(1, self.settings.get("nodes", 0) + 1)]

    def known(self, node):
        if not self.settings:
            raise Trouble(f"there is no cluster {self.cluster}; `deploy/cluster up` makes it")
        if node not in self.nodes:
            raise Trouble(f"there is no node {node}; there are {', '.join(self.nodes)}")

    def namespace(self, node):
        return f"weir-{self.cluster}-{node}"

    def socket(self, node):
        return str(self.folder / f"{node}.sock")

    @property
    def sockets(self):
        return [self.socket(node) for node in self.nodes]

    def log(self, name):
        return self.folder / f"{name}.log"

    def log_tail(self, name, lines=15):
        with contextlib.suppress(OSError):
            text = self.log(name).read_text(encoding="utf-8", errors="replace")
            return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])
        return "  | (no log)"

    @property
    def build(self):
        return pathlib.Path(self.settings["build"])

    @property
    def weirctl(self):
        return str(self.build / "app" / "weirctl" / "weirctl")

    @property
    def weir_node(self):
        return str(self.build / "app" / "weir-node" / "weir-node")

    # ----------------------------------------------------------------------- processes ---

    def pid(self, name):
        """The pid of a node or of "redis", or None where it does not run."""
        try:
            pid = int((self.folder / f"{name}.pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        if tag_of(pid) == f"{self.cluster}/{name}":
            return pid
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return None

    def _spawn(self, name, command):
        environment = {**os.environ, TAG: f"{self.cluster}/{name}"}
        with open(self.log(name), "ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        # Whoever wants to know asks for the pid, not for this object.
        process.returncode = 0
        (self.folder / f"{name}.pid").write_text(f"{process.pid}\n", encoding="ascii")

    def signal(self, name, number):
        pid = self.pid(name)
        if pid is None:
            raise Trouble(f"{name} does not run")
        os.kill(pid, number)

    def gone(self, name, seconds):
        if wait_until(lambda: self.pid(name) is None, seconds, 0.002) is None:
            raise Trouble(f"{name} still runs after {seconds} s; its log ends with\n"
                          + self.log_tail(name))

    def kill(self, name):
        self.signal(name, signal.SIGKILL)
        self.gone(name, 10)

    def stop(self, node):
        """SIGTERM. @return seconds until it was gone"""
        began = time.monotonic()
        self.signal(node, signal.SIGTERM)
        self.gone(node, 10)
        return time.monotonic() - began

    def pause(self, name):
        self.signal(name, signal.SIGSTOP)

    def resume(self, name):
        self.signal(name, signal.SIGCONT)

    def cut(self, node):
        """Takes the node's port of the bridge down."""
        run("ip", "-n", self.switch, "link", "set", node, "down")

    def mend(self, node):
        run("ip", "-n", self.switch, "link", "set", node, "up")

    # --------------------------------------------------------------------------- redis ---

    def redis_start(self, seconds=10):
        if self.pid("redis"):
            raise Trouble("redis runs already")
        self._spawn("redis", [
            "redis-server", "--port", "0", "--unixsocket", self.redis_socket,
            "--unixsocketperm", "600", "--save", "", "--appendonly", "no",
            "--dir", str(self.folder), "--set-proc-title", "no", "--daemonize", "no"])
        if not wait_until(lambda: self.answers(self.redis_socket), seconds):
            raise Trouble("redis-server does not answer; its log ends with\n"
                          + self.log_tail("redis"))

    # --------------------------------------------------------------------------- nodes ---

    @staticmethod
    def answers(path):
        """Whether something at this socket says PONG."""
        try:
            return resp.call(path, "PING", timeout=2) == b"PONG"
        except (OSError, resp.Error):
            return False

    def lcores(self, node):
        """Main lcore and workers on the CPUs that this process may use, spread over the nodes."""
        cpus = sorted(os.sched_getaffinity(0))
        workers = self.settings["workers"]
        first = (int(node[1:]) - 1) * workers
        places = [f"0@{cpus[(first + workers) % len(cpus)]}"]
        places += [f"{w + 1}@{cpus[(first + w) % len(cpus)]}" for w in range(workers)]
        return ",".join(places)

    def eal_arguments(self, node):
        memory = ["--no-huge", "-m", str(self.settings["memory_mb"])]
        if self.settings["hugepages"] is not None:
            # Some at once, the rest as it is needed; no node takes another's pages.
            memory = ["--in-memory", "-m", str(self.settings["memory_mb"] // 4),
                      "--socket-limit", str(self.settings["memory_mb"])]
        port = "net_af_packet0,iface=eth0,framecnt=4096,blocksz=65536"
        if self.settings["workers"] > 1:
            port += f",qpairs={self.settings['workers']}"
        return ["--lcores", self.lcores(node), "--no-pci", "--iova-mode=va", *memory,
                "--file-prefix", self.namespace(node), f"--vdev={port}"]

    def configuration(self, node):
        return {
            "node": {"id": node},
            "cluster": {"name": self.cluster},
            "redis": {"socket": self.redis_socket},
            "port": {"ipv4": f"10.71.0.{node[1:]}", "udp_port": UDP_PORT, "mtu": MTU},
            "api": {"socket": self.socket(node)},
        }

    def write_configuration(self, node):
        sections = self.configuration(node)
        for option in self.settings["options"]:
            name, value = option.split("=", 1)
            section, key = name.split(".", 1)
            sections.setdefault(section, {})[key] = value
        text = "".join(
            f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()) + "\n"
            for section, keys in sections.items())
        path = self.folder / f"{node}.conf"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def command(self, node):
        """How a node is started."""
        return ["ip", "netns", "exec", self.namespace(node), self.weir_node,
                *self.eal_arguments(node), "--", "-c", self.write_configuration(node)]

    def launch(self, node):
        """Starts a node and does not wait for it."""
        if self.pid(node):
            raise Trouble(f"{node} runs already")
        self._spawn(node, self.command(node))

    def await_node(self, node, seconds=15):
        def ready():
            return self.answers(self.socket(node)) or self.pid(node) is None

        if not wait_until(ready, seconds) or self.pid(node) is None:
            state = "does not answer" if self.pid(node) else "has ended"
            raise Trouble(f"{node} {state}; its log ends with\n" + self.log_tail(node))

    def start(self, node):
        self.launch(node)
        self.await_node(node)

    def live_nodes(self, node):
        """The nodes that this one holds for alive."""
        try:
            listed = weir.nodes(self.socket(node))
        except (OSError, resp.Error):
            return []
        return [name for name, row in listed.items() if row["live"]]

    def await_cluster(self, nodes, seconds=15):
        """Until each of these nodes sees all of them alive and has a lease, so that it serves."""
        wanted = set(nodes)

        def whole():
            return all(wanted <= set(self.live_nodes(node)) and
                       int(weir.info(self.socket(node))["lease_left_ms"]) > 0 for node in nodes)

        if not wait_until(whole, seconds, 0.05):
            views = "; ".join(f"{node} sees {' '.join(self.live_nodes(node)) or 'nobody'}"
                              for node in nodes)
            raise Trouble(f"the nodes do not find each other: {views}. The log of {nodes[0]} "
                          f"ends with\n{self.log_tail(nodes[0])}")

    # ----------------------------------------------------------------------- the whole ---

    def _wire(self):
        run("ip", "netns", "add", self.switch)
        self._quiet(self.switch)
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "br0", "mtu", str(MTU), "up")
        for node in self.nodes:
            space = self.namespace(node)
            run("ip", "netns", "add", space)
            self._quiet(space)
            run("ip", "-n", self.switch, "link", "add", node, "mtu", str(MTU), "type", "veth",
                "peer", "name", "eth0", "mtu", str(MTU), "netns", space)
            run("ip", "-n", self.switch, "link", "set", node, "master", "br0", "up")
            run("ip", "-n", space, "link", "set", "eth0", "up")
            run("ip", "-n", space, "link", "set", "lo", "up")

    @staticmethod
    def _quiet(space):
        """No IPv6: the only frames on the wire are Weir's."""
        for which in ("all", "default"):
            path = f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6"
            run("ip", "netns", "exec", space, "sh", "-c", f"echo 1 >{path}", check=False)

    def prepare(self, build, nodes=3, workers=1, memory_mb=512, huge=True, options=()):
        """All but Redis and the nodes: folders, settings, memory, network."""
        if os.geteuid() != 0:
            raise Trouble("only root can make network namespaces; run this as root")
        if not 1 <= nodes <= NODES_MAX:
            raise Trouble(f"1 to {NODES_MAX} nodes are possible, not {nodes}")
        if workers not in (1, 2, 4, 8, 16, 32):
            raise Trouble(f"the number of workers is a power of two up to 32, not {workers}")
        for option in options:
            if not re.fullmatch(r"\w+\.\w+=.*", option):
                raise Trouble(f"{option!r} is not of the form section.key=value")
        for program in ("weir-node", "weirctl"):
            if not (pathlib.Path(build) / "app" / program / program).exists():
                raise Trouble(f"{program} is not built in {build}; deploy/build builds it")
        for program in ("ip", "redis-server"):
            if not shutil.which(program):
                raise Trouble(f"{program} is missing; deploy/setup installs it")
        self.down()
        self.folder.mkdir(mode=0o755, parents=True)
        self.settings = {
            "nodes": nodes, "workers": workers, "memory_mb": memory_mb, "build": str(build),
            "options": list(options), "hugepages": None}
        self._save()
        if huge:
            self.settings["hugepages"] = HugePages.take(nodes * (memory_mb // 2 + 16))
            self._save()
        self._wire()

    def _save(self):
        (self.folder / "cluster.json").write_text(
            json.dumps(self.settings, indent=1) + "\n", encoding="utf-8")

    def up(self, build, **settings):
        self.prepare(build, **settings)
        self.redis_start()
        for node in self.nodes:
            self.launch(node)
        for node in self.nodes:
            self.await_node(node)
        self.await_cluster(self.nodes)

    def down(self):
        """Ends and removes all of it; where nothing is left, nothing is done."""
        for name in [*self.nodes, "redis"]:
            with contextlib.suppress(Trouble, ProcessLookupError):
                self.signal(name, signal.SIGKILL)
        end_all(f"{self.cluster}/")
        for space in namespaces(self.cluster):
            run("ip", "netns", "del", space)
        for folder in pathlib.Path("/var/run/dpdk").glob(f"weir-{self.cluster}-n*"):
            if re.fullmatch(rf"weir-{re.escape(self.cluster)}-n\d+", folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        given, self.settings = self.settings.get("hugepages"), {}
        shutil.rmtree(self.folder, ignore_errors=True)
        HugePages.give(given)
        with contextlib.suppress(OSError):
            RUN.rmdir()

    def wire_bytes(self):
        """Bytes that each node has sent, as the switch counted them."""
        listed = json.loads(run("ip", "-n", self.switch, "-s", "-j", "link", "show"))
        return {port["ifname"]: port["stats64"]["rx"]["bytes"]
                for port in listed if port["ifname"] in self.nodes}
