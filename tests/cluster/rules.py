#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Rule sets out of a seed: rules.py COUNT [SEED] prints COUNT flows in ovs-ofctl syntax.

Each rule is another one (by table, priority and match), and each field and action that Weir knows
turns up. Prefix lengths, ports and protocols are drawn as access lists have them: many hosts and
networks of 24 bits, few of others, ports exact or absent.
"""

import random
import sys

PORTS = (22, 25, 53, 80, 110, 123, 143, 161, 389, 443, 445, 993, 1433, 3306, 5060, 8080)
LENGTHS = (32,) * 8 + (24,) * 6 + (16, 20, 21, 22, 23, 25, 26, 27, 28, 29, 30, 8)


def prefix4(draw):
    length = draw.choice(LENGTHS)
    address = draw.getrandbits(32) & (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF
    text = ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))
    return text if length == 32 else f"{text}/{length}"


def prefix6(draw):
    groups = [f"{draw.randrange(1, 65536):x}" for _ in range(4)]
    return "2001:db8:" + ":".join(groups[:2]) + "::/64"


def mac(draw):
    return "02:" + ":".join(f"{draw.getrandbits(8):02x}" for _ in range(5))


def ports(draw):
    fields = []
    if draw.random() < 0.3:
        fields.append(f"tp_src={draw.randrange(1024, 65536)}")
    if draw.random() < 0.8:
        fields.append(f"tp_dst={draw.choice(PORTS + (draw.randrange(1, 65536),))}")
    return fields


def match(draw):
    """The match of one rule, and what kind it is."""
    kind = draw.choices(("tcp", "udp", "ip", "icmp", "arp", "tcp6", "icmp6", "vlan", "eth"),
                        (40, 20, 10, 3, 3, 6, 2, 8, 8))[0]
    fields = []
    if draw.random() < 0.1:
        fields.append(f"in_port={draw.randrange(1, 4096)}")
    if kind in ("tcp", "udp", "ip", "icmp"):
        fields += [kind, f"nw_src={prefix4(draw)}", f"nw_dst={prefix4(draw)}"]
        if kind in ("tcp", "udp"):
            fields += ports(draw)
        elif kind == "icmp":
            fields += [f"icmp_type={draw.choice((0, 3, 8, 11))}"]
    elif kind == "arp":
        fields += ["arp", f"arp_tpa={prefix4(draw)}"]
    elif kind in ("tcp6", "icmp6"):
        fields += [kind, f"ipv6_src={prefix6(draw)}", f"ipv6_dst={prefix6(draw)}"]
        fields += ports(draw) if kind == "tcp6" else ["icmp_type=128"]
    elif kind == "vlan":
        fields += [f"dl_vlan={draw.randrange(1, 4095)}", f"dl_dst={mac(draw)}"]
    else:
        fields += [f"dl_src={mac(draw)}", f"dl_dst={mac(draw)}",
                   f"dl_type=0x{draw.choice((0x88CC, 0x8847, 0x8902)):04x}"]
    return fields, kind


def actions(draw, kind, table):
    choices = ["drop", f"output:{draw.randrange(1, 256)}", f"output:{draw.randrange(1, 256)}",
               f"group:{draw.randrange(1, 1000)}", "controller",
               f"push_vlan:0x8100,set_field:{4096 + draw.randrange(1, 4095)}->vlan_vid,"
               f"output:{draw.randrange(1, 256)}"]
    if table < 3:
        choices.append(f"goto_table:{table + 1}")
    if kind == "vlan":
        choices.append(f"pop_vlan,output:{draw.randrange(1, 256)}")
    choices.append(f"set_field:{mac(draw)}->eth_dst,output:{draw.randrange(1, 256)}")
    return draw.choice(choices)


def rules(count, seed=1):
    """`count` different flows."""
    draw = random.Random(seed)
    seen = set()
    flows = []
    while len(flows) < count:
        table, priority = draw.randrange(4), draw.randrange(1, 65536)
        fields, kind = match(draw)
        identity = f"table={table},priority={priority}," + ",".join(fields)
        if identity in seen:
            continue
        seen.add(identity)
        flows.append(f"cookie=0x{len(flows) + 1:x},{identity},"
                     f"actions={actions(draw, kind, table)}")
    return flows


if __name__ == "__main__":
    for line in rules(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        print(line)
