/* SPDX-License-Identifier: BSD-3-Clause */
#include "net.h"

#define PASSES_MAX 100000

/* --------------------------------------------------------------------------- effects --- */

static size_t room_of(const struct net *net, unsigned node)
{
	return net->room_of[node] != 0 ? net->room_of[node] : net->room_bytes;
}

static void on_send(void *ctx, unsigned peer, unsigned worker, const void *bytes, size_t len)
{
	struct net_worker *from = ctx;
	struct net *net = from->node->net;
	struct net_queue *queue = &net->queues[from->node->number][from->worker][peer][worker];
	struct net_message *message = malloc(sizeof(*message) + len);
	struct weir_in in = weir_in(bytes, len);
	struct weir_wire_head head;

	assert_non_null(message);
	assert_int_equal(weir_wire_get_head(&in, &head), 0);
	assert_true(net->up[from->node->number][peer]);
	assert_true(len <= WEIR_MESSAGE_BYTES_MAX);
	assert_true(queue->bytes + len <= room_of(net, from->node->number));
	net->sent[head.type]++;
	message->next = NULL;
	message->len = len;
	memcpy(message->bytes, bytes, len);
	if (net->spoilt == head.type)
		message->bytes[len - 1] ^= 1;
	*queue->tail = message;
	queue->tail = &message->next;
	queue->bytes += len;
}

static size_t on_room(void *ctx, unsigned peer, unsigned worker)
{
	struct net_worker *from = ctx;
	struct net *net = from->node->net;

	size_t room = room_of(net, from->node->number);
	size_t bytes = net->queues[from->node->number][from->worker][peer][worker].bytes;

	return room > bytes ? room - bytes : 0;
}

static void on_answer(void *ctx, struct weir_task *task)
{
	struct net_task *net_task = task->owner;
	struct net_worker *from = ctx;

	assert_ptr_equal(task, &net_task->task);
	assert_int_equal(net_task->answers++, 0);
	if (from->node->net->answered != NULL)
		from->node->net->answered();
}

static void on_report(void *ctx, const struct weir_report *report)
{
	struct net_worker *from = ctx;

	assert_true(from->node->reports_count < NET_REPORTS);
	from->node->reports[from->node->reports_count++] = *report;
}

struct weir_table *net_table(struct net *net, unsigned node, uint64_t device)
{
	struct net_node *n = &net->nodes[node];

	for (unsigned i = 0; i < NET_DEVICES; i++) {
		if (n->tables[i] == NULL) {
			n->keys[i] = device;
			n->tables[i] = weir_table_create();
			assert_non_null(n->tables[i]);
		}
		if (n->keys[i] == device)
			return n->tables[i];
	}
	return NULL;
}

static struct weir_table *on_table(void *ctx, uint64_t device)
{
	struct net_worker *from = ctx;

	return net_table(from->node->net, from->node->number, device);
}

/* Told to the replicas when the net runs. */
static void on_reset(void *ctx, unsigned peer, unsigned worker)
{
	struct net_worker *from = ctx;

	(void)worker;
	from->node->net->reset[from->node->number][peer] = true;
}

static const struct weir_replica_ops ops = {
	.send = on_send,
	.room = on_room,
	.answer = on_answer,
	.report = on_report,
	.table = on_table,
	.reset = on_reset,
};

/* ------------------------------------------------------------------------------ life --- */

static void node_start(struct net *net, unsigned number)
{
	struct net_node *node = &net->nodes[number];

	node->net = net;
	node->number = number;
	node->dead = false;
	node->incarnation++;
	node->reports_count = 0;
	for (unsigned w = 0; w < node->workers_count; w++) {
		struct weir_replica_conf conf = {
			.worker = w,
			.workers_count = node->workers_count,
			.insync_timeout_ns = 1000 * WEIR_NS_PER_MS,
			.anti_entropy_ns = 5 * WEIR_NS_PER_S,
			.backup_period_ns = 2 * WEIR_NS_PER_S,
		};

		node->workers[w] = (struct net_worker){.node = node, .worker = w};
		node->mems[w] = weir_mem_create(&weir_mem_heap, 256U << 20);
		assert_non_null(node->mems[w]);
		conf.mem = node->mems[w];
		node->replicas[w] = weir_replica_create(&conf, &ops, &node->workers[w]);
		assert_non_null(node->replicas[w]);
		weir_replica_time(node->replicas[w], net->now_ns, net->now_ns);
		weir_replica_lease(node->replicas[w], NET_LEASE, false);
	}
}

