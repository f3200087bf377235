/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of term: seal, settle, take over. B1.. stand for the seed's defects that a test would
 * show. */
#include "case.h"

static void takeover_keeps_every_acknowledged_write(void **state)
{
	begin();
	add_many(0, 0, 500, 7, 0);
	net_kill(net, 0);
	take_over(1, 2, 1, 4, 7);
	activate(1, 2, 4, 6);
	for (unsigned n = 0; n < 500; n++)
		assert_non_null(net_find(net, 1, DEV, n));
	add_many(1, 500, 600, 8, 0);
	assert_true(net_equal(net, 1, 2, DEV));
}

static void b7_sealed_master_accepts_nothing_more(void **state)
{
	struct net_record record = {
		.term = 2, .active = 1, .master = 1, .backups = 5, .insync = 7, .live = ALL_LIVE};
	struct net_task task;

	begin();
	add_many(0, 0, 10, 7, 0);
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
	add_many(0, 0, 100, 7, 0);
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
	add_many(0, 0, 10, 7, 0);
	/* The answers to node 2's seal in term 2 are late; term 3 is node 1's, term 4 node 2's. */
	net->held[0][2] = net->held[1][2] = true;
	take_over(2, 2, 1, 3, 7);
	take_over(1, 3, 1, 5, 7);
	net->held[0][2] = net->held[1][2] = false;
	net_run(net);
	assert_int_equal(net_reports(net, 2, WEIR_REPORT_SETTLED, 2), 0);
	activate(1, 3, 5, 7);
	add_many(1, 10, 20, 8, 0);
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
	add_many(0, 0, 50, 7, 0);
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
	add_many(1, 1, 2, 42, 0);
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
	add_many(0, 0, 300, 7, 0);
	net_kill(net, 0);
	net_restart(net, 0);
	/* The record names incarnation 1 of node 0: the live one is not in sync. */
	take_over(0, 2, 1, 6, 6);
	activate(0, 2, 6, 7);
	assert_int_equal(weir_table_count(net_table(net, 0, DEV)), 300);
	assert_true(net_equal(net, 0, 1, DEV));
	add_many(0, 300, 310, 8, 0);
}

static void b11_empty_node_alone_does_not_start(void **state)
{
	struct net_record record = {
		.term = 2, .active = 1, .master = 0, .backups = 6, .insync = 6, .live = 1};

	begin();
	add_many(0, 0, 10, 7, 0);
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
	add_many(0, 0, 200, 7, 0);
	/* Node 2 returns empty while the record still names it; node 1 must not settle from it. */
	net_kill(net, 2);
	net_restart(net, 2);
	net_kill(net, 0);
	take_over(1, 2, 1, 4, 3);
	activate(1, 2, 4, 6);
	assert_int_equal(weir_table_count(net_table(net, 1, DEV)), 200);
	assert_true(net_equal(net, 1, 2, DEV));
}

static void nodes_with_different_worker_counts_replicate_and_take_over(void **state)
{
	static const unsigned workers[NET_NODES] = {1, 4, 2, 1};

	net_free(net);
	net = net_new(3, workers);
	begin();
	add_many(0, 0, 500, 7, 0);
	assert_true(net_equal(net, 0, 1, DEV));
	assert_true(net_equal(net, 0, 2, DEV));
	net_kill(net, 0);
	take_over(1, 2, 1, 4, 7);
	activate(1, 2, 4, 6);
	add_many(1, 500, 700, 8, 0);
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
	add_many(0, 0, 10, 7, 0);
	net->held[0][2] = net->held[1][2] = true;
	take_over(2, 2, 1, 3, 7);
	/* Term 3 is node 1's and goes on without node 2, whose mail is still late. */
	take_over(1, 3, 1, 1, 7);
	net_pass(net, 3 * WEIR_NS_PER_S);
	activate(1, 3, 1, 3);
	net_view(net, 1, DEV, &third);
	add_many(1, 10, 20, 8, 0);
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
	add_many(0, 0, 10, 7, 0);
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
	add_many(0, 0, 20, 7, 0);
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

static void copy_that_could_not_take_a_bucket_is_not_in_sync_though_it_is_told_so(void **state)
{
	begin();
	add_many(0, 0, 20, 7, 0);
	net_kill(net, 2);
	net_restart(net, 2);
	/* What is shipped to the empty node 2 is broken, and what says that it has all follows. */
	net->spoilt = WEIR_WIRE_BUCKET;
	take_over(0, 2, 1, 4, 3);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_SETTLED, 2), 1);
	assert_true(net->sent[WEIR_WIRE_UNFIT] > 0);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_CAUGHT_UP, 2), 0);
	net->spoilt = 0;
	net_kill(net, 0);
	/* Term 2 never became active; node 1 is in sync since term 1. */
	take_over(1, 3, 1, 4, 3);
	assert_int_equal(weir_table_count(net_table(net, 1, DEV)), 20);
	activate(1, 3, 4, 6);
	assert_true(net_equal(net, 1, 2, DEV));
}

