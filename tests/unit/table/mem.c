/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>

#include "help.h"
#include "table/mem.h"

/** A source that counts. */
struct counting {
	uint64_t chunks;
	uint64_t taken; /**< calls that were answered */
	uint64_t most;  /**< calls to answer */
};

static void *counting_take(void *ctx, size_t bytes, size_t align)
{
	struct counting *counting = ctx;
	void *chunk;

	if (counting->taken == counting->most)
		return NULL;
	chunk = weir_mem_heap.take(NULL, bytes, align);
	counting->taken++;
	counting->chunks++;
	return chunk;
}

static void counting_give(void *ctx, void *chunk, size_t bytes)
{
	((struct counting *)ctx)->chunks--;
	weir_mem_heap.give(NULL, chunk, bytes);
}

static struct weir_mem *counting_mem(struct counting *counting, uint64_t limit_bytes)
{
	const struct weir_mem_source source = {counting_take, counting_give, counting};
	struct weir_mem *mem = weir_mem_create(&source, limit_bytes);

	assert_non_null(mem);
	return mem;
}

static void size_classes_are_fine_and_blocks_aligned(void **state)
{
	struct weir_mem *mem = weir_mem_create(&weir_mem_heap, HELP_LIMIT);

	for (size_t bytes = 1; bytes <= WEIR_MEM_BLOCK_MAX; bytes++) {
		size_t whole = weir_mem_block_bytes(bytes);
		void *block = weir_mem_alloc(mem, bytes);

		assert_true(whole >= bytes && whole >= weir_mem_block_bytes(bytes - 1));
		if (bytes > 64)
			assert_true(whole - bytes < (bytes <= 512 ? 16 : bytes / 4));
		assert_int_equal((uintptr_t)block % 16, 0);
		if (whole % WEIR_MEM_LINE == 0)
			assert_int_equal((uintptr_t)block % WEIR_MEM_LINE, 0);
		memset(block, 1, bytes);
		weir_mem_free_now(mem, block, bytes);
	}
	weir_mem_destroy(mem);
}

/** A block that the random test holds. */
struct held {
	uint8_t *block;
	size_t bytes;
	uint8_t mark;
};

static void held_check(const struct held *held)
{
	for (size_t i = 0; i < held->bytes; i++)
		assert_int_equal(held->block[i], held->mark);
}

static void blocks_never_overlap(void **state)
{
	enum {
		HELD = 3000
	};
	struct counting counting = {.most = UINT64_MAX};
	struct weir_mem *mem = counting_mem(&counting, HELP_LIMIT);
	struct held *held = calloc(HELD, sizeof(*held));
	uint64_t random = help_seed();
	struct weir_mem_stats stats;
	uint64_t used = 0;

	for (unsigned step = 0; step < 100000; step++) {
		struct held *one = &held[help_random(&random) % HELD];

		if (one->block != NULL) {
			held_check(one);
			used -= weir_mem_block_bytes(one->bytes);
			if (help_random(&random) % 4 == 0)
				weir_mem_free_now(mem, one->block, one->bytes);
			else
				weir_mem_free(mem, one->block, one->bytes);
			one->block = NULL;
		} else {
			one->bytes = 1 + help_random(&random) % (step % 100 == 0        ? 200000
									: step % 2 == 0 ? 400
											: 6000);
			one->mark = (uint8_t)help_random(&random);
			one->block = weir_mem_alloc(mem, one->bytes);
			assert_non_null(one->block);
			memset(one->block, one->mark, one->bytes);
			used += weir_mem_block_bytes(one->bytes);
		}
		if (step % 16 == 0)
			help_turn(mem);
		weir_mem_stats(mem, &stats);
		assert_int_equal(stats.used_bytes, used);
		assert_true(stats.used_bytes + stats.waiting_bytes <= stats.chunk_bytes);
	}
	for (unsigned i = 0; i < HELD; i++)
		if (held[i].block != NULL)
			held_check(&held[i]);
	free(held);
	weir_mem_destroy(mem); /* with blocks in use and blocks waiting */
	assert_int_equal(counting.chunks, 0);
}

