/* SPDX-License-Identifier: BSD-3-Clause */
#include "help.h"

#define BUCKET 77

static struct weir_bucket *bucket_of(struct help_table *help)
{
	struct weir_bucket *bucket = weir_table_bucket_make(help->table, help->mem, BUCKET);

	assert_non_null(bucket);
	return bucket;
}

static void grow(struct help_table *help, uint64_t from, uint64_t to)
{
	struct weir_bucket *bucket = bucket_of(help);
	struct help_entry room;

	for (uint64_t i = from; i < to; i++) {
		assert_int_equal(
			weir_bucket_put(bucket, help->mem, help_entry_in(&room, i, BUCKET), NULL),
			0);
		if (i % 32 == 0)
			help_turn(help->mem);
	}
}

static void shrink(struct help_table *help, uint64_t from, uint64_t to)
{
	struct weir_bucket *bucket = bucket_of(help);
	struct help_entry room;

	for (uint64_t i = from; i < to; i++) {
		struct weir_entry *entry =
			weir_bucket_find(bucket, &help_entry_in(&room, i, BUCKET)->rule);

		assert_non_null(entry);
		weir_bucket_remove(bucket, help->mem, entry);
		if (i % 32 == 0)
			help_turn(help->mem);
	}
}

static void check(struct help_table *help, uint64_t from, uint64_t to, uint64_t missing)
{
	struct weir_bucket *bucket = bucket_of(help);
	struct help_entry room;

	assert_int_equal(weir_bucket_digest(bucket).count, to - from);
	for (uint64_t i = from; i < to; i++) {
		struct weir_entry *entry =
			weir_bucket_find(bucket, &help_entry_in(&room, i, BUCKET)->rule);

		assert_non_null(entry);
		assert_int_equal(help_number(&entry->rule), i);
	}
	for (uint64_t i = missing; i < missing + 1000; i++)
		assert_null(weir_bucket_find(bucket, &help_entry_in(&room, i, BUCKET)->rule));
}

#define MANY 100000

static void bucket_grows_to_a_hundred_thousand_and_back(void **state)
{
	struct help_table help = help_table();
	struct weir_mem_stats stats;

	grow(&help, 0, 1);
	help_settle(help.mem);
	weir_mem_stats(help.mem, &stats);
	uint64_t small_bytes = stats.used_bytes;

	grow(&help, 1, MANY);
	check(&help, 0, MANY, MANY);
	shrink(&help, 0, MANY / 2);
	check(&help, MANY / 2, MANY, 0);
	shrink(&help, MANY / 2, MANY - 1);
	check(&help, MANY - 1, MANY, 0);
	help_settle(help.mem);
	weir_mem_stats(help.mem, &stats);
	assert_true(stats.used_bytes <= small_bytes + 256);
	grow(&help, MANY, MANY + 5000);
	check(&help, MANY - 1, MANY + 5000, 0);
	help_table_end(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bucket_grows_to_a_hundred_thousand_and_back),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
