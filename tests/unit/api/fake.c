/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

#define FAKE_DEVICES_MAX 512

struct weir_table {
	struct weir_entry **entries;
	size_t count, room;
	uint64_t *index; /* open addressing: position + 1 */
	size_t index_room;
	const struct weir_store *store;
};

struct weir_device {
	char name[WEIR_DEVICE_ID_MAX];
	struct weir_table table;
};

struct weir_store {
	pthread_mutex_t lock;
	struct fake_conf conf;
	struct weir_store_conf store_conf;
	struct weir_device *devices[FAKE_DEVICES_MAX];
	unsigned devices_count, gates;
	unsigned long submitted, tasks_now, large_now;
	bool stopping;
	int fds[WEIR_GATES_MAX];
	struct weir_entry **graves;
	size_t graves_count;
};

struct weir_gate {
	struct weir_store *store;
	int fd;
	unsigned under_way, order_seed;
	struct weir_task *queue[WEIR_GATE_TASKS_MAX]; /* submitted, the oldest first */
	unsigned queue_count, flushed;
	struct weir_request *first_request, *last_request;
	bool online;
};

/* -------------------------------------------------------------------------------- tables --- */

static uint64_t text_hash(const char *text, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3ULL;
	return hash;
}

uint64_t weir_device_key(const char *device)
{
	return text_hash(device, strlen(device));
}

const char *weir_role_name(enum weir_role role)
{
	return role == WEIR_ROLE_MASTER ? "master" : role == WEIR_ROLE_BACKUP ? "standby" : "none";
}

static void index_put(struct weir_table *table, uint64_t flow_id, size_t position)
{
	size_t at = flow_id % table->index_room;

	while (table->index[at] != 0)
		at = (at + 1) % table->index_room;
	table->index[at] = position + 1;
}

static struct weir_entry **table_slot(const struct weir_table *table, uint64_t flow_id)
{
	if (table->index_room == 0)
		return NULL;
	for (size_t at = flow_id % table->index_room; table->index[at] != 0;
		at = (at + 1) % table->index_room) {
		struct weir_entry **slot = &table->entries[table->index[at] - 1];

		if ((*slot)->rule.flow_id == flow_id)
			return slot;
	}
	return NULL;
}

static void table_grow(struct weir_table *table)
{
	if (table->count < table->room)
		return;
	table->room = table->room > 0 ? 2 * table->room : 64;
	table->entries = realloc(table->entries, table->room * sizeof(*table->entries));
	free(table->index);
	table->index_room = 2 * table->room + 1;
	table->index = calloc(table->index_room, sizeof(*table->index));
	for (size_t i = 0; i < table->count; i++)
		index_put(table, table->entries[i]->rule.flow_id, i);
}

static struct weir_entry *table_put(
	struct weir_store *store, struct weir_table *table, const struct weir_entry *entry)
{
	struct weir_entry **slot = table_slot(table, entry->rule.flow_id);
	struct weir_entry *copy = malloc(weir_entry_bytes(entry));

	memcpy(copy, entry, weir_entry_bytes(entry));
	if (slot != NULL) {
		store->graves =
			realloc(store->graves, (store->graves_count + 1) * sizeof(*store->graves));
		store->graves[store->graves_count++] = *slot;
		*slot = copy;
		return copy;
	}
	table_grow(table);
	table->entries[table->count] = copy;
	index_put(table, copy->rule.flow_id, table->count++);
	return copy;
}

struct weir_entry *weir_table_find_id(const struct weir_table *table, uint64_t flow_id)
{
	struct weir_entry **slot = table_slot(table, flow_id);

	return slot != NULL ? *slot : NULL;
}

struct weir_entry *weir_table_find(const struct weir_table *table, const struct weir_rule *rule)
{
	return weir_table_find_id(table, rule->flow_id);
}

uint64_t weir_table_count(const struct weir_table *table)
{
	return table->count;
}

uint64_t weir_table_walk(const struct weir_table *table, uint64_t cursor, unsigned most,
	weir_entry_visit *visit, void *ctx)
{
	for (; most > 0 && cursor < table->count; most--)
		visit(ctx, table->entries[cursor++]);
	return cursor < table->count ? cursor : 0;
}

/* --------------------------------------------------------------------------------- flows --- */

