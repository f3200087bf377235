/* SPDX-License-Identifier: BSD-3-Clause */
#include <malloc.h>

#include "help.h"
#include "table/mem.h"

static void stored_rule_is_found_by_rule_and_by_id(void **state)
{
	struct help_table help = help_table();
	struct weir_entry *stored = NULL;
	struct help_entry room;
	struct weir_entry *entry = help_entry(&room, 7);

	assert_null(weir_table_find(help.table, &entry->rule));
	assert_null(weir_table_find_id(help.table, entry->rule.flow_id));
	assert_int_equal(help_put(&help, entry, &stored), 0);
	assert_ptr_equal(weir_table_find(help.table, &entry->rule), stored);
	assert_ptr_equal(weir_table_find_id(help.table, entry->rule.flow_id), stored);
	assert_null(weir_table_find_id(help.table, entry->rule.flow_id + WEIR_BUCKETS));
	assert_ptr_not_equal(stored, entry);
	assert_memory_equal(stored, entry, HELP_ENTRY_BYTES);
	assert_int_equal(weir_table_count(help.table), 1);
	help_table_end(&help);
}

static void putting_the_same_rule_replaces_it(void **state)
{
	struct help_table help = help_table();
	struct weir_entry *first;
	struct weir_entry *second;
	struct help_entry room;
	struct weir_entry *entry = help_entry(&room, 7);

	assert_int_equal(help_put(&help, entry, &first), 0);
	entry->created++;
	entry->rule.cookie = 5;
	entry->rule.idle_timeout_s = 9;
	assert_int_equal(help_put(&help, entry, &second), 1);
	assert_ptr_equal(weir_table_find(help.table, &entry->rule), second);
	assert_int_equal(second->rule.cookie, 5);
	assert_int_equal(first->rule.cookie, 0); /* readable until the grace period ends */
	assert_int_equal(weir_table_count(help.table), 1);
	help_table_end(&help);
}

static void rules_that_differ_in_one_part_of_identity_are_two(void **state)
{
	struct help_table help = help_table();
	struct help_entry rooms[4];
	struct weir_entry *stored[4];

	for (int i = 0; i < 4; i++)
		help_entry(&rooms[i], 1);
	rooms[1].entry.rule.table = 1;
	rooms[2].entry.rule.priority = 101;
	rooms[3].entry.rule.match_len--;
	for (int i = 0; i < 4; i++) /* one flow id for all: identity must tell them apart */
		assert_int_equal(help_put(&help, &rooms[i].entry, &stored[i]), 0);
	for (int i = 0; i < 4; i++)
		assert_ptr_equal(weir_table_find(help.table, &rooms[i].entry.rule), stored[i]);
	help_table_end(&help);
}

static void rules_that_share_a_flow_id_both_live(void **state)
{
	struct help_table help = help_table();
	struct weir_entry *a;
	struct weir_entry *b;
	struct help_entry room_a;
	struct help_entry room_b;
	uint64_t flow_id = help_entry(&room_a, 1)->rule.flow_id;

	help_entry(&room_b, 2)->rule.flow_id = flow_id;
	assert_int_equal(help_put(&help, &room_a.entry, &a), 0);
	assert_int_equal(help_put(&help, &room_b.entry, &b), 0);
	assert_ptr_equal(weir_table_find(help.table, &room_a.entry.rule), a);
	assert_ptr_equal(weir_table_find(help.table, &room_b.entry.rule), b);
	assert_non_null(weir_table_find_id(help.table, flow_id));
	help_remove(&help, a);
	assert_null(weir_table_find(help.table, &room_a.entry.rule));
	assert_ptr_equal(weir_table_find(help.table, &room_b.entry.rule), b);
	assert_ptr_equal(weir_table_find_id(help.table, flow_id), b);
	help_table_end(&help);
}

