/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands that look into a device's table from the gateway's thread: FLOW.GET, SCAN and COUNT.
 *
 * A master read is answered only where this node may answer it before the look and after it: a
 * lease that ran out in between would make it the look of a node that is master no more.
 *
 * FLOW.GET is linearizable: where what was seen is not on every in-sync copy yet, the worker is
 * asked, which answers once it is. SCAN and COUNT show what stands here.
 */
#include <stddef.h>
#include <string.h>

#include "api/command.h"
#include "base/err.h"
#include "flow/flow.h"
#include "store/store.h"
#include "table/table.h"

/* Bytes of an entry in front of its rule. */
#define ENTRY_HEAD offsetof(struct weir_entry, rule)

#define SCAN_COUNT_DEFAULT 100
#define SCAN_COUNT_MAX     10000

/* Entries looked at in one go of a walk. */
#define WALK_STEP 256

/* An answer to FLOW.SCAN that has grown so large ends, whatever COUNT says. */
#define SCAN_BYTES_MAX (4U << 20)

/* Which entries are wanted. */
struct filter {
	int state; /**< -1: any */
	int table; /**< -1: any */
	int app;   /**< -1: any */
	bool local;
};

struct scan {
	struct weir_reply *build;
	struct filter filter;
	uint64_t count;
};

static enum weir_call_result read_refused(
	const struct weir_call *call, const struct weir_device *device, int err)
{
	if (err == WEIR_NOTMASTER)
		weir_reply_notmaster(call->reply, call->store, device);
	else
		weir_reply_error(call->reply, err, "%s", weir_err_sentence(err));
	return WEIR_CALL_ANSWERED;
}

static int may_read(const struct weir_call *call, const struct weir_device *device, bool local)
{
	return local ? 0 : weir_device_may_read(call->store, device);
}

static bool filter_passes(const struct filter *filter, const struct weir_entry *entry)
{
	return (filter->state < 0 ||
		       __atomic_load_n(&entry->state, __ATOMIC_RELAXED) == filter->state) &&
	       (filter->table < 0 || entry->rule.table == filter->table) &&
	       (filter->app < 0 || weir_rule_app(&entry->rule) == filter->app);
}

void weir_reply_flow(struct weir_reply *reply, const struct weir_entry *entry, bool local)
{
	char text[WEIR_FLOW_TEXT_MAX];
	int len = weir_flow_print(&entry->rule, WEIR_FLOW_PRINT_ALL, text, sizeof(text));

	weir_assert(len > 0);
	weir_reply_map(reply, 8 + local);
	weir_reply_text(reply, "flow");
	weir_reply_bulk(reply, text, (size_t)len);
	weir_reply_text(reply, "id");
	weir_reply_flow_id(reply, entry->rule.flow_id);
	weir_reply_text(reply, "state");
	weir_reply_text(
		reply, weir_flow_state_name(__atomic_load_n(&entry->state, __ATOMIC_RELAXED)));
	weir_reply_text(reply, "error");
	weir_reply_number(reply, __atomic_load_n(&entry->error, __ATOMIC_RELAXED));
	weir_reply_text(reply, "packets");
	weir_reply_number(reply, __atomic_load_n(&entry->packets, __ATOMIC_RELAXED));
	weir_reply_text(reply, "bytes");
	weir_reply_number(reply, __atomic_load_n(&entry->bytes, __ATOMIC_RELAXED));
	weir_reply_text(reply, "life_s");
	weir_reply_number(reply, __atomic_load_n(&entry->life_s, __ATOMIC_RELAXED));
	weir_reply_text(reply, "last_seen_ms");
	weir_reply_number(reply, __atomic_load_n(&entry->last_seen_ms, __ATOMIC_RELAXED));
	if (local) {
		weir_reply_text(reply, "local");
		weir_reply_number(reply, 1);
	}
}

/* ----------------------------------------------------------------------------- FLOW.GET --- */

