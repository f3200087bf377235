# SPDX-License-Identifier: BSD-3-Clause
"""Histories of client operations, and whether some order explains what was answered.

A history of one rule is linearizable if each operation can be given a moment between its
invocation and its answer so that, one after the other at these moments, all of them give the
answers that were seen. An operation whose fate the client does not know (a ghost) may be given a
moment at any time after its invocation, or none.

The search is that of Wing and Gong (1993) in the form of Lowe (2017): it goes through the history
in time and keeps all worlds that explain the answers so far. A world is the value of the rule and
which of the open operations and ghosts have happened. Nothing happens in a world before an answer
asks for it; and of two worlds that differ only in ghosts, that with fewer used is enough, for a
ghost that has not happened can still.
"""

import collections
import dataclasses
import threading
import time

# "strict": what a master lets be read must fit; "off": only writes and final states must.
READS = "strict"

# More worlds at once than this cannot be gone through in the time of a test.
WORLDS_MAX = 100000

OK, NOTFOUND, UNKNOWN, REFUSED = "OK", "NOTFOUND", "UNKNOWN", "refused"
ADD, MOD, DEL, REMOVED, PURGE = "ADD", "MOD", "DEL", "REMOVED", "PURGE"
GET, FINAL = "GET", "FINAL"
PENDING_ADD, PENDING_REMOVE = "PENDING_ADD", "PENDING_REMOVE"
READ_OPS = (GET, FINAL)
NEVER = float("inf")
LISTED = 16  # operations in the description of a violation


class Undecided(Exception):
    """The history has too many worlds to go through."""


@dataclasses.dataclass
class Operation:
    """What a client asked and was told.

    A rule's value is None (it is not there) or (cookie, state).
    """

    client: object
    op: str
    rule: object
    cookie: int = 0  # that a write brings
    invoked: float = 0
    returned: float = NEVER
    answer: str = UNKNOWN
    value: tuple = None  # that a read was shown

    def __str__(self):
        until = "?" if self.returned == NEVER else f"{self.returned:.6f}"
        what = f" {self.cookie:#x}" if self.cookie else ""
        shown = f" {show(self.value)}" if self.op in READ_OPS and self.answer == OK else ""
        return f"{self.invoked:.6f} to {until}  {self.client}: {self.op}{what} -> " \
               f"{self.answer}{shown}"


class History:
    """What clients record, from any thread."""

    def __init__(self):
        self.began = time.monotonic()
        self.operations = []
        self.lock = threading.Lock()

    def invoke(self, client, op, rule, cookie=0):
        operation = Operation(client, op, rule, cookie, time.monotonic() - self.began)
        with self.lock:
            self.operations.append(operation)
        return operation

    def answered(self, operation, answer, value=None):
        operation.answer, operation.value = answer, value
        operation.returned = time.monotonic() - self.began

    def final(self, rule, value):
        """What stands there when all is at rest."""
        operation = self.invoke("at the end", FINAL, rule)
        self.answered(operation, OK if value else NOTFOUND, value)

    def rules(self):
        return sorted({operation.rule for operation in self.operations})

    def counts(self):
        return collections.Counter(operation.answer for operation in self.operations)

    def violations(self, reads=None):
        """A description of the first answer that nothing explains, of each rule that has one."""
        found = []
        for rule in self.rules():
            described = violation([o for o in self.operations if o.rule == rule], reads=reads)
            if described:
                found.append(described)
        return found


def show(value):
    return "nothing" if value is None else f"{value[0]:#x} {value[1]}"


def effect(operation, value):
    """The value after it has happened."""
    op = operation.op
    if op == ADD or (op == MOD and value):
        return (operation.cookie, PENDING_ADD)
    if op == DEL and value:
        return (value[0], PENDING_REMOVE)
    if op in (REMOVED, PURGE):
        return None
    return value


def explained(operation, value):
    """Whether it gives the answer that was seen where it meets this value."""
    if operation.op in READ_OPS:
        return value == operation.value
    if operation.op in (ADD, PURGE):
        return operation.answer == OK
    return (operation.answer == OK) == (value is not None)


class Worlds:
    """Worlds (done, used, value), without those that another one makes needless."""

    def __init__(self, worlds=()):
        self.used = {}
        self.count = 0
        for world in worlds:
            self.add(*world)

    def __iter__(self):
        return ((done, used, value) for (done, value), several in self.used.items()
                for used in several)

    def add(self, done, used, value):
        """@return whether it is new"""
        several = self.used.setdefault((done, value), [])
        if any(fewer & used == fewer for fewer in several):
            return False
        kept = [more for more in several if more & used != used]
        self.count += 1 + len(kept) - len(several)
        if self.count > WORLDS_MAX:
            raise Undecided(f"more than {WORLDS_MAX} worlds at once")
        self.used[(done, value)] = kept + [used]
        return True


class Open:
    """The operations that may happen now, each with a bit of its own."""

    def __init__(self):
        self.certain = {}
        self.ghosts = {}
        self.bits = 0

    def begin(self, operation):
        bit = 1 << self.bits
        self.bits += 1
        kind = self.ghosts if operation.answer == UNKNOWN else self.certain
        kind[id(operation)] = (bit, operation)

    def end(self, worlds, operation):
        """The worlds in which it has happened, with the answer that was seen."""
        target, _ = self.certain[id(operation)]
        reached, kept = Worlds(worlds), Worlds()
        queue = list(worlds)
        while queue:
            done, used, value = queue.pop()
            if done & target:
                kept.add(done & ~target, used, value)
                continue
            for world in self.next_worlds(done, used, value):
                if reached.add(*world):
                    queue.append(world)
        del self.certain[id(operation)]
        return kept

    def next_worlds(self, done, used, value):
        for bit, operation in self.certain.values():
            if not done & bit and explained(operation, value):
                yield done | bit, used, effect(operation, value)
        for bit, ghost in self.ghosts.values():
            after = effect(ghost, value)
            if not used & bit and after != value:
                yield done, used | bit, after


def counts_for(operation, reads):
    if operation.answer == REFUSED:
        return False
    if operation.op == GET:
        return reads == "strict" and operation.answer != UNKNOWN
    return True


def violation(operations, initial=None, reads=None):
    """None where the operations, all of one rule, are linearizable; else what is not explained."""
    reads = reads or READS
    events = []
    for operation in operations:
        if counts_for(operation, reads):
            events.append((operation.invoked, 0, len(events), operation))
            if operation.answer != UNKNOWN:
                events.append((operation.returned, 1, len(events), operation))
    worlds, running = Worlds([(0, 0, initial)]), Open()
    for _, ends, _, operation in sorted(events, key=lambda event: event[:3]):
        if not ends:
            running.begin(operation)
            continue
        before, worlds = worlds, running.end(worlds, operation)
        if not worlds.count:
            return describe(operations, operation, before, running)
    return None


def describe(operations, culprit, before, running):
    values = sorted({show(value) for _, _, value in before})
    lines = [f"rule {culprit.rule}: no order of the operations explains", f"  {culprit}",
             f"  possible before it: {', '.join(values)}"]
    lines += [f"  open: {ghost}" for _, ghost in running.ghosts.values()]
    earlier = [o for o in operations if o.answer != REFUSED and o.invoked <= culprit.returned
               and o is not culprit]
    lines.append(f"  the last {LISTED} of {len(earlier)} others that began before its answer:")
    lines += [f"    {operation}" for operation in
              sorted(earlier, key=lambda o: o.invoked)[-LISTED:]]
    return "\n".join(lines)
