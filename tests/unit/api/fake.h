/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A false store behind the functions of store.h, flow.h and table.h that the gateway uses.
 *
 * Its tables are lists, its flows are texts, and it answers tasks in whichever order and with
 * whichever error the test says. Nothing of it knows of RESP.
 */
#ifndef TESTS_UNIT_API_FAKE_H
#define TESTS_UNIT_API_FAKE_H

#include <stdbool.h>

#include "store/store.h"

/** In which order tasks come back. */
enum fake_order {
	FAKE_IN_ORDER,
	FAKE_REVERSED, /**< of what is there at a poll, the newest first */
	FAKE_SHUFFLED,
};

struct fake_conf {
	unsigned tasks_max; /**< of a gate; 0: WEIR_GATE_TASKS_MAX */
	unsigned large_max; /**< tasks with room for the largest rule; 0: 4 */
	enum fake_order order;
	bool hold;                 /**< nothing comes back until fake_release */
	int err;                   /**< answers all tasks with this error */
	bool restless;             /**< a new term begins with every look at a table */
	bool unfirm;               /**< what stands in tables is not on every copy */
	int purge_err;             /**< answers a purge of each shard but the first */
	int read_err;              /**< what weir_device_may_read answers */
	bool leaseless;            /**< the node is not in its cluster */
	const char *master_socket; /**< what weir_device_status says; NULL: /run/n2.sock */
};

struct weir_store *fake_create(const struct fake_conf *conf);
void fake_destroy(struct weir_store *store);

void fake_device_add(struct weir_store *store, const char *name);

/** What is held comes back, this time and from now on. */
void fake_release(struct weir_store *store);

/** Every task from now on is answered with this error. */
void fake_err_set(struct weir_store *store, int err);

/** The store says that it is stopping. */
void fake_stop(struct weir_store *store);

/** Tasks and requests that have been submitted so far. */
unsigned long fake_submitted(struct weir_store *store);

/** Tasks that are with the gateway or under way now. */
unsigned long fake_tasks_now(struct weir_store *store);

/** Gates that are open. */
unsigned fake_gates(struct weir_store *store);

#endif
