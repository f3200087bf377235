/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters travel in a lane of their own. */
#include "case.h"

/* A report is answered at once, or when the copies have acknowledged what came before it. */
static void count(unsigned node, unsigned n, uint64_t packets)
{
	static struct net_task tasks[64];
	static unsigned next;
	struct net_task *task = &tasks[next++ % 64];

	memset(task, 0, sizeof(*task));
	task->task.owner = task;
	task->task.device_key = DEV;
	task->task.deadline_ns = net->now_ns + 5 * WEIR_NS_PER_S;
	task->task.op = WEIR_OP_REPORT;
	task->task.err = NOT_YET;
	task->task.entry.packets = packets;
	task->task.entry.bytes = 100 * packets;
	task->task.entry.life_s = 5;
	task->task.entry.live_type = 2;
	net_rule(&task->task.entry.rule, n, 7);
	weir_replica_task(net->nodes[node].replicas[0], &task->task);
	net_run(net);
	assert_true(task->task.err == 0 || task->task.err == NOT_YET);
}

static uint64_t packets_at(unsigned node, unsigned n)
{
	return net_find(net, node, DEV, n)->packets;
}

static uint64_t counters_sent(unsigned node)
{
	struct weir_replica_stats stats;

	weir_replica_stats(net->nodes[node].replicas[0], &stats);
	return stats.counters_sent;
}

/* Twenty rules that a device holds, and the periods that bring their state about are over. */
static struct net_record counted(void)
{
	struct net_record record = net_begin(net, DEV, 6);

	for (unsigned n = 0; n < 20; n++) {
		add(n);
		count(0, n, 1);
	}
	net_pass(net, 3 * WEIR_NS_PER_S);
	net_pass(net, 3 * WEIR_NS_PER_S);
	return record;
}

static void counters_reach_the_backups_within_a_period(void **state)
{
	counted();
	count(0, 3, 10);
	count(0, 3, 11);
	assert_int_equal(packets_at(1, 3), 1);
	net_pass(net, 2 * WEIR_NS_PER_S);
	for (unsigned node = 1; node < 3; node++) {
		const struct weir_entry *entry = net_find(net, node, DEV, 3);

		assert_int_equal(entry->packets, 11);
		assert_int_equal(entry->bytes, 1100);
		assert_int_equal(entry->life_s, 5);
		assert_int_equal(entry->live_type, 2);
		assert_int_equal(entry->last_seen_ms, net_find(net, 0, DEV, 3)->last_seen_ms);
	}
	assert_true(net_equal(net, 0, 1, DEV));
}

/* Under the flow id of rule 0, whatever its own. */
static void ask_as_rule_0(enum weir_op op, unsigned n, uint64_t packets)
{
	struct net_task task;
	union weir_entry_room first;

	memset(&task, 0, sizeof(task));
	net_rule(&first.entry.rule, 0, 7);
	net_rule(&task.task.entry.rule, n, 7);
	task.task.entry.rule.flow_id = first.entry.rule.flow_id;
	task.task.owner = &task;
	task.task.device_key = DEV;
	task.task.deadline_ns = net->now_ns + 5 * WEIR_NS_PER_S;
	task.task.op = (uint8_t)op;
	task.task.err = NOT_YET;
	task.task.entry.packets = packets;
	weir_replica_task(net->nodes[0].replicas[0], &task.task);
	net_run(net);
	assert_int_equal(task.task.err, 0);
}

static uint64_t packets_as_rule_0(unsigned node, unsigned n)
{
	union weir_entry_room sought;
	union weir_entry_room first;

	net_rule(&first.entry.rule, 0, 7);
	net_rule(&sought.entry.rule, n, 7);
	sought.entry.rule.flow_id = first.entry.rule.flow_id;
	return weir_table_find(net_table(net, node, DEV), &sought.entry.rule)->packets;
}

/* The simulator's seed 157. */
static void counters_of_rules_that_share_a_flow_id_reach_the_backups_each(void **state)
{
	net_begin(net, DEV, 6);
	for (unsigned n = 500; n < 503; n++)
		ask_as_rule_0(WEIR_OP_ADD, n, 0);
	net_pass(net, 3 * WEIR_NS_PER_S);
	/* The first report changes the state, and counters go with that. */
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned n = 500; n < 503; n++)
			ask_as_rule_0(WEIR_OP_REPORT, n, round * n);
		net_pass(net, 3 * WEIR_NS_PER_S);
	}
	for (unsigned n = 500; n < 503; n++)
		for (unsigned node = 0; node < 3; node++)
			assert_int_equal(packets_as_rule_0(node, n), n);
}