static void node_stop(struct net *net, unsigned number)
{
	struct net_node *node = &net->nodes[number];

	for (unsigned w = 0; w < node->workers_count; w++) {
		weir_replica_destroy(node->replicas[w]);
		weir_mem_destroy(node->mems[w]);
		node->replicas[w] = NULL;
	}
	for (unsigned i = 0; i < NET_DEVICES; i++) {
		weir_table_destroy(node->tables[i]);
		node->tables[i] = NULL;
		node->keys[i] = 0;
	}
	node->dead = true;
}

struct net *net_new(unsigned nodes, const unsigned *workers)
{
	struct net *net = calloc(1, sizeof(*net));

	assert_non_null(net);
	net->now_ns = WEIR_NS_PER_S;
	net->room_bytes = 4U << 20;
	for (unsigned a = 0; a < NET_NODES; a++)
		for (unsigned v = 0; v < NET_WORKERS; v++)
			for (unsigned b = 0; b < NET_NODES; b++)
				for (unsigned w = 0; w < NET_WORKERS; w++)
					net->queues[a][v][b][w].tail =
						&net->queues[a][v][b][w].head;
	for (unsigned i = 0; i < NET_NODES; i++) {
		net->nodes[i].workers_count = workers != NULL ? workers[i] : 1;
		net->nodes[i].dead = true;
	}
	for (unsigned i = 0; i < nodes; i++)
		node_start(net, i);
	for (unsigned a = 0; a < nodes; a++)
		for (unsigned b = a + 1; b < nodes; b++)
			net_connect(net, a, b);
	return net;
}

static bool share_shards(const struct net_node *a, unsigned v, const struct net_node *b, unsigned w)
{
	unsigned least = a->workers_count < b->workers_count ? a->workers_count : b->workers_count;

	return v % least == w % least;
}

static void queue_clear(struct net_queue *queue)
{
	while (queue->head != NULL) {
		struct net_message *message = queue->head;

		queue->head = message->next;
		free(message);
	}
	queue->tail = &queue->head;
	queue->bytes = 0;
}

static void one_way(struct net *net, unsigned a, unsigned b, bool up)
{
	struct net_node *from = &net->nodes[a];
	struct net_node *to = &net->nodes[b];

	for (unsigned v = 0; v < from->workers_count; v++)
		for (unsigned w = 0; w < to->workers_count; w++) {
			if (!share_shards(from, v, to, w))
				continue;
			queue_clear(&net->queues[a][v][b][w]);
			if (from->dead)
				continue;
			if (up)
				weir_replica_up(from->replicas[v], b, w, to->workers_count,
					to->incarnation);
			else
				weir_replica_down(from->replicas[v], b, w);
		}
}

static void session(struct net *net, unsigned a, unsigned b, bool up)
{
	net->up[a][b] = net->up[b][a] = true;
	one_way(net, a, b, up);
	one_way(net, b, a, up);
	net->up[a][b] = net->up[b][a] = up;
}

void net_connect(struct net *net, unsigned a, unsigned b)
{
	session(net, a, b, true);
}

void net_cut(struct net *net, unsigned a, unsigned b)
{
	if (net->up[a][b])
		session(net, a, b, false);
}

void net_kill(struct net *net, unsigned node)
{
	for (unsigned i = 0; i < NET_NODES; i++)
		if (i != node)
			net_cut(net, node, i);
	node_stop(net, node);
}

void net_restart(struct net *net, unsigned node)
{
	node_start(net, node);
	for (unsigned i = 0; i < NET_NODES; i++)
		if (i != node && !net->nodes[i].dead)
			net_connect(net, node, i);
}

void net_free(struct net *net)
{
	for (unsigned i = 0; i < NET_NODES; i++)
		if (!net->nodes[i].dead)
			node_stop(net, i);
	for (unsigned a = 0; a < NET_NODES; a++)
		for (unsigned v = 0; v < NET_WORKERS; v++)
			for (unsigned b = 0; b < NET_NODES; b++)
				for (unsigned w = 0; w < NET_WORKERS; w++)
					queue_clear(&net->queues[a][v][b][w]);
	free(net);
}

