/* SPDX-License-Identifier: BSD-3-Clause */
/* PURGE: a write like any other. */
#include "case.h"

static void purge(unsigned node, unsigned shard, int app, struct net_task *task)
{
	memset(task, 0, sizeof(*task));
	task->task.owner = task;
	task->task.device_key = DEV;
	task->task.deadline_ns = net->now_ns + 5 * WEIR_NS_PER_S;
	task->task.op = WEIR_OP_PURGE;
	task->task.app = app;
	task->task.err = NOT_YET;
	task->task.entry.rule.flow_id = shard;
	weir_replica_task(net->nodes[node].replicas[0], &task->task);
}

static uint64_t purge_all(unsigned node, int app, int want)
{
	struct net_task tasks[WEIR_SHARDS];
	uint64_t removed = 0;

	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		purge(node, shard, app, &tasks[shard]);
	net_run(net);
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		assert_int_equal(tasks[shard].task.err, want);
		assert_int_equal(tasks[shard].answers, 1);
		removed += tasks[shard].task.removed;
	}
	return removed;
}

/* Rules of a shard, each an app of its own; in one go. */
static void fill(struct net_task *tasks, unsigned shard, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct net_task *task = &tasks[i];

		memset(task, 0, sizeof(*task));
		task->task.owner = task;
		task->task.device_key = DEV;
		task->task.deadline_ns = net->now_ns + 5 * WEIR_NS_PER_S;
		task->task.err = NOT_YET;
		net_rule(&task->task.entry.rule, i, 7);
		task->task.entry.rule.flow_id = (uint64_t)(i % 3) << 48 | (uint64_t)i << 10 |
						(i % WEIR_SHARD_BUCKETS) << 5 | shard;
		weir_replica_task(net->nodes[0].replicas[0], &task->task);
	}
	net_run(net);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(tasks[i].task.err, 0);
}

static void purge_takes_all_out_of_every_copy_and_says_how_many(void **state)
{
	net_begin(net, DEV, 6);
	for (unsigned n = 0; n < 100; n++)
		add(n);
	assert_int_equal(purge_all(0, WEIR_ANY_APP, 0), 100);
	for (unsigned node = 0; node < 3; node++)
		assert_int_equal(weir_table_count(net_table(net, node, DEV)), 0);
	assert_true(net_equal(net, 0, 1, DEV));
	assert_int_equal(purge_all(0, WEIR_ANY_APP, 0), 0);
	assert_int_equal(purge_all(1, WEIR_ANY_APP, WEIR_NOTMASTER), 0);
}

static void purge_of_an_app_leaves_the_others(void **state)
{
	struct net_task *tasks = calloc(300, sizeof(*tasks));

	net_begin(net, DEV, 6);
	fill(tasks, 5, 300);
	assert_int_equal(purge_all(0, 1, 0), 100);
	assert_int_equal(weir_table_count(net_table(net, 2, DEV)), 200);
	assert_true(net_equal(net, 0, 2, DEV));
	free(tasks);
}

static void b20_purge_survives_a_takeover_and_no_late_copy_brings_rules_back(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);

	for (unsigned n = 0; n < 50; n++)
		add(n);
	/* Node 2 is away while all is purged; the others lose their master afterwards. */
	net_cut(net, 0, 2);
	record.insync = 3;
	record.second = 4;
	view(ALL_NODES, &record);
	assert_int_equal(purge_all(0, WEIR_ANY_APP, 0), 50);
	assert_int_equal(weir_table_count(net_table(net, 2, DEV)), 50);
	net_kill(net, 0);
	record = (struct net_record){
		.term = 2, .active = 1, .master = 1, .backups = 4, .insync = 3, .live = ALL_LIVE};
	view(ALL_NODES, &record);
	net_pass(net, 3 * WEIR_NS_PER_S);
	assert_int_equal(net_reports(net, 1, WEIR_REPORT_SETTLED, 2), 1);
	record.active = 2;
	record.insync = 2;
	view(ALL_NODES, &record);
	for (unsigned node = 1; node < 3; node++)
		assert_int_equal(weir_table_count(net_table(net, node, DEV)), 0);
	assert_true(net_equal(net, 1, 2, DEV));
}

