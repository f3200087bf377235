/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes: what is answered, when, and in which order. B1.. stand for the seed's defects that a test
 * would show. */
#include "case.h"

static void write_reaches_every_copy_before_its_answer(void **state)
{
	struct net_task task;

	begin();
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	assert_int_equal(task.task.err, NOT_YET);
	net_run(net);
	assert_int_equal(task.task.err, 0);
	for (unsigned node = 0; node < 3; node++)
		assert_int_equal(net_find(net, node, DEV, 1)->rule.cookie, 7);
	assert_true(net_equal(net, 0, 1, DEV));
	assert_true(net_equal(net, 0, 2, DEV));
}

static void b12_no_answer_before_every_insync_copy_has_it(void **state)
{
	struct net_task task;

	begin();
	net->held[2][0] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	net_run(net);
	assert_int_equal(task.task.err, NOT_YET);
	net->held[2][0] = false;
	net_run(net);
	assert_int_equal(task.task.err, 0);
}

static void ack_local_is_answered_at_once(void **state)
{
	struct net_task task;

	begin();
	net->held[0][1] = net->held[0][2] = true;
	memset(&task, 0, sizeof(task));
	task.task.owner = &task;
	task.task.device_key = DEV;
	task.task.deadline_ns = net->now_ns + WEIR_NS_PER_S;
	task.task.ack = WEIR_ACK_LOCAL;
	task.task.err = NOT_YET;
	net_rule(&task.task.entry.rule, 2, 1);
	weir_replica_task(net->nodes[0].replicas[0], &task.task);
	assert_int_equal(task.task.err, 0);
}

static void burst_of_tasks_runs_in_order_also_across_devices(void **state)
{
	static struct net_task tasks[WEIR_REPLICA_BURST];
	struct weir_task *burst[WEIR_REPLICA_BURST];

	begin();
	net_begin(net, DEV + 1, 6);
	for (unsigned i = 0; i < WEIR_REPLICA_BURST; i++) {
		struct net_task *task = &tasks[i];

		memset(task, 0, sizeof(*task));
		task->task.owner = task;
		/* Runs of one device, single ones, and one that nobody knows. */
		task->task.device_key = i == 40 ? DEV + 2 : DEV + (i / 7 % 2);
		task->task.deadline_ns = net->now_ns + WEIR_NS_PER_S;
		task->task.err = NOT_YET;
		net_rule(&task->task.entry.rule, i % 5, i + 1);
		burst[i] = &task->task;
	}
	weir_replica_tasks(net->nodes[0].replicas[0], burst, WEIR_REPLICA_BURST);
	net_run(net);
	for (unsigned i = 0; i < WEIR_REPLICA_BURST; i++)
		assert_int_equal(tasks[i].task.err, i == 40 ? WEIR_NOTMASTER : 0);
	/* The last of each rule and device stands. */
	for (unsigned i = 0; i < WEIR_REPLICA_BURST; i++) {
		bool last = i != 40;

		for (unsigned k = i + 1; k < WEIR_REPLICA_BURST; k++)
			last &= k % 5 != i % 5 || burst[k]->device_key != burst[i]->device_key;
		if (last)
			assert_int_equal(
				net_find(net, 1, burst[i]->device_key, i % 5)->rule.cookie, i + 1);
	}
}

static void b13_not_master_and_unknown_device_are_errors(void **state)
{
	struct net_task task;

	begin();
	net_submit(net, 1, DEV, &task, WEIR_OP_ADD, 1, 7);
	assert_int_equal(task.task.err, WEIR_NOTMASTER);
	net_submit(net, 0, DEV + 1, &task, WEIR_OP_ADD, 1, 7);
	assert_int_equal(task.task.err, WEIR_NOTMASTER);
}

