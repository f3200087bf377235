/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Coordinator in Redis: each transition is one Lua script, so it is atomic; a request costs one
 * round trip.
 *
 * *Keys*: config/redis-keys.md. All lie in one slot.
 *
 * *Reach*: the driver connects by itself, for ever, with pauses of 50 ms to 1 s. What is asked
 * while there is no connection is answered UNREACHABLE at once; what has not been answered after
 * `timeout_ms` is answered UNREACHABLE, together with all else that is under way: the connection
 * is then given up and made anew, so that an answer that is late can never be taken for another.
 *
 * *Hints* come by a second connection (SUBSCRIBE). Where it fails, nothing is lost but time. After
 * each subscription one hint is given, for what may have been missed.
 *
 * *run* is made of the server's run_id, asked at each connection, and a name that the data set
 * gets from the first script: a restart, a failover, FLUSHALL each change it.
 *
 * *Limits*: Redis 7.0 without TLS. A host name is looked up when connecting, which blocks: give an
 * address. SIGPIPE is ignored by the whole process from the first driver on, unless it has a
 * handler (hiredis writes to sockets whose other end may be gone).
 *
 * Thread-safety: the thread that runs the event base. No function may be called by an event that
 * the driver is just giving, except ask.
 */
#ifndef WEIR_COORD_REDIS_H
#define WEIR_COORD_REDIS_H

#include <stddef.h>

#include "tenure/coord.h"

struct event_base;

#define WEIR_COORD_REDIS_PORT           6379
#define WEIR_COORD_REDIS_TIMEOUT_MS     2000
#define WEIR_COORD_REDIS_PAUSE_MS_MIN   50
#define WEIR_COORD_REDIS_PAUSE_MS_MAX   1000
#define WEIR_COORD_REDIS_HINT_MS        2   /**< hints are gathered for so long */
#define WEIR_COORD_REDIS_CREDENTIAL_MAX 512 /**< bytes of a user or password, NUL counted */

/** Strings are copied. */
struct weir_coord_redis_conf {
	const char *address;  /**< "/path", "host", "host:port", "[ipv6]:port" */
	const char *user;     /**< of AUTH; NULL or "": the default user */
	const char *password; /**< NULL or "": no AUTH */
	unsigned db;
	const char *cluster;
	uint32_t timeout_ms; /**< 0: WEIR_COORD_REDIS_TIMEOUT_MS */
};

/**
 * @param base outlives the driver
 * @param events copied
 * @param wrong receives a sentence where the settings make no sense
 * @return NULL where they do not
 */
struct weir_coord *weir_coord_redis_create(const struct weir_coord_redis_conf *conf,
	struct event_base *base, const struct weir_coord_events *events, void *ctx, char *wrong,
	size_t wrong_size);

#endif
