/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The coordinator's rules (tenure/coord.h) as a pure state machine: a request and the time go in,
 * an answer comes out. The solo driver, the tests and the simulator run on it, and the Redis
 * scripts are held against it.
 *
 * It also plays a coordinator that forgets: a clone taken earlier and put in its place is a
 * failover that has lost the newest writes (leases keep their ends), weir_coord_rules_forget is a
 * restart with nothing left. Both are to be given another `run`.
 *
 * Where tenure/coord.h leaves a choice:
 *
 * - a node that asks with an incarnation *above* the one known here (this coordinator has
 *   forgotten) is believed: its incarnation becomes the known one;
 * - CHANGE without new_term where there is no record, and LEAVE of an older incarnation, are
 *   refused (CONFLICT without a record; FENCED); an `active` out of bounds is ERR;
 * - nodes are answered in the order of their names; the id in `self` is not looked at, the node is
 *   called what the request calls it;
 * - ERR also where a table is full (WEIR_NODES_MAX names, WEIR_DEVICES_MAX devices) or a number
 *   would pass WEIR_COORD_NUMBER_MAX.
 *
 * Cost: REGISTER, CHANGE, LEAVE O(1) in the number of devices; RENEW O(records changed).
 * Memory: grows with the devices, 0.8 KB each.
 * Thread-safety: one owner.
 */
#ifndef WEIR_COORD_SOLO_RULES_H
#define WEIR_COORD_SOLO_RULES_H

#include "tenure/coord.h"

struct weir_coord_rules;

/** @param run what answers give as `run` */
struct weir_coord_rules *weir_coord_rules_create(uint64_t run);

/** NULL is fine. */
void weir_coord_rules_destroy(struct weir_coord_rules *rules);

/** A copy as it is now, leases included. */
struct weir_coord_rules *weir_coord_rules_clone(const struct weir_coord_rules *rules);

/** Forgets everything: nodes, records, the largest revision. */
void weir_coord_rules_forget(struct weir_coord_rules *rules, uint64_t run);

/** Another process or data set from now on. */
void weir_coord_rules_run_set(struct weir_coord_rules *rules, uint64_t run);

/**
 * Carries a request out.
 *
 * @param now_ns any monotonic clock, the same in every call
 * @param answer what it points to is good until the next call
 */
void weir_coord_rules_apply(struct weir_coord_rules *rules,
	const struct weir_coord_request *request, uint64_t now_ns,
	struct weir_coord_answer *answer);

/** When the next lease runs out that is valid now; UINT64_MAX: none. */
uint64_t weir_coord_rules_expiry(const struct weir_coord_rules *rules, uint64_t now_ns);

/** The record of a device, or NULL; good until the next call. For checkers. */
const struct weir_record *weir_coord_rules_record(
	const struct weir_coord_rules *rules, const char *device);

#endif
