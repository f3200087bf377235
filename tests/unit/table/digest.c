/* SPDX-License-Identifier: BSD-3-Clause */
#include "help.h"

static void stale_digest_never_replaces_newer_term(void **state)
{
	const struct weir_digest old = {.term = 2, .seq = 1000};
	const struct weir_digest new = {.term = 3, .seq = 500};

	assert_true(weir_digest_compare(&old, &new) < 0);
	assert_true(weir_digest_compare(&new, &old) > 0);
	assert_int_equal(weir_digest_compare(&new, &new), 0);
}

static void newer_seq_of_one_term_is_newer(void **state)
{
	const struct weir_digest old = {.term = 3, .seq = 500, .hash = 9, .count = 9};
	const struct weir_digest new = {.term = 3, .seq = 501};

	assert_true(weir_digest_compare(&old, &new) < 0);
	assert_true(weir_digest_compare(&new, &old) > 0);
}

static void equal_means_version_and_content(void **state)
{
	const struct weir_digest one = {.term = 1, .seq = 2, .hash = 3, .count = 4};
	struct weir_digest other[4] = {one, one, one, one};

	assert_true(weir_digest_equal(&one, &other[0]));
	other[0].term++;
	other[1].seq++;
	other[2].hash++;
	other[3].count++;
	for (int i = 0; i < 4; i++)
		assert_false(weir_digest_equal(&one, &other[i]));
}

static void every_field_and_the_bucket_count_in_the_mix(void **state)
{
	const struct weir_digest none = {0};
	const struct weir_digest mixes[] = {
		{.term = 1}, {.seq = 1}, {.hash = 1}, {.count = 1}, {.term = 1, .seq = 1}};

	for (unsigned i = 0; i < WEIR_BUCKETS; i++)
		assert_int_equal(weir_digest_mix(i, &none), 0);
	for (unsigned i = 0; i < 10; i++)
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(weir_digest_mix(i / 5, &mixes[i % 5]),
				weir_digest_mix(k / 5, &mixes[k % 5]));
}

static void stamp_sets_the_version_alone(void **state)
{
	struct help_table help = help_table();
	struct help_entry room;
	struct weir_entry *entry = help_entry_in(&room, 1, 33);
	struct weir_digest digest;

	help_put(&help, entry, NULL);
	digest = weir_table_digest(help.table, 33);
	assert_int_equal(digest.term, 0);
	weir_bucket_stamp(weir_table_bucket(help.table, 33), 4, 1);
	digest = weir_table_digest(help.table, 33);
	assert_int_equal(digest.term, 4);
	assert_int_equal(digest.seq, 1);
	assert_int_equal(digest.hash, weir_entry_hash(entry));
	assert_int_equal(digest.count, 1);
	assert_int_equal(weir_table_shard_digest(help.table, 1).sum, weir_digest_mix(33, &digest));
	help_table_end(&help);
}

static void empty_bucket_keeps_its_version(void **state)
{
	struct help_table help = help_table();
	struct help_entry room;
	struct weir_entry *stored;
	struct weir_digest digest;

	help_put(&help, help_entry_in(&room, 1, 33), &stored);
	help_remove(&help, stored);
	weir_bucket_stamp(weir_table_bucket(help.table, 33), 4, 2);
	digest = weir_table_digest(help.table, 33);
	assert_int_equal(digest.term, 4);
	assert_int_equal(digest.seq, 2);
	assert_int_equal(digest.hash, 0);
	assert_int_equal(digest.count, 0);
	help_table_end(&help);
}

static void stamp_seq_back(void *ctx)
{
	weir_bucket_stamp(ctx, 5, 99);
}

static void stamp_term_back(void *ctx)
{
	weir_bucket_stamp(ctx, 4, 1000);
}

static void stamp_forward(void *ctx)
{
	weir_bucket_stamp(ctx, 5, 100);
	weir_bucket_stamp(ctx, 5, 101);
	weir_bucket_stamp(ctx, 6, 1);
}

static void stamp_that_goes_back_is_an_assertion(void **state)
{
	struct help_table help = help_table();
	struct weir_bucket *bucket = weir_table_bucket_make(help.table, help.mem, 0);

	weir_bucket_stamp(bucket, 5, 100);
	assert_true(help_aborts(stamp_seq_back, bucket));
	assert_true(help_aborts(stamp_term_back, bucket));
	assert_false(help_aborts(stamp_forward, bucket));
	help_table_end(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stale_digest_never_replaces_newer_term),
		cmocka_unit_test(newer_seq_of_one_term_is_newer),
		cmocka_unit_test(equal_means_version_and_content),
		cmocka_unit_test(every_field_and_the_bucket_count_in_the_mix),
		cmocka_unit_test(stamp_sets_the_version_alone),
		cmocka_unit_test(empty_bucket_keeps_its_version),
		cmocka_unit_test(stamp_that_goes_back_is_an_assertion),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("digest", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
