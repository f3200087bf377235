#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What harms frames and holds Redis up, without nodes: does it what it is told, and only that?"""

import ctypes
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

import lab
from faultswitch import FaultyGround
from lab import wait_until
from relay import Relay

CLONE_NEWNET = 0x40000000
ETHERTYPE = 0x88B5  # for local experiments (IEEE 802)
FRAMES = 1000


def within(namespace, action):
    """Does something in another network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as home, open(f"/run/netns/{namespace}", "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), namespace)
        try:
            return action()
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


class Station:
    """The far end of a port: sends numbered frames and remembers what came."""

    def __init__(self, namespace):
        self.socket = within(namespace, self.open)
        self.mac = self.socket.getsockname()[4]

    @staticmethod
    def open():
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        opened.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        opened.bind(("eth0", ETHERTYPE))
        opened.setblocking(False)
        return opened

    def frame(self, target, number):
        return target + self.mac + ETHERTYPE.to_bytes(2, "big") + number.to_bytes(4, "big") * 20

    def send(self, target, *numbers):
        for number in numbers:
            self.socket.send(self.frame(target, number))

    def read(self):
        """What has come, without the Ethernet header."""
        came = []
        while True:
            try:
                came.append(self.socket.recv(2048)[14:])
            except BlockingIOError:
                return came
            except OSError:  # the interface went down
                continue

    def await_number(self, number, seconds=5):
        """@return all that came until this number did"""
        came = []

        def there():
            came.extend(self.read())
            return any(frame[:4] == number.to_bytes(4, "big") for frame in came)

        if not wait_until(there, seconds, 0.005):
            raise AssertionError(f"frame {number} did not come within {seconds} s")
        return came


def numbers(frames):
    return [int.from_bytes(frame[:4], "big") for frame in frames]


class Switching(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ground = FaultyGround(f"{lab.RUN}-fsw")
        cls.addClassCleanup(cls.ground.down)
        cls.ground.prepare(lab.BUILD, nodes=3, memory_mb=16)
        cls.switch = cls.ground.faults
        cls.stations = [Station(cls.ground.namespace(node)) for node in cls.ground.nodes]
        for station in cls.stations:
            cls.addClassCleanup(station.socket.close)
        cls.next = 1 << 20

    def setUp(self):
        self.switch.clear()
        self.meet()
        self.before = self.switch.counts()

    def meet(self):
        """Each station says something, so that the switch knows where it is."""
        one, two, three = self.stations
        for sender, receiver in ((one, two), (two, three), (three, one)):
            self.last(sender, receiver)
        for station in self.stations:
            station.read()

    @classmethod
    def last(cls, sender, receiver, seconds=5):
        """A frame that passes unharmed behind the others. @return what came before it"""
        cls.next += 1
        sender.send(receiver.mac, cls.next)
        return [frame for frame in receiver.await_number(cls.next, seconds)
                if int.from_bytes(frame[:4], "big") < 1 << 20]

    def done(self, name):
        return self.switch.counts()[name] - self.before[name]

    def exchange(self, count=FRAMES, await_last=True, **harm):
        """Numbered frames from the first station to the second while they are harmed."""
        one, two, _ = self.stations
        self.switch.set("n1", "n2", **harm)
        for first in range(0, count, 100):
            one.send(two.mac, *range(first, first + 100))
            wanted = self.before["received"] + first + 100
            self.assertTrue(wait_until(
                lambda wanted=wanted: self.switch.counts()["received"] >= wanted, 5, 0.001))
        self.switch.clear()
        return self.last(one, two) if await_last else two.read()

    def test_frames_go_to_the_station_they_name_in_order(self):
        came = self.exchange()
        self.assertEqual(numbers(came), list(range(FRAMES)))
        self.assertTrue(all(frame == frame[:4] * 20 for frame in came))
        self.assertEqual(self.stations[2].read(), [])

    def test_broadcast_goes_to_all_others(self):
        one, two, three = self.stations
        one.send(b"\xff" * 6, 7)
        self.assertEqual(numbers(self.last(one, two)), [7])
        self.assertEqual(numbers(self.last(one, three)), [7])
        self.assertEqual(one.read(), [])

    def test_so_many_of_a_thousand_are_lost(self):
        came = numbers(self.exchange(loss=300))
        self.assertEqual(len(came), FRAMES - self.done("lost"))
        self.assertTrue(200 < self.done("lost") < 400, self.done("lost"))
        self.assertEqual(came, sorted(set(came)))

    def test_so_many_of_a_thousand_come_twice(self):
        came = numbers(self.exchange(duplicate=300))
        self.assertEqual(set(came), set(range(FRAMES)))
        self.assertEqual(len(came), FRAMES + self.done("duplicated"))
        self.assertTrue(200 < self.done("duplicated") < 400, self.done("duplicated"))

    def test_delayed_frames_overtake_each_other_and_all_come(self):
        one, two, _ = self.stations
        began = time.monotonic()
        came = numbers(self.exchange(delay=(20000, 60000), await_last=False))
        while len(came) < FRAMES and time.monotonic() < began + 10:
            came += numbers(two.read())
        self.assertEqual(sorted(came), list(range(FRAMES)))
        self.assertNotEqual(came, sorted(came))
        self.assertGreater(time.monotonic() - began, 0.02)
        self.assertEqual(self.done("delayed"), FRAMES)
        self.assertEqual(numbers(self.last(one, two)), [])

    def test_a_corrupted_frame_differs_in_one_bit(self):
        one, two, _ = self.stations
        self.switch.set("n1", "n2", corrupt=1000)
        one.send(two.mac, *[0x0F0F0F0F] * 100)
        whole = 0x0F0F0F0F.to_bytes(4, "big") * 20
        came = [frame for frame in self.wait_frames(two, 100) if len(frame) == len(whole)]
        self.assertEqual(len(came), 100)
        for frame in came:
            different = int.from_bytes(frame, "big") ^ int.from_bytes(whole, "big")
            self.assertEqual(different.bit_count(), 1)

    @staticmethod
    def wait_frames(station, count):
        came = []

        def enough():
            came.extend(station.read())
            return len(came) >= count

        wait_until(enough, 5)
        return came

    def test_one_way_is_blocked_and_the_other_is_not(self):
        one, two, three = self.stations
        self.assertEqual(self.exchange(count=100, block=1), [])
        self.assertEqual(self.done("blocked"), 100)
        self.switch.set("n1", "n2", block=1)
        self.last(two, one)
        self.last(one, three)
        self.switch.set("n1", "*", block=1)
        one.send(three.mac, 5)
        wait_until(lambda: self.done("blocked") == 101, 5)
        self.assertEqual(three.read(), [])

    def test_a_queue_without_room_loses_what_comes(self):
        one, two, _ = self.stations
        self.switch.set("n1", "n2", delay=(300000, 300000), duplicate=1000)
        deadline = time.monotonic() + 10
        while not self.done("overflow") and time.monotonic() < deadline:
            one.send(two.mac, *range(500))
        self.switch.clear()
        self.assertGreater(self.done("overflow"), 0)
        self.assertTrue(wait_until(lambda: self.done("sent") >= 16384, 5))
        self.last(one, two)

    def test_a_port_comes_back_after_it_was_down(self):
        one, two, three = self.stations
        self.ground.cut("n2")
        one.send(two.mac, 1)
        self.last(one, three)
        self.assertEqual(two.read(), [])
        began = self.cpu_seconds()
        wait_until(lambda: False, 0.3)
        self.assertLess(self.cpu_seconds() - began, 0.1, "the switch turns in circles")
        self.ground.mend("n2")
        self.assertTrue(wait_until(lambda: self.passes(one, two), 5), "from n1 to n2")
        self.assertTrue(wait_until(lambda: self.passes(two, one), 5), "from n2 to n1")

    def cpu_seconds(self):
        pid = self.switch.process.pid
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1]
        return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def passes(self, sender, receiver):
        try:
            self.last(sender, receiver, 0.2)
        except (OSError, AssertionError):
            return False
        return True

    def test_wrong_orders_are_refused_and_change_nothing(self):
        for line in ("", "fly", "set", "set n1", "set n1 n9 loss=1", "set n1 n2 loss=1001",
                     "set n1 n2 loss=", "set n1 n2 loss=-1", "set n1 n2 loss=1x",
                     "set n1 n2 delay=5", "set n1 n2 delay=9-5", "set n1 n2 delay=0-10000001",
                     "set n1 n2 block=2", "set n1 n2 loss=1000 colour=red",
                     "set n1 n2 loss=99999999999999999999"):
            with self.assertRaises(ValueError, msg=line):
                self.switch.tell(line)
        self.assertEqual(len(self.exchange(count=100)), 100)

    def test_wrong_arguments_are_told_in_a_sentence(self):
        program = lab.BUILD / "tests" / "cluster" / "fault-switch"
        for words in ((), ("x", "lo"), ("1", "no-such-port"), ("1", *["lo"] * 33)):
            done = subprocess.run([program, *words], capture_output=True, text=True, timeout=10,
                                  stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn("fault-switch", done.stderr)

    def test_a_line_without_end_ends_it(self):
        program = lab.BUILD / "tests" / "cluster" / "fault-switch"
        done = subprocess.run([program, "1", "lo"], input="x" * 600, capture_output=True,
                              text=True, timeout=10)
        self.assertIn("ERR", done.stdout)


class Relaying(unittest.TestCase):
    """The way to Redis that can be held up."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.target = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(self.target.close)
        self.target.bind(f"{folder.name}/target")
        self.target.listen()
        self.relay = Relay(f"{folder.name}/relay", f"{folder.name}/target")
        self.addCleanup(self.relay.close)
        self.near = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(self.near.close)
        self.near.connect(f"{folder.name}/relay")
        self.far, _ = self.target.accept()
        self.addCleanup(self.far.close)
        for end in (self.near, self.far):
            end.settimeout(5)

    def test_both_ways_pass_and_what_is_held_comes_late(self):
        for source, target in ((self.near, self.far), (self.far, self.near)):
            source.sendall(b"one")
            self.assertEqual(target.recv(10), b"one")
            self.relay.hold()
            source.sendall(b"two")
            target.settimeout(0.1)
            self.assertRaises(TimeoutError, target.recv, 10)
            target.settimeout(5)
            self.relay.go_on()
            self.assertEqual(target.recv(10), b"two")

    def test_either_end_ends_both(self):
        self.far.close()
        self.assertEqual(self.near.recv(10), b"")

    def test_nothing_is_left_open_when_it_ends(self):
        self.relay.close()
        self.assertEqual(self.near.recv(10), b"")
        self.assertEqual(self.far.recv(10), b"")


if __name__ == "__main__":
    lab.main()
