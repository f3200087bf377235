#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Weir's reading of flows against that of Open vSwitch.

The same lines go through Weir and through `ovs-ofctl -O OpenFlow13 add-flows` to a switch that is
played here and only writes down what it is sent. Match (as a set of OXM TLVs), instructions, and
the head of each flow must be equal, byte for byte. What Weir prints goes the same way once more.

usage: ovs.py ECHO [SEED]
"""

import os
import random
import socket
import struct
import subprocess
import sys
import tempfile

HELLO, ECHO_REQUEST, ECHO_REPLY, FLOW_MOD, BARRIER, BARRIER_REPLY = 0, 2, 3, 14, 20, 21
VERSION = 4  # OpenFlow 1.3
RANDOM_LINES = 600
PACKET_TYPE = "80005804"  # an extension of Open vSwitch that says "Ethernet"

MACS = ["00:00:00:00:00:01", "01:02:03:04:05:06", "ff:ff:ff:ff:ff:ff",
        "01:00:00:00:00:00/01:00:00:00:00:00", "a:b:c:d:e:f/ff:ff:ff:00:00:00"]
IPV4S = ["10.0.0.1", "192.168.1.0/24", "0.0.0.0/1", "10.1.2.3/255.0.255.0", "1.2.3.4/32",
         "255.255.255.255", "10.9.8.7/8", "1.2.3.4/0", "0.0.0.0", "1.2.3.4/0.0.0.255"]
IPV6S = ["::", "::1", "fe80::1/64", "2001:db8::/32", "1:2:3:4:5:6:7:8", "1::8", "1:0:0:2::8",
         "::ffff:1.2.3.4", "2001:db8::1/128", "::2/::ffff", "1::/ffff::ffff", "fe80::/10", "::/0",
         "1:2:3:4:5:6:7::"]
PORTS = ["0", "80", "65535", "0x800/0xf800", "0x8000/0x8000", "1/1", "80/0xffff", "80/0", "0x50"]
BYTES = ["0", "1", "255", "0x10"]
WIDE = ["0", "5", "0xffffffffffffffff", "0x5/0xff", "0x100/0xff00", "7/0xffffffffffffffff"]

ETHERNET = {
    "in_port": ["1", "65279", "LOCAL", "local", "CONTROLLER", "0"],
    "dl_src": MACS, "eth_src": MACS, "dl_dst": MACS, "eth_dst": MACS,
    "metadata": WIDE, "tun_id": WIDE, "tunnel_id": WIDE,
    "dl_vlan": ["0", "1", "4095", "0xffff", "0x64"],
    "vlan_vid": ["0x1000/0x1000", "0x1005", "0x1005/0x1007", "0", "0x1fff"],
    "vlan_tci": ["0", "0x1123", "0xf123", "0x1000/0x1000", "0xf000/0xf000", "0x1005/0x1fff",
                 "0x0005/0x0fff", "0x3005/0xffff"],
}
IP = {"nw_tos": ["0", "32", "252", "255"], "ip_dscp": ["0", "63"], "nw_ecn": ["0", "3"],
      "ip_ecn": ["1"], "nw_ttl": BYTES}
V4 = {"nw_src": IPV4S, "nw_dst": IPV4S, "ip_src": IPV4S, "ip_dst": IPV4S}
V6 = {"ipv6_src": IPV6S, "ipv6_dst": IPV6S, "ipv6_label": ["0", "5", "0xfffff", "0x100/0xf00"]}
FLAGS = ["0", "0x12", "syn", "syn|ack", "+syn", "-ack", "+syn-ack", "0x2/0x12", "+fin+ns-cwr",
         "0x100/0xf00"]
TP = {"tp_src": PORTS, "tp_dst": PORTS}
TCP = {**TP, "tcp_src": PORTS, "tcp_dst": PORTS, "tcp_flags": FLAGS}
UDP = {**TP, "udp_src": PORTS, "udp_dst": PORTS}
SCTP = {**TP, "sctp_src": PORTS, "sctp_dst": PORTS}
ARP = {"arp_op": ["1", "2", "255"], "nw_proto": ["1", "2"], "arp_spa": IPV4S, "arp_tpa": IPV4S,
       "nw_src": IPV4S, "nw_dst": IPV4S, "arp_sha": MACS, "arp_tha": MACS}
ICMP = {"icmp_type": BYTES, "icmp_code": BYTES}
ICMP6 = {**ICMP, "icmpv6_type": BYTES, "icmpv6_code": BYTES}
MPLS = {"mpls_label": ["0", "5", "0xfffff"], "mpls_tc": ["0", "7"], "mpls_bos": ["0", "1"]}

# What a line begins with, and the fields that it allows.
PROTOCOLS = {
    "": {}, "dl_type=0x1234": {}, "eth_type=0x88cc": {},
    "ip": {**IP, **V4, "nw_proto": ["0", "1", "6", "17", "132", "255"], "ip_proto": ["47"]},
    "dl_type=0x800": {**IP, **V4}, "ipv6": {**IP, **V6, "nw_proto": ["0", "6", "58", "59"]},
    "eth_type=0x86dd": {**IP, **V6}, "dl_type=0x0806": ARP, "arp": ARP, "rarp": ARP,
    "tcp": {**IP, **V4, **TCP}, "tcp6": {**IP, **V6, **TCP}, "ip,nw_proto=6": {**V4, **TCP},
    "ipv6,nw_proto=17": {**V6, **UDP}, "dl_type=0x86dd,nw_proto=132": SCTP,
    "udp": {**IP, **V4, **UDP}, "udp6": {**IP, **V6, **UDP},
    "sctp": {**IP, **V4, **SCTP}, "sctp6": {**IP, **V6, **SCTP},
    "icmp": {**IP, **V4, **ICMP}, "icmp6": {**IP, **V6, **ICMP6},
    "icmp6,icmp_type=135": {"nd_target": IPV6S, "nd_sll": MACS, "icmp_code": ["0"]},
    "icmp6,icmpv6_type=136,icmpv6_code=0": {"nd_target": IPV6S, "nd_tll": MACS},
    "mpls": MPLS, "mplsm": MPLS,
}

# Two words of one field may not stand in one line.
SAME = [{"dl_src", "eth_src"}, {"dl_dst", "eth_dst"}, {"tun_id", "tunnel_id"},
        {"dl_vlan", "vlan_vid", "vlan_tci"}, {"nw_tos", "ip_dscp"}, {"nw_ecn", "ip_ecn"},
        {"nw_src", "ip_src", "arp_spa"}, {"nw_dst", "ip_dst", "arp_tpa"},
        {"nw_proto", "ip_proto", "arp_op"}, {"tp_src", "tcp_src", "udp_src", "sctp_src"},
        {"tp_dst", "tcp_dst", "udp_dst", "sctp_dst"}, {"icmp_type", "icmpv6_type"},
        {"icmp_code", "icmpv6_code"}]

OUTPUTS = ["output:1", "output=2", "output(3)", "4", "output:LOCAL", "IN_PORT", "in_port", "LOCAL",
           "ALL", "FLOOD", "NORMAL", "normal", "TABLE", "CONTROLLER", "controller:128",
           "CONTROLLER:65535", "controller(max_len=77)", "controller()", "output:controller",
           "output:65279", "OUTPUT:9"]
ANYWHERE = OUTPUTS + [
    "group:0", "group:4294967040", "group=5", "set_queue:0", "set_queue:4294967295",
    "mod_dl_src:1:2:3:4:5:6", "mod_dl_dst:00:00:00:00:00:01", "push_vlan:0x8100,pop_vlan",
    "push_vlan:0x88a8,strip_vlan", "push_vlan:0x8100,set_field:4100->vlan_vid,1,pop_vlan",
    "mod_vlan_vid:5", "mod_vlan_pcp:3", "mod_vlan_pcp:3,mod_vlan_vid:7,strip_vlan",
    "set_field:1:2:3:4:5:6->eth_src", "set_field:1:2:3:4:5:6->dl_dst",
    "set_field:0x1234567890->metadata", "set_field:6->tun_id"]
ACTIONS = {
    "ip": ["mod_nw_src:1.2.3.4", "mod_nw_dst:4.3.2.1", "set_field:1.2.3.4->ip_src",
           "set_field:1.2.3.4->nw_dst", "mod_nw_tos:32", "mod_nw_ecn:2", "mod_nw_ttl:64",
           "dec_ttl", "set_field:8->ip_dscp", "set_field:1->nw_ecn", "set_field:9->nw_ttl",
           "push_mpls:0x8847,set_field:5->mpls_label,set_field:3->mpls_tc",
           "push_mpls:0x8848,set_mpls_ttl:9,dec_mpls_ttl,pop_mpls:0x0800"],
    "ipv6": ["set_field:fe80::1->ipv6_src", "set_field:::->ipv6_dst", "dec_ttl",
             "set_field:1:2:3:4:5:6:7:8->ipv6_dst", "set_field:5->ipv6_label", "mod_nw_tos:4"],
    "tcp": ["mod_tp_src:1", "mod_tp_dst:65535", "set_field:80->tcp_src", "set_field:8->tcp_dst"],
    "udp": ["mod_tp_src:1", "mod_tp_dst:65535", "set_field:80->udp_src", "set_field:8->udp_dst"],
    "sctp": ["mod_tp_src:1", "mod_tp_dst:65535", "set_field:80->sctp_src"],
    "icmp": ["set_field:3->icmp_type", "set_field:4->icmp_code"],
    "icmp6": ["set_field:3->icmpv6_type", "set_field:4->icmpv6_code"],
    "arp": ["set_field:2->arp_op", "set_field:1.2.3.4->arp_spa", "set_field:1.2.3.4->arp_tpa",
            "set_field:1:2:3:4:5:6->arp_sha", "set_field:1:2:3:4:5:6->arp_tha"],
    "mpls": ["set_field:5->mpls_label", "set_field:1->mpls_tc", "dec_mpls_ttl", "set_mpls_ttl:3",
             "pop_mpls:0x0800,set_field:1.2.3.4->ip_src"],
}
FAMILIES = {"tcp": ["ip", "tcp"], "udp": ["ip", "udp"], "sctp": ["ip", "sctp"],
            "icmp": ["ip", "icmp"], "tcp6": ["ipv6", "tcp"], "udp6": ["ipv6", "udp"],
            "sctp6": ["ipv6", "sctp"], "icmp6": ["ipv6", "icmp6"], "ip": ["ip"], "ipv6": ["ipv6"],
            "arp": ["arp"], "rarp": ["arp"], "mpls": ["mpls"], "mplsm": ["mpls"]}

# Each must be refused, by Weir for certain, and by ovs-ofctl too.
REFUSED = [
    "tcp", "table=256,actions=drop", "priority=65536,actions=drop", "hard_timeout=65536,actions=1",
    "priority=5,TCP,actions=drop", "cookie=1/1,actions=drop", "in_port=1/1,actions=drop",
    "ip,nw_src=1.2.3.4/33,actions=drop", "ip,nw_src=1.2.3,actions=drop",
    "ipv6,ipv6_src=1:2,actions=drop", "tcp,tp_src=65536,actions=drop",
    "tcp,tp_src=http,actions=drop", "ip,nw_proto=6/6,actions=drop", "ip,nw_proto=256,actions=drop",
    "dl_vlan=5/7,actions=drop", "dl_vlan_pcp=5/1,actions=drop", "dl_dst=ff-ff,actions=drop",
    "dl_type=65536,actions=drop", "icmp,icmp_type=256,actions=drop", "nonsense=1,actions=drop",
    "tcp,tcp_flags=0x1000,actions=drop", "metadata=0x10000000000000000,actions=drop",
    "actions=nonsense", "actions=drop,output:1", "actions=output:1,drop", "actions=output:4)",
    "actions=output:TABLE,output:ANY", "actions=controller:65536", "actions=group:ALL",
    "table=5,actions=goto_table:5", "actions=goto_table:5,output:3", "actions=output:1,meter:3",
    "actions=goto_table:5,goto_table:6", "actions=clear_actions,output:1", "actions=meter:0",
    "actions=write_actions(goto_table:3)", "actions=apply_actions(output:3)",
    "actions=write_metadata:4,output:5", "actions=mod_nw_src:1.2.3.4", "actions=dec_ttl",
    "ip,actions=mod_tp_src:5", "udp,actions=set_field:5->tcp_src", "actions=pop_vlan",
    "actions=set_field:4097->vlan_vid", "actions=set_field:1.2.3.4->ip_src",
    "ip,actions=set_field:6->nw_proto", "actions=push_vlan:0x9100", "ip,actions=mod_nw_tos:33",
    "dl_vlan=3,actions=mod_vlan_vid:4096", "dl_vlan=3,actions=pop_vlan,set_field:4099->vlan_vid",
]


def ovs_ofctl(*args, **kwargs):
    try:
        return subprocess.Popen(("ovs-ofctl", "-O", "OpenFlow13") + args, **kwargs)
    except FileNotFoundError:
        sys.exit("ovs-ofctl is not there: install the package openvswitch-common")


class Switch:
    """Takes flows from ovs-ofctl and keeps them."""

    def __init__(self, connection):
        self.connection = connection
        self.flows = []
        self.unread = b""
        self.send(HELLO, 1)
        while self.receive():
            pass

    def send(self, kind, xid):
        self.connection.sendall(struct.pack("!BBHI", VERSION, kind, 8, xid))

    def receive(self):
        data = self.connection.recv(65536)
        self.unread += data
        while len(self.unread) >= 8:
            _, kind, length, xid = struct.unpack_from("!BBHI", self.unread)
            if len(self.unread) < length:
                break
            self.message(kind, xid, self.unread[8:length])
            self.unread = self.unread[length:]
        return data

    def message(self, kind, xid, body):
        if kind == FLOW_MOD:
            self.flows.append(body)
        elif kind == BARRIER:
            self.send(BARRIER_REPLY, xid)
        elif kind == ECHO_REQUEST:
            self.send(ECHO_REPLY, xid)


def through_ovs(lines):
    """The flow modifications that ovs-ofctl makes of the lines."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "switch")
        flows = os.path.join(folder, "flows")
        with open(flows, "w", encoding="ascii") as file:
            file.writelines(line + "\n" for line in lines)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(30)
            child = ovs_ofctl("--no-names", "add-flows", "unix:" + path, flows,
                              stderr=subprocess.PIPE, text=True)
            connection = None
            while connection is None:
                if child.poll() is not None:
                    sys.exit("ovs-ofctl refused: " + child.stderr.read())
                listener.settimeout(0.2)
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    pass
            connection.settimeout(30)
            with connection:
                switch = Switch(connection)
            _, errors = child.communicate(timeout=30)
    if child.returncode != 0 or len(switch.flows) != len(lines):
        sys.exit(f"ovs-ofctl sent {len(switch.flows)} flows of {len(lines)}: {errors}")
    return switch.flows