/* A match is the text in front of ",actions=", the instructions are the text behind it. */
int weir_flow_parse(const char *text, size_t len, enum weir_flow_parse_mode mode,
	struct weir_rule *rule, size_t room, struct weir_flow_fault *fault)
{
	const char *bad = memmem(text, len, "bad=", 4);
	const char *actions = memmem(text, len, ",actions=", 9);
	size_t match = actions != NULL ? (size_t)(actions - text) : len;
	size_t instr = actions != NULL ? (len - match + 7) / 8 * 8 : 0;

	if (bad != NULL || (actions == NULL && mode == WEIR_FLOW_RULE)) {
		fault->column = bad != NULL ? (unsigned)(bad - text) + 1 : (unsigned)len + 1;
		snprintf(fault->message, sizeof(fault->message), "%s",
			bad != NULL ? "no such field: bad" : "actions= is missing");
		return WEIR_BADFLOW;
	}
	if (mode == WEIR_FLOW_IDENTITY)
		instr = 0;
	if (sizeof(*rule) + match + instr > room || match > WEIR_RULE_BYTES_MAX) {
		fault->column = 1;
		snprintf(fault->message, sizeof(fault->message), "too long");
		return WEIR_TOOBIG;
	}
	memset(rule, 0, sizeof(*rule) + match + instr);
	rule->match_len = (uint16_t)match;
	rule->instr_len = (uint16_t)instr;
	memcpy(rule->data, text, match);
	if (instr > 0)
		memcpy(rule->data + match, actions, len - match);
	rule->flow_id = text_hash(text, match) & 0xffffffffffffULL;
	return 0;
}

int weir_flow_print(const struct weir_rule *rule, unsigned flags, char *text, size_t room)
{
	int len = snprintf(text, room, "%.*s%s", rule->match_len, (const char *)rule->data,
		rule->instr_len > 0 ? (const char *)weir_rule_instr(rule) : "");

	return (size_t)len < room ? len : WEIR_TOOBIG;
}

const char *weir_flow_state_name(enum weir_flow_state state)
{
	static const char *const names[] = {"PENDING_ADD", "ADDED", "PENDING_REMOVE", "FAILED"};

	return names[state];
}

int weir_flow_state_from_name(const char *name, size_t len)
{
	for (int i = 0; i < WEIR_FLOW_STATES_COUNT; i++)
		if (strlen(weir_flow_state_name((enum weir_flow_state)i)) == len &&
			strncasecmp(weir_flow_state_name((enum weir_flow_state)i), name, len) == 0)
			return i;
	return WEIR_ERR;
}

/* ------------------------------------------------------------------------- the test's side --- */

struct weir_store *fake_create(const struct fake_conf *conf)
{
	struct weir_store *store = calloc(1, sizeof(*store));

	pthread_mutex_init(&store->lock, NULL);
	store->conf = *conf;
	if (store->conf.tasks_max == 0)
		store->conf.tasks_max = WEIR_GATE_TASKS_MAX;
	if (store->conf.large_max == 0)
		store->conf.large_max = 4;
	strcpy(store->store_conf.cluster, "test");
	strcpy(store->store_conf.tenure.self.id, "n1");
	store->store_conf.workers_count = 2;
	return store;
}

void fake_destroy(struct weir_store *store)
{
	for (unsigned i = 0; i < store->devices_count; i++) {
		for (size_t k = 0; k < store->devices[i]->table.count; k++)
			free(store->devices[i]->table.entries[k]);
		free(store->devices[i]->table.entries);
		free(store->devices[i]->table.index);
		free(store->devices[i]);
	}
	for (size_t i = 0; i < store->graves_count; i++)
		free(store->graves[i]);
	free(store->graves);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

static int device_insert(struct weir_store *store, const char *name)
{
	unsigned at = 0;

	while (at < store->devices_count && strcmp(store->devices[at]->name, name) < 0)
		at++;
	if (at < store->devices_count && strcmp(store->devices[at]->name, name) == 0)
		return WEIR_EXISTS;
	memmove(&store->devices[at + 1], &store->devices[at],
		(store->devices_count++ - at) * sizeof(store->devices[0]));
	store->devices[at] = calloc(1, sizeof(*store->devices[at]));
	strcpy(store->devices[at]->name, name);
	store->devices[at]->table.store = store;
	return 0;
}

void fake_device_add(struct weir_store *store, const char *name)
{
	pthread_mutex_lock(&store->lock);
	device_insert(store, name);
	pthread_mutex_unlock(&store->lock);
}

static void gates_wake(struct weir_store *store)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < WEIR_GATES_MAX; i++)
		if (store->fds[i] > 0 && write(store->fds[i], &one, sizeof(one)) < 0)
			abort();
}

