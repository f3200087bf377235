#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The checker of histories: what it must let pass, and what it must find."""

import itertools
import random
import unittest

import history
from history import ADD, DEL, FINAL, GET, MOD, NEVER, NOTFOUND, OK, PENDING_ADD, PENDING_REMOVE, \
    PURGE, REFUSED, REMOVED, UNKNOWN, Operation, violation


def wrote(op, cookie, invoked, returned, answer=OK):
    return Operation("c", op, "r", cookie, invoked, returned, answer)


def read(cookie, invoked, returned, state=PENDING_ADD, op=GET):
    value = (cookie, state) if cookie else None
    return Operation("c", op, "r", 0, invoked, returned, OK if cookie else NOTFOUND, value)


def ghost(op, cookie, invoked):
    return Operation("c", op, "r", cookie, invoked, NEVER, UNKNOWN)


class Passes(unittest.TestCase):
    def passes(self, *operations):
        self.assertIsNone(violation(operations, reads="strict"))

    def test_one_after_the_other(self):
        self.passes(read(0, 0, 1), wrote(ADD, 1, 2, 3), read(1, 4, 5), wrote(MOD, 2, 6, 7),
                    read(2, 8, 9), wrote(DEL, 0, 10, 11), read(2, 12, 13, PENDING_REMOVE),
                    wrote(ADD, 3, 14, 15), read(3, 16, 17), wrote(REMOVED, 0, 18, 19),
                    read(0, 20, 21), wrote(MOD, 4, 22, 23, NOTFOUND),
                    wrote(DEL, 0, 24, 25, NOTFOUND), wrote(REMOVED, 0, 26, 27, NOTFOUND))

    def test_writes_side_by_side_may_happen_in_either_order(self):
        for last in (1, 2):
            self.passes(wrote(ADD, 1, 0, 10), wrote(ADD, 2, 1, 9), read(last, 11, 12))

    def test_a_write_may_be_seen_before_it_is_answered(self):
        self.passes(wrote(ADD, 1, 0, 10), read(0, 1, 2), read(1, 3, 4))

    def test_a_write_of_unknown_fate_may_happen_late_or_never(self):
        self.passes(ghost(ADD, 1, 0), read(0, 1, 2), wrote(ADD, 2, 3, 4), read(2, 5, 6))
        self.passes(ghost(ADD, 1, 0), read(0, 1, 2), wrote(ADD, 2, 3, 4), read(1, 5, 6))

    def test_an_unknown_write_may_be_the_reason_that_another_found_the_rule(self):
        self.passes(ghost(ADD, 1, 0), wrote(MOD, 2, 1, 2), read(2, 3, 4))
        self.passes(wrote(ADD, 1, 0, 1), ghost(REMOVED, 0, 2), wrote(MOD, 2, 3, 4, NOTFOUND))

    def test_ghosts_may_happen_one_upon_the_other(self):
        self.passes(ghost(ADD, 1, 0), ghost(MOD, 2, 1), ghost(DEL, 0, 2),
                    read(2, 3, 4, PENDING_REMOVE))

    def test_refused_operations_and_reads_without_answer_count_for_nothing(self):
        self.passes(wrote(ADD, 1, 0, 1, REFUSED), read(0, 2, 3), ghost(GET, 0, 4))

    def test_a_purge_takes_out_what_is_there_if_anything_is(self):
        self.passes(wrote(PURGE, 0, 0, 1), wrote(ADD, 1, 2, 3), wrote(PURGE, 0, 4, 5),
                    read(0, 6, 7), wrote(MOD, 2, 8, 9, NOTFOUND))

    def test_many_ghosts_are_gone_through(self):
        ghosts = [ghost(op, 100 + i if op in (ADD, MOD) else 0, i)
                  for i in range(24) for op in (ADD, MOD, DEL, REMOVED)[i % 4:i % 4 + 1]]
        self.passes(*ghosts, *(wrote(MOD, i, 2 * i, 2 * i + 1) for i in range(30, 60)),
                    read(59, 200, 201))


