/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes, changes of term, joining: each test is named for what it claims, B1.. for the seed's
 * defects that it would show. */
#include "net.h"

#define DEV 0x1234567812345678ULL

static struct net *net;

static int set_up(void **state)
{
	(void)state;
	net = net_new(3, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	net_free(net);
	return 0;
}

/* The first term: node 0 is master, 1 and 2 are backups; as tenure would do it. */
static void begin(void)
{
	struct net_record record = {
		.term = 1, .master = 0, .backups = 6, .insync = 1, .live = ALL_LIVE};

	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_SETTLED, 1), net->nodes[0].workers_count);
	assert_int_equal(
		net_reports(net, 0, WEIR_REPORT_CAUGHT_UP, 1), 2 * net->nodes[0].workers_count);
	record.active = 1;
	record.insync = 7;
	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
}

static void add(unsigned node, unsigned from, unsigned to, uint64_t cookie, int want)
{
	for (unsigned n = from; n < to; n++) {
		struct net_task task;

		net_submit(net, node, DEV, &task, WEIR_OP_ADD, n, cookie);
		net_run(net);
		assert_int_equal(task.task.err, want);
		assert_int_equal(task.answers, 1);
	}
}

/* Node `master` takes over in `term`; tenure's part. */
static void take_over(
	unsigned master, uint64_t term, uint64_t active, uint32_t backups, uint32_t insync)
{
	struct net_record record = {.term = term,
		.active = active,
		.master = master,
		.backups = backups,
		.insync = insync,
		.live = ALL_LIVE};

	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
}

static void activate(unsigned master, uint64_t term, uint32_t backups, uint32_t insync)
{
	struct net_record record = {.term = term,
		.active = term,
		.master = master,
		.backups = backups,
		.insync = insync,
		.live = ALL_LIVE};

	assert_int_equal(net_reports(net, master, WEIR_REPORT_SETTLED, term),
		net->nodes[master].workers_count);
	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
}

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
	add(0, 1, 2, 7, 0);
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

static void takeover_keeps_every_acknowledged_write(void **state)
{
	begin();
	add(0, 0, 500, 7, 0);
	net_kill(net, 0);
	take_over(1, 2, 1, 4, 7);
	activate(1, 2, 4, 6);
	for (unsigned n = 0; n < 500; n++)
		assert_non_null(net_find(net, 1, DEV, n));
	add(1, 500, 600, 8, 0);
	assert_true(net_equal(net, 1, 2, DEV));
}

static void b7_sealed_master_accepts_nothing_more(void **state)
{
	struct net_record record = {
		.term = 2, .active = 1, .master = 1, .backups = 5, .insync = 7, .live = ALL_LIVE};
	struct net_task task;

	begin();
	add(0, 0, 10, 7, 0);
	/* Only the new master and the other backup hear of the term; the old one is sealed by it.
	 */
	net_view(net, 1, DEV, &record);
	net_run(net);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 11, 7);
	assert_int_equal(task.task.err, WEIR_NOTMASTER);
}

static void b7_master_cut_off_is_deposed_by_the_sealed_copies(void **state)
{
	struct net_record record = {
		.term = 2, .active = 1, .master = 1, .backups = 5, .insync = 7, .live = 6};
	struct net_task task;

	begin();
	/* The old master reaches node 2, not node 1; node 2 has been sealed. */
	net_cut(net, 0, 1);
	net_run(net);
	net_view(net, 1, DEV, &record);
	net_view(net, 2, DEV, &record);
	net_run(net);
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 11, 7);
	net_run(net);
	assert_int_equal(task.task.err, WEIR_UNKNOWN);
	assert_true(net_reports(net, 0, WEIR_REPORT_DEPOSED, 2) > 0);
	assert_null(net_find(net, 2, DEV, 11));
	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, 12, 7);
	assert_int_equal(task.task.err, WEIR_NOTMASTER);
}