#define LOCKED(store, what)                                                                        \
	do {                                                                                       \
		pthread_mutex_lock(&(store)->lock);                                                \
		what;                                                                              \
		pthread_mutex_unlock(&(store)->lock);                                              \
	} while (0)

void fake_release(struct weir_store *store)
{
	LOCKED(store, store->conf.hold = false; gates_wake(store));
}

void fake_err_set(struct weir_store *store, int err)
{
	LOCKED(store, store->conf.err = err);
}

void fake_stop(struct weir_store *store)
{
	LOCKED(store, store->stopping = true; gates_wake(store));
}

unsigned long fake_submitted(struct weir_store *store)
{
	unsigned long count;

	LOCKED(store, count = store->submitted);
	return count;
}

unsigned long fake_tasks_now(struct weir_store *store)
{
	unsigned long count;

	LOCKED(store, count = store->tasks_now);
	return count;
}

unsigned fake_gates(struct weir_store *store)
{
	unsigned count;

	LOCKED(store, count = store->gates);
	return count;
}

/* -------------------------------------------------------------------------------- devices --- */

const struct weir_device *weir_store_device(
	const struct weir_store *store, const char *name, size_t len)
{
	for (unsigned i = 0; i < store->devices_count; i++)
		if (strlen(store->devices[i]->name) == len &&
			memcmp(store->devices[i]->name, name, len) == 0)
			return store->devices[i];
	return NULL;
}

const char *weir_device_name(const struct weir_device *device)
{
	return device->name;
}

uint64_t weir_device_number(const struct weir_device *device)
{
	return weir_device_key(device->name);
}

const struct weir_table *weir_device_table(const struct weir_device *device)
{
	return &device->table;
}

/* Moves with each look where the test wants terms to change meanwhile. */
uint64_t weir_table_fence(const struct weir_table *table)
{
	static atomic_ulong terms;

	return table->store->conf.restless ? atomic_fetch_add(&terms, 1) : 7;
}

bool weir_table_is_firm(const struct weir_table *table, unsigned bucket)
{
	return !table->store->conf.unfirm;
}

int weir_device_may_read(const struct weir_store *store, const struct weir_device *device)
{
	return store->conf.read_err;
}

void weir_device_status(const struct weir_store *store, const struct weir_device *device,
	struct weir_device_status *status)
{
	memset(status, 0, sizeof(*status));
	status->role = WEIR_ROLE_MASTER;
	status->term = 7;
	status->active = 7;
	status->revision = 21;
	status->flows = device->table.count;
	status->content = 0xabc;
	status->open = true;
	strcpy(status->record.master.node, "n2");
	snprintf(status->master_socket, sizeof(status->master_socket), "%s",
		store->conf.master_socket != NULL ? store->conf.master_socket : "/run/n2.sock");
	status->record.backups_count = 1;
	strcpy(status->record.backups[0], "n3");
	status->record.insync_count = 1;
	strcpy(status->record.insync[0].node, "n2");
}

unsigned weir_store_devices(const struct weir_store *store,
	bool (*visit)(void *ctx, const struct weir_device *device), void *ctx)
{
	unsigned visited = 0;

	while (visited < store->devices_count && visit(ctx, store->devices[visited++]))
		continue;
	return visited;
}

unsigned weir_store_nodes(const struct weir_store *store, struct weir_node *nodes, unsigned room)
{
	memset(nodes, 0, 2 * sizeof(*nodes));
	for (unsigned i = 0; i < 2; i++) {
		snprintf(nodes[i].id, sizeof(nodes[i].id), "n%u", i + 1);
		snprintf(nodes[i].socket, sizeof(nodes[i].socket), "/run/n%u.sock", i + 1);
		nodes[i].live = i == 0;
		nodes[i].ipv4 = 0x0a000001 + i;
		nodes[i].udp_port = 7000;
		nodes[i].workers_count = 2;
	}
	return 2;
}

void weir_store_tenure_stats(const struct weir_store *store, struct weir_tenure_stats *stats)
{
	*stats = (struct weir_tenure_stats){.renewals = 7};
}

int weir_store_peer_stats(
	const struct weir_store *store, const char *node, struct weir_peer_stats *stats)
{
	*stats = (struct weir_peer_stats){.sessions = 1};
	return 0;
}

bool weir_store_stopping(const struct weir_store *store)
{
	return store->stopping;
}

const struct weir_store_conf *weir_store_conf(const struct weir_store *store)
{
	return &store->store_conf;
}