static void b27_one_report_sends_one_entry_and_no_bucket(void **state)
{
	uint64_t sent;

	counted();
	sent = counters_sent(0);
	memset(net->sent, 0, sizeof(net->sent));
	count(0, 3, 10);
	net_pass(net, 2 * WEIR_NS_PER_S);
	assert_int_equal(counters_sent(0), sent + 2); /* to two backups */
	assert_int_equal(net->sent[WEIR_WIRE_COUNTERS], 2);
	assert_int_equal(net->sent[WEIR_WIRE_DELTA], 0);
	net_pass(net, 2 * WEIR_NS_PER_S);
	assert_int_equal(net->sent[WEIR_WIRE_COUNTERS], 2);
}

static void report_of_the_same_figures_sends_nothing(void **state)
{
	counted();
	count(0, 3, 1);
	memset(net->sent, 0, sizeof(net->sent));
	net_pass(net, 2 * WEIR_NS_PER_S);
	assert_int_equal(net->sent[WEIR_WIRE_COUNTERS], 0);
}

static void backup_that_joins_again_has_the_counters_of_its_master(void **state)
{
	struct net_record record = counted();

	net_cut(net, 0, 1);
	count(0, 3, 10);
	net_pass(net, 3 * WEIR_NS_PER_S);
	net_connect(net, 0, 1);
	record.second = 2;
	record.insync = 5;
	view(ALL_NODES, &record);
	assert_int_equal(packets_at(1, 3), 10);
	assert_int_equal(packets_at(2, 3), 10);
}

static void counters_survive_a_takeover(void **state)
{
	struct net_record record = counted();

	count(0, 3, 10);
	net_pass(net, 2 * WEIR_NS_PER_S);
	net_kill(net, 0);
	record = (struct net_record){
		.term = 2, .active = 1, .master = 1, .backups = 4, .insync = 7, .live = ALL_LIVE};
	view(ALL_NODES, &record);
	net_pass(net, 3 * WEIR_NS_PER_S);
	record.active = 2;
	record.insync = 6;
	view(ALL_NODES, &record);
	assert_int_equal(packets_at(1, 3), 10);
	count(1, 3, 12);
	net_pass(net, 2 * WEIR_NS_PER_S);
	assert_int_equal(packets_at(2, 3), 12);
}

static void counters_of_an_older_entry_do_not_touch_the_one_that_replaced_it(void **state)
{
	counted();
	net->held[0][1] = true;
	count(0, 3, 10);
	net_pass(net, 2 * WEIR_NS_PER_S);
	/* What is held now is late; a replacement overtakes it, as no link would let it. */
	{
		struct weir_entry *entry =
			weir_table_find(net_table(net, 1, DEV), &net_find(net, 0, DEV, 3)->rule);

		entry->created++;
	}
	net->held[0][1] = false;
	net_run(net);
	assert_int_equal(packets_at(1, 3), 1);
	assert_int_equal(packets_at(2, 3), 10);
}

static void counters_wait_where_a_channel_has_no_room(void **state)
{
	counted();
	count(0, 3, 10);
	net->room_of[0] = 1;
	net_pass(net, 2 * WEIR_NS_PER_S);
	assert_int_equal(packets_at(1, 3), 1);
	net->room_of[0] = 0;
	net_pass(net, WEIR_NS_PER_MS);
	assert_int_equal(packets_at(1, 3), 10);
	assert_int_equal(packets_at(2, 3), 10);
}

static void wall_clock_that_goes_back_hides_no_counters(void **state)
{
	counted();
	net->wall_shift_ns = -(int64_t)(2 * WEIR_NS_PER_S);
	count(0, 3, 10);
	net_pass(net, 2 * WEIR_NS_PER_S);
	net_pass(net, 2 * WEIR_NS_PER_S);
	assert_int_equal(packets_at(1, 3), 10);
}

static const struct CMUnitTest tests[] = {
	TEST(counters_reach_the_backups_within_a_period),
	TEST(counters_of_rules_that_share_a_flow_id_reach_the_backups_each),
	TEST(b27_one_report_sends_one_entry_and_no_bucket),
	TEST(report_of_the_same_figures_sends_nothing),
	TEST(backup_that_joins_again_has_the_counters_of_its_master),
	TEST(counters_survive_a_takeover),
	TEST(counters_of_an_older_entry_do_not_touch_the_one_that_replaced_it),
	TEST(counters_wait_where_a_channel_has_no_room),
	TEST(wall_clock_that_goes_back_hides_no_counters),
};

RUN(tests)
