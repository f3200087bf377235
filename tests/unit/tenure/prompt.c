/* SPDX-License-Identifier: BSD-3-Clause */
/* What has happened leads to the next step at once, not when a period is over. */
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

static unsigned changes(unsigned node)
{
	return w.procs[node].asked[WEIR_COORD_CHANGE];
}

static unsigned heir(void)
{
	return (unsigned)(stored(&w, 0)->backups[0][1] - '1');
}

static void a_handover_needs_no_tick(void **state)
{
	uint64_t begun_ns;
	unsigned to;

	world_settled(&w, 3);
	to = heir();
	w.no_ticks = true;
	begun_ns = w.now_ns;
	assert_int_equal(world_master(&w, 0, 0, to), 0);
	world_until(&w, MS(500), serves(&w, 0, to));
	/* The record to Redis, the hint, its reading; the promises; the record again. */
	assert_true(w.now_ns - begun_ns <= 8 * w.delay_ns + 4 * w.work_ns);
	world_until(&w, MS(500), stored(&w, 0)->insync_count == 3);
}

static void the_last_report_asks_for_activation_in_the_same_call(void **state)
{
	uint64_t term;
	unsigned before;

	w.manual_settle = true;
	w.manual_join = true;
	for (unsigned i = 0; i < 2; i++)
		world_start(&w, i);
	world_run(&w, MS(50));
	assert_int_equal(world_add(&w, 0, 0), 0);
	world_run(&w, MS(50));
	term = stored(&w, 0)->term;
	before = changes(0);
	for (unsigned i = 0; i < WORKERS; i++)
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term, i, 1, member(&w, 0, 0, 1)->attempt);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(changes(0), before);
		report(&w, 0, WEIR_REPORT_SETTLED, 0, term, i, 0, 0);
	}
	assert_int_equal(changes(0), before + 1);
}

static void a_hint_asks_in_the_same_call(void **state)
{
	unsigned before;

	world_settled(&w, 2);
	world_run(&w, MS(10));
	before = w.procs[1].asked[WEIR_COORD_RENEW];
	weir_tenure_hint(w.procs[1].tenure, w.now_ns);
	assert_int_equal(w.procs[1].asked[WEIR_COORD_RENEW], before + 1);
}

static void an_operators_request_asks_in_the_same_call(void **state)
{
	unsigned before;

	world_settled(&w, 2);
	before = changes(0);
	weir_tenure_master_set(w.procs[0].tenure, 77, device_name(0), node_name(1), w.now_ns);
	assert_int_equal(changes(0), before + 1);
}

/* Its lease ends in the middle of the others' period. */
static void a_dead_master_is_succeeded_as_soon_as_its_lease_ends(void **state)
{
	unsigned renewals, to;
	uint64_t end_ns;

	world_settled(&w, 3);
	to = heir();
	renewals = w.procs[0].asked[WEIR_COORD_RENEW];
	world_until(&w, MS(LEASE_MS), w.procs[0].asked[WEIR_COORD_RENEW] > renewals);
	end_ns = w.now_ns + w.delay_ns + MS(LEASE_MS);
	world_run(&w, MS(10));
	world_kill(&w, 0);
	world_run(&w, MS(LEASE_MS / 16));
	for (unsigned i = 1; i < 3; i++)
		weir_tenure_hint(w.procs[i].tenure, w.now_ns);
	world_until(&w, MS(2 * LEASE_MS), serves(&w, 0, to));
	assert_true(w.now_ns >= end_ns);
	assert_true(w.now_ns <= end_ns + MS(30));
}

static void a_coordinator_that_tells_no_end_of_leases_is_asked_by_period(void **state)
{
	unsigned before;

	w.no_expiry = true;
	world_start(&w, 0);
	world_run(&w, MS(100));
	before = w.procs[0].asked[WEIR_COORD_RENEW];
	world_run(&w, MS(10 * LEASE_MS));
	assert_in_range(w.procs[0].asked[WEIR_COORD_RENEW] - before, 76, 84);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_handover_needs_no_tick),
		TEST(the_last_report_asks_for_activation_in_the_same_call),
		TEST(a_hint_asks_in_the_same_call),
		TEST(an_operators_request_asks_in_the_same_call),
		TEST(a_dead_master_is_succeeded_as_soon_as_its_lease_ends),
		TEST(a_coordinator_that_tells_no_end_of_leases_is_asked_by_period),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
