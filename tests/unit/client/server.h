/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A scripted node: a thread that answers requests on a Unix socket as the test says.
 */
#ifndef TESTS_UNIT_CLIENT_SERVER_H
#define TESTS_UNIT_CLIENT_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "api/reply.h"
#include "api/resp.h"

#define SERVER_CONNS_MAX 32

struct server;

/**
 * Answers one request into `out`. Returns whether the connection is to stay.
 * Requests that the script does not want to answer are passed to server_usual.
 */
typedef bool server_script(
	struct server *server, const struct weir_words *words, struct weir_reply *out);

struct server {
	char socket[80];
	server_script *script;
	void *ctx;
	_Atomic(struct server *) peer;   /**< another node; told by NODE.LIST */
	_Atomic(struct server *) master; /**< told by MASTER.GET; NULL: nobody */
	atomic_uint term;                /**< told by MASTER.GET */
	atomic_bool slow;                /**< answers leave in single bytes */
	atomic_uint delay_ms;            /**< before each answer, which leaves by itself */
	atomic_uint flows;               /**< FLOW.* requests seen */
	atomic_uint connects;
	atomic_bool stop, dead; /**< dead: the socket is gone */
	pthread_t thread;
	int listen_fd;
	struct {
		int fd;
		char in[1 << 20];
		size_t len;
	} conns[SERVER_CONNS_MAX];
	struct weir_words words;
};

struct server *server_start(const char *name, server_script *script, void *ctx);
void server_stop(struct server *server);

/** Closes the socket and all connections, as a crash does; only from the script. */
void server_die(struct server *server);

/** FLOW.*: an id; MASTER.GET, NODE.LIST: as set; else an error. */
bool server_usual(struct server *server, const struct weir_words *words, struct weir_reply *out);

/** Whether the request is a FLOW.* one. */
bool server_is_flow(const struct weir_words *words);

#endif