static void purge_is_answered_once_every_insync_copy_has_it(void **state)
{
	struct net_task *tasks = calloc(100, sizeof(*tasks)), task;

	net_begin(net, DEV, 6);
	fill(tasks, 5, 100);
	net->held[2][0] = true;
	purge(0, 5, WEIR_ANY_APP, &task);
	net_run(net);
	assert_int_equal(weir_table_count(net_table(net, 0, DEV)), 0);
	assert_int_equal(task.task.err, NOT_YET);
	assert_false(weir_table_is_firm(net_table(net, 0, DEV), 5));
	net->held[2][0] = false;
	net_run(net);
	assert_int_equal(task.task.err, 0);
	assert_true(weir_table_is_firm(net_table(net, 0, DEV), 5));
	free(tasks);
}

static void large_purge_takes_turns_and_keeps_what_comes_behind_it_waiting(void **state)
{
	struct net_task *tasks = calloc(5000, sizeof(*tasks)), task, behind;

	net_begin(net, DEV, 6);
	fill(tasks, 5, 5000);
	purge(0, 5, WEIR_ANY_APP, &task);
	assert_int_equal(task.task.err, NOT_YET);
	assert_true(task.task.removed > 0 && task.task.removed < 5000);
	/* Were it to run at once, the purge would take it out. */
	memset(&behind, 0, sizeof(behind));
	behind.task = tasks[4999].task;
	memcpy(&behind.task.entry, &tasks[4999].task.entry,
		weir_entry_bytes(&tasks[4999].task.entry));
	behind.task.owner = &behind;
	behind.task.err = NOT_YET;
	weir_replica_task(net->nodes[0].replicas[0], &behind.task);
	net_run(net);
	assert_int_equal(task.task.err, 0);
	assert_int_equal(task.task.removed, 5000);
	assert_int_equal(behind.task.err, 0);
	assert_int_equal(weir_table_count(net_table(net, 0, DEV)), 1);
	assert_true(net_equal(net, 0, 1, DEV));
	free(tasks);
}

static void purge_cut_off_half_way_has_an_unknown_fate(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);
	struct net_task *tasks = calloc(5000, sizeof(*tasks)), begun, waiting;

	fill(tasks, 5, 5000);
	purge(0, 5, WEIR_ANY_APP, &begun);
	purge(0, 5, WEIR_ANY_APP, &waiting);
	record.term = 2;
	record.master = 1;
	record.backups = 5;
	net_view(net, 0, DEV, &record);
	assert_int_equal(begun.task.err, WEIR_UNKNOWN);
	assert_int_equal(waiting.task.err, WEIR_NOTMASTER);
	free(tasks);
}

static void purge_past_its_deadline_ends_as_far_as_it_came(void **state)
{
	struct net_task *tasks = calloc(5000, sizeof(*tasks)), begun, waiting;

	net_begin(net, DEV, 6);
	fill(tasks, 5, 5000);
	purge(0, 5, WEIR_ANY_APP, &begun);
	purge(0, 5, WEIR_ANY_APP, &waiting);
	net_pass(net, 6 * WEIR_NS_PER_S);
	assert_int_equal(begun.task.err, WEIR_UNKNOWN);
	assert_int_equal(waiting.task.err, WEIR_TIMEOUT);
	assert_true(net_equal(net, 0, 1, DEV));
	free(tasks);
}

static const struct CMUnitTest tests[] = {
	TEST(purge_takes_all_out_of_every_copy_and_says_how_many),
	TEST(purge_of_an_app_leaves_the_others),
	TEST(b20_purge_survives_a_takeover_and_no_late_copy_brings_rules_back),
	TEST(purge_is_answered_once_every_insync_copy_has_it),
	TEST(large_purge_takes_turns_and_keeps_what_comes_behind_it_waiting),
	TEST(purge_cut_off_half_way_has_an_unknown_fate),
	TEST(purge_past_its_deadline_ends_as_far_as_it_came),
};

RUN(tests)