static void memory_moves_between_size_classes_and_back_to_the_source(void **state)
{
	enum {
		COUNT = 10000
	};
	struct counting counting = {.most = UINT64_MAX};
	struct weir_mem *mem = counting_mem(&counting, 16 * WEIR_MEM_CHUNK_BYTES);
	void **blocks = calloc(COUNT, sizeof(*blocks));
	struct weir_mem_stats stats;

	for (size_t bytes = 64; bytes <= 8192; bytes = bytes * 3 / 2) {
		uint64_t used = 0;
		unsigned count = 0;

		while (count < COUNT && (blocks[count] = weir_mem_alloc(mem, bytes)) != NULL)
			used += weir_mem_block_bytes(bytes), count++;
		assert_true(count == COUNT || used > 16 * WEIR_MEM_CHUNK_BYTES * 4 / 5);
		while (count > 0)
			weir_mem_free(mem, blocks[--count], bytes);
		help_settle(mem);
	}
	weir_mem_stats(mem, &stats);
	assert_true(stats.chunk_bytes <= 4 * WEIR_MEM_CHUNK_BYTES);
	free(blocks);
	weir_mem_destroy(mem);
	assert_int_equal(counting.chunks, 0);
}

static void limit_and_source_bound_what_is_taken(void **state)
{
	struct counting counting = {.most = 3};
	struct weir_mem *mem = counting_mem(&counting, 2 * WEIR_MEM_CHUNK_BYTES + 100);
	struct weir_mem_stats stats;

	assert_null(weir_mem_alloc(mem, 3 * WEIR_MEM_CHUNK_BYTES));
	while (weir_mem_alloc(mem, 16384) != NULL)
		;
	assert_int_equal(counting.taken, 2); /* the limit */
	weir_mem_stats(mem, &stats);
	assert_int_equal(stats.chunk_bytes, 2 * WEIR_MEM_CHUNK_BYTES);
	weir_mem_destroy(mem);

	counting = (struct counting){.most = 3};
	mem = counting_mem(&counting, UINT64_MAX);
	while (weir_mem_alloc(mem, 16384) != NULL)
		;
	assert_null(weir_mem_alloc(mem, 100000));
	assert_int_equal(counting.taken, 3); /* the source */
	weir_mem_destroy(mem);
	weir_mem_destroy(NULL);
}

/** A reader that holds its section until it is told. */
struct holder {
	pthread_t thread;
	bool in;
	bool out;
};

static void *holder_run(void *ctx)
{
	struct holder *holder = ctx;

	weir_rcu_register();
	weir_rcu_publish(holder->in, true);
	while (!weir_rcu_load(holder->out))
		sched_yield();
	weir_rcu_unregister();
	return NULL;
}

static void holder_start(struct holder *holder)
{
	*holder = (struct holder){0};
	assert_int_equal(pthread_create(&holder->thread, NULL, holder_run, holder), 0);
	while (!weir_rcu_load(holder->in))
		sched_yield();
}

static void holder_stop(struct holder *holder)
{
	weir_rcu_publish(holder->out, true);
	weir_rcu_offline(); /* it may wait for us: unregistering takes the library's lock */
	pthread_join(holder->thread, NULL);
	weir_rcu_online();
}

static void freed_block_waits_for_readers(void **state)
{
	struct weir_mem *mem = weir_mem_create(&weir_mem_heap, WEIR_MEM_CHUNK_BYTES);
	struct weir_mem_stats stats;
	struct holder holder;
	void *block;
	unsigned count = 0;

	holder_start(&holder);
	block = weir_mem_alloc(mem, 16384);
	weir_mem_free(mem, block, 16384);
	while (weir_mem_alloc(mem, 16384) != NULL) {
		count++;
		weir_rcu_quiescent();
		weir_mem_turn(mem, true);
	}
	assert_in_range(count, 13, 15); /* pages of two, the first one of one, less the freed one */
	for (int i = 0; i < 1000; i++) {
		weir_rcu_quiescent();
		weir_mem_turn(mem, true);
		assert_null(weir_mem_alloc(mem, 16384));
	}
	weir_mem_stats(mem, &stats);
	assert_int_equal(stats.waiting_bytes, 16384);
	holder_stop(&holder);
	help_settle(mem);
	assert_ptr_equal(weir_mem_alloc(mem, 16384), block);
	weir_mem_destroy(mem);
}

