/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Coordinator of a node that is alone: the rules in this process, nothing outside.
 *
 * Nothing outlives the process, so a restart begins with the first incarnation, as the flows do.
 * Several drivers of one process may share their rules (tests of several nodes).
 *
 * Thread-safety: the thread that runs the event base.
 */
#ifndef WEIR_COORD_SOLO_H
#define WEIR_COORD_SOLO_H

#include "tenure/coord.h"

struct event_base;
struct weir_coord_rules;

/**
 * @param base where answers come from; outlives the driver
 * @param rules shared ones, which outlive the driver; NULL: its own
 * @param events copied
 */
struct weir_coord *weir_coord_solo_create(struct event_base *base, struct weir_coord_rules *rules,
	const struct weir_coord_events *events, void *ctx);

#endif