def through_weir(echo, lines):
    result = subprocess.run([echo], input="".join(line + "\n" for line in lines),
                            capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


def tlvs(match):
    found = []
    while match:
        length = 4 + match[3]
        found.append(match[:length].hex())
        match = match[length:]
    return sorted(tlv for tlv in found if not tlv.startswith(PACKET_TYPE))


def compare(echo, lines, heads=None):
    """Compares both readings; returns what Weir prints of each, and the heads that Open vSwitch sent."""
    wrong = 0
    prints, sent = [], []
    for i, (line, theirs, ours) in enumerate(
            zip(lines, through_ovs(lines), through_weir(echo, lines), strict=True)):
        if ours.startswith("!"):
            print(f"refused: {line}\n    {ours}")
            wrong += 1
            continue
        match, instructions, text = ours.split(" ", 2)
        (match_len,) = struct.unpack_from("!H", theirs, 42)
        their_match = tlvs(theirs[44:40 + match_len])
        our_match = tlvs(bytes.fromhex(match.replace("-", "")))
        their_rest = theirs[40 + (match_len + 7) // 8 * 8:].hex()
        if our_match != their_match or instructions.replace("-", "") != their_rest:
            print(f"differs: {line}\n    ours   {our_match} {instructions}\n"
                  f"    theirs {their_match} {their_rest}")
            wrong += 1
        if heads is not None and heads[i] != theirs[:40]:
            print(f"printed with another head: {line}")
            wrong += 1
        prints.append(text)
        sent.append(theirs[:40])
    if wrong:
        sys.exit(f"{wrong} of {len(lines)} flows are not read as Open vSwitch reads them")
    return prints, sent


def every_form():
    """A line for each form of each field and each action."""
    for proto, fields in PROTOCOLS.items():
        for name, values in {**ETHERNET, **fields}.items():
            for value in values if fields.get(name) or proto == "" else values[:1]:
                yield ",".join(filter(None, [proto, f"{name}={value}", "actions=drop"]))
        for family in FAMILIES.get(proto, []):
            for action in ACTIONS[family]:
                yield f"{proto},actions={action}"
    for action in ANYWHERE:
        yield f"actions={action}"
        yield f"dl_vlan=5,actions={action}"
    yield "dl_vlan=3,dl_vlan_pcp=5,actions=drop"
    yield "vlan_pcp=5,actions=drop"
    yield "cookie=0x5,duration=5.1s, table=3, n_packets=0, n_bytes=0, priority=7,ip actions=output:1"
    yield " priority=5 , tcp   tp_src=5  actions= output:1, output:2,,3,"
    yield "tcp,ip,nw_proto=6,action=drop"


def meaning(name):
    """One name for all words of a field."""
    return min(next((same for same in SAME if name in same), {name}))


def random_fields(dice, proto):
    """Some fields that go with the protocol, none of them twice."""
    fields = {**ETHERNET, **PROTOCOLS[proto]}
    taken = {meaning(item.split("=")[0]) for item in proto.split(",")}
    items = []
    for name in dice.sample(list(fields), dice.randint(0, min(5, len(fields)))):
        if meaning(name) not in taken:
            taken.add(meaning(name))
            items.append(f"{name}={dice.choice(fields[name])}")
    return items


def random_line(dice):
    proto = dice.choice(list(PROTOCOLS))
    items = random_fields(dice, proto) + ([proto] if proto else [])
    dice.shuffle(items)
    head = [f"cookie={dice.getrandbits(64):#x}", f"table={dice.randint(0, 100)}",
            f"priority={dice.randint(0, 65535)}", f"idle_timeout={dice.randint(0, 65535)}",
            f"hard_timeout={dice.randint(0, 65535)}", "send_flow_rem", "check_overlap",
            "reset_counts", "no_packet_counts", "no_byte_counts"]
    head = dice.sample(head, dice.randint(0, len(head)))
    return ",".join(head + items) + ",actions=" + random_actions(dice, proto)


def random_actions(dice, proto):
    simple = ANYWHERE + [action for family in FAMILIES.get(proto, [])
                         for action in ACTIONS[family] if "mpls" not in action]
    stages = []
    if dice.random() < 0.2:
        stages.append(f"meter:{dice.randint(1, 1000)}")
    stages += dice.choices(simple, k=dice.randint(0, 4))
    if dice.random() < 0.2:
        stages.append("clear_actions")
    if dice.random() < 0.2:
        stages.append("write_actions(" + ",".join(dice.choices(OUTPUTS, k=3)) + ")")
    if dice.random() < 0.2:
        stages.append(dice.choice(["write_metadata:0x5", "write_metadata:5/0xff"]))
    if dice.random() < 0.3:
        stages.append(f"goto_table:{dice.randint(101, 254)}")
    return ",".join(stages) or "drop"


def check_refused(echo):
    for line, ours in zip(REFUSED, through_weir(echo, REFUSED), strict=True):
        child = ovs_ofctl("parse-flow", line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
        output, _ = child.communicate(timeout=30)
        if child.returncode == 0 and "error" not in output and "none" not in output:
            sys.exit(f"ovs-ofctl takes {line}: {output}")
        if not ours.startswith("!"):
            sys.exit(f"not refused: {line}: {ours}")


def main():
    echo = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    dice = random.Random(seed)
    lines = list(every_form()) + [random_line(dice) for _ in range(RANDOM_LINES)]
    print(f"{len(lines)} flows, seed {seed}")
    prints, heads = compare(echo, lines)
    compare(echo, prints, heads)
    check_refused(echo)
    print(f"read and printed as Open vSwitch does; {len(REFUSED)} refused by both")


if __name__ == "__main__":
    main()
