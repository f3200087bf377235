/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that become a task: FLOW.ADD and its kin. */
#include <stddef.h>
#include <string.h>

#include "api/command.h"
#include "base/clock.h"
#include "base/err.h"
#include "flow/flow.h"
#include "store/store.h"
#include "table/table.h"

/* Bytes of an entry in front of its rule. */
#define ENTRY_HEAD offsetof(struct weir_entry, rule)

/* What may stand behind the flow. */
struct options {
	enum weir_ack ack;
	uint64_t packets, bytes, life_s;
};

/* Reads "NAME number" at word *at, if it is that, and moves on. */
static bool number_option(
	const struct weir_words *words, unsigned *at, const char *name, uint64_t most, uint64_t *to)
{
	if (*at + 1 >= words->count || !weir_word_is(&words->word[*at], name) ||
		!weir_word_number(&words->word[*at + 1], most, to))
		return false;
	*at += 2;
	return true;
}

static bool ack_option(const struct weir_words *words, unsigned *at, enum weir_ack *ack)
{
	const struct weir_word *value = &words->word[*at + 1];

	if (*at + 1 >= words->count || !weir_word_is(&words->word[*at], "ACK"))
		return false;
	if (weir_word_is(value, "local"))
		*ack = WEIR_ACK_LOCAL;
	else if (weir_word_is(value, "insync"))
		*ack = WEIR_ACK_INSYNC;
	else
		return false;
	*at += 2;
	return true;
}

static bool options_read(const struct weir_words *words, bool report, struct options *options)
{
	for (unsigned at = 3; at < words->count;) {
		if (ack_option(words, &at, &options->ack))
			continue;
		if (report &&
			(number_option(words, &at, "PACKETS", UINT64_MAX, &options->packets) ||
				number_option(words, &at, "BYTES", UINT64_MAX, &options->bytes) ||
				number_option(words, &at, "LIFE", UINT32_MAX, &options->life_s)))
			continue;
		return false;
	}
	return true;
}

static enum weir_call_result flow_refused(
	const struct weir_call *call, int err, const struct weir_flow_fault *fault)
{
	weir_reply_error(call->reply, err, "column %u: %s", fault->column, fault->message);
	return WEIR_CALL_ANSWERED;
}

/*
 * Parses the flow into a task. Most rules fit an ordinary task; those that do not are parsed
 * again into one of the few large ones.
 */
static int flow_parse(const struct weir_call *call, enum weir_flow_parse_mode mode,
	struct weir_task **result, struct weir_flow_fault *fault)
{
	static const size_t rooms[] = {WEIR_GATE_TASK_ROOM, WEIR_ENTRY_BYTES_MAX};
	const struct weir_word *flow = &call->words->word[2];
	int err = WEIR_TOOBIG;

	for (unsigned i = 0; i < 2 && err == WEIR_TOOBIG; i++) {
		struct weir_task *task = weir_gate_task(call->gateway->gate, rooms[i]);

		*result = task;
		if (task == NULL)
			return WEIR_BUSY;
		err = weir_flow_parse(flow->at, flow->len, mode, &task->entry.rule,
			task->room - ENTRY_HEAD, fault);
		if (err != 0)
			weir_gate_task_free(call->gateway->gate, task);
	}
	return err;
}

static enum weir_call_result write_run(
	const struct weir_call *call, enum weir_op op, enum weir_flow_parse_mode mode)
{
	struct options options = {.ack = WEIR_ACK_INSYNC};
	struct weir_flow_fault fault = {0};
	const struct weir_device *device;
	struct weir_task *task;
	int err;

	if (!options_read(call->words, op == WEIR_OP_REPORT, &options))
		return weir_call_syntax(call);
	device = weir_call_device(call);
	if (device == NULL)
		return WEIR_CALL_ANSWERED;
	err = flow_parse(call, mode, &task, &fault);
	if (err == WEIR_BUSY)
		return weir_call_task_missing(call);
	if (err != 0)
		return flow_refused(call, err, &fault);
	task->op = (uint8_t)op;
	task->ack = (uint8_t)options.ack;
	task->err = 0;
	task->removed = 0;
	task->device_key = weir_device_number(device);
	memset(&task->entry, 0, ENTRY_HEAD);
	task->entry.packets = options.packets;
	task->entry.bytes = options.bytes;
	task->entry.life_s = (uint32_t)options.life_s;
	if (op == WEIR_OP_REPORT)
		task->entry.last_seen_ms = weir_clock_wall_ns() / WEIR_NS_PER_MS;
	weir_conn_submit(call->conn, task);
	return WEIR_CALL_TAKEN;
}

WEIR_RUN(flow_add)
{
	return write_run(call, WEIR_OP_ADD, WEIR_FLOW_RULE);
}

WEIR_RUN(flow_mod)
{
	return write_run(call, WEIR_OP_MODIFY, WEIR_FLOW_RULE);
}

WEIR_RUN(flow_del)
{
	return write_run(call, WEIR_OP_REMOVE, WEIR_FLOW_IDENTITY);
}

WEIR_RUN(flow_report)
{
	return write_run(call, WEIR_OP_REPORT, WEIR_FLOW_IDENTITY);
}

WEIR_RUN(flow_pending)
{
	return write_run(call, WEIR_OP_PENDING, WEIR_FLOW_IDENTITY);
}

WEIR_RUN(flow_removed)
{
	return write_run(call, WEIR_OP_REMOVED, WEIR_FLOW_IDENTITY);
}

/* ----------------------------------------------------------------------------- FLOW.PURGE --- */

static bool purge_options(const struct weir_words *words, int *app, enum weir_ack *ack)
{
	uint64_t number;

	for (unsigned at = 2; at < words->count;) {
		if (ack_option(words, &at, ack))
			continue;
		if (!number_option(words, &at, "APP", UINT16_MAX, &number))
			return false;
		*app = (int)number;
	}
	return true;
}

/* A task for each shard, or none. */
static bool purge_tasks(const struct weir_call *call, struct weir_task *tasks[WEIR_SHARDS])
{
	struct weir_gate *gate = call->gateway->gate;

	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		tasks[shard] = weir_gate_task(gate, sizeof(struct weir_entry));
		if (tasks[shard] != NULL)
			continue;
		while (shard > 0)
			weir_gate_task_free(gate, tasks[--shard]);
		return false;
	}
	return true;
}

WEIR_RUN(flow_purge)
{
	struct weir_task *tasks[WEIR_SHARDS];
	enum weir_ack ack = WEIR_ACK_INSYNC;
	const struct weir_device *device;
	int app = WEIR_ANY_APP;

	if (!purge_options(call->words, &app, &ack))
		return weir_call_syntax(call);
	device = weir_call_device(call);
	if (device == NULL)
		return WEIR_CALL_ANSWERED;
	if (!purge_tasks(call, tasks))
		return weir_call_task_missing(call);
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		struct weir_task *task = tasks[shard];

		task->op = WEIR_OP_PURGE;
		task->ack = (uint8_t)ack;
		task->err = 0;
		task->app = app;
		task->removed = 0;
		task->at = 0;
		task->device_key = weir_device_number(device);
		memset(&task->entry, 0, sizeof(task->entry));
		task->entry.rule.flow_id = shard;
	}
	if (weir_conn_submit_purge(call->conn, tasks))
		return WEIR_CALL_TAKEN;
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		weir_gate_task_free(call->gateway->gate, tasks[shard]);
	return weir_call_error(call, WEIR_BUSY);
}