static void operations_answer_as_the_contract_says(void **state)
{
	static const struct {
		enum weir_op op;
		int err;
		int state; /* -1: not there */
	} steps[] = {
		{WEIR_OP_MODIFY, WEIR_NOTFOUND, -1},
		{WEIR_OP_REMOVE, WEIR_NOTFOUND, -1},
		{WEIR_OP_REPORT, WEIR_EXTRANEOUS, -1},
		{WEIR_OP_PENDING, WEIR_NOTFOUND, -1},
		{WEIR_OP_REMOVED, WEIR_NOTFOUND, -1},
		{WEIR_OP_ADD, 0, WEIR_FLOW_PENDING_ADD},
		{WEIR_OP_REPORT, 0, WEIR_FLOW_ADDED},
		{WEIR_OP_REPORT, 0, WEIR_FLOW_ADDED},
		/* B3: the seed acts only where it is PENDING_ADD already. */
		{WEIR_OP_PENDING, 0, WEIR_FLOW_PENDING_ADD},
		{WEIR_OP_PENDING, 0, WEIR_FLOW_PENDING_ADD},
		{WEIR_OP_MODIFY, 0, WEIR_FLOW_PENDING_ADD},
		{WEIR_OP_REMOVE, 0, WEIR_FLOW_PENDING_REMOVE},
		{WEIR_OP_ADD, 0, WEIR_FLOW_PENDING_ADD},
		{WEIR_OP_REMOVED, 0, -1},
	};

	begin();
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct net_task task;

		net_submit(net, 0, DEV, &task, steps[i].op, 5, i);
		net_run(net);
		assert_int_equal(task.task.err, steps[i].err);
		for (unsigned node = 0; node < 3; node++) {
			const struct weir_entry *entry = net_find(net, node, DEV, 5);

			assert_int_equal(entry == NULL ? -1 : entry->state, steps[i].state);
		}
	}
	assert_true(net_equal(net, 0, 1, DEV));
}

static void b18_reported_counters_dirty_no_bucket(void **state)
{
	struct weir_shard_digest before, after;
	struct net_task task;
	uint64_t delivered;
	unsigned shard;

	begin();
	add_many(0, 1, 2, 7, 0);
	net_submit(net, 0, DEV, &task, WEIR_OP_REPORT, 1, 7);
	net_run(net);
	shard = weir_flow_shard(task.task.entry.rule.flow_id);
	before = weir_table_shard_digest(net_table(net, 0, DEV), shard);
	delivered = net->delivered;
	net_submit(net, 0, DEV, &task, WEIR_OP_REPORT, 1, 7);
	net_run(net);
	assert_int_equal(task.task.err, 0);
	after = weir_table_shard_digest(net_table(net, 0, DEV), shard);
	assert_int_equal(after.sum, before.sum);
	assert_int_equal(net->delivered, delivered);
}

static void lease_is_looked_at_before_and_after_the_work(void **state)
{
	struct net_task late;
	struct net_task fenced;

	begin();
	net->held[1][0] = true;
	net_submit(net, 0, DEV, &late, WEIR_OP_ADD, 1, 7);
	net_run(net);
	weir_replica_lease(net->nodes[0].replicas[0], net->now_ns + WEIR_NS_PER_MS, false);
	net_pass(net, 2 * WEIR_NS_PER_MS);
	net->held[1][0] = false;
	net_run(net);
	assert_int_equal(late.task.err, WEIR_UNKNOWN);
	net_submit(net, 0, DEV, &fenced, WEIR_OP_ADD, 2, 7);
	assert_int_equal(fenced.task.err, WEIR_FENCED);
	assert_null(net_find(net, 0, DEV, 2));
}

/* Another may be master since: its term is told of by a view that waits to be taken. */
static void a_longer_lease_does_not_count_while_views_wait(void **state)
{
	struct weir_replica *master;
	uint64_t now_ns, short_ns, long_ns;
	struct net_task task;

	begin();
	master = net->nodes[0].replicas[0];
	now_ns = net->now_ns;
	short_ns = now_ns + WEIR_NS_PER_MS;
	long_ns = now_ns + WEIR_NS_PER_S;
	assert_true(weir_replica_lease(master, short_ns, true) == short_ns);
	assert_true(weir_replica_lease(master, long_ns, true) == short_ns);
	net_pass(net, 2 * WEIR_NS_PER_MS);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	assert_int_equal(task.task.err, WEIR_FENCED);
	assert_true(weir_replica_lease(master, long_ns, false) == long_ns);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	net_run(net);
	assert_int_equal(task.task.err, 0);
	/* What ends sooner counts at once. */
	assert_true(weir_replica_lease(master, 0, true) == 0);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 2, 7);
	assert_int_equal(task.task.err, WEIR_FENCED);
}

static void deadlines_answer_what_waits(void **state)
{
	struct net_task queued;
	struct net_task pending;

	begin();
	net->held[1][0] = true;
	net_submit(net, 0, DEV, &pending, WEIR_OP_ADD, 1, 7);
	net->held[0][2] = net->held[1][2] = true;
	net_run(net);
	net_pass(net, 6 * WEIR_NS_PER_S);
	assert_int_equal(pending.task.err, WEIR_UNKNOWN);
	take_over(2, 2, 1, 3, 7);
	net_submit(net, 2, DEV, &queued, WEIR_OP_ADD, 2, 7);
	net_pass(net, 6 * WEIR_NS_PER_S);
	assert_int_equal(queued.task.err, WEIR_TIMEOUT);
}

