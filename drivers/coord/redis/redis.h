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
 * *Replicas*: with `min_replicas` no answer counts before so many replicas of Redis have all that
 * it is made of, what was changed by it and what was read for it, as they are to outlive the
 * primary together. Behind the requests of each turn of the event loop a WAIT is sent, in the same
 * write; where it says too few after three quarters of `timeout_ms`, the requests are answered
 * UNREACHABLE with all else that is under way, and the connection is given up: a Redis without its
 * replicas is none. Nor does a connection count as made before a WAIT of its own has said enough.
 * Redis works at nothing else of this connection meanwhile: what is asked while a WAIT is under way
 * is carried out after it, and has its own WAIT.
 *
 * What this promises rests on an assumption: the replica that is promoted had confirmed. It holds
 * where `min_replicas` is the number of replicas, or where Sentinel, which prefers the replica that
 * is furthest, can reach the one that confirmed.
 *
 * *Sentinels*, where they are given instead of an address, are asked before each attempt to connect
 * (sentinel.h). A Redis that says that it is a replica is not used; nor is one that has become one.
 *
 * *Hints* come by a second connection (SUBSCRIBE). Where it fails, nothing is lost but time. After
 * each subscription one hint is given, for what may have been missed. A message is passed on in the
 * turn of the loop that reads it; where more follow within WEIR_COORD_REDIS_HINT_MS, they make one
 * hint together at its end.
 *
 * *run* is made of the server's run_id, asked at each connection, and a name that the data set
 * gets from the first script: a restart, a failover, FLUSHALL each change it.
 *
 * *Limits*: Redis 7.0 without TLS, Sentinels without a password. A host name is looked up when
 * connecting, which blocks: give an address. SIGPIPE is ignored by the whole process from the first
 * driver on, unless it has a handler (hiredis writes to sockets whose other end may be gone).
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
#define WEIR_COORD_REDIS_HINT_MS        2   /**< from one hint to the next, at least */
#define WEIR_COORD_REDIS_CREDENTIAL_MAX 512 /**< bytes of a user or password, NUL counted */
#define WEIR_COORD_REDIS_REPLICAS_MAX   7   /**< largest min_replicas */

/** Strings are copied. */
struct weir_coord_redis_conf {
	const char *address;         /**< "/path", "host", "host:port", "[ipv6]:port" */
	const char *sentinels;       /**< in place of the address: theirs, with commas between */
	const char *sentinel_master; /**< what they call the primary */
	const char *user;            /**< of AUTH; NULL or "": the default user */
	const char *password;        /**< NULL or "": no AUTH */
	unsigned db;
	const char *cluster;
	uint32_t timeout_ms;   /**< 0: WEIR_COORD_REDIS_TIMEOUT_MS */
	unsigned min_replicas; /**< 0..WEIR_COORD_REDIS_REPLICAS_MAX */
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