static void too_many_rules_of_one_flow_id_are_refused(void **state)
{
	struct help_table help = help_table();
	struct help_entry room;
	struct weir_digest before;
	struct weir_digest after;
	uint64_t flow_id = help_entry(&room, 1)->rule.flow_id;

	for (unsigned i = 0; i < WEIR_FLOW_ID_SHARED_MAX; i++) {
		help_entry(&room, i)->rule.flow_id = flow_id;
		assert_int_equal(help_put(&help, &room.entry, NULL), 0);
	}
	before = weir_table_digest(help.table, weir_flow_bucket(flow_id));
	help_entry(&room, WEIR_FLOW_ID_SHARED_MAX)->rule.flow_id = flow_id;
	assert_int_equal(help_put(&help, &room.entry, NULL), WEIR_BUSY);
	after = weir_table_digest(help.table, weir_flow_bucket(flow_id));
	assert_true(weir_digest_equal(&before, &after));
	assert_null(weir_table_find(help.table, &room.entry.rule));
	for (unsigned i = 0; i < WEIR_FLOW_ID_SHARED_MAX; i++) {
		help_entry(&room, i)->rule.flow_id = flow_id;
		assert_non_null(weir_table_find(help.table, &room.entry.rule));
		assert_int_equal(help_put(&help, &room.entry, NULL), 1);
	}
	help_table_end(&help);
}

static void rules_of_many_apps_with_one_match_all_live(void **state)
{
	struct help_table help = help_table();
	struct help_entry room;
	struct weir_entry *entry = help_entry(&room, 1);

	for (unsigned app = 0; app < 65536; app++) {
		entry->rule.flow_id = weir_rule_flow_id(&entry->rule, (uint16_t)app);
		assert_int_equal(help_put(&help, entry, NULL), 0);
	}
	for (unsigned app = 0; app < 65536; app++) {
		uint64_t flow_id = weir_rule_flow_id(&entry->rule, (uint16_t)app);

		assert_int_equal(weir_table_find_id(help.table, flow_id)->rule.flow_id, flow_id);
	}
	help_table_end(&help);
}

static void largest_rule_is_stored_whole(void **state)
{
	struct help_table help = help_table();
	struct weir_entry *entry = calloc(1, WEIR_ENTRY_BYTES_MAX);
	struct weir_entry *stored;
	size_t bytes = sizeof(*entry) + WEIR_MATCH_BYTES_MAX + WEIR_INSTR_BYTES_MAX;

	entry->rule.match_len = WEIR_MATCH_BYTES_MAX;
	entry->rule.instr_len = WEIR_INSTR_BYTES_MAX;
	memset(entry->rule.data, 0xa5, WEIR_MATCH_BYTES_MAX + WEIR_INSTR_BYTES_MAX);
	assert_int_equal(help_put(&help, entry, &stored), 0);
	assert_memory_equal(stored, entry, bytes);
	entry->rule.data[WEIR_MATCH_BYTES_MAX - 1] = 0;
	assert_null(weir_table_find(help.table, &entry->rule));
	free(entry);
	help_table_end(&help);
}

static void device_without_flows_is_small_and_stays_so_when_read(void **state)
{
	struct help_table help = help_table();
	struct weir_mem_stats stats;
	struct help_entry room;

	assert_true(malloc_usable_size(help.table) <= 1024);
	for (unsigned i = 0; i < 10000; i++) {
		struct weir_entry *entry = help_entry(&room, i);

		assert_null(weir_table_find(help.table, &entry->rule));
		assert_null(weir_table_find_id(help.table, entry->rule.flow_id));
	}
	for (unsigned i = 0; i < WEIR_BUCKETS; i++) {
		struct weir_digest digest = weir_table_digest(help.table, i);

		assert_null(weir_table_bucket(help.table, i));
		assert_int_equal(digest.term | digest.seq | digest.hash | digest.count, 0);
	}
	assert_int_equal(weir_table_count(help.table), 0);
	weir_mem_stats(help.mem, &stats);
	assert_int_equal(stats.chunk_bytes, 0);
	help_table_end(&help);
}

