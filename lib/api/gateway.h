/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The gateway's own: threads, connections, and what a command sees of them.
 *
 * Order of answers
 * ----------------
 * A connection's answers leave in the order of its requests. Writes (commands with
 * WEIR_COMMAND_WRITE) run on at the same time and come back in any order: each takes a slot of the
 * connection's ring. Any other command waits until the ring is empty, so that a client reads its
 * own writes, and then answers straight into the output. Requests to the control core
 * (WEIR_COMMAND_CONTROL) also keep what follows waiting: a flow may come right behind the
 * DEVICE.ADD of its device.
 *
 * Turn of a gateway
 * -----------------
 * Callbacks of the event loop only note which connections have something to do, for they run
 * while the gate rests; the work is done behind them.
 */
#ifndef WEIR_API_GATEWAY_H
#define WEIR_API_GATEWAY_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "api/api.h"
#include "api/reply.h"
#include "api/resp.h"
#include "base/limits.h"

struct event;
struct event_base;
struct weir_command;
struct weir_gate;
struct weir_gateway;
struct weir_request;
struct weir_store;
struct weir_task;

/** Bytes of a connection's name, its final NUL counted. */
#define WEIR_API_NAME_MAX 64

/** Bytes read from a connection at once. */
#define WEIR_API_READ_BYTES (64U << 10)

/** A command that is answered when its task or request comes back. */
struct weir_slot {
	uint8_t kind; /**< enum weir_slot_kind */
	uint32_t len; /**< TEXT */
	union {
		uint64_t flow_id; /**< FLOW */
		char *text;       /**< TEXT: the encoded answer, from the heap */
	};
};

enum weir_slot_kind {
	WEIR_SLOT_WAITS,
	WEIR_SLOT_FLOW, /**< done: a flow id */
	WEIR_SLOT_TEXT, /**< done: an encoded answer */
};

/** A purge under way: a task for each shard, and one slot for them all. */
struct weir_purge {
	uint64_t slot;
	unsigned left; /**< tasks not yet back */
	uint64_t removed;
	int err;
};

struct weir_conn {
	LIST_ENTRY(weir_conn) all;      /**< connections of the gateway */
	TAILQ_ENTRY(weir_conn) turn;    /**< those with something to do in this turn */
	TAILQ_ENTRY(weir_conn) waiting; /**< those that wait for a free task */
	struct weir_gateway *gateway;
	struct event *read_event, *write_event;
	int fd; /**< -1: closed, and waits for what is under way */
	uint64_t id;
	uint64_t since_ns;
	char name[WEIR_API_NAME_MAX];
	bool in_turn, in_waiting;
	bool readable; /**< the socket has input */
	bool reading;  /**< the read event is on */
	bool writing;  /**< the write event is on */
	bool eof;      /**< the client will send no more */
	bool closing;  /**< close once the output is sent; what is still in the input is dropped */
	bool stalled;  /**< the request at the front of the input has to wait */
	bool control;  /**< a request to the control core is under way */

	char *in; /**< input not yet understood */
	size_t in_start, in_len, in_room;
	struct weir_resp resp; /**< of the request at in_start */

	struct weir_slot *slots; /**< ring of slots_room, a power of two */
	unsigned slots_room;
	uint64_t head, tail; /**< next to be answered, next to be taken */
	unsigned under_way;  /**< tasks and requests not yet back */
	struct weir_reply out;
};

/** Counters of one gateway; written by its thread, read by all. */
struct weir_gateway_stats {
	atomic_ulong accepted, refused, clients_now;
	atomic_ulong requests, writes, errors, malformed;
	atomic_ulong bytes_in, bytes_out;
};

#define weir_stat_add(stat, by)                                                                    \
	atomic_store_explicit(&(stat), atomic_load_explicit(&(stat), memory_order_relaxed) + (by), \
		memory_order_relaxed)

/** One thread. */
struct weir_gateway {
	struct weir_api *api;
	unsigned number;
	pthread_t thread;
	struct event_base *base;
	struct event *listen_event, *pause_event, *gate_event, *stop_event;
	struct weir_gate *gate;
	sem_t started;
	bool ready;    /**< the gate is open; set before `started` is posted */
	bool stopping; /**< takes no more requests */
	bool gate_readable;
	bool flush; /**< tasks were submitted since the last flush */
	unsigned requests_under_way;
	LIST_HEAD(, weir_conn) conns;
	TAILQ_HEAD(weir_turn, weir_conn) turn;
	TAILQ_HEAD(, weir_conn) waiting;
	struct weir_words words;
	struct weir_reply aside; /**< answers that may not go to the output yet */
	struct weir_reply build; /**< a list whose length is not known before its end */
	uint64_t master_key;     /**< device whose NOTMASTER answer stands in master_text */
	struct weir_reply master_text;
	struct weir_gateway_stats stats;
};

struct weir_api {
	struct weir_store *store;
	uint32_t request_timeout_ms;
	char socket[WEIR_SOCKET_PATH_MAX];
	int listen_fd;
	int stop_fd; /**< readable once the gateways are to end */
	uint64_t since_ns;
	atomic_uint clients_count;
	atomic_ulong last_client_id;
	unsigned gateways_count;
	struct weir_gateway gateways[WEIR_API_GATEWAYS_MAX];
};

/** A request on its way through a command. */
struct weir_call {
	struct weir_store *store;
	struct weir_gateway *gateway;
	struct weir_conn *conn;
	const struct weir_command *command;
	const struct weir_words *words; /**< word 0 is the command's name */
	struct weir_reply *reply;       /**< where an immediate answer goes */
};

/** What a command's function says. */
enum weir_call_result {
	WEIR_CALL_ANSWERED, /**< the answer stands in call->reply */
	WEIR_CALL_TAKEN,    /**< it comes later */
	WEIR_CALL_LATER,    /**< no task is free: to be called again with the same words */
};

/* Connections; all in the gateway's thread. */

/** Takes a connected socket over. @return false where memory is short (the socket is closed) */
bool weir_conn_open(struct weir_gateway *gateway, int fd);

/** Closes the socket; the connection goes away once nothing of it is under way. */
void weir_conn_close(struct weir_conn *conn);

/** Reads, executes and writes what there is to do. */
void weir_conn_turn(struct weir_conn *conn);

/** Puts the connection among those that have something to do in this turn. */
void weir_conn_touch(struct weir_conn *conn);

/** Hands a task in for a connection. */
void weir_conn_submit(struct weir_conn *conn, struct weir_task *task);

/** Hands one task for each shard in; they have one answer together. @return false: no memory */
bool weir_conn_submit_purge(struct weir_conn *conn, struct weir_task *tasks[WEIR_SHARDS]);

/** Hands a request to the control core in for a connection. */
void weir_conn_request(struct weir_conn *conn, struct weir_request *request);

/** A task or request has come back; it is given back or freed. */
void weir_conn_task_done(struct weir_gateway *gateway, struct weir_task *task);
void weir_conn_request_done(struct weir_gateway *gateway, struct weir_request *request);

#endif