static void b2_b4_queued_writes_run_once_after_activation_in_the_settled_buckets(void **state)
{
	struct net_task queued[50];
	struct net_task later;

	begin();
	add(0, 0, 100, 7, 0);
	/* Node 2 takes over but cannot settle yet: writes wait. */
	net->held[0][2] = net->held[1][2] = true;
	take_over(2, 2, 1, 3, 7);
	for (unsigned n = 0; n < 50; n++)
		net_submit(net, 2, DEV, &queued[n], WEIR_OP_ADD, 25 + n, 100 + n);
	net_run(net);
	for (unsigned n = 0; n < 50; n++)
		assert_int_equal(queued[n].answers, 0);
	net->held[0][2] = net->held[1][2] = false;
	net_run(net);
	for (unsigned n = 0; n < 50; n++)
		assert_int_equal(queued[n].answers, 0);
	activate(2, 2, 3, 7);
	net_submit(net, 2, DEV, &later, WEIR_OP_ADD, 25, 999);
	net_run(net);
	for (unsigned n = 0; n < 50; n++) {
		assert_int_equal(queued[n].task.err, 0);
		assert_int_equal(queued[n].answers, 1);
	}
	assert_int_equal(later.task.err, 0);
	assert_int_equal(net_find(net, 2, DEV, 25)->rule.cookie, 999);
	assert_int_equal(net_find(net, 2, DEV, 26)->rule.cookie, 101);
	for (unsigned n = 0; n < 100; n++)
		assert_non_null(net_find(net, 2, DEV, n));
	assert_true(net_equal(net, 2, 0, DEV));
	assert_true(net_equal(net, 2, 1, DEV));
}

static void b5_demotion_fails_the_queue_as_a_whole(void **state)
{
	struct net_task queued;
	struct net_task pending;

	begin();
	net->held[0][2] = net->held[1][2] = true;
	take_over(2, 2, 1, 3, 7);
	net_submit(net, 2, DEV, &queued, WEIR_OP_ADD, 1, 7);
	take_over(1, 3, 1, 5, 7);
	assert_int_equal(queued.task.err, WEIR_NOTMASTER);
	net->held[0][2] = net->held[1][2] = false;
	net_run(net);
	activate(1, 3, 5, 7);
	/* A write that was begun has an unknown fate when its master is demoted. */
	net->held[1][0] = true;
	net_submit(net, 1, DEV, &pending, WEIR_OP_ADD, 2, 7);
	net_run(net);
	take_over(2, 4, 3, 3, 7);
	assert_int_equal(pending.task.err, WEIR_UNKNOWN);
	net->held[1][0] = false;
	net_run(net);
	assert_int_equal(pending.answers, 1);
	assert_null(net_find(net, 2, DEV, 1));
}

static void b6_late_answers_of_an_older_term_change_nothing(void **state)
{
	begin();
	add(0, 0, 10, 7, 0);
	/* The answers to node 2's seal in term 2 are late; term 3 is node 1's, term 4 node 2's. */
	net->held[0][2] = net->held[1][2] = true;
	take_over(2, 2, 1, 3, 7);
	take_over(1, 3, 1, 5, 7);
	net->held[0][2] = net->held[1][2] = false;
	net_run(net);
	assert_int_equal(net_reports(net, 2, WEIR_REPORT_SETTLED, 2), 0);
	activate(1, 3, 5, 7);
	add(1, 10, 20, 8, 0);
	take_over(2, 4, 3, 3, 7);
	activate(2, 4, 3, 7);
	assert_int_equal(weir_table_count(net_table(net, 2, DEV)), 20);
}

static void b1_lower_term_never_wins_over_a_higher_one(void **state)
{
	struct weir_digest low = {.term = 2, .seq = 1000};
	struct weir_digest high = {.term = 3, .seq = 500};

	assert_true(weir_digest_compare(&low, &high) < 0);
	assert_true(weir_digest_compare(&high, &low) > 0);
	begin();
	add(0, 0, 50, 7, 0);
	/* Node 0 writes on in term 1, unheard; node 1 is master in term 2 and writes less. */
	net_cut(net, 0, 1);
	net_cut(net, 0, 2);
	for (unsigned i = 0; i < 20; i++) {
		static struct net_task tasks[20];

		net_submit(net, 0, DEV, &tasks[i], WEIR_OP_ADD, 1, 1000 + i);
	}
	{
		struct net_record record = {
			.term = 2, .active = 1, .master = 1, .backups = 5, .insync = 7, .live = 6};

		net_view(net, 1, DEV, &record);
		net_view(net, 2, DEV, &record);
		net_run(net);
		record.active = 2;
		record.insync = 6;
		net_view(net, 1, DEV, &record);
		net_view(net, 2, DEV, &record);
		net_run(net);
	}
	add(1, 1, 2, 42, 0);
	net_connect(net, 0, 1);
	net_connect(net, 0, 2);
	activate(1, 2, 5, 6);
	net_run(net);
	assert_int_equal(net_find(net, 0, DEV, 1)->rule.cookie, 42);
	assert_true(net_equal(net, 0, 1, DEV));
}