void weir_store_worker_stats(
	const struct weir_store *store, unsigned worker, struct weir_worker_stats *stats)
{
	uint64_t now_ns = weir_clock_ns();

	/* All grows evenly: rates are always the same. */
	*stats = (struct weir_worker_stats){.turns = 10 + worker,
		.run_ns = now_ns,
		.busy_ns = now_ns / 4,
		.waiting_now = 3,
		.replica = {.tasks = now_ns / 20000,
			.deltas_applied = now_ns / 20000,
			.answers_ok = now_ns / 25000,
			.answers_err = now_ns / 100000,
			.answers_unknown = now_ns / 1000000,
			.queued_now = 4,
			.pending_now = 5},
		.link = {.tx_bytes = now_ns / 1000, .rx_bytes = now_ns / 500},
		.mem = {.used_bytes = 6000000}};
}

uint64_t weir_store_lease_ns(const struct weir_store *store)
{
	return store->conf.leaseless ? 0 : 1500000000;
}

/* ---------------------------------------------------------------------------------- gates --- */

struct weir_gate *weir_gate_open(struct weir_store *store)
{
	struct weir_gate *gate = calloc(1, sizeof(*gate));

	gate->store = store;
	gate->fd = eventfd(0, EFD_NONBLOCK);
	gate->online = true;
	pthread_mutex_lock(&store->lock);
	store->gates++;
	for (unsigned i = 0; i < WEIR_GATES_MAX; i++) {
		if (store->fds[i] == 0) {
			store->fds[i] = gate->fd;
			break;
		}
	}
	pthread_mutex_unlock(&store->lock);
	return gate;
}

void weir_gate_close(struct weir_gate *gate)
{
	struct weir_store *store = gate->store;

	weir_assert(gate->under_way == 0 && gate->first_request == NULL);
	pthread_mutex_lock(&store->lock);
	store->gates--;
	for (unsigned i = 0; i < WEIR_GATES_MAX; i++)
		if (store->fds[i] == gate->fd)
			store->fds[i] = 0;
	close(gate->fd);
	pthread_mutex_unlock(&store->lock);
	free(gate);
}

struct weir_task *weir_gate_task(struct weir_gate *gate, size_t entry_bytes)
{
	struct weir_store *store = gate->store;
	bool large = entry_bytes > offsetof(struct weir_entry, rule) + WEIR_GATE_TASK_ROOM;
	size_t room = large ? WEIR_ENTRY_BYTES_MAX
			    : offsetof(struct weir_entry, rule) + WEIR_GATE_TASK_ROOM;
	struct weir_task *task = NULL;

	weir_assert(gate->online && entry_bytes <= WEIR_ENTRY_BYTES_MAX);
	pthread_mutex_lock(&store->lock);
	if (store->tasks_now < store->conf.tasks_max &&
		(!large || store->large_now < store->conf.large_max)) {
		store->tasks_now++;
		store->large_now += large;
		task = malloc(sizeof(*task) + room);
		memset(task, 0xa5, sizeof(*task) + room);
		task->room = (uint32_t)room;
	}
	pthread_mutex_unlock(&store->lock);
	return task;
}

void weir_gate_task_free(struct weir_gate *gate, struct weir_task *task)
{
	LOCKED(gate->store, gate->store->tasks_now--;
		gate->store->large_now -= task->room == WEIR_ENTRY_BYTES_MAX);
	free(task);
}

void weir_gate_submit(struct weir_gate *gate, struct weir_task *task)
{
	weir_assert(gate->online && gate->queue_count < WEIR_GATE_TASKS_MAX);
	gate->queue[gate->queue_count++] = task;
	gate->under_way++;
	LOCKED(gate->store, gate->store->submitted++);
}

void weir_gate_flush(struct weir_gate *gate)
{
	gate->flushed = gate->queue_count;
}

static void get(struct weir_task *task, const struct weir_entry *entry)
{
	if (weir_entry_bytes(entry) > task->room)
		task->err = WEIR_TOOBIG;
	else
		memcpy(&task->entry, entry, weir_entry_bytes(entry));
}