static void bulk_lookup_equals_single_lookups(void **state)
{
	enum {
		COUNT = 1000
	};
	struct help_table help = help_table();
	struct help_entry *rooms = calloc(COUNT, sizeof(*rooms));
	const struct weir_rule *rules[COUNT];
	struct weir_entry *entries[COUNT];

	for (unsigned i = 0; i < COUNT; i++) {
		rules[i] = &help_entry(&rooms[i], i)->rule;
		if (i % 3 != 0)
			assert_int_equal(help_put(&help, &rooms[i].entry, NULL), 0);
	}
	for (unsigned count = 0; count <= COUNT; count += count < 70 ? 1 : 155) {
		memset(entries, 0xff, sizeof(entries));
		weir_table_find_bulk(help.table, rules, count, entries);
		for (unsigned i = 0; i < count; i++) {
			assert_ptr_equal(entries[i], weir_table_find(help.table, rules[i]));
			assert_int_equal(entries[i] == NULL, i % 3 == 0);
		}
	}
	free(rooms);
	help_table_end(&help);
}

static void prefetch_changes_nothing_whatever_it_is_told(void **state)
{
	enum {
		COUNT = 300
	};
	struct help_table help = help_table();
	struct weir_table *empty = weir_table_create();
	struct weir_shard_digest before[WEIR_SHARDS];
	const struct weir_table *tables[COUNT];
	uint64_t flow_ids[COUNT];
	struct help_entry room;

	for (unsigned i = 0; i < COUNT; i++) {
		flow_ids[i] = help_entry(&room, i)->rule.flow_id;
		tables[i] = i % 3 == 0 ? empty : help.table;
	}
	weir_table_prefetch(help.table, flow_ids, COUNT);
	weir_tables_prefetch(tables, flow_ids, COUNT);
	assert_null(weir_table_bucket(help.table, weir_flow_bucket(flow_ids[0])));
	for (unsigned i = 0; i < COUNT; i += 2)
		assert_int_equal(help_put(&help, help_entry(&room, i), NULL), 0);
	for (unsigned i = 0; i < WEIR_SHARDS; i++)
		before[i] = weir_table_shard_digest(help.table, i);
	for (unsigned count = 0; count <= COUNT; count += count < 70 ? 1 : 115) {
		weir_table_prefetch(help.table, flow_ids, count);
		weir_tables_prefetch(tables, flow_ids, count);
	}
	for (unsigned i = 0; i < WEIR_SHARDS; i++) {
		struct weir_shard_digest after = weir_table_shard_digest(help.table, i);

		assert_memory_equal(&after, &before[i], sizeof(after));
	}
	weir_table_destroy(empty);
	help_table_end(&help);
}

static void state_changes_in_place_and_moves_the_hash(void **state)
{
	struct help_table help = help_table();
	struct help_entry room;
	struct weir_entry *entry = help_entry(&room, 3);
	struct weir_entry *stored;
	struct weir_bucket *bucket;

	help_put(&help, entry, &stored);
	bucket = weir_table_bucket(help.table, weir_flow_bucket(entry->rule.flow_id));
	assert_int_equal(weir_bucket_digest(bucket).hash, weir_entry_hash(entry));
	weir_bucket_set_state(bucket, stored, WEIR_FLOW_FAILED, 513);
	assert_int_equal(stored->state, WEIR_FLOW_FAILED);
	assert_int_equal(stored->error, 513);
	assert_int_not_equal(weir_bucket_digest(bucket).hash, weir_entry_hash(entry));
	assert_int_equal(weir_bucket_digest(bucket).hash, weir_entry_hash(stored));
	weir_bucket_set_state(bucket, stored, entry->state, 0);
	assert_int_equal(weir_bucket_digest(bucket).hash, weir_entry_hash(entry));
	help_table_end(&help);
}

/* Swapping. */

static struct weir_bucket *detached(
	struct help_table *help, unsigned bucket, uint64_t from, uint64_t to)
{
	struct weir_bucket *made = weir_bucket_create(help->mem, bucket);
	struct help_entry room;

