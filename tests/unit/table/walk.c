/* SPDX-License-Identifier: BSD-3-Clause */
#include "help.h"

#define NUMBERS 20000

/** What a walk saw. */
struct seen {
	unsigned times[NUMBERS];
	unsigned visits;
	unsigned stop_after; /**< visits until the walk is ended; 0: never */
	struct help_table *remove_from;
};

static bool see(void *ctx, struct weir_entry *entry)
{
	struct seen *seen = ctx;

	seen->times[help_number(&entry->rule)]++;
	seen->visits++;
	if (seen->remove_from != NULL)
		help_remove(seen->remove_from, entry);
	return seen->visits != seen->stop_after;
}

static struct seen *seen_new(void)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	assert_non_null(seen);
	return seen;
}

static void fill(struct help_table *help, uint64_t count)
{
	struct help_entry room;

	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(help_put(help, help_entry(&room, i), NULL), 0);
}

static void walk_of_nothing_is_complete_at_once(void **state)
{
	struct help_table help = help_table();
	struct seen *seen = seen_new();
	struct help_entry room;
	struct weir_entry *stored;
	struct weir_bucket *bucket = weir_bucket_create(help.mem, 4);

	assert_int_equal(weir_table_walk(help.table, 0, 10, see, seen), 0);
	assert_int_equal(weir_bucket_walk(bucket, 0, 10, see, seen), 0);
	weir_bucket_destroy(bucket, help.mem);
	help_put(&help, help_entry(&room, 1), &stored);
	help_remove(&help, stored);
	assert_int_equal(weir_table_walk(help.table, 0, 10, see, seen), 0);
	assert_int_equal(seen->visits, 0);
	free(seen);
	help_table_end(&help);
}

static void walk_visits_each_entry_once_and_no_more_than_asked(void **state)
{
	struct help_table help = help_table();
	struct seen *seen = seen_new();

	fill(&help, NUMBERS);
	for (unsigned most = 0; most <= 2 * NUMBERS; most = most * 7 + 1) {
		uint64_t cursor = 0;
		unsigned before;

		memset(seen, 0, sizeof(*seen));
		do {
			before = seen->visits;
			cursor = weir_table_walk(help.table, cursor, most, see, seen);
			assert_true(seen->visits - before <= (most > 0 ? most : 1));
		} while (cursor != 0);
		assert_int_equal(seen->visits, NUMBERS);
		for (unsigned i = 0; i < NUMBERS; i++)
			assert_int_equal(seen->times[i], 1);
	}
	free(seen);
	help_table_end(&help);
}

static void walk_goes_on_after_the_entry_that_ended_it(void **state)
{
	struct help_table help = help_table();
	struct seen *seen = seen_new();
	uint64_t cursor = 0;
	unsigned calls = 0;

	fill(&help, NUMBERS);
	do {
		seen->stop_after = seen->visits + 1 + calls % 9;
		cursor = weir_table_walk(help.table, cursor, 1000, see, seen);
		assert_true(seen->visits == seen->stop_after || cursor == 0);
		calls++;
	} while (cursor != 0);
	assert_int_equal(seen->visits, NUMBERS);
	for (unsigned i = 0; i < NUMBERS; i++)
		assert_int_equal(seen->times[i], 1);
	free(seen);
	help_table_end(&help);
}

static void entries_that_share_a_flow_id_are_not_parted(void **state)
{
	struct help_table help = help_table();
	struct seen *seen = seen_new();
	struct help_entry room;
	uint64_t flow_id = help_entry(&room, 0)->rule.flow_id;
	uint64_t cursor = 0;

	for (unsigned i = 0; i < WEIR_FLOW_ID_SHARED_MAX; i++) {
		help_entry(&room, i)->rule.flow_id = flow_id;
		help_put(&help, &room.entry, NULL);
	}
	for (unsigned i = 1000; i < 1200; i++)
		help_put(&help, help_entry_in(&room, i, weir_flow_bucket(flow_id)), NULL);
	do {
		unsigned before = seen->visits;

		cursor = weir_table_walk(help.table, cursor, 1, see, seen);
		assert_true(seen->visits - before <= 1 + WEIR_WALK_EXTRA);
	} while (cursor != 0);
	assert_int_equal(seen->visits, 200 + WEIR_FLOW_ID_SHARED_MAX);
	for (unsigned i = 0; i < WEIR_FLOW_ID_SHARED_MAX; i++)
		assert_int_equal(seen->times[i], 1);

	memset(seen, 0, sizeof(*seen));
	do { /* ended among them, they come again; none is missed */
		seen->stop_after = seen->visits + 10 + (unsigned)help_spread(seen->visits) % 100;
		cursor = weir_table_walk(help.table, cursor, 1000, see, seen);
	} while (cursor != 0);
	for (unsigned i = 0; i < WEIR_FLOW_ID_SHARED_MAX; i++)
		assert_true(seen->times[i] >= 1);
	for (unsigned i = 1000; i < 1200; i++)
		assert_int_equal(seen->times[i], 1);
	free(seen);
	help_table_end(&help);
}

