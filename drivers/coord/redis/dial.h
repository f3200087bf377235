/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * How the driver opens a connection, and how it says why there is none.
 */
#ifndef WEIR_COORD_REDIS_DIAL_H
#define WEIR_COORD_REDIS_DIAL_H

#include <stddef.h>

#include <hiredis/async.h>

#include "coord/redis/address.h"

struct event;
struct event_base;

/** An attempt to connect. @return NULL where it has failed at once; `text` says why */
redisAsyncContext *weir_coord_dial(const struct weir_coord_address *address,
	struct event_base *base, void *data, char *text, size_t size);

/** Ends a connection, or an attempt; its callbacks find *context NULL. NULL is passed over. */
void weir_coord_hang_up(redisAsyncContext **context);

/** What hiredis has to say of a connection that has ended, as the middle of a sentence. */
void weir_coord_trouble(const redisAsyncContext *ac, char *text, size_t size);

/** Sets a timer. */
void weir_coord_timer_set(struct event *timer, uint64_t ns);

#endif