class Found(unittest.TestCase):
    def found(self, *operations, said=""):
        described = violation(operations, reads="strict")
        self.assertIsNotNone(described)
        self.assertIn(said, described)

    def test_a_lost_write(self):
        self.found(wrote(ADD, 1, 0, 1), read(0, 2, 3), said="possible before it: 0x1")
        self.found(wrote(ADD, 1, 0, 1), wrote(MOD, 2, 2, 3, NOTFOUND))
        self.found(wrote(ADD, 1, 0, 1), wrote(MOD, 2, 2, 3), read(1, 4, 5, op=FINAL))

    def test_a_stale_read(self):
        self.found(wrote(ADD, 1, 0, 1), wrote(ADD, 2, 2, 3), read(1, 4, 5))

    def test_a_read_that_goes_back(self):
        self.found(wrote(ADD, 1, 0, 1), wrote(ADD, 2, 2, 20), read(2, 3, 4), read(1, 5, 6))
        self.found(wrote(ADD, 1, 0, 1), ghost(ADD, 2, 2), read(2, 3, 4), read(1, 5, 6))

    def test_a_write_seen_twice(self):
        for first in (wrote(ADD, 1, 0, 9), ghost(ADD, 1, 0)):
            self.found(first, read(1, 1, 2), wrote(ADD, 2, 3, 4), read(2, 5, 6), read(1, 7, 8))

    def test_two_readers_who_disagree_on_the_order(self):
        self.found(wrote(ADD, 1, 0, 20), wrote(ADD, 2, 0, 20), read(1, 1, 2), read(2, 3, 4),
                   read(1, 5, 6))

    def test_a_write_that_is_seen_before_it_was_asked_for(self):
        self.found(read(1, 0, 1), wrote(ADD, 1, 2, 3))

    def test_a_refused_write_that_was_done(self):
        self.found(wrote(ADD, 1, 0, 1, REFUSED), read(1, 2, 3))

    def test_a_state_that_nobody_asked_for(self):
        self.found(wrote(ADD, 1, 0, 1), read(1, 2, 3, PENDING_REMOVE))
        self.found(wrote(ADD, 1, 0, 1), wrote(DEL, 0, 2, 3), read(1, 4, 5))

    def test_a_rule_that_is_taken_out_twice(self):
        self.found(wrote(ADD, 1, 0, 1), wrote(REMOVED, 0, 2, 9), wrote(REMOVED, 0, 3, 8))

    def test_a_rule_that_a_purge_has_left(self):
        self.found(wrote(ADD, 1, 0, 1), wrote(PURGE, 0, 2, 3), wrote(MOD, 2, 4, 5))

    def test_a_final_state_that_does_not_fit_though_reads_are_off(self):
        operations = [wrote(ADD, 1, 0, 1), read(0, 2, 3)]
        self.assertIsNone(violation(operations, reads="off"))
        self.assertIsNotNone(violation(operations + [read(0, 4, 5, op=FINAL)], reads="off"))

    def test_a_violation_of_one_rule_of_many(self):
        past = history.History()
        for rule in ("a", "b"):
            past.answered(past.invoke("c", ADD, rule, 7), OK)
        past.final("a", (7, PENDING_ADD))
        past.final("b", None)
        found = past.violations()
        self.assertEqual(len(found), 1)
        self.assertIn("rule b", found[0])

    def test_more_worlds_than_can_be_gone_through_are_an_error(self):
        most, history.WORLDS_MAX = history.WORLDS_MAX, 20
        self.addCleanup(setattr, history, "WORLDS_MAX", most)
        with self.assertRaises(history.Undecided):
            violation([ghost(ADD, i, i) for i in range(1, 40)] + [read(1, 50, 51)])


class AgreesWithTryingAllOrders(unittest.TestCase):
    """Small histories out of a seed, judged by brute force as well."""

    @staticmethod
    def drawn(draw):
        operations = []
        for number in range(draw.randrange(2, 7)):
            op = draw.choice((ADD, ADD, MOD, DEL, REMOVED, PURGE, GET, GET, GET))
            invoked = draw.randrange(12)
            answer = draw.choice((OK, OK, OK, NOTFOUND, UNKNOWN))
            if op in (ADD, PURGE) and answer == NOTFOUND:
                answer = OK
            cookie = number + 1 if op in (ADD, MOD) else 0
            operation = Operation("c", op, "r", cookie, invoked + number / 100,
                                  invoked + draw.randrange(1, 6) + number / 100, answer)
            if op == GET and answer == OK:
                operation.value = (draw.randrange(1, 5),
                                   draw.choice((PENDING_ADD, PENDING_ADD, PENDING_REMOVE)))
            operations.append(operation)
        return operations

    @staticmethod
    def plays(order):
        value = None
        for operation in order:
            if operation.answer != UNKNOWN and not history.explained(operation, value):
                return False
            value = history.effect(operation, value)
        return True

    @classmethod
    def in_time(cls, order):
        return all(later.answer == UNKNOWN or later.returned > earlier.invoked
                   for i, earlier in enumerate(order) for later in order[i + 1:])

    @classmethod
    def linearizable(cls, operations):
        ghosts = [o for o in operations if o.answer == UNKNOWN and o.op != GET]
        certain = [o for o in operations if o.answer != UNKNOWN]
        return any(cls.plays(order) and cls.in_time(order)
                   for count in range(len(ghosts) + 1)
                   for some in itertools.combinations(ghosts, count)
                   for order in itertools.permutations(certain + list(some)))

    def test_on_two_thousand_histories(self):
        draw = random.Random(20261124)
        verdicts = {True: 0, False: 0}
        for _ in range(2000):
            operations = self.drawn(draw)
            expected = self.linearizable(operations)
            verdicts[expected] += 1
            described = violation(operations, reads="strict")
            self.assertEqual(described is None, expected, "\n".join(map(str, operations)))
        self.assertGreater(min(verdicts.values()), 200, verdicts)


if __name__ == "__main__":
    unittest.main(verbosity=2)