static void stalled_reader_makes_puts_busy_and_nothing_else(void **state)
{
	enum {
		STEADY = 500
	};
	struct help_table help = help_table_limit(2 * WEIR_MEM_CHUNK_BYTES);
	struct weir_entry *entries[STEADY];
	struct help_entry room;
	struct weir_mem_stats stats;
	struct holder holder;
	struct weir_digest before;
	unsigned bucket = 3;
	int put;

	for (uint64_t i = 0; i < STEADY; i++)
		assert_int_equal(help_put(&help, help_entry_in(&room, i, bucket), &entries[i]), 0);
	holder_start(&holder);
	for (uint64_t i = 0;; i++) {
		uint64_t number = i % STEADY;

		before = weir_table_digest(help.table, bucket);
		help_entry_in(&room, number, bucket)->created = 5000 + i;
		put = help_put(&help, &room.entry, NULL);
		help_turn(help.mem);
		if (put < 0)
			break;
		assert_int_equal(put, 1);
		assert_true(i < 10000);
	}
	assert_int_equal(put, WEIR_BUSY);
	struct weir_digest after = weir_table_digest(help.table, bucket);

	assert_true(weir_digest_equal(&before, &after));
	weir_mem_stats(help.mem, &stats);
	assert_true(stats.chunk_bytes <= 2 * WEIR_MEM_CHUNK_BYTES);
	assert_int_equal(help_put(&help, help_entry_in(&room, STEADY, bucket), NULL), WEIR_BUSY);
	for (uint64_t i = 0; i < STEADY; i++) { /* removing needs no memory */
		entries[i] = weir_table_find(help.table, &help_entry_in(&room, i, bucket)->rule);
		assert_non_null(entries[i]);
		help_remove(&help, entries[i]);
	}
	assert_int_equal(weir_table_count(help.table), 0);
	holder_stop(&holder);
	help_settle(help.mem);
	assert_int_equal(help_put(&help, &room.entry, NULL), 0);
	help_table_end(&help);
}

static void every_put_at_the_limit_changes_all_or_nothing(void **state)
{
	for (uint64_t chunks = 1; chunks <= 3; chunks++) {
		struct help_table help = help_table_limit(chunks * WEIR_MEM_CHUNK_BYTES);
		struct help_entry room;
		uint64_t stored = 0;
		uint64_t busy = 0;
		uint64_t hash = 0;

		for (uint64_t i = 0; busy < 1000; i++) {
			struct weir_entry *entry = help_entry_in(&room, i, i % 8);
			int put = help_put(&help, entry, NULL);

			assert_true(put == 0 || put == WEIR_BUSY);
			stored += put == 0;
			busy += put != 0;
			hash += put == 0 ? weir_entry_hash(entry) : 0;
			assert_int_equal(
				weir_table_find(help.table, &entry->rule) != NULL, put == 0);
		}
		for (unsigned i = 0; i < 8; i++)
			hash -= weir_table_digest(help.table, i).hash;
		assert_int_equal(hash, 0);
		assert_int_equal(weir_table_count(help.table), stored);
		assert_true(stored > chunks * 500);
		help_table_end(&help);
	}
}

/** Takes all blocks of a size; returns the last one. */
static void *take_all(struct weir_mem *mem, size_t bytes)
{
	void *last = NULL;

	for (void *block = weir_mem_alloc(mem, bytes); block != NULL;
		block = weir_mem_alloc(mem, bytes))
		last = block;
	return last;
}

