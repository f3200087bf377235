/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Asks Sentinels where the primary is.
 *
 * A round asks one Sentinel after the other, each for an equal part of the round's time, until one
 * names an address. The next round begins with the next Sentinel: one that knows an old state does
 * not hold its asker for ever. Whether a primary stands at the address is for the asker to see.
 *
 * Sentinels are asked without a password.
 *
 * Thread-safety: the thread that runs the event base.
 */
#ifndef WEIR_COORD_REDIS_SENTINEL_H
#define WEIR_COORD_REDIS_SENTINEL_H

#include <stddef.h>
#include <stdint.h>

#include "coord/redis/address.h"

struct event_base;

#define WEIR_COORD_SENTINELS_MAX       8 /**< addresses in one list */
#define WEIR_COORD_SENTINEL_PORT       26379
#define WEIR_COORD_SENTINEL_MASTER_MAX 128 /**< bytes of the primary's name, NUL counted */

/**
 * What a round has come to, once for each.
 *
 * @param address NULL: nobody has named one
 * @param sentence why not
 */
typedef void weir_coord_found_fn(
	void *ctx, const struct weir_coord_address *address, const char *sentence);

struct weir_coord_sentinels;

/**
 * @param list addresses with commas between them
 * @param master what the Sentinels call the primary
 * @param round_ms longest time of a round
 * @param wrong receives a sentence where the settings make no sense
 * @return NULL where they do not
 */
struct weir_coord_sentinels *weir_coord_sentinels_create(const char *list, const char *master,
	uint32_t round_ms, struct event_base *base, weir_coord_found_fn *found, void *ctx,
	const char **wrong);

/** Begins a round; its end may come from inside. None may be under way. */
void weir_coord_sentinels_ask(struct weir_coord_sentinels *sentinels);

/** NULL is passed over. A round that is under way does not come to an end. */
void weir_coord_sentinels_destroy(struct weir_coord_sentinels *sentinels);

#endif
