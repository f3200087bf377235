/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The client session's own: what it knows of nodes and masters (session.c, calls), and the
 * pipeline (pipeline.c) with its connections (stream.c).
 */
#ifndef WEIR_CLIENT_SESSION_H
#define WEIR_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/limits.h"
#include "client/weir_client.h"

struct redisContext;

/** Sockets that a session knows: those it was given, and those that nodes have named. */
#define WEIR_CLIENT_NODES_MAX (2 * WEIR_NODES_MAX)

/** Between two tries: first, and at most. */
#define WEIR_CLIENT_BACKOFF_MIN_MS 5
#define WEIR_CLIENT_BACKOFF_MAX_MS 20

/** A master that answers nothing for so long while requests are under way is asked about. */
#define WEIR_CLIENT_SILENCE_MS 400

/** One node is asked for a master no longer than this. */
#define WEIR_CLIENT_ASK_MS 250

/** A node. */
struct weir_known {
	char socket[WEIR_SOCKET_PATH_MAX];
	struct redisContext *context; /**< for calls; NULL: not connected */
};

struct weir_pipeline;

struct weir_session {
	unsigned pipeline_max;
	uint64_t timeout_ns;
	uint32_t connect_timeout_ms;
	unsigned nodes_count, node_now; /**< node_now: who answered last */
	struct weir_known nodes[WEIR_CLIENT_NODES_MAX];
	bool learned; /**< NODE.LIST was asked */
	char error[256];
	struct weir_client_stats stats;
	char master_device[WEIR_DEVICE_ID_MAX]; /**< whose master the last call went to */
	unsigned master_node;
	struct weir_pipeline *pipeline; /**< made on first use */
};

/** Keeps a sentence for weir_client_error. */
void weir_session_say(struct weir_session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** The number of a socket, added where it is new; -1: there are too many. */
int weir_session_node(struct weir_session *session, const char *socket, size_t len);

/**
 * Asks the nodes, but for number `except` (-1: nobody), who is master of a device.
 * @param timeout_ms for each node
 * @return the node's number by the newest term that any of them knows; -1: nobody knows;
 *         WEIR_NODEVICE where all that answered know no such device
 */
int weir_session_master(
	struct weir_session *session, const char *device, int except, uint32_t timeout_ms);

/** The socket in "NOTMASTER node socket sentence", or -1. */
int weir_session_hint(struct weir_session *session, const char *text, size_t len);

/** Whether this error may go away when the request is made again. */
bool weir_err_passes(int err);

/** The error that an answer names in its first word. */
int weir_err_of_text(const char *text, size_t len);

void weir_pipeline_close(struct weir_pipeline *pipeline);

#endif