static void copy_that_joins_anew_after_a_broken_bucket_is_in_sync(void **state)
{
	struct net_record record = {.term = 2,
		.active = 1,
		.master = 0,
		.backups = 4,
		.insync = 3,
		.live = ALL_LIVE,
		.second = 4};
	struct net_task task;

	begin();
	add_many(0, 0, 20, 7, 0);
	net_kill(net, 2);
	net_restart(net, 2);
	net->spoilt = WEIR_WIRE_BUCKET;
	take_over(0, 2, 1, 4, 3);
	net->spoilt = 0;
	view(ALL_NODES, &record);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_CAUGHT_UP, 2), 1);
	record.active = 2;
	record.insync = 5;
	view(ALL_NODES, &record);
	/* Node 1 has an older copy: node 2 must not settle from it what has gone since. */
	net_submit(net, 0, DEV, &task, WEIR_OP_REMOVED, 3, 7);
	net_run(net);
	assert_int_equal(task.task.err, 0);
	assert_non_null(net_find(net, 1, DEV, 3));
	net_kill(net, 0);
	take_over(2, 3, 2, 2, 5);
	activate(2, 3, 2, 6);
	assert_int_equal(weir_table_count(net_table(net, 2, DEV)), 19);
	assert_true(net_equal(net, 2, 1, DEV));
}

static void newer_term_counts_though_its_revision_is_lower(void **state)
{
	struct net_record old = {
		.term = 1, .active = 1, .master = 0, .backups = 6, .insync = 7, .live = ALL_LIVE};
	struct net_task task;

	begin();
	add_many(0, 0, 10, 7, 0);
	net_kill(net, 0);
	/* Revisions begin anew with a coordinator that came back empty. */
	net->revision = 0;
	take_over(1, 2, 1, 4, 7);
	activate(1, 2, 4, 6);
	add_many(1, 10, 20, 8, 0);
	net->revision = 1000;
	net_view(net, 1, DEV, &old);
	net_submit(net, 1, DEV, &task, WEIR_OP_ADD, 20, 8);
	net_run(net);
	assert_int_equal(task.task.err, 0);
}

static const struct CMUnitTest tests[] = {
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
	TEST(nodes_with_different_worker_counts_replicate_and_take_over),
	TEST(same_term_under_two_masters_is_refused),
	TEST(b6_late_promise_of_an_older_term_does_not_count_in_a_newer_one),
	TEST(copies_that_are_not_insync_do_not_make_a_term),
	TEST(newest_of_the_copies_is_taken_bucket_by_bucket),
	TEST(what_an_overtaken_master_wrote_alone_is_not_taken_for_the_truth),
	TEST(copy_that_could_not_take_a_bucket_is_not_in_sync_though_it_is_told_so),
	TEST(copy_that_joins_anew_after_a_broken_bucket_is_in_sync),
	TEST(newer_term_counts_though_its_revision_is_lower),
};

RUN(tests)
