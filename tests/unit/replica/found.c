/* SPDX-License-Identifier: BSD-3-Clause */
/* What the simulator has found, each in its shortest form. */
#include "case.h"

static void answer_that_rests_on_an_unacknowledged_write_waits_for_it(void **state)
{
	struct net_task removed, remove, report;

	net_begin(net, DEV, 6);
	add(1);
	net->held[1][0] = true;
	net_submit(net, 0, DEV, &removed, WEIR_OP_REMOVED, 1, 0);
	net_submit(net, 0, DEV, &remove, WEIR_OP_REMOVE, 1, 0);
	net_run(net);
	net_submit(net, 0, DEV, &report, WEIR_OP_REPORT, 1, 0);
	net_run(net);
	assert_int_equal(removed.task.err, NOT_YET);
	assert_int_equal(remove.task.err, NOT_YET);
	assert_int_equal(report.task.err, NOT_YET);
	net->held[1][0] = false;
	net_run(net);
	assert_int_equal(removed.task.err, 0);
	assert_int_equal(remove.task.err, WEIR_NOTFOUND);
	assert_int_equal(report.task.err, WEIR_EXTRANEOUS);
}

static void nothing_to_wait_for_is_answered_at_once(void **state)
{
	struct net_task task;

	net_begin(net, DEV, 6);
	add(1);
	net_submit(net, 0, DEV, &task, WEIR_OP_REMOVE, 2, 0);
	assert_int_equal(task.task.err, WEIR_NOTFOUND);
}

static void view_from_before_the_join_lets_nothing_go(void **state)
{
	struct net_record record = net_begin(net, DEV, 2);

	add(1);
	record.backups = 6;
	net_view(net, 0, DEV, &record);
	net_run(net);
	assert_true(net_equal(net, 0, 2, DEV));
	/* The view that node 2 should have had after the first record comes only now. */
	net->revision = 1;
	record.backups = 2;
	record.let_go = 1U << 2;
	view(2, &record);
	assert_true(net_equal(net, 0, 2, DEV));
	/* One that is newer than the joining lets go. */
	net->revision = 10;
	view(2, &record);
	assert_null(net_find(net, 2, DEV, 1));
}

static void promise_of_an_empty_life_is_not_that_of_the_insync_copy(void **state)
{
	struct net_record record = net_begin(net, DEV, 1U << 1);

	add(1);
	net_kill(net, 0);
	net_kill(net, 1);
	net_restart(net, 1);
	/* Node 2 is to take over; the record's in-sync copies are earlier lives of 0 and 1. */
	net->nodes[1].incarnation = 1;
	record.term = 2;
	record.master = 2;
	record.insync = 3;
	view(2, &record);
	net_pass(net, 5 * WEIR_NS_PER_S);
	assert_int_equal(net_reports(net, 2, WEIR_REPORT_SETTLED, 2), 0);
}

static void older_process_does_not_promise_for_the_one_that_has_its_name_now(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);

	/* Another process has the name of node 0, and may serve; the session is with the older. */
	net->nodes[0].incarnation++;
	record.term = 2;
	record.master = 1;
	record.backups = 4;
	view(1, &record);
	net_run(net);
	assert_int_equal(net_reports(net, 1, WEIR_REPORT_SETTLED, 2), 0);
	net_cut(net, 0, 1);
	net_connect(net, 0, 1);
	net_run(net);
	assert_int_equal(net_reports(net, 1, WEIR_REPORT_SETTLED, 2), 1);
}

static void refusal_of_older_messages_does_not_end_the_term_of_who_sent_them(void **state)
{
	struct net_record record = net_begin(net, DEV, 2);
	struct net_task task;

	net->held[0][1] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	net_run(net);
	record.term = 2;
	view(1, &record);
	net->held[0][1] = false;
	net_run(net);
	assert_int_equal(task.task.err, WEIR_UNKNOWN);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_DEPOSED, 1), 1);
	view(0, &record);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_SETTLED, 2), 1);
}

static void master_that_was_refused_does_not_begin_its_term_again(void **state)
{
	struct net_record record = net_begin(net, DEV, 6), other = record;
	struct net_task task;

	/* Node 1 has promised a later term; node 0 hears of it by a refusal only. */
	other.term = 2;
	other.master = 1;
	net->held[1][0] = true;
	view(1, &other);
	net_lose(net, 1, 0);
	net->held[1][0] = false;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	net_run(net);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_DEPOSED, 2), 1);
	memset(net->sent, 0, sizeof(net->sent));
	view(0, &record);
	assert_int_equal(net->sent[WEIR_WIRE_SEAL], 0);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	assert_int_equal(task.task.err, WEIR_NOTMASTER);
}

static void write_to_a_bucket_that_is_still_to_be_shipped_is_answered_once_it_was(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);
	struct net_task task, other;

	/* Node 2 misses a write, node 1 takes over and serves before 2 has joined. */
	net->held[0][2] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	net_run(net);
	net_kill(net, 0);
	net_lose(net, 0, 2);
	record.term = 2;
	record.master = 1;
	record.backups = 4;
	net->held[2][1] = true;
	view(1, &record);
	net_pass(net, 3 * WEIR_NS_PER_S);
	assert_int_equal(net_reports(net, 1, WEIR_REPORT_SETTLED, 2), 1);
	record.second = 4;
	view(1, &record);
	record.active = 2;
	record.insync = 6;
	view(1, &record);
	view(2, &record);
	net_submit(net, 1, DEV, &other, WEIR_OP_ADD, 1, 8);
	net_run(net);
	assert_int_equal(other.task.err, NOT_YET);
	net->held[2][1] = false;
	net_run(net);
	assert_true(net_equal(net, 1, 2, DEV));
	assert_int_equal(other.task.err, 0);
}