/* --------------------------------------------------------------------------- running --- */

static bool deliver_all(struct net *net, unsigned a, unsigned v, unsigned b, unsigned w)
{
	struct net_queue *queue = &net->queues[a][v][b][w];
	bool any = false;

	while (queue->head != NULL && !net->held[a][b]) {
		struct net_message *message = queue->head;

		queue->head = message->next;
		if (queue->head == NULL)
			queue->tail = &queue->head;
		queue->bytes -= message->len;
		weir_replica_message(net->nodes[b].replicas[w], a, v, message->bytes, message->len);
		free(message);
		net->delivered++;
		any = true;
	}
	return any;
}

static bool deliver(struct net *net)
{
	bool any = false;

	for (unsigned a = 0; a < NET_NODES; a++)
		for (unsigned v = 0; v < NET_WORKERS; v++)
			for (unsigned b = 0; b < NET_NODES; b++)
				for (unsigned w = 0; w < NET_WORKERS; w++)
					any |= deliver_all(net, a, v, b, w);
	return any;
}

static bool turn(struct net *net)
{
	unsigned done = 0;

	for (unsigned i = 0; i < NET_NODES; i++)
		for (unsigned w = 0; !net->nodes[i].dead && w < net->nodes[i].workers_count; w++) {
			weir_replica_time(net->nodes[i].replicas[w], net->now_ns,
				(uint64_t)((int64_t)net->now_ns + net->wall_shift_ns));
			done += weir_replica_turn(net->nodes[i].replicas[w]);
			weir_mem_turn(net->nodes[i].mems[w], false);
		}
	weir_rcu_quiescent();
	return done > 0;
}

static bool reset(struct net *net)
{
	bool any = false;

	for (unsigned a = 0; a < NET_NODES; a++)
		for (unsigned b = 0; b < NET_NODES; b++) {
			if (!net->reset[a][b])
				continue;
			net->reset[a][b] = false;
			net_cut(net, a, b);
			net_connect(net, a, b);
			any = true;
		}
	return any;
}

void net_run(struct net *net)
{
	bool moved = true;

	for (unsigned pass = 0; moved; pass++) {
		assert_true(pass < PASSES_MAX);
		moved = turn(net);
		moved |= reset(net);
		moved |= deliver(net);
	}
}

void net_pass(struct net *net, uint64_t ns)
{
	net->now_ns += ns;
	net_run(net);
}

void net_lose(struct net *net, unsigned a, unsigned b)
{
	for (unsigned v = 0; v < NET_WORKERS; v++)
		for (unsigned w = 0; w < NET_WORKERS; w++)
			queue_clear(&net->queues[a][v][b][w]);
}

/* ----------------------------------------------------------------------------- views --- */

static void add_member(struct net *net, struct weir_view *view, const struct net_record *record,
	unsigned node, unsigned self)
{
	uint32_t bit = 1U << node;

	if (node == self || ((record->backups | record->insync) & bit) == 0)
		return;
	view->members[view->members_count++] = (struct weir_member){
		.peer = (uint8_t)node,
		.live = (record->live & bit) != 0 && !net->nodes[node].dead,
		.backup = (record->backups & bit) != 0,
		.insync = (record->insync & bit) != 0,
		.attempt = (record->second & bit) != 0,
		.incarnation = net->nodes[node].incarnation,
	};
}

static void view_one(
	struct net *net, unsigned node, uint64_t device, const struct net_record *record)
{
	uint32_t bit = 1U << node;
	struct weir_view view = {
		.device_key = device,
		.term = record->term,
		.active = record->active,
		.revision = net->revision,
		.seal_deadline_ns = net->now_ns + 2 * WEIR_NS_PER_S,
		.master_peer = record->master == node ? WEIR_NO_PEER : (uint8_t)record->master,
		.self_insync = (record->insync & bit) != 0,
		.unclean = record->unclean,
		.let_go = (record->let_go & bit) != 0,
	};