	assert_non_null(made);
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(
			weir_bucket_put(made, help->mem, help_entry_in(&room, i, bucket), NULL), 0);
	return made;
}

static void swapped_bucket_stands_whole_in_the_place_of_the_old_one(void **state)
{
	struct help_table help = help_table();
	struct help_entry room;
	struct weir_entry *old;
	struct weir_bucket *made;
	struct weir_digest digest;
	struct weir_shard_digest shard;

	for (uint64_t i = 0; i < 100; i++)
		help_put(&help, help_entry_in(&room, i, 40), &old);
	weir_bucket_stamp(weir_table_bucket(help.table, 40), 7, 70);
	help_put(&help, help_entry_in(&room, 0, 40 + WEIR_SHARDS), NULL); /* same shard */

	made = detached(&help, 40, 90, 300);
	weir_bucket_stamp(made, 3, 30); /* older: it may be */
	assert_non_null(weir_bucket_find(made, &help_entry_in(&room, 90, 40)->rule));
	assert_null(weir_table_find(help.table, &help_entry_in(&room, 200, 40)->rule));
	assert_int_equal(weir_table_swap(help.table, help.mem, made), 0);

	assert_ptr_equal(weir_table_bucket(help.table, 40), made);
	assert_int_equal(help_number(&old->rule), 99); /* readable until the grace period ends */
	assert_null(weir_table_find(help.table, &help_entry_in(&room, 89, 40)->rule));
	for (uint64_t i = 90; i < 300; i++)
		assert_non_null(weir_table_find(help.table, &help_entry_in(&room, i, 40)->rule));
	digest = weir_table_digest(help.table, 40);
	assert_int_equal(digest.term, 3);
	assert_int_equal(digest.seq, 30);
	assert_int_equal(digest.count, 210);
	assert_int_equal(weir_table_count(help.table), 211);
	shard = weir_table_shard_digest(help.table, weir_bucket_shard(40));
	assert_int_equal(shard.count, 211);
	struct weir_digest other = weir_table_digest(help.table, 40 + WEIR_SHARDS);

	assert_int_equal(shard.sum,
		weir_digest_mix(40, &digest) + weir_digest_mix(40 + WEIR_SHARDS, &other));
	help_put(&help, help_entry_in(&room, 1000, 40), NULL); /* counts in the shard from now on */
	assert_int_equal(weir_table_count(help.table), 212);
	help_table_end(&help);
}

static void swap_into_an_empty_table_makes_the_shard(void **state)
{
	struct help_table help = help_table();
	struct help_entry room;

	assert_int_equal(weir_table_swap(help.table, help.mem, detached(&help, 1023, 0, 10)), 0);
	assert_non_null(weir_table_find(help.table, &help_entry_in(&room, 9, 1023)->rule));
	assert_int_equal(weir_table_shard_digest(help.table, 31).count, 10);
	help_table_end(&help);
}

static void swap_without_memory_leaves_both_as_they_were(void **state)
{
	struct help_table help = help_table_limit(WEIR_MEM_CHUNK_BYTES);
	struct weir_bucket *made = detached(&help, 5, 0, 10);
	void *blocks[WEIR_MEM_CHUNK_BYTES / 272];
	unsigned count = 0;

	while ((blocks[count] = weir_mem_alloc(help.mem, 272)) != NULL) /* a shard's size */
		count++;
	assert_int_equal(weir_table_swap(help.table, help.mem, made), WEIR_BUSY);
	assert_int_equal(weir_table_count(help.table), 0);
	assert_int_equal(weir_bucket_digest(made).count, 10);
	assert_null(weir_table_bucket_make(help.table, help.mem, 5));
	weir_mem_free_now(help.mem, blocks[--count], 272);
	assert_int_equal(weir_table_swap(help.table, help.mem, made), 0);
	assert_int_equal(weir_table_count(help.table), 10);
	while (count > 0)
		weir_mem_free_now(help.mem, blocks[--count], 272);
	help_table_end(&help);
}

