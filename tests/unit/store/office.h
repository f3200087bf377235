/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A coordinator for tests: the rules of drivers/coord/solo, shared by the drivers of several
 * control cores, each in its own thread. It can be told to say nothing.
 */
#ifndef TEST_STORE_OFFICE_H
#define TEST_STORE_OFFICE_H

#include <stdbool.h>

#include "tenure/coord.h"

struct event_base;
struct office;
struct weir_store;

struct office *office_create(void);
void office_destroy(struct office *office);

/** From now on what is asked waits (true), or is answered again. */
void office_silent(struct office *office, bool silent);

/** From now on the node's life is over: it is fenced when it asks next, and registers anew. */
void office_fence(struct office *office, const char *node);

/** A driver on it. */
struct weir_coord *office_coord(struct office *office, struct event_base *base,
	const struct weir_coord_events *events, void *ctx);

/** Calls weir_store_leave from the thread of the driver's event base, soon. */
void office_leave(struct weir_coord *coord, struct weir_store *store);

#endif