static void put_without_room_for_its_chain_changes_nothing(void **state)
{
	struct help_table help = help_table_limit(WEIR_MEM_CHUNK_BYTES);
	struct help_entry room;
	uint64_t flow_id = help_entry(&room, 0)->rule.flow_id;
	struct weir_mem_stats before;
	struct weir_mem_stats after;
	void *group;
	void *entry;

	for (uint64_t i = 0; i < 8; i++) { /* the eighth of one chain needs a further group */
		help_entry(&room, i)->rule.flow_id = flow_id;
		if (i < 7)
			assert_int_equal(help_put(&help, &room.entry, NULL), 0);
	}
	entry = weir_mem_alloc(help.mem, HELP_ENTRY_BYTES);
	group = take_all(help.mem, 64);
	take_all(help.mem, HELP_ENTRY_BYTES);
	weir_mem_free_now(help.mem, entry, HELP_ENTRY_BYTES);
	weir_mem_stats(help.mem, &before);
	assert_int_equal(help_put(&help, &room.entry, NULL), WEIR_BUSY);
	weir_mem_stats(help.mem, &after);
	assert_int_equal(after.used_bytes, before.used_bytes);
	assert_int_equal(weir_table_count(help.table), 7);
	assert_null(weir_table_find(help.table, &room.entry.rule));
	weir_mem_free_now(help.mem, group, 64);
	assert_int_equal(help_put(&help, &room.entry, NULL), 0);
	assert_non_null(weir_table_find(help.table, &room.entry.rule));
	for (unsigned i = 0; i < WEIR_SHARDS; i++)
		weir_table_clear_shard(help.table, help.mem, i);
	weir_table_destroy(help.table);
	weir_mem_destroy(help.mem);
}

static void free_twice(void *ctx)
{
	void *block = weir_mem_alloc(ctx, 100);

	weir_mem_free(ctx, block, 100);
	weir_mem_free(ctx, block, 100);
}

static void free_inside(void *ctx)
{
	weir_mem_free(ctx, (char *)weir_mem_alloc(ctx, 100) + 16, 100);
}

static void readers_without_a_quiescent_state_are_named(void **state)
{
	struct holder holder = {0};
	char names[64], short_names[4], *comma;

	pthread_create(&holder.thread, NULL, holder_run, &holder);
	while (!weir_rcu_load(holder.in))
		sched_yield();
	weir_rcu_watch(names, sizeof(names));
	weir_rcu_quiescent();
	assert_int_equal(weir_rcu_watch(names, sizeof(names)), 1);
	assert_null(strchr(names, ','));
	assert_int_equal(strncmp(names, "test-table-mem (", 16), 0);
	assert_int_equal(weir_rcu_watch(names, sizeof(names)), 2);
	comma = strchr(names, ',');
	assert_non_null(comma);
	assert_int_equal(weir_rcu_watch(short_names, sizeof(short_names)), 2);
	assert_string_equal(short_names, "tes");
	assert_int_equal(weir_rcu_watch(NULL, 0), 2);
	weir_rcu_offline();
	assert_int_equal(weir_rcu_watch(names, sizeof(names)), 1);
	assert_int_equal(weir_rcu_watch(names, sizeof(names)), 1);
	weir_rcu_online();
	weir_rcu_publish(holder.out, true);
	pthread_join(holder.thread, NULL);
	assert_int_equal(weir_rcu_watch(names, sizeof(names)), 0);
	assert_string_equal(names, "");
}

static void misuse_is_an_assertion(void **state)
{
	struct weir_mem *mem = weir_mem_create(&weir_mem_heap, HELP_LIMIT);

	assert_true(help_aborts(free_twice, mem));
	assert_true(help_aborts(free_inside, mem));
	weir_mem_destroy(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_classes_are_fine_and_blocks_aligned),
		cmocka_unit_test(blocks_never_overlap),
		cmocka_unit_test(memory_moves_between_size_classes_and_back_to_the_source),
		cmocka_unit_test(limit_and_source_bound_what_is_taken),
		cmocka_unit_test(freed_block_waits_for_readers),
		cmocka_unit_test(stalled_reader_makes_puts_busy_and_nothing_else),
		cmocka_unit_test(every_put_at_the_limit_changes_all_or_nothing),
		cmocka_unit_test(put_without_room_for_its_chain_changes_nothing),
		cmocka_unit_test(readers_without_a_quiescent_state_are_named),
		cmocka_unit_test(misuse_is_an_assertion),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("mem", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