static void detached_bucket_gives_everything_back(void **state)
{
	struct help_table help = help_table();
	struct weir_mem_stats stats;

	weir_bucket_destroy(NULL, help.mem);
	weir_bucket_destroy(detached(&help, 9, 0, 5000), help.mem);
	weir_mem_stats(help.mem, &stats);
	assert_int_equal(stats.used_bytes, 0);
	help_settle(help.mem);
	help_table_end(&help);
}

static void clearing_a_shard_touches_no_other(void **state)
{
	struct help_table help = help_table();
	struct help_entry room;
	uint64_t rest = 0;

	for (uint64_t i = 0; i < 5000; i++) {
		struct weir_entry *entry = help_entry(&room, i);

		assert_int_equal(help_put(&help, entry, NULL), 0);
		weir_bucket_stamp(
			weir_table_bucket(help.table, weir_flow_bucket(entry->rule.flow_id)), 1, i);
		rest += weir_flow_shard(entry->rule.flow_id) != 6;
	}
	weir_table_clear_shard(help.table, help.mem, 6);
	weir_table_clear_shard(help.table, help.mem, 6);
	assert_int_equal(weir_table_count(help.table), rest);
	assert_int_equal(weir_table_shard_digest(help.table, 6).sum, 0);
	assert_int_equal(weir_table_digest(help.table, 6).seq, 0);
	for (uint64_t i = 0; i < 5000; i++) {
		struct weir_entry *entry = help_entry(&room, i);

		assert_int_equal(weir_table_find(help.table, &entry->rule) == NULL,
			weir_flow_shard(entry->rule.flow_id) == 6);
	}
	help_table_end(&help);
}

/* What only a bug can cause. */

static void put_elsewhere(void *ctx)
{
	struct help_table *help = ctx;
	struct help_entry room;

	weir_bucket_put(weir_table_bucket_make(help->table, help->mem, 1), help->mem,
		help_entry_in(&room, 1, 2), NULL);
}

static void remove_twice(void *ctx)
{
	struct help_table *help = ctx;
	struct help_entry room;
	struct weir_entry *stored;

	help_put(help, help_entry(&room, 1), &stored);
	help_remove(help, stored);
	help_remove(help, stored);
}

static void destroy_full_table(void *ctx)
{
	struct help_table *help = ctx;
	struct help_entry room;

	help_put(help, help_entry(&room, 1), NULL);
	weir_table_destroy(help->table);
}

static void purge_takes_out_an_app_and_nothing_else(void **state)
{
	struct help_table help = help_table();
	struct weir_bucket *bucket = weir_table_bucket_make(help.table, help.mem, 7);
	struct help_entry room;
	struct weir_entry *entry;

	for (unsigned i = 0; i < 3000; i++) {
		entry = help_entry_in(&room, i, 7);
		entry->rule.flow_id = (entry->rule.flow_id & ~(0xffffULL << 48)) | (uint64_t)(i % 3)
											   << 48;
		assert_int_equal(weir_bucket_put(bucket, help.mem, entry, NULL), 0);
	}
	assert_int_equal(weir_bucket_purge(bucket, help.mem, 9), 0);
	assert_int_equal(weir_bucket_purge(bucket, help.mem, 1), 1000);
	assert_int_equal(weir_bucket_digest(bucket).count, 2000);
	for (unsigned i = 0; i < 3000; i++) {
		entry = help_entry_in(&room, i, 7);
		entry->rule.flow_id = (entry->rule.flow_id & ~(0xffffULL << 48)) | (uint64_t)(i % 3)
											   << 48;
		assert_int_equal(weir_bucket_find(bucket, &entry->rule) != NULL, i % 3 != 1);
	}
	assert_int_equal(weir_bucket_purge(bucket, help.mem, WEIR_ANY_APP), 2000);
	assert_int_equal(weir_bucket_digest(bucket).count, 0);
	assert_int_equal(weir_bucket_digest(bucket).hash, 0);
	help_table_end(&help);
}