static void task_execute(struct weir_gate *gate, struct weir_task *task)
{
	struct weir_store *store = gate->store;
	struct weir_entry *entry;

	task->err = (int16_t)store->conf.err;
	if (task->err != 0)
		return;
	for (unsigned i = 0; i < store->devices_count; i++) {
		struct weir_table *table = &store->devices[i]->table;

		if (weir_device_number(store->devices[i]) != task->device_key)
			continue;
		entry = weir_table_find(table, &task->entry.rule);
		if (task->op == WEIR_OP_PURGE) {
			/* All in one shard's task. */
			if (task->entry.rule.flow_id == 0)
				task->removed = (uint32_t)table->count;
			else
				task->err = (int16_t)store->conf.purge_err;
			continue;
		}
		if (task->op == WEIR_OP_ADD || (task->op == WEIR_OP_MODIFY && entry != NULL))
			entry = table_put(store, table, &task->entry);
		else if (entry == NULL)
			task->err = task->op == WEIR_OP_REPORT ? WEIR_EXTRANEOUS : WEIR_NOTFOUND;
		else if (task->op == WEIR_OP_GET || task->op == WEIR_OP_GET_ID)
			get(task, entry);
		else if (task->op == WEIR_OP_REMOVE)
			entry->state = WEIR_FLOW_PENDING_REMOVE;
		if (task->op == WEIR_OP_REPORT && entry != NULL) {
			entry->state = WEIR_FLOW_ADDED;
			entry->packets = task->entry.packets;
			entry->bytes = task->entry.bytes;
			entry->life_s = task->entry.life_s;
			entry->last_seen_ms = task->entry.last_seen_ms;
		}
	}
}

/* Which of the flushed tasks comes back next. */
static unsigned task_pick(struct weir_gate *gate)
{
	if (gate->store->conf.order == FAKE_REVERSED)
		return gate->flushed - 1;
	if (gate->store->conf.order == FAKE_SHUFFLED)
		return (gate->order_seed = gate->order_seed * 1103515245 + 12345) / 65536 %
		       gate->flushed;
	return 0;
}

unsigned weir_gate_poll(struct weir_gate *gate, struct weir_task **tasks, unsigned room)
{
	unsigned count = 0, taken = 0;

	weir_assert(gate->online);
	pthread_mutex_lock(&gate->store->lock);
	while (!gate->store->conf.hold && count < room && taken < gate->flushed) {
		unsigned at = gate->store->conf.order == FAKE_IN_ORDER ? taken++ : task_pick(gate);

		tasks[count] = gate->queue[at];
		task_execute(gate, tasks[count++]);
		if (gate->store->conf.order != FAKE_IN_ORDER) {
			gate->flushed--;
			gate->queue_count--;
			memmove(&gate->queue[at], &gate->queue[at + 1],
				(gate->queue_count - at) * sizeof(gate->queue[0]));
		}
	}
	memmove(gate->queue, gate->queue + taken,
		(gate->queue_count - taken) * sizeof(gate->queue[0]));
	gate->queue_count -= taken;
	gate->flushed -= taken;
	pthread_mutex_unlock(&gate->store->lock);
	gate->under_way -= count;
	return count;
}

unsigned weir_gate_under_way(const struct weir_gate *gate)
{
	return gate->under_way;
}

void weir_gate_request(struct weir_gate *gate, struct weir_request *request)
{
	uint64_t one = 1;

	request->next = NULL;
	if (gate->first_request == NULL)
		gate->first_request = request;
	else
		gate->last_request->next = request;
	gate->last_request = request;
	LOCKED(gate->store, gate->store->submitted++);
	if (write(gate->fd, &one, sizeof(one)) < 0)
		abort();
}

struct weir_request *weir_gate_request_poll(struct weir_gate *gate)
{
	struct weir_request *request = gate->first_request;
	uint64_t count;

	if (gate->store->stopping == false && read(gate->fd, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_lock(&gate->store->lock);
	if (request != NULL && !gate->store->conf.hold) {
		gate->first_request = request->next;
		request->err = gate->store->conf.err;
		if (request->err == 0 && request->kind == WEIR_REQUEST_DEVICE_ADD)
			request->err = device_insert(gate->store, request->device);
		else if (request->err == 0 && strcmp(request->node, "n9") == 0)
			request->err = WEIR_NOTFOUND;
	} else {
		request = NULL;
	}
	pthread_mutex_unlock(&gate->store->lock);
	return request;
}

int weir_gate_fd(const struct weir_gate *gate)
{
	return gate->fd;
}

void weir_gate_rest(struct weir_gate *gate)
{
	weir_assert(gate->online);
	gate->online = false;
}

void weir_gate_wake(struct weir_gate *gate)
{
	weir_assert(!gate->online);
	gate->online = true;
}

void weir_gate_quiescent(struct weir_gate *gate)
{
	weir_assert(gate->online);
}