	if (record->master == node)
		view.role = WEIR_ROLE_MASTER;
	else if (record->backups & bit)
		view.role = WEIR_ROLE_BACKUP;
	for (unsigned i = 0; i < NET_NODES; i++)
		add_member(net, &view, record, i, node);
	for (unsigned w = 0; w < net->nodes[node].workers_count; w++)
		weir_replica_view(net->nodes[node].replicas[w], &view);
}

void net_view(struct net *net, unsigned node, uint64_t device, const struct net_record *record)
{
	net->revision++;
	for (unsigned i = 0; i < NET_NODES; i++)
		if (!net->nodes[i].dead && (node == ALL_NODES || node == i))
			view_one(net, i, device, record);
}

struct net_record net_begin(struct net *net, uint64_t device, uint32_t backups)
{
	struct net_record record = {
		.term = 1, .master = 0, .backups = backups, .insync = 1, .live = ALL_LIVE};

	net_view(net, ALL_NODES, device, &record);
	net_run(net);
	record.active = 1;
	record.insync |= backups;
	net_view(net, ALL_NODES, device, &record);
	net_run(net);
	return record;
}

/* ----------------------------------------------------------------------------- tasks --- */

void net_rule(struct weir_rule *rule, unsigned n, uint64_t cookie)
{
	memset(rule, 0, sizeof(*rule));
	rule->cookie = cookie;
	rule->priority = 100;
	rule->match_len = 8;
	rule->instr_len = 8;
	memcpy(rule->data, &n, sizeof(n));
	memset(rule->data + 4, 0, 12);
	rule->flow_id = weir_rule_flow_id(rule, 0);
}

void net_submit(struct net *net, unsigned node, uint64_t device, struct net_task *task,
	enum weir_op op, unsigned n, uint64_t cookie)
{
	struct net_node *to = &net->nodes[node];
	unsigned shard;

	memset(task, 0, sizeof(*task));
	task->task.owner = task;
	task->task.device_key = device;
	task->task.deadline_ns = net->now_ns + 5 * WEIR_NS_PER_S;
	task->task.op = (uint8_t)op;
	task->task.err = NOT_YET;
	task->task.app = WEIR_ANY_APP;
	task->task.room = sizeof(struct weir_entry) + sizeof(task->rule);
	net_rule(&task->task.entry.rule, n, cookie);
	shard = weir_flow_shard(task->task.entry.rule.flow_id);
	weir_replica_task(to->replicas[shard % to->workers_count], &task->task);
}

const struct weir_entry *net_find(struct net *net, unsigned node, uint64_t device, unsigned n)
{
	union {
		struct weir_rule rule;
		uint8_t bytes[64];
	} key;

	net_rule(&key.rule, n, 0);
	return weir_table_find(net_table(net, node, device), &key.rule);
}

struct comparison {
	const struct weir_table *other;
	bool equal;
};

static bool compare(void *ctx, struct weir_entry *entry)
{
	struct comparison *comparison = ctx;
	const struct weir_entry *twin = weir_table_find(comparison->other, &entry->rule);

	comparison->equal &= twin != NULL && weir_entry_hash(twin) == weir_entry_hash(entry);
	return true;
}

bool net_equal(struct net *net, unsigned a, unsigned b, uint64_t device)
{
	struct comparison comparison = {.other = net_table(net, b, device), .equal = true};
	const struct weir_table *table = net_table(net, a, device);
	uint64_t cursor = 0;

	do {
		cursor = weir_table_walk(table, cursor, 1000, compare, &comparison);
	} while (cursor != 0);
	for (unsigned bucket = 0; bucket < WEIR_BUCKETS; bucket++) {
		struct weir_digest one = weir_table_digest(table, bucket);
		struct weir_digest two = weir_table_digest(comparison.other, bucket);

		comparison.equal &= weir_digest_equal(&one, &two);
	}
	return comparison.equal && weir_table_count(table) == weir_table_count(comparison.other);
}

unsigned net_reports(struct net *net, unsigned node, enum weir_report_kind kind, uint64_t term)
{
	unsigned count = 0;

	for (unsigned i = 0; i < net->nodes[node].reports_count; i++) {
		const struct weir_report *report = &net->nodes[node].reports[i];

		count += report->kind == kind && report->term == term;
	}
	return count;
}
