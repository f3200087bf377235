# SPDX-License-Identifier: BSD-3-Clause
"""What the playground and its tests ask of a node of Weir."""

import hashlib
import re

import resp


def device(path, name):
    """DEVICE.INFO as a dictionary, with lists for backups and insync."""
    return resp.pairs(resp.call(path, "DEVICE.INFO", name, timeout=5))


def nodes(path):
    """NODE.LIST as a dictionary of dictionaries by node name."""
    rows = resp.text(resp.call(path, "NODE.LIST", timeout=2))
    listed = [dict(zip(row[0::2], row[1::2])) for row in rows]
    return {row["node"]: row for row in listed}


def info(path):
    """INFO as a dictionary; values such as `a=1,b=2` are dictionaries themselves."""
    fields = {}
    for line in resp.text(resp.call(path, "INFO", timeout=5)).splitlines():
        name, colon, value = line.partition(":")
        if colon and "=" in value:
            value = dict(item.split("=", 1) for item in value.split(","))
        fields[name] = value
    return fields


def workers_sum(path, figure):
    """A figure of INFO over all workers and their links, such as "tx_bytes"."""
    return sum(int(value[figure]) for name, value in info(path).items()
               if re.fullmatch(r"worker\d+(_link)?", name) and figure in value)


def memory_used(path):
    """Bytes in the tables of a node."""
    return workers_sum(path, "memory_used_bytes")


def scan(path, name, local=True, count=1000):
    """Flows of one copy, each once, unordered: its text, id and state."""
    words = ["COUNT", count] + (["LOCAL"] if local else [])
    with resp.Connection(path, timeout=20) as node:
        cursor = b"0"
        while True:
            cursor, rows = node.call("FLOW.SCAN", name, cursor, *words)
            for row in rows:
                yield b" ".join(row[1:6:2])
            if cursor == b"0":
                return


def dump_hash(path, name):
    """(flows, SHA-256 of all of them in order) of the copy at this node."""
    rows = sorted(scan(path, name))
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row + b"\n")
    return len(rows), digest.hexdigest()


def look_up(path, name, flows):
    """Looks flows (texts) up at the master. @return (those it does not have, those it would not
    say, by error)"""
    missing, unsaid = [], {}
    with resp.Connection(path, timeout=20) as node:
        answers = node.pipeline(("FLOW.GET", name, flow) for flow in flows)
        for flow, answer in zip(flows, answers):
            if isinstance(answer, resp.Error) and answer.code != "NOTFOUND":
                unsaid.setdefault(str(answer), []).append(flow)
            elif isinstance(answer, resp.Error):
                missing.append(flow)
    return missing, unsaid
