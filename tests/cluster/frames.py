#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""frames.py PORT FROM TO: throws bad frames out of a port of the bridge, at the node behind it.

Run in the bridge's namespace. Broadcast, so that nobody need know an address: truncated at every
length, UDP to the node's ports with garbage in it, lengths that lie, other protocols.
"""

import random
import socket
import struct
import sys

UDP_PORT = 4739


def udp(source, target, port, payload, lie=0):
    length = 8 + len(payload) + lie
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 1, 0, 64, 17, 0,
                         socket.inet_aton(source), socket.inet_aton(target))
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", 0xFFFF & ~(total + (total >> 16))) + header[12:]
    return header + struct.pack("!HHHH", port, port, length & 0xFFFF, 0) + payload


def frames(source, target):
    draw = random.Random(1)
    ethernet = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x99" + b"\x08\x00"
    good = ethernet + udp(source, target, UDP_PORT, draw.randbytes(200))
    for length in range(14, len(good), 3):
        yield good[:length]
    for _ in range(2000):
        port = UDP_PORT + draw.randrange(3)
        payload = draw.randbytes(draw.randrange(0, 1472))
        yield ethernet + udp(source, target, port, payload)
    for lie in (-8, -1, 1, 500, 40000):
        yield ethernet + udp(source, target, UDP_PORT, draw.randbytes(100), lie)
    for _ in range(200):
        yield draw.randbytes(draw.randrange(14, 1500))


def main():
    port, source, target = sys.argv[1:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((port, 0))
        for frame in frames(source, target):
            raw.send(frame)


if __name__ == "__main__":
    main()