static void equal_copy_joins_without_the_digests_of_its_buckets(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);

	for (unsigned n = 0; n < 100; n++)
		add(n);
	net_cut(net, 0, 1);
	net_connect(net, 0, 1);
	memset(net->sent, 0, sizeof(net->sent));
	record.second = 2;
	record.insync = 5;
	view(ALL_NODES, &record);
	assert_int_equal(net->sent[WEIR_WIRE_SHARDS], 1);
	assert_int_equal(net->sent[WEIR_WIRE_DIGESTS], 0);
	assert_int_equal(net->sent[WEIR_WIRE_BUCKET], 0);
	assert_int_equal(net->sent[WEIR_WIRE_SYNCED], 1);
}

static void only_the_shard_and_the_bucket_that_differ_are_looked_at(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);
	struct net_task task;

	for (unsigned n = 0; n < 100; n++)
		add(n);
	net_cut(net, 0, 1);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 3, 8);
	net_connect(net, 0, 1);
	memset(net->sent, 0, sizeof(net->sent));
	record.second = 2;
	record.insync = 5;
	view(ALL_NODES, &record);
	assert_int_equal(net->sent[WEIR_WIRE_DIGESTS], 1);
	assert_int_equal(net->sent[WEIR_WIRE_BUCKET], 1);
	assert_true(net_equal(net, 0, 1, DEV));
	assert_int_equal(task.task.err, 0);
}

static void channel_without_room_for_an_answer_begins_anew(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);
	struct weir_replica_stats stats;
	struct net_task task;

	add(1);
	net_cut(net, 0, 1);
	net_connect(net, 0, 1);
	net->room_of[1] = 100;
	record.second = 2;
	record.insync = 5;
	view(ALL_NODES, &record);
	weir_replica_stats(net->nodes[1].replicas[0], &stats);
	assert_true(stats.resets > 0);
	assert_true(net_reports(net, 0, WEIR_REPORT_LAGGING, 1) > 0);
	net->room_of[1] = 0;
	record.second = 0;
	view(ALL_NODES, &record);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 2, 7);
	net_run(net);
	assert_int_equal(task.task.err, 0);
	assert_true(net_equal(net, 0, 1, DEV));
}

static void node_with_too_many_devices_refuses_one_and_serves_the_others(void **state)
{
	struct net_record record = {
		.term = 1, .master = 0, .backups = 2, .insync = 1, .live = ALL_LIVE};

	net_begin(net, DEV, 2);
	for (unsigned i = 1; i < NET_DEVICES; i++)
		net_table(net, 1, DEV + i);
	net_view(net, 0, DEV + NET_DEVICES, &record);
	net_pass(net, 3 * WEIR_NS_PER_S);
	assert_int_equal(net->sent[WEIR_WIRE_UNFIT], 2); /* to SEAL and to JOIN */
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_LAGGING, 1), 1);
	add(1);
}

static void each_of_many_devices_is_compared_once_a_period_and_keeps_its_deadlines(void **state)
{
	static struct net_task tasks[NET_DEVICES];

	for (unsigned i = 0; i < NET_DEVICES; i++)
		net_begin(net, DEV + i, 6);
	for (unsigned i = 0; i < 100; i++)
		net_pass(net, 50 * WEIR_NS_PER_MS);
	memset(net->sent, 0, sizeof(net->sent));
	for (unsigned i = 0; i < 100; i++)
		net_pass(net, 50 * WEIR_NS_PER_MS);
	assert_int_equal(net->sent[WEIR_WIRE_CHECK], 2 * NET_DEVICES);
	net->held[2][0] = true;
	for (unsigned i = 0; i < NET_DEVICES; i++)
		net_submit(net, 0, DEV + i, &tasks[i], WEIR_OP_ADD, i, 7);
	net_pass(net, 6 * WEIR_NS_PER_S);
	for (unsigned i = 0; i < NET_DEVICES; i++)
		assert_int_equal(tasks[i].task.err, WEIR_UNKNOWN);
	net->held[2][0] = false;
	net_run(net);
}

static const struct CMUnitTest tests[] = {
	TEST(answer_that_rests_on_an_unacknowledged_write_waits_for_it),
	TEST(nothing_to_wait_for_is_answered_at_once),
	TEST(view_from_before_the_join_lets_nothing_go),
	TEST(promise_of_an_empty_life_is_not_that_of_the_insync_copy),
	TEST(older_process_does_not_promise_for_the_one_that_has_its_name_now),
	TEST(refusal_of_older_messages_does_not_end_the_term_of_who_sent_them),
	TEST(master_that_was_refused_does_not_begin_its_term_again),
	TEST(write_to_a_bucket_that_is_still_to_be_shipped_is_answered_once_it_was),
	TEST(equal_copy_joins_without_the_digests_of_its_buckets),
	TEST(only_the_shard_and_the_bucket_that_differ_are_looked_at),
	TEST(channel_without_room_for_an_answer_begins_anew),
	TEST(each_of_many_devices_is_compared_once_a_period_and_keeps_its_deadlines),
	TEST(node_with_too_many_devices_refuses_one_and_serves_the_others),
};

RUN(tests)