static void b10_b22_node_without_a_copy_synchronises_from_the_insync_set(void **state)
{
	begin();
	add(0, 0, 300, 7, 0);
	net_kill(net, 0);
	net_restart(net, 0);
	/* The record names incarnation 1 of node 0: the live one is not in sync. */
	take_over(0, 2, 1, 6, 6);
	activate(0, 2, 6, 7);
	assert_int_equal(weir_table_count(net_table(net, 0, DEV)), 300);
	assert_true(net_equal(net, 0, 1, DEV));
	add(0, 300, 310, 8, 0);
}

static void b11_empty_node_alone_does_not_start(void **state)
{
	struct net_record record = {
		.term = 2, .active = 1, .master = 0, .backups = 6, .insync = 6, .live = 1};

	begin();
	add(0, 0, 10, 7, 0);
	net_kill(net, 0);
	net_kill(net, 1);
	net_kill(net, 2);
	net_restart(net, 0);
	net_view(net, 0, DEV, &record);
	net_pass(net, 60 * WEIR_NS_PER_S);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_SETTLED, 2), 0);
	record.unclean = true;
	net_view(net, 0, DEV, &record);
	net_run(net);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_SETTLED, 2), 1);
}

static void restarted_insync_member_is_not_taken_for_a_copy(void **state)
{
	begin();
	add(0, 0, 200, 7, 0);
	/* Node 2 returns empty while the record still names it; node 1 must not settle from it. */
	net_kill(net, 2);
	net_restart(net, 2);
	net_kill(net, 0);
	take_over(1, 2, 1, 4, 3);
	activate(1, 2, 4, 6);
	assert_int_equal(weir_table_count(net_table(net, 1, DEV)), 200);
	assert_true(net_equal(net, 1, 2, DEV));
}

