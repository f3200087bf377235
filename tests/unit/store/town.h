/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Nodes in one process, for tests: an EAL without hugepages, stores with their threads, and a
 * gate of the test's own thread.
 */
#ifndef TEST_STORE_TOWN_H
#define TEST_STORE_TOWN_H

#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/store.h"

#include "office.h"

/** How long a test waits for what has to happen. */
#define PATIENCE_NS (20 * WEIR_NS_PER_S)

struct house {
	struct weir_store *store;
	struct event_base *base;
	struct weir_coord *coord;
	pthread_t control, workers[WEIR_WORKERS_MAX];
	unsigned workers_count;
	bool workers_run, control_runs;
	int result; /**< of weir_store_control_run */
};

/** Starts the EAL, once a process. */
void town_begin(void);

/** Settings of a node alone with so many workers. */
struct weir_store_conf town_conf(const char *id, unsigned workers_count);

void house_build(struct house *house, struct office *office, const struct weir_store_conf *conf);
void house_run_workers(struct house *house);
void house_run_control(struct house *house);

/** Waits for the threads, which have been told to stop, and takes all down. */
void house_clear(struct house *house);

/** Turns of a gate until `done` says so; fails where that takes too long. */
#define wait_for(gate, done)                                                                       \
	do {                                                                                       \
		uint64_t until_ns_ = weir_clock_ns() + PATIENCE_NS;                                \
		while (!(done)) {                                                                  \
			if (weir_clock_ns() > until_ns_)                                           \
				fail_msg("this did not come about: %s", #done);                    \
			gate_pause(gate);                                                          \
		}                                                                                  \
	} while (0)

/** Lets others go on; the gate is at rest meanwhile. */
void gate_pause(struct weir_gate *gate);

/** Carries out a request and gives its result. */
int gate_ask(
	struct weir_gate *gate, enum weir_request_kind kind, const char *device, const char *node);

/** The device, once this node serves it as master. */
const struct weir_device *gate_device(
	struct weir_gate *gate, struct weir_store *store, const char *name);

/** A task on a rule without match: equal `number`s are the same rule. */
struct weir_task *gate_task(
	struct weir_gate *gate, enum weir_op op, const char *device, unsigned number);

/** Carries out a task and gives its result. */
int gate_do(struct weir_gate *gate, enum weir_op op, const char *device, unsigned number);

/** The entry of such a rule, or NULL. */
const struct weir_entry *rule_find(const struct weir_device *device, unsigned number);

#endif
