/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The gateway: Weir for any Redis client. RESP2 (RESP3 after HELLO 3) on a Unix socket.
 *
 * Each gateway is an ordinary thread with an event loop (libevent) and a gate of the store. It
 * parses requests where they stand (resp.h), one table of commands (command.h) says arity, flags
 * and function, and answers each connection in the order of its requests, however they complete.
 * Writes of one connection run side by side; anything else waits for those before it, so that a
 * client reads its own writes.
 *
 * Back-pressure: a connection with WEIR_API_PIPELINE_MAX requests under way, or whose client does
 * not read (WEIR_API_OUTPUT_MAX bytes unsent), is not read from until it has caught up.
 */
#ifndef WEIR_API_API_H
#define WEIR_API_API_H

#include <stdint.h>

struct weir_store;
struct weir_api;

#define WEIR_API_GATEWAYS_MAX 8
#define WEIR_API_CLIENTS_MAX  1024
#define WEIR_API_PIPELINE_MAX 8192
#define WEIR_API_REQUEST_MAX  (1U << 20)  /**< bytes of one request */
#define WEIR_API_ARGS_MAX     1024        /**< words of one request */
#define WEIR_API_OUTPUT_MAX   (16U << 20) /**< bytes of answers that a client may leave unread */

struct weir_api_conf {
	const char *socket;   /**< path; a stale socket there is replaced, a live one refused */
	uint32_t socket_mode; /**< file permissions, such as 0660 */
	uint32_t request_timeout_ms;
	unsigned gateways_count; /**< threads, 1..WEIR_API_GATEWAYS_MAX */
};

/**
 * Listens and starts the gateway threads.
 * @return NULL where the socket cannot be had (logged with the reason)
 */
struct weir_api *weir_api_start(const struct weir_api_conf *conf, struct weir_store *store);

/** Closes the socket, answers what is under way, ends the threads. NULL is fine. */
void weir_api_stop(struct weir_api *api);

#endif