static void b9_a_copy_is_kept_until_it_is_let_go(void **state)
{
	struct net_record record = {
		.term = 2, .active = 2, .master = 1, .backups = 4, .insync = 6, .live = ALL_LIVE};

	begin();
	add(0, 0, 100, 7, 0);
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
	add(0, 0, 400, 7, 0);
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
	add(0, 2, 100, 8, 0);
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
	add(0, 0, 50, 7, 0);
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

static void lease_is_looked_at_before_and_after_the_work(void **state)
{
	struct net_task late;
	struct net_task fenced;

	begin();
	net->held[1][0] = true;
	net_submit(net, 0, DEV, &late, WEIR_OP_ADD, 1, 7);
	net_run(net);
	weir_replica_lease(net->nodes[0].replicas[0], net->now_ns + WEIR_NS_PER_MS);
	net_pass(net, 2 * WEIR_NS_PER_MS);
	net->held[1][0] = false;
	net_run(net);
	assert_int_equal(late.task.err, WEIR_UNKNOWN);
	net_submit(net, 0, DEV, &fenced, WEIR_OP_ADD, 2, 7);
	assert_int_equal(fenced.task.err, WEIR_FENCED);
	assert_null(net_find(net, 0, DEV, 2));
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

static void corruption_is_found_and_repaired_by_anti_entropy(void **state)
{
	struct net_record record = {
		.term = 1, .active = 1, .master = 0, .backups = 6, .insync = 5, .live = ALL_LIVE};
	struct weir_entry *entry;
	struct weir_replica_stats stats;

	begin();
	add(0, 0, 50, 7, 0);
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

static void bad_messages_are_counted_and_change_nothing(void **state)
{
	struct weir_replica_stats before, after;
	uint8_t bytes[64] = {WEIR_WIRE_VERSION, WEIR_WIRE_DELTA};

	begin();
	add(0, 0, 10, 7, 0);
	weir_replica_stats(net->nodes[1].replicas[0], &before);
	weir_replica_message(net->nodes[1].replicas[0], 0, 0, bytes, 5);
	bytes[0] = 99;
	weir_replica_message(net->nodes[1].replicas[0], 0, 0, bytes, sizeof(bytes));
	bytes[0] = WEIR_WIRE_VERSION;
	bytes[1] = WEIR_WIRE_TYPES_COUNT;
	weir_replica_message(net->nodes[1].replicas[0], 0, 0, bytes, sizeof(bytes));
	weir_replica_stats(net->nodes[1].replicas[0], &after);
	assert_int_equal(after.bad_messages, before.bad_messages + 3);
	assert_true(net_equal(net, 0, 1, DEV));
}

static void nodes_with_different_worker_counts_replicate_and_take_over(void **state)
{
	static const unsigned workers[NET_NODES] = {1, 4, 2, 1};

	net_free(net);
	net = net_new(3, workers);
	begin();
	add(0, 0, 500, 7, 0);
	assert_true(net_equal(net, 0, 1, DEV));
	assert_true(net_equal(net, 0, 2, DEV));
	net_kill(net, 0);
	take_over(1, 2, 1, 4, 7);
	activate(1, 2, 4, 6);
	add(1, 500, 700, 8, 0);
	assert_true(net_equal(net, 1, 2, DEV));
	net_restart(net, 0);
	activate(1, 2, 5, 6);
	net_run(net);
	assert_true(net_equal(net, 1, 0, DEV));
}

static void same_term_under_two_masters_is_refused(void **state)
{
	struct net_record one = {
		.term = 2, .active = 1, .master = 1, .backups = 5, .insync = 7, .live = ALL_LIVE};
	struct net_record two = {
		.term = 2, .active = 1, .master = 2, .backups = 3, .insync = 7, .live = ALL_LIVE};

	begin();
	net_view(net, 1, DEV, &one);
	net_run(net);
	net_view(net, 2, DEV, &two);
	net_run(net);
	assert_int_equal(net_reports(net, 1, WEIR_REPORT_SETTLED, 2), 1);
	assert_int_equal(net_reports(net, 2, WEIR_REPORT_SETTLED, 2), 0);
	assert_int_equal(net_reports(net, 2, WEIR_REPORT_DEPOSED, 2), 1);
}

static void b6_late_promise_of_an_older_term_does_not_count_in_a_newer_one(void **state)
{
	struct net_record third = {
		.term = 3, .active = 3, .master = 1, .backups = 1, .insync = 3, .live = 3};

	begin();
	add(0, 0, 10, 7, 0);
	net->held[0][2] = net->held[1][2] = true;
	take_over(2, 2, 1, 3, 7);
	/* Term 3 is node 1's and goes on without node 2, whose mail is still late. */
	take_over(1, 3, 1, 1, 7);
	net_pass(net, 3 * WEIR_NS_PER_S);
	activate(1, 3, 1, 3);
	net_view(net, 1, DEV, &third);
	add(1, 10, 20, 8, 0);
	take_over(2, 4, 3, 3, 3);
	net->held[0][2] = net->held[1][2] = false;
	net_run(net);
	assert_int_equal(net_reports(net, 2, WEIR_REPORT_SETTLED, 4), 1);
	assert_int_equal(weir_table_count(net_table(net, 2, DEV)), 20);
}

static void copies_that_are_not_insync_do_not_make_a_term(void **state)
{
	begin();
	net_restart(net, 3);
	add(0, 0, 10, 7, 0);
	net_kill(net, 0);
	net_kill(net, 1);
	take_over(2, 2, 1, 8, 3);
	net_pass(net, 60 * WEIR_NS_PER_S);
	assert_int_equal(net_reports(net, 2, WEIR_REPORT_SETTLED, 2), 0);
}

static void newest_of_the_copies_is_taken_bucket_by_bucket(void **state)
{
	struct net_task one;
	struct net_task two;

	begin();
	net->held[0][1] = true;
	net_submit(net, 0, DEV, &one, WEIR_OP_ADD, 1, 41);
	net_run(net);
	net_lose(net, 0, 1);
	net_kill(net, 0);
	assert_null(net_find(net, 1, DEV, 1));
	take_over(1, 2, 1, 4, 7);
	assert_int_equal(one.task.err, WEIR_UNKNOWN);
	assert_int_equal(net_find(net, 1, DEV, 1)->rule.cookie, 41);
	activate(1, 2, 4, 6);
	net_submit(net, 1, DEV, &two, WEIR_OP_ADD, 1, 42);
	net_run(net);
	assert_int_equal(two.task.err, 0);
	assert_true(net_equal(net, 1, 2, DEV));
}

static void what_an_overtaken_master_wrote_alone_is_not_taken_for_the_truth(void **state)
{
	struct net_record record = {
		.term = 2, .active = 1, .master = 1, .backups = 4, .insync = 7, .live = 6};
	struct net_task tasks[5];

	begin();
	add(0, 0, 20, 7, 0);
	net_cut(net, 0, 1);
	net_cut(net, 0, 2);
	for (unsigned i = 0; i < 5; i++)
		net_submit(net, 0, DEV, &tasks[i], WEIR_OP_ADD, 3, 100 + i);
	net_view(net, 1, DEV, &record);
	net_view(net, 2, DEV, &record);
	net_run(net);
	record.active = 2;
	record.insync = 6;
	net_view(net, 1, DEV, &record);
	net_view(net, 2, DEV, &record);
	net_run(net);
	/* Its bucket has the higher version, but its last term of equality is older. */
	net_connect(net, 0, 1);
	net_connect(net, 0, 2);
	take_over(2, 3, 2, 3, 6);
	activate(2, 3, 3, 6);
	assert_int_equal(net_find(net, 2, DEV, 3)->rule.cookie, 7);
	net_run(net);
	assert_int_equal(net_find(net, 0, DEV, 3)->rule.cookie, 7);
	assert_true(net_equal(net, 2, 0, DEV));
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(tasks[i].task.err, WEIR_UNKNOWN);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(write_reaches_every_copy_before_its_answer),
		TEST(b12_no_answer_before_every_insync_copy_has_it),
		TEST(burst_of_tasks_runs_in_order_also_across_devices),
		TEST(b13_not_master_and_unknown_device_are_errors),
		TEST(operations_answer_as_the_contract_says),
		TEST(b18_reported_counters_dirty_no_bucket),
		TEST(takeover_keeps_every_acknowledged_write),
		TEST(b7_sealed_master_accepts_nothing_more),
		TEST(b7_master_cut_off_is_deposed_by_the_sealed_copies),
		TEST(b2_b4_queued_writes_run_once_after_activation_in_the_settled_buckets),
		TEST(b5_demotion_fails_the_queue_as_a_whole),
		TEST(b6_late_answers_of_an_older_term_change_nothing),
		TEST(b1_lower_term_never_wins_over_a_higher_one),
		TEST(b10_b22_node_without_a_copy_synchronises_from_the_insync_set),
		TEST(b11_empty_node_alone_does_not_start),
		TEST(restarted_insync_member_is_not_taken_for_a_copy),
		TEST(b9_a_copy_is_kept_until_it_is_let_go),
		TEST(b8_untouched_buckets_reach_a_new_backup),
		TEST(silent_backup_is_reported_and_released_only_by_the_coordinator),
		TEST(lost_session_ends_the_attempt_and_the_next_one_repairs),
		TEST(lease_is_looked_at_before_and_after_the_work),
		TEST(deadlines_answer_what_waits),
		TEST(ack_local_is_answered_at_once),
		TEST(corruption_is_found_and_repaired_by_anti_entropy),
		TEST(waiting_queue_is_bounded),
		TEST(more_writes_than_may_be_pending_wait_and_are_all_answered),
		TEST(full_channel_makes_writes_wait_not_fail),
		TEST(full_bucket_refuses_more_and_can_still_be_shipped),
		TEST(bad_messages_are_counted_and_change_nothing),
		TEST(nodes_with_different_worker_counts_replicate_and_take_over),
		TEST(b6_late_promise_of_an_older_term_does_not_count_in_a_newer_one),
		TEST(copies_that_are_not_insync_do_not_make_a_term),
		TEST(newest_of_the_copies_is_taken_bucket_by_bucket),
		TEST(what_an_overtaken_master_wrote_alone_is_not_taken_for_the_truth),
		TEST(copy_reported_as_caught_up_must_acknowledge_at_once),
		TEST(change_that_does_not_follow_the_last_one_is_not_acknowledged),
		TEST(same_term_under_two_masters_is_refused),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