static void bucket_in_motion_is_not_firm(void **state)
{
	struct help_table help = help_table();
	struct weir_bucket *bucket = weir_table_bucket_make(help.table, help.mem, 33);

	assert_false(weir_table_is_firm(help.table, 33));
	weir_table_firm_set(help.table, 1U << 1, true);
	assert_true(weir_table_is_firm(help.table, 33));
	assert_true(weir_table_is_firm(help.table, 1)); /* never written */
	assert_false(weir_table_is_firm(help.table, 34));
	weir_bucket_moving(bucket, 1);
	weir_bucket_moving(bucket, 1);
	weir_bucket_moving(bucket, -1);
	assert_int_equal(weir_bucket_in_motion(bucket), 1);
	assert_false(weir_table_is_firm(help.table, 33));
	assert_true(weir_table_is_firm(help.table, 65));
	weir_bucket_moving(bucket, -1);
	assert_true(weir_table_is_firm(help.table, 33));
	weir_table_firm_set(help.table, UINT32_MAX, false);
	assert_false(weir_table_is_firm(help.table, 33));
	help_table_end(&help);
}

static void fence_never_goes_down(void **state)
{
	struct help_table help = help_table();

	assert_int_equal(weir_table_fence(help.table), 0);
	weir_table_fence_raise(help.table, 7);
	weir_table_fence_raise(help.table, 5);
	assert_int_equal(weir_table_fence(help.table), 7);
	weir_table_fence_raise(help.table, 8);
	assert_int_equal(weir_table_fence(help.table), 8);
	help_table_end(&help);
}

static void move_too_few(void *ctx)
{
	struct help_table *help = ctx;

	weir_bucket_moving(weir_table_bucket_make(help->table, help->mem, 1), -1);
}

static void move_too_many(void *ctx)
{
	struct help_table *help = ctx;

	for (unsigned i = 0; i <= WEIR_BUCKET_MOVING_MAX; i++)
		weir_bucket_moving(weir_table_bucket_make(help->table, help->mem, 1), 1);
}

static void misuse_is_an_assertion(void **state)
{
	struct help_table help = help_table();

	weir_table_destroy(NULL);
	assert_true(help_aborts(put_elsewhere, &help));
	assert_true(help_aborts(remove_twice, &help));
	assert_true(help_aborts(destroy_full_table, &help));
	assert_true(help_aborts(move_too_few, &help));
	assert_true(help_aborts(move_too_many, &help));
	help_table_end(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stored_rule_is_found_by_rule_and_by_id),
		cmocka_unit_test(putting_the_same_rule_replaces_it),
		cmocka_unit_test(rules_that_differ_in_one_part_of_identity_are_two),
		cmocka_unit_test(rules_that_share_a_flow_id_both_live),
		cmocka_unit_test(too_many_rules_of_one_flow_id_are_refused),
		cmocka_unit_test(rules_of_many_apps_with_one_match_all_live),
		cmocka_unit_test(largest_rule_is_stored_whole),
		cmocka_unit_test(device_without_flows_is_small_and_stays_so_when_read),
		cmocka_unit_test(bulk_lookup_equals_single_lookups),
		cmocka_unit_test(prefetch_changes_nothing_whatever_it_is_told),
		cmocka_unit_test(state_changes_in_place_and_moves_the_hash),
		cmocka_unit_test(swapped_bucket_stands_whole_in_the_place_of_the_old_one),
		cmocka_unit_test(swap_into_an_empty_table_makes_the_shard),
		cmocka_unit_test(swap_without_memory_leaves_both_as_they_were),
		cmocka_unit_test(detached_bucket_gives_everything_back),
		cmocka_unit_test(clearing_a_shard_touches_no_other),
		cmocka_unit_test(purge_takes_out_an_app_and_nothing_else),
		cmocka_unit_test(bucket_in_motion_is_not_firm),
		cmocka_unit_test(fence_never_goes_down),
		cmocka_unit_test(misuse_is_an_assertion),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("table", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