static void any_number_is_a_cursor_that_does_no_harm(void **state)
{
	struct help_table help = help_table();
	struct seen *seen = seen_new();
	uint64_t random = help_seed();

	fill(&help, 3000);
	for (unsigned i = 0; i < 10000; i++) {
		unsigned before = seen->visits;

		weir_table_walk(help.table, help_random(&random), 5, see, seen);
		assert_true(seen->visits - before <= 5);
		weir_bucket_walk(
			weir_table_bucket(help.table, 0), help_random(&random), 5, see, seen);
	}
	assert_int_equal(weir_table_walk(help.table, UINT64_MAX, 5, see, seen), 0);
	free(seen);
	help_table_end(&help);
}

static void visited_entry_may_be_removed(void **state)
{
	struct help_table help = help_table();
	struct seen *seen = seen_new();
	uint64_t cursor = 0;

	fill(&help, NUMBERS);
	seen->remove_from = &help;
	do {
		cursor = weir_table_walk(help.table, cursor, 100, see, seen);
		help_turn(help.mem);
	} while (cursor != 0);
	assert_int_equal(weir_table_count(help.table), 0);
	assert_int_equal(seen->visits, NUMBERS);
	free(seen);
	help_table_end(&help);
}

/* Walking while the bucket changes between the calls. */

#define STEADY 300
#define BUCKET 600

/** Puts or removes number `number` in the bucket, whichever changes something. */
static void flip(struct help_table *help, uint64_t number, bool there)
{
	struct help_entry room;
	struct weir_entry *entry = help_entry_in(&room, number, BUCKET);
	struct weir_entry *stored = weir_table_find(help->table, &entry->rule);

	if (there && stored == NULL)
		help_put(help, entry, NULL);
	else if (!there && stored != NULL)
		help_remove(help, stored);
}

/** Changes the bucket: a burst of growing, or of shrinking, and steady entries replaced. */
static void disturb(struct help_table *help, uint64_t *random)
{
	bool there = help_random(random) % 2;
	uint64_t burst = help_random(random) % 2500;
	struct help_entry room;

	for (uint64_t i = 0; i < burst; i++)
		flip(help, STEADY + help_random(random) % (NUMBERS / 4 - STEADY), there);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(
			help_put(help, help_entry_in(&room, help_random(random) % STEADY, BUCKET),
				NULL),
			1);
	help_turn(help->mem);
}

/** Puts a bucket with the same steady entries and some others in its place. */
static void swap_steady(struct help_table *help, uint64_t *random)
{
	struct weir_bucket *made = weir_bucket_create(help->mem, BUCKET);
	uint64_t others = help_random(random) % 3000;
	struct help_entry room;

	for (uint64_t i = 0; i < STEADY + others; i++)
		weir_bucket_put(made, help->mem, help_entry_in(&room, i, BUCKET), NULL);
	assert_int_equal(weir_table_swap(help->table, help->mem, made), 0);
}

static void steady_entry_is_seen_once_however_the_bucket_changes(void **state)
{
	struct help_table help = help_table();
	struct seen *seen = seen_new();
	uint64_t random = help_seed();

	for (uint64_t i = 0; i < STEADY; i++)
		flip(&help, i, true);
	for (unsigned round = 0; round < 60; round++) {
		uint64_t cursor = 0;

		memset(seen, 0, sizeof(*seen));
		do {
			unsigned most = 1 + (unsigned)help_random(&random) % 40;
			unsigned before = seen->visits;

			if (round % 2 == 0)
				cursor = weir_table_walk(help.table, cursor, most, see, seen);
			else
				cursor = weir_bucket_walk(weir_table_bucket(help.table, BUCKET),
					cursor, most, see, seen);
			assert_true(seen->visits - before <= most);
			if (help_random(&random) % 4 == 0)
				disturb(&help, &random);
			if (help_random(&random) % 64 == 0)
				swap_steady(&help, &random);
		} while (cursor != 0);
		for (unsigned i = 0; i < STEADY; i++)
			assert_int_equal(seen->times[i], 1);
	}
	free(seen);
	help_table_end(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_of_nothing_is_complete_at_once),
		cmocka_unit_test(walk_visits_each_entry_once_and_no_more_than_asked),
		cmocka_unit_test(walk_goes_on_after_the_entry_that_ended_it),
		cmocka_unit_test(entries_that_share_a_flow_id_are_not_parted),
		cmocka_unit_test(any_number_is_a_cursor_that_does_no_harm),
		cmocka_unit_test(visited_entry_may_be_removed),
		cmocka_unit_test(steady_entry_is_seen_once_however_the_bucket_changes),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("walk", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
