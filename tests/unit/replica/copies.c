/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies: how they join, are compared, and are let go. B1.. stand for the seed's defects that a
 * test would show. */
#include "case.h"

static void b9_a_copy_is_kept_until_it_is_let_go(void **state)
{
	struct net_record record = {
		.term = 2, .active = 2, .master = 1, .backups = 4, .insync = 6, .live = ALL_LIVE};

	begin();
	add_many(0, 0, 100, 7, 0);
	take_over(1, 2, 1, 4, 7);
	assert_int_equal(weir_table_count(net_table(net, 0, DEV)), 100);
	activate(1, 2, 4, 6);
	assert_int_equal(weir_table_count(net_table(net, 0, DEV)), 100);
	record.let_go = 1;
	net_view(net, ALL_NODES, DEV, &record);
	assert_int_equal(weir_table_count(net_table(net, 0, DEV)), 0);
	assert_int_equal(weir_table_count(net_table(net, 1, DEV)), 100);
}

static void b8_untouched_buckets_reach_a_new_backup(void **state)
{
	struct net_record record = {
		.term = 1, .active = 1, .master = 0, .backups = 14, .insync = 7, .live = ALL_LIVE};

	begin();
	add_many(0, 0, 400, 7, 0);
	net_restart(net, 3);
	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_CAUGHT_UP, 1), 3);
	assert_true(net_equal(net, 0, 3, DEV));
}

static void silent_backup_is_reported_and_released_only_by_the_coordinator(void **state)
{
	struct net_record record = {
		.term = 1, .active = 1, .master = 0, .backups = 6, .insync = 3, .live = ALL_LIVE};
	struct net_task task;

	begin();
	net->held[0][2] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	net_run(net);
	net_pass(net, 1100 * WEIR_NS_PER_MS);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_LAGGING, 1), 1);
	assert_int_equal(task.task.err, NOT_YET);
	/* Out of the set, next attempt. */
	record.second = 4;
	net_view(net, ALL_NODES, DEV, &record);
	assert_int_equal(task.task.err, 0);
	add_many(0, 2, 100, 8, 0);
	net->held[0][2] = false;
	net_run(net);
	assert_true(net_equal(net, 0, 2, DEV));
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_CAUGHT_UP, 1), 3);
}

static void lost_session_ends_the_attempt_and_the_next_one_repairs(void **state)
{
	struct net_record record = {
		.term = 1, .active = 1, .master = 0, .backups = 6, .insync = 3, .live = ALL_LIVE};
	struct net_task task;

	begin();
	add_many(0, 0, 50, 7, 0);
	net_cut(net, 0, 2);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 60, 7);
	net_run(net);
	assert_int_equal(task.task.err, NOT_YET);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_LAGGING, 1), 1);
	record.second = 4;
	net_view(net, ALL_NODES, DEV, &record);
	assert_int_equal(task.task.err, 0);
	net_connect(net, 0, 2);
	net_run(net);
	assert_true(net_equal(net, 0, 2, DEV));
}

static void corruption_is_found_and_repaired_by_anti_entropy(void **state)
{
	struct net_record record = {
		.term = 1, .active = 1, .master = 0, .backups = 6, .insync = 5, .live = ALL_LIVE};
	struct weir_entry *entry;
	struct weir_replica_stats stats;

	begin();
	add_many(0, 0, 50, 7, 0);
	entry = weir_table_find(net_table(net, 1, DEV), &net_find(net, 0, DEV, 3)->rule);
	weir_bucket_set_state(
		weir_table_bucket(net_table(net, 1, DEV), weir_flow_bucket(entry->rule.flow_id)),
		entry, WEIR_FLOW_FAILED, 1);
	net_pass(net, 6 * WEIR_NS_PER_S);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_LAGGING, 1), 1);
	record.second = 2;
	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
	assert_true(net_equal(net, 0, 1, DEV));
	weir_replica_stats(net->nodes[0].replicas[0], &stats);
	assert_int_equal(stats.corruptions, 1);
}

static void bad_messages_are_counted_and_change_nothing(void **state)
{
	struct weir_replica_stats before, after;
	struct weir_wire_head head = {.type = WEIR_WIRE_DELTA, .device_key = 1, .term = 1};
	uint8_t bytes[64] = {0};
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	uint8_t good;

	begin();
	add_many(0, 0, 10, 7, 0);
	weir_replica_stats(net->nodes[1].replicas[0], &before);
	weir_wire_put_head(&out, &head);
	good = bytes[0];
	weir_replica_message(net->nodes[1].replicas[0], 0, 0, bytes, 5);
	bytes[0] = (uint8_t)(good + 32); /* the next version */
	weir_replica_message(net->nodes[1].replicas[0], 0, 0, bytes, sizeof(bytes));
	bytes[0] = good | 31; /* no such type */
	weir_replica_message(net->nodes[1].replicas[0], 0, 0, bytes, sizeof(bytes));
	weir_replica_stats(net->nodes[1].replicas[0], &after);
	assert_int_equal(after.bad_messages, before.bad_messages + 3);
	assert_true(net_equal(net, 0, 1, DEV));
}

static void copy_reported_as_caught_up_must_acknowledge_at_once(void **state)
{
	struct net_record record = {
		.term = 1, .active = 1, .master = 0, .backups = 14, .insync = 7, .live = ALL_LIVE};
	struct net_task task;

	begin();
	net_restart(net, 3);
	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_CAUGHT_UP, 1), 3);
	/* The coordinator may be putting it into the set just now. */
	net->held[0][3] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 7);
	net_run(net);
	assert_int_equal(task.task.err, NOT_YET);
	net->held[0][3] = false;
	net_run(net);
	assert_int_equal(task.task.err, 0);
}

static void change_that_does_not_follow_the_last_one_is_not_acknowledged(void **state)
{
	struct net_task lost;
	struct net_task next;

	begin();
	net->held[0][2] = true;
	net_submit(net, 0, DEV, &lost, WEIR_OP_ADD, 1, 7);
	net_run(net);
	net_lose(net, 0, 2);
	net->held[0][2] = false;
	net_submit(net, 0, DEV, &next, WEIR_OP_ADD, 1, 8);
	net_run(net);
	assert_int_equal(next.task.err, NOT_YET);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_LAGGING, 1), 1);
	assert_null(net_find(net, 2, DEV, 1));
	net_pass(net, 6 * WEIR_NS_PER_S);
	assert_int_equal(next.task.err, WEIR_UNKNOWN);
}

static const struct CMUnitTest tests[] = {
	TEST(b9_a_copy_is_kept_until_it_is_let_go),
	TEST(b8_untouched_buckets_reach_a_new_backup),
	TEST(silent_backup_is_reported_and_released_only_by_the_coordinator),
	TEST(lost_session_ends_the_attempt_and_the_next_one_repairs),
	TEST(corruption_is_found_and_repaired_by_anti_entropy),
	TEST(bad_messages_are_counted_and_change_nothing),
	TEST(copy_reported_as_caught_up_must_acknowledge_at_once),
	TEST(change_that_does_not_follow_the_last_one_is_not_acknowledged),
};

RUN(tests)
