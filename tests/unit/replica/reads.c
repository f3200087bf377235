/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads at the master: what is firm, what is fenced, what waits (guarantees E and F). */
#include "case.h"

static bool firm(unsigned node, unsigned n)
{
	union weir_entry_room room;

	net_rule(&room.entry.rule, n, 0);
	return weir_table_is_firm(
		net_table(net, node, DEV), weir_flow_bucket(room.entry.rule.flow_id));
}

static void what_every_copy_has_is_firm_and_what_is_on_its_way_is_not(void **state)
{
	struct net_task task;

	net_begin(net, DEV, 6);
	assert_true(firm(0, 1));
	add(1);
	assert_true(firm(0, 1));
	net->held[2][0] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 8);
	net_run(net);
	assert_false(firm(0, 1));
	assert_true(firm(0, 2));
	net->held[2][0] = false;
	net_run(net);
	assert_true(firm(0, 1));
	assert_false(firm(1, 1));
}

static void write_that_changed_nothing_leaves_its_bucket_firm(void **state)
{
	struct net_task task;

	net_begin(net, DEV, 6);
	net_submit(net, 0, DEV, &task, WEIR_OP_REMOVE, 1, 8);
	assert_int_equal(task.task.err, WEIR_NOTFOUND);
	assert_true(firm(0, 1));
}

static void local_write_is_not_firm_before_every_copy_has_it(void **state)
{
	struct net_task task;

	net_begin(net, DEV, 6);
	net->held[2][0] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_PENDING, 1, 8);
	memset(&task, 0, sizeof(task));
	task.task.owner = &task;
	task.task.device_key = DEV;
	task.task.deadline_ns = net->now_ns + WEIR_NS_PER_S;
	task.task.ack = WEIR_ACK_LOCAL;
	net_rule(&task.task.entry.rule, 1, 1);
	weir_replica_task(net->nodes[0].replicas[0], &task.task);
	assert_int_equal(task.answers, 1);
	net_run(net);
	assert_false(firm(0, 1));
	net->held[2][0] = false;
	net_run(net);
	assert_true(firm(0, 1));
}

static void write_answered_at_its_deadline_is_firm_only_once_the_copy_has_it(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);
	struct net_task task;

	net->held[2][0] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 8);
	net_pass(net, 6 * WEIR_NS_PER_S);
	assert_int_equal(task.task.err, WEIR_UNKNOWN);
	assert_false(firm(0, 1));
	/* The coordinator takes the silent copy out. */
	record.second = 4;
	record.insync = 3;
	view(ALL_NODES, &record);
	assert_true(firm(0, 1));
}

static void get_waits_until_every_copy_has_what_it_saw(void **state)
{
	struct net_task task, get, by_id, absent;

	net_begin(net, DEV, 6);
	net->held[2][0] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 8);
	net_submit(net, 0, DEV, &get, WEIR_OP_GET, 1, 0);
	net_submit(net, 0, DEV, &by_id, WEIR_OP_GET_ID, 1, 0);
	net_submit(net, 0, DEV, &absent, WEIR_OP_GET, 2, 0);
	net_run(net);
	assert_int_equal(get.task.err, NOT_YET);
	assert_int_equal(by_id.task.err, NOT_YET);
	net->held[2][0] = false;
	net_run(net);
	assert_int_equal(get.task.err, 0);
	assert_int_equal(get.task.entry.rule.cookie, 8);
	assert_int_equal(by_id.task.err, 0);
	assert_int_equal(by_id.task.entry.rule.cookie, 8);
	assert_int_equal(absent.task.err, WEIR_NOTFOUND);
	net_submit(net, 0, DEV, &get, WEIR_OP_GET, 1, 0);
	assert_int_equal(get.task.err, 0);
	net_submit(net, 1, DEV, &get, WEIR_OP_GET, 1, 0);
	assert_int_equal(get.task.err, WEIR_NOTMASTER);
}

static void get_of_an_entry_larger_than_its_task_is_too_big(void **state)
{
	struct net_task get;

	net_begin(net, DEV, 6);
	add(1);
	memset(&get, 0, sizeof(get));
	get.task.owner = &get;
	get.task.device_key = DEV;
	get.task.deadline_ns = net->now_ns + WEIR_NS_PER_S;
	get.task.op = WEIR_OP_GET_ID;
	get.task.room = sizeof(struct weir_entry);
	net_rule(&get.task.entry.rule, 1, 0);
	weir_replica_task(net->nodes[0].replicas[0], &get.task);
	assert_int_equal(get.task.err, WEIR_TOOBIG);
}

static void fence_stands_before_the_promise_is_heard_of(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);

	assert_int_equal(weir_table_fence(net_table(net, 0, DEV)), 1);
	record.term = 2;
	record.master = 1;
	record.backups = 5;
	net->held[0][1] = true;
	view(1, &record);
	assert_int_equal(weir_table_fence(net_table(net, 0, DEV)), 2);
	assert_int_equal(net_reports(net, 1, WEIR_REPORT_SETTLED, 2), 0);
}

static void nothing_is_firm_in_a_term_before_its_insync_copies_are_equal(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);
	struct net_task task;

	add(1);
	/* Node 2 misses a write, 1 has it and takes over; it serves before 2 is equal. */
	net->held[0][2] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 9);
	net_run(net);
	net_kill(net, 0);
	net_lose(net, 0, 2);
	record.term = 2;
	record.master = 1;
	record.backups = 4;
	view(1, &record);
	net->held[2][1] = true;
	net_cut(net, 1, 2);
	net_connect(net, 1, 2);
	net_pass(net, 3 * WEIR_NS_PER_S);
	assert_int_equal(net_reports(net, 1, WEIR_REPORT_SETTLED, 2), 1);
	record.active = 2;
	record.insync = 6;
	view(1, &record);
	assert_false(firm(1, 1));
	assert_false(firm(1, 2));
}

static void rule_1_is_not_firm(void)
{
	assert_false(firm(0, 1));
}

static void write_that_a_deposed_master_gives_up_is_firm_at_no_time(void **state)
{
	struct net_record record = net_begin(net, DEV, 6);
	struct net_task task;

	net->held[2][0] = true;
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 1, 8);
	net_run(net);
	net->answered = rule_1_is_not_firm;
	record.term = 2;
	record.master = 1;
	record.backups = 5;
	view(0, &record);
	assert_int_equal(task.task.err, WEIR_UNKNOWN);
	assert_int_equal(task.answers, 1);
	assert_false(firm(0, 1));
}

static const struct CMUnitTest tests[] = {
	TEST(what_every_copy_has_is_firm_and_what_is_on_its_way_is_not),
	TEST(write_that_changed_nothing_leaves_its_bucket_firm),
	TEST(local_write_is_not_firm_before_every_copy_has_it),
	TEST(write_answered_at_its_deadline_is_firm_only_once_the_copy_has_it),
	TEST(get_waits_until_every_copy_has_what_it_saw),
	TEST(get_of_an_entry_larger_than_its_task_is_too_big),
	TEST(fence_stands_before_the_promise_is_heard_of),
	TEST(write_that_a_deposed_master_gives_up_is_firm_at_no_time),
	TEST(nothing_is_firm_in_a_term_before_its_insync_copies_are_equal),
};

RUN(tests)
