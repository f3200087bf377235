/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * C client of Weir (on hiredis): connects, pipelines, follows the master of a device.
 *
 * A session knows one or more sockets of a cluster's nodes. Each device's writes go to its master;
 * where a node answers NOTMASTER with the name and socket of another, or stops answering, the
 * session looks for the master (asking every node it knows) until its deadline.
 *
 * Certainty: a write that was answered OK is acknowledged. A write whose connection broke before
 * its answer is *not known*: the session sends it again to the new master, which is harmless for
 * ADD and DEL of a rule by one writer, and reports what the last try was answered.
 *
 * Thread-safety: a session belongs to one thread. No DPDK in here.
 */
#ifndef WEIR_CLIENT_H
#define WEIR_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redisReply;
struct weir_session;

/** Requests that may be under way in a pipeline. */
#define WEIR_CLIENT_PIPELINE_MAX 8192

struct weir_client_conf {
	const char *sockets; /**< one or more paths, separated by commas */
	unsigned pipeline;   /**< requests under way, 1..WEIR_CLIENT_PIPELINE_MAX; 0: 2048 */
	uint32_t timeout_ms; /**< for one request, over all its tries; 0: 5000 */
	uint32_t connect_timeout_ms; /**< 0: 1000 */
};

/** @return NULL where memory is short. Connects on first use. */
struct weir_session *weir_client_open(const struct weir_client_conf *conf);
void weir_client_close(struct weir_session *session);

/** A sentence on the last failure. */
const char *weir_client_error(const struct weir_session *session);

/**
 * One command to any node that answers, such as ("NODE.LIST", 1 word).
 * @return the reply (freed by the caller with freeReplyObject; may be of type REDIS_REPLY_ERROR),
 *         or NULL: nobody answered in time
 */
struct redisReply *weir_client_call(
	struct weir_session *session, int words, const char *const *argv, const size_t *lens);

/** The same, to the master of `device`, following it. */
struct redisReply *weir_client_call_master(struct weir_session *session, const char *device,
	int words, const char *const *argv, const size_t *lens);

/** What became of a pipelined request. err: 0 or a negative enum weir_err. */
typedef void weir_client_done(
	void *ctx, uint64_t cookie, int err, const char *text, size_t text_len);

/**
 * Queues a write for the master of `device`: FLOW.ADD, FLOW.MOD or FLOW.DEL with a flow text. Sends
 * and receives as needed, blocks while the pipeline is full. Answers come in any order across a
 * change of master, once each.
 * @return 0, or WEIR_UNREACHABLE after the deadline (what is under way is reported UNKNOWN)
 */
int weir_client_flow(struct weir_session *session, const char *device, const char *command,
	const char *flow, size_t flow_len, uint64_t cookie, weir_client_done *done, void *ctx);

/** Waits until all that was queued is answered. @return as above */
int weir_client_drain(struct weir_session *session);

/** What the session has been through. */
struct weir_client_stats {
	uint64_t requests, answers_ok, answers_err;
	uint64_t resent;           /**< requests sent again */
	uint64_t failovers;        /**< changes of master followed */
	uint64_t longest_stall_ns; /**< longest time without any answer while requests were under
				      way */
};

void weir_client_stats(const struct weir_session *session, struct weir_client_stats *stats);

#endif
