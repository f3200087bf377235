/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Requests as arguments of the scripts, and the scripts' replies as answers.
 *
 * Thread-safety: functions of their arguments alone.
 */
#ifndef WEIR_COORD_REDIS_TEXT_H
#define WEIR_COORD_REDIS_TEXT_H

#include <stddef.h>

#include "tenure/coord.h"

struct redisReply;

/** A transition, as scripts/<name>.lua has it. */
struct weir_coord_script {
	const char *sha1;
	const char *text;
};

extern const struct weir_coord_script weir_coord_script_register;
extern const struct weir_coord_script weir_coord_script_renew;
extern const struct weir_coord_script weir_coord_script_change;
extern const struct weir_coord_script weir_coord_script_leave;
extern const struct weir_coord_script weir_coord_script_forget;

#define WEIR_COORD_ARGS_MAX       24
#define WEIR_COORD_ARGS_BYTES_MAX 2048

/** EVALSHA or EVAL with its arguments. */
struct weir_coord_args {
	const struct weir_coord_script *script;
	int count;
	const char *arg[WEIR_COORD_ARGS_MAX];
	size_t len[WEIR_COORD_ARGS_MAX];
	size_t used;
	char bytes[WEIR_COORD_ARGS_BYTES_MAX];
};

/**
 * Writes a request that has been found sound. The arguments must not be moved.
 *
 * @param cluster of the keys weir:{<cluster>}:...
 * @param dataset what the data set is called from now on if it has no name yet
 */
void weir_coord_args_write(struct weir_coord_args *args, const char *cluster, uint64_t dataset,
	const struct weir_coord_request *request);

/** EVAL with the script's text in place of EVALSHA. */
void weir_coord_args_whole(struct weir_coord_args *args);

#define WEIR_COORD_DAMAGE_MAX 256

/** What an answer points to. */
struct weir_coord_room {
	struct weir_node nodes[WEIR_NODES_MAX];
	struct weir_record records[WEIR_COORD_RECORDS_MAX];
	char damage[WEIR_COORD_DAMAGE_MAX]; /**< what was left out, in words; empty: nothing */
};

/**
 * Reads a script's reply, which is not an error of Redis.
 *
 * Records and nodes that are damaged are left out: one bad value must not cost the others
 * their leases.
 *
 * @param run_id of the Redis process
 * @param answer its kind and ticket are set
 */
void weir_coord_reply_read(const struct redisReply *reply, const char *run_id,
	struct weir_coord_room *room, struct weir_coord_answer *answer);

#endif
