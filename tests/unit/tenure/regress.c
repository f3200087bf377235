/* SPDX-License-Identifier: BSD-3-Clause */
/* A coordinator that has forgotten something. */
#include <string.h>

#include "world.h"

static struct world w;

static int setup(void **state)
{
	world_begin(&w, 16);
	return 0;
}

static int teardown(void **state)
{
	world_end(&w);
	return 0;
}

/* A failover to a replica that has only what `older` holds; run 0: the same. */
static void fail_over(struct weir_coord_rules *older, uint64_t run)
{
	weir_coord_rules_destroy(w.rules);
	w.rules = older;
	if (run != 0)
		weir_coord_rules_run_set(w.rules, run);
}

static void a_term_that_was_lost_is_made_again_above_by_its_master(void **state)
{
	struct weir_coord_rules *older;

	world_settled(&w, 3);
	older = weir_coord_rules_clone(w.rules);
	assert_int_equal(world_master(&w, 0, 0, 1), 0);
	world_until(&w, MS(1000), serves(&w, 0, 1));
	world_run(&w, MS(100));
	fail_over(older, 2);
	assert_int_equal(stored(&w, 0)->term, 1);
	world_until(&w, MS(LEASE_MS), stored(&w, 0)->term == 3);
	assert_true(strcmp(stored(&w, 0)->master.node, "n2") == 0);
	world_until(&w, MS(1000), serves(&w, 0, 1));
	world_run(&w, MS(3 * LEASE_MS));
	assert_int_equal(stored(&w, 0)->term, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(seen(&w, i, 0)->view.term, 3);
}

static void a_lost_change_within_the_term_is_noticed_without_another_run(void **state)
{
	struct weir_coord_rules *older;

	world_settled(&w, 2);
	older = weir_coord_rules_clone(w.rules);
	world_net(&w, 1, false);
	world_until(&w, MS(500), stored(&w, 0)->insync_count == 1);
	world_run(&w, MS(300));
	fail_over(older, 0);
	assert_int_equal(stored(&w, 0)->insync_count, 2);
	world_until(&w, MS(LEASE_MS), stored(&w, 0)->term == 2);
	assert_int_equal(stored(&w, 0)->insync_count, 1);
	assert_true(is_insync(&w, 0, 0));
	world_until(&w, MS(3 * LEASE_MS), serves(&w, 0, 0));
}

static void a_coordinator_that_comes_back_empty_gets_everything_back(void **state)
{
	world_settled(&w, 3);
	for (unsigned d = 1; d < 6; d++)
		assert_int_equal(world_add(&w, d % 3, d), 0);
	world_run(&w, MS(3000));
	weir_coord_rules_forget(w.rules, 2);
	world_run(&w, MS(3 * LEASE_MS));
	for (unsigned d = 0; d < 6; d++) {
		assert_true(serves(&w, d, d % 3));
		assert_int_equal(stored(&w, d)->term, 2);
		assert_int_equal(stored(&w, d)->insync_count, 3);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(weir_tenure_incarnation(w.procs[i].tenure), 2);
}

static void a_master_that_was_cut_off_does_not_ask_before_its_successor(void **state)
{
	unsigned successor;

	world_settled(&w, 3);
	w.procs[0].cut = true;
	world_until(&w, MS(4 * LEASE_MS), serves(&w, 0, 1) || serves(&w, 0, 2));
	successor = serves(&w, 0, 1) ? 1 : 2;
	world_run(&w, MS(3 * LEASE_MS));
	/* The coordinator forgets all, and for a moment only the old master reaches it. */
	w.procs[1].cut = w.procs[2].cut = true;
	weir_coord_rules_forget(w.rules, 2);
	w.procs[0].cut = false;
	world_run(&w, MS(LEASE_MS / 2));
	assert_int_equal(stored(&w, 0)->term, 0);
	w.procs[1].cut = w.procs[2].cut = false;
	world_until(&w, MS(LEASE_MS), serves(&w, 0, successor));
	assert_int_equal(stored(&w, 0)->term, 3);
}

static void a_coordinator_that_comes_back_empty_costs_no_lease(void **state)
{
	world_settled(&w, 3);
	world_run(&w, MS(100));
	weir_coord_rules_forget(w.rules, 2);
	world_until(&w, MS(LEASE_MS / 2), stored(&w, 0)->term == 2 && serves(&w, 0, 0));
}

static void an_empty_coordinator_and_a_dead_master_leave_the_insync_backup(void **state)
{
	uint64_t begin_ns;

	world_settled(&w, 2);
	world_run(&w, MS(100));
	weir_coord_rules_forget(w.rules, 2);
	world_kill(&w, 0);
	begin_ns = w.now_ns;
	world_until(&w, MS(4 * LEASE_MS), serves(&w, 0, 1));
	assert_int_equal(stored(&w, 0)->term, 2);
	assert_true(w.now_ns > begin_ns + MS(LEASE_MS));
}

static void a_device_that_was_added_after_the_copy_is_made_again(void **state)
{
	struct weir_coord_rules *older;

	world_settled(&w, 2);
	older = weir_coord_rules_clone(w.rules);
	assert_int_equal(world_add(&w, 1, 1), 0);
	world_until(&w, MS(1000), serves(&w, 1, 1));
	world_run(&w, MS(500));
	fail_over(older, 2);
	assert_int_equal(stored(&w, 1)->term, 0);
	world_until(&w, MS(LEASE_MS), stored(&w, 1)->term == 2);
	world_until(&w, MS(LEASE_MS), serves(&w, 1, 1));
	assert_int_equal(stored(&w, 0)->term, 1);
	assert_true(serves(&w, 0, 0));
}

static void nothing_is_taken_over_for_a_lease_after_the_run_has_changed(void **state)
{
	uint64_t begin_ns;

	world_settled(&w, 3);
	world_kill(&w, 0);
	world_run(&w, MS(LEASE_MS - 300));
	weir_coord_rules_run_set(w.rules, 2);
	begin_ns = w.now_ns;
	world_until(&w, MS(2 * LEASE_MS), stored(&w, 0)->term == 2);
	assert_true(w.now_ns >= begin_ns + MS(LEASE_MS));
}

static bool no_changes(struct world *world, unsigned node, const struct weir_coord_request *r)
{
	return r->kind == WEIR_COORD_CHANGE && world->filter_arg != 0;
}

static void the_lease_is_not_extended_before_a_lost_term_is_made_again(void **state)
{
	struct weir_coord_rules *older;
	uint64_t until_ns;

	world_settled(&w, 2);
	older = weir_coord_rules_clone(w.rules);
	assert_int_equal(world_master(&w, 0, 0, 1), 0);
	world_until(&w, MS(1000), serves(&w, 0, 1));
	world_run(&w, MS(300));
	w.filter = no_changes;
	w.filter_arg = 1;
	fail_over(older, 2);
	until_ns = w.procs[1].lease_until_ns;
	world_run(&w, MS(2 * LEASE_MS));
	assert_true(w.procs[1].lease_until_ns <= until_ns + MS(LEASE_MS / 8));
	assert_true(w.procs[1].lease_until_ns < w.now_ns);
	/* The node itself stays a member. */
	assert_true(w.procs[0].peer_up[1]);
	w.filter_arg = 0;
	world_until(&w, MS(LEASE_MS), stored(&w, 0)->term == 3);
	world_until(&w, MS(LEASE_MS), serves(&w, 0, 1));
}

/* RENEWs read a record, its master changes it and knows before the RENEWs' answers are there. */
static void an_answer_overtaken_by_a_newer_one_is_no_regress(void **state)
{
	world_settled(&w, 3);
	w.renew_delay_ns = MS(20);
	for (unsigned i = 0; i < 30; i++) {
		uint32_t attempt = member(&w, 0, 0, 1)->attempt;

		weir_tenure_hint(w.procs[0].tenure, w.now_ns);
		report(&w, 0, WEIR_REPORT_LAGGING, 0, 1, 0, 1, attempt);
		world_until(&w, MS(200), member(&w, 0, 0, 1)->attempt != attempt);
		weir_tenure_hint(w.procs[0].tenure, w.now_ns);
		world_until(&w, MS(200), is_insync(&w, 0, 1) && member(&w, 0, 0, 1)->insync);
		world_run(&w, MS(i));
	}
	world_run(&w, MS(1000));
	assert_int_equal(stored(&w, 0)->term, 1);
	assert_true(serves(&w, 0, 0));
}

/* A regress that only a refused CHANGE shows: nobody renewed since. */
static void a_conflict_with_an_older_record_is_a_regress(void **state)
{
	struct weir_coord_rules *older;

	world_settled(&w, 3);
	older = weir_coord_rules_clone(w.rules);
	assert_int_equal(world_master(&w, 0, 0, 1), 0);
	world_until(&w, MS(1000), serves(&w, 0, 1));
	world_until(&w, MS(1000), stored(&w, 0)->insync_count == 3);
	world_run(&w, MS(300));
	fail_over(older, 2);
	report(&w, 1, WEIR_REPORT_LAGGING, 0, stored(&w, 0)->term + 1, 0, 0,
		member(&w, 1, 0, 0)->attempt);
	world_until(&w, MS(100), stored(&w, 0)->term == 3);
	world_until(&w, MS(3 * LEASE_MS), serves(&w, 0, 1) && stored(&w, 0)->insync_count == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(a_term_that_was_lost_is_made_again_above_by_its_master),
		TEST(a_lost_change_within_the_term_is_noticed_without_another_run),
		TEST(a_coordinator_that_comes_back_empty_gets_everything_back),
		TEST(a_master_that_was_cut_off_does_not_ask_before_its_successor),
		TEST(a_coordinator_that_comes_back_empty_costs_no_lease),
		TEST(an_empty_coordinator_and_a_dead_master_leave_the_insync_backup),
		TEST(a_device_that_was_added_after_the_copy_is_made_again),
		TEST(nothing_is_taken_over_for_a_lease_after_the_run_has_changed),
		TEST(the_lease_is_not_extended_before_a_lost_term_is_made_again),
		TEST(an_answer_overtaken_by_a_newer_one_is_no_regress),
		TEST(a_conflict_with_an_older_record_is_a_regress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