static void waiting_queue_is_bounded(void **state)
{
	struct net_task *tasks = calloc(WEIR_TASK_QUEUE_MAX + 1, sizeof(*tasks));

	assert_non_null(tasks);
	net->held[0][2] = net->held[1][2] = true;
	take_over(2, 2, 0, 3, 3);
	for (unsigned i = 0; i < WEIR_TASK_QUEUE_MAX + 1; i++)
		net_submit(net, 2, DEV, &tasks[i], WEIR_OP_ADD, i, 1);
	assert_int_equal(tasks[WEIR_TASK_QUEUE_MAX - 1].task.err, NOT_YET);
	assert_int_equal(tasks[WEIR_TASK_QUEUE_MAX].task.err, WEIR_BUSY);
	take_over(1, 3, 0, 5, 3);
	assert_int_equal(tasks[0].task.err, WEIR_NOTMASTER);
	free(tasks);
}

static void more_writes_than_may_be_pending_wait_and_are_all_answered(void **state)
{
	unsigned count = WEIR_TASK_PENDING_MAX + 100;
	struct net_task *tasks = calloc(count, sizeof(*tasks));

	assert_non_null(tasks);
	net->room_bytes = 64U << 20;
	begin();
	net->held[1][0] = true;
	for (unsigned i = 0; i < count; i++)
		net_submit(net, 0, DEV, &tasks[i], WEIR_OP_ADD, i, 1);
	net_run(net);
	assert_int_equal(weir_table_count(net_table(net, 0, DEV)), WEIR_TASK_PENDING_MAX);
	net->held[1][0] = false;
	net_run(net);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(tasks[i].task.err, 0);
	assert_true(net_equal(net, 0, 1, DEV));
	free(tasks);
}

static void full_channel_makes_writes_wait_not_fail(void **state)
{
	unsigned count = 20000;
	struct net_task *tasks = calloc(count, sizeof(*tasks));

	assert_non_null(tasks);
	net->room_bytes = 1400U << 10;
	begin();
	for (unsigned i = 0; i < count; i++)
		net_submit(net, 0, DEV, &tasks[i], WEIR_OP_ADD, i, 1);
	assert_true(weir_table_count(net_table(net, 0, DEV)) < count);
	net_run(net);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(tasks[i].task.err, 0);
	assert_true(net_equal(net, 0, 2, DEV));
	free(tasks);
}

/* The bound keeps a bucket small enough to be shipped at once: 8192 is BUCKET_ENTRIES_MAX. */
static void full_bucket_refuses_more_and_can_still_be_shipped(void **state)
{
	struct net_record record = {
		.term = 1, .active = 1, .master = 0, .backups = 14, .insync = 7, .live = ALL_LIVE};
	struct net_task *tasks = calloc(8193, sizeof(*tasks));
	unsigned count = 0;

	assert_non_null(tasks);
	begin();
	for (unsigned n = 0; count < 8193; n++) {
		union {
			struct weir_rule rule;
			uint8_t bytes[64];
		} key;

		net_rule(&key.rule, n, 0);
		if (weir_flow_bucket(key.rule.flow_id) != 77)
			continue;
		net_submit(net, 0, DEV, &tasks[count], WEIR_OP_ADD, n, 1);
		if (++count % 1000 == 0)
			net_run(net);
	}
	net_run(net);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(tasks[i].task.err, 0);
	assert_int_equal(tasks[8192].task.err, WEIR_TOOBIG);
	net_restart(net, 3);
	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
	assert_true(net_equal(net, 0, 3, DEV));
	free(tasks);
}

static const struct CMUnitTest tests[] = {
	TEST(write_reaches_every_copy_before_its_answer),
	TEST(b12_no_answer_before_every_insync_copy_has_it),
	TEST(ack_local_is_answered_at_once),
	TEST(burst_of_tasks_runs_in_order_also_across_devices),
	TEST(b13_not_master_and_unknown_device_are_errors),
	TEST(operations_answer_as_the_contract_says),
	TEST(b18_reported_counters_dirty_no_bucket),
	TEST(lease_is_looked_at_before_and_after_the_work),
	TEST(a_longer_lease_does_not_count_while_views_wait),
	TEST(deadlines_answer_what_waits),
	TEST(waiting_queue_is_bounded),
	TEST(more_writes_than_may_be_pending_wait_and_are_all_answered),
	TEST(full_channel_makes_writes_wait_not_fail),
	TEST(full_bucket_refuses_more_and_can_still_be_shipped),
};

RUN(tests)