/* A flow id is written as "0x" and up to 16 hexadecimal digits. */
static bool flow_id_read(const struct weir_word *word, uint64_t *flow_id)
{
	uint64_t value = 0;

	if (word->len < 3 || word->len > 18 || word->at[0] != '0' || (word->at[1] | 0x20) != 'x')
		return false;
	for (size_t i = 2; i < word->len; i++) {
		char c = word->at[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value << 4 | (unsigned)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	*flow_id = value;
	return true;
}

/* What FLOW.GET looks for. */
struct sought {
	const struct weir_device *device;
	bool by_id;
	_Alignas(8) uint8_t room[WEIR_RULE_BYTES_MAX]; /**< a rule; by id: its flow id only */
};

static struct weir_rule *sought_rule(struct sought *sought)
{
	return (struct weir_rule *)sought->room;
}

/* Reads word 2. Returns 0, or an error with fault filled in. */
static int sought_read(
	const struct weir_call *call, struct sought *sought, struct weir_flow_fault *fault)
{
	const struct weir_word *word = &call->words->word[2];
	struct weir_rule *rule = sought_rule(sought);

	memset(rule, 0, sizeof(*rule));
	sought->by_id = flow_id_read(word, &rule->flow_id);
	if (sought->by_id)
		return 0;
	return weir_flow_parse(
		word->at, word->len, WEIR_FLOW_IDENTITY, rule, sizeof(sought->room), fault);
}

static const struct weir_entry *sought_find(struct sought *sought)
{
	const struct weir_table *table = weir_device_table(sought->device);

	return sought->by_id ? weir_table_find_id(table, sought_rule(sought)->flow_id)
			     : weir_table_find(table, sought_rule(sought));
}

/* The worker answers, once every in-sync copy has what it saw. */
static enum weir_call_result worker_asked(
	const struct weir_call *call, struct sought *sought, size_t entry_bytes)
{
	size_t room = ENTRY_HEAD + WEIR_GATE_TASK_ROOM;
	struct weir_task *task;

	task = weir_gate_task(
		call->gateway->gate, entry_bytes > room ? WEIR_ENTRY_BYTES_MAX : room);
	if (task == NULL)
		return weir_call_task_missing(call);
	task->op = sought->by_id ? WEIR_OP_GET_ID : WEIR_OP_GET;
	task->ack = WEIR_ACK_INSYNC;
	task->err = 0;
	task->removed = 0;
	task->device_key = weir_device_number(sought->device);
	memset(&task->entry, 0, ENTRY_HEAD);
	memcpy(&task->entry.rule, sought_rule(sought), weir_rule_bytes(sought_rule(sought)));
	weir_conn_submit(call->conn, task);
	return WEIR_CALL_TAKEN;
}

static enum weir_call_result get(const struct weir_call *call, struct sought *sought, bool local)
{
	const struct weir_table *table = weir_device_table(sought->device);
	uint64_t fence = weir_table_fence(table);
	const struct weir_entry *entry = sought_find(sought);
	size_t mark = call->reply->len;
	int err;

	if (entry != NULL)
		weir_reply_flow(call->reply, entry, local);
	else
		weir_reply_error(
			call->reply, WEIR_NOTFOUND, "%s", weir_err_sentence(WEIR_NOTFOUND));
	/*
	 * Asked after the look, for what was seen: it is taken back where it may not be said. If
	 * the fence has moved, what was seen may be of a term that is over.
	 */
	err = may_read(call, sought->device, local);
	if (err == 0 && !local && weir_table_fence(table) != fence)
		err = WEIR_BUSY;
	if (err == 0 && (local || weir_table_is_firm(
					  table, weir_flow_bucket(sought_rule(sought)->flow_id))))
		return WEIR_CALL_ANSWERED;
	weir_reply_cut(call->reply, mark);
	if (err != 0)
		return read_refused(call, sought->device, err);
	return worker_asked(call, sought, entry != NULL ? weir_entry_bytes(entry) : 0);
}

WEIR_RUN(flow_get)
{
	const struct weir_words *words = call->words;
	bool local = words->count == 4 && weir_word_is(&words->word[3], "LOCAL");
	struct weir_flow_fault fault = {0};
	struct sought sought;
	int err;

	if (words->count > 3 + (unsigned)local)
		return weir_call_syntax(call);
	sought.device = weir_call_device(call);
	if (sought.device == NULL)
		return WEIR_CALL_ANSWERED;
	err = may_read(call, sought.device, local);
	if (err != 0)
		return read_refused(call, sought.device, err);
	err = sought_read(call, &sought, &fault);
	if (err == 0)
		return get(call, &sought, local);
	weir_reply_error(call->reply, err, "column %u: %s", fault.column, fault.message);
	return WEIR_CALL_ANSWERED;
}

/* ---------------------------------------------------------------------------- FLOW.SCAN --- */

/* Reads one option of SCAN or COUNT at word *at and moves on. */
static bool filter_option(const struct weir_words *words, unsigned *at, struct filter *filter)
{
	const struct weir_word *name = &words->word[*at], *value = name + 1;
	uint64_t number;

	if (weir_word_is(name, "LOCAL")) {
		filter->local = true;
		++*at;
		return true;
	}
	if (*at + 1 >= words->count)
		return false;
	*at += 2;
	if (weir_word_is(name, "STATE")) {
		filter->state = weir_flow_state_from_name(value->at, value->len);
		return filter->state >= 0;
	}
	if (weir_word_is(name, "TABLE") && weir_word_number(value, WEIR_TABLES_MAX - 1, &number))
		filter->table = (int)number;
	else if (weir_word_is(name, "APP") && weir_word_number(value, UINT16_MAX, &number))
		filter->app = (int)number;
	else
		return false;
	return true;
}

static bool scan_options(const struct weir_words *words, struct filter *filter, uint64_t *count)
{
	for (unsigned at = 3; at < words->count;) {
		if (at + 1 < words->count && weir_word_is(&words->word[at], "COUNT")) {
			if (!weir_word_number(&words->word[at + 1], SCAN_COUNT_MAX, count) ||
				*count == 0)
				return false;
			at += 2;
		} else if (!filter_option(words, &at, filter)) {
			return false;
		}
	}
	return true;
}

static bool scan_visit(void *ctx, struct weir_entry *entry)
{
	struct scan *scan = ctx;

	if (!filter_passes(&scan->filter, entry))
		return true;
	weir_reply_flow(scan->build, entry, scan->filter.local);
	scan->count++;
	return true;
}

/* Walks on from the cursor over about `most` entries. Returns the next cursor. */
static uint64_t scan_walk(
	const struct weir_device *device, uint64_t cursor, uint64_t most, struct scan *scan)
{
	while (most > 0) {
		unsigned step = most < WALK_STEP ? (unsigned)most : WALK_STEP;

		cursor = weir_table_walk(weir_device_table(device), cursor, step, scan_visit, scan);
		if (cursor == 0 || weir_reply_left(scan->build) > SCAN_BYTES_MAX)
			break;
		most -= step;
	}
	return cursor;
}

WEIR_RUN(flow_scan)
{
	struct scan scan = {.build = &call->gateway->build, .filter = {-1, -1, -1, false}};
	uint64_t cursor, most = SCAN_COUNT_DEFAULT;
	const struct weir_device *device;
	int err;

	if (!weir_word_number(&call->words->word[2], UINT64_MAX, &cursor) ||
		!scan_options(call->words, &scan.filter, &most))
		return weir_call_syntax(call);
	device = weir_call_device(call);
	if (device == NULL)
		return WEIR_CALL_ANSWERED;
	err = may_read(call, device, scan.filter.local);
	if (err != 0)
		return read_refused(call, device, err);
	weir_reply_clear(scan.build);
	scan.build->protocol = call->reply->protocol;
	cursor = scan_walk(device, cursor, most, &scan);
	err = may_read(call, device, scan.filter.local);
	if (err != 0)
		return read_refused(call, device, err);
	weir_reply_array(call->reply, 2);
	weir_reply_format(call->reply, "%llu", (unsigned long long)cursor);
	weir_reply_array(call->reply, (unsigned)scan.count);
	weir_reply_raw(call->reply, scan.build->bytes, weir_reply_left(scan.build));
	call->reply->bad |= scan.build->bad;
	if (scan.build->room > WEIR_API_READ_BYTES)
		weir_reply_free(scan.build);
	return WEIR_CALL_ANSWERED;
}

/* --------------------------------------------------------------------------- FLOW.COUNT --- */

struct count {
	const struct weir_call *call;
	struct filter filter;
	uint64_t flows;
};

static bool count_visit(void *ctx, struct weir_entry *entry)
{
	struct count *count = ctx;

	count->flows += filter_passes(&count->filter, entry);
	return true;
}

static bool count_device_visit(void *ctx, const struct weir_device *device)
{
	struct count *count = ctx;

	if (may_read(count->call, device, count->filter.local) == 0)
		count->flows += weir_table_count(weir_device_table(device));
	return true;
}

/*
 * Counts by walking. In between the thread lets go of what it reads, so that a large table keeps
 * no memory waiting; the device is then looked up anew. Returns 0 or an error.
 */
static int count_walk(const struct weir_call *call, struct count *count)
{
	const struct weir_word *name = &call->words->word[1];
	const struct weir_device *device;
	uint64_t cursor = 0;

	do {
		device = weir_store_device(call->store, name->at, name->len);
		if (device == NULL)
			return WEIR_NODEVICE;
		cursor = weir_table_walk(
			weir_device_table(device), cursor, SCAN_COUNT_MAX, count_visit, count);
		weir_gate_quiescent(call->gateway->gate);
	} while (cursor != 0);
	return 0;
}

static enum weir_call_result count_one(const struct weir_call *call, struct count *count)
{
	const struct weir_device *device = weir_call_device(call);
	int err;

	if (device == NULL)
		return WEIR_CALL_ANSWERED;
	err = may_read(call, device, count->filter.local);
	if (err == 0 && count->filter.state >= 0)
		err = count_walk(call, count);
	else
		count->flows = weir_table_count(weir_device_table(device));
	device = weir_call_device(call);
	if (device == NULL)
		return WEIR_CALL_ANSWERED;
	if (err == 0)
		err = may_read(call, device, count->filter.local);
	if (err != 0)
		return read_refused(call, device, err);
	weir_reply_number(call->reply, count->flows);
	return WEIR_CALL_ANSWERED;
}

WEIR_RUN(flow_count)
{
	struct count count = {.call = call, .filter = {-1, -1, -1, false}};
	unsigned words = call->words->count;

	for (unsigned at = 2; at < words;)
		if (!filter_option(call->words, &at, &count.filter) || count.filter.table >= 0 ||
			count.filter.app >= 0)
			return weir_call_syntax(call);
	if (words > 1)
		return count_one(call, &count);
	weir_store_devices(call->store, count_device_visit, &count);
	weir_reply_number(call->reply, count.flows);
	return WEIR_CALL_ANSWERED;
}
