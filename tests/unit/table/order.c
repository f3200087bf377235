/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reader and the writer of a bucket in one thread, which changes from one to the other by chance
 * before any load or store that they share: what threads meet once in a million runs, a seed
 * gives at will. The bucket's own sources are built in, with such a point in each access.
 */
#include <ucontext.h>

#include "help.h"

static void point(void);

#undef weir_rcu_load
#undef weir_rcu_publish
#define weir_rcu_load(place) (point(), __atomic_load_n(&(place), __ATOMIC_ACQUIRE))
#define weir_rcu_publish(place, value)                                                             \
	(point(), __atomic_store_n(&(place), (value), __ATOMIC_RELEASE))

#undef __SSE2__ /* slots are loaded one by one */
#include "table/bucket.c"
#include "table/walk.c"

#define BUCKET      1
#define STEADY      12
#define NUMBERS     80
#define ROUNDS      1000
#define WRITES      200 /* a round */
#define STACK_BYTES (1 << 18)

/** The two, and what they share. */
static struct {
	ucontext_t reader;
	ucontext_t writer;
	bool reading;
	bool over;
	uint64_t random;
	uint64_t patience; /**< points until the next change: sometimes few, sometimes many */
	struct weir_mem *mem;
	struct weir_bucket *bucket;
	unsigned missed;
	unsigned lookups;
	unsigned walks;
	unsigned times[NUMBERS];
} two;

static void point(void)
{
	if (two.over || two.patience-- > 0)
		return;
	two.patience = help_random(&two.random) % (1ULL << help_random(&two.random) % 7);
	two.reading = !two.reading;
	if (two.reading)
		swapcontext(&two.writer, &two.reader);
	else
		swapcontext(&two.reader, &two.writer);
}

static bool see(void *ctx, struct weir_entry *entry)
{
	two.times[help_number(&entry->rule)]++;
	return true;
}

static void read_walk(void)
{
	uint64_t cursor = 0;

	memset(two.times, 0, sizeof(two.times));
	do {
		cursor = weir_bucket_walk(
			two.bucket, cursor, 1 + (unsigned)help_random(&two.random) % 20, see, NULL);
	} while (cursor != 0);
	for (unsigned i = 0; i < STEADY; i++)
		two.missed += two.times[i] != 1;
	two.walks++;
}

static void read_for_ever(void)
{
	for (;;) {
		uint64_t number = help_random(&two.random) % STEADY;
		struct help_entry room;
		const struct weir_rule *rule = &help_entry_in(&room, number, BUCKET)->rule;

		two.missed += weir_bucket_find(two.bucket, rule) == NULL;
		two.missed += weir_bucket_find_id(two.bucket, rule->flow_id) == NULL;
		two.lookups++;
		if (two.lookups % 16 == 0)
			read_walk();
	}
}

/** Entries come and go in waves, so that the bucket grows and shrinks; steady ones are replaced. */
static void write_one(uint64_t step)
{
	uint64_t number = help_random(&two.random) % NUMBERS;
	bool growing = step / 100 % 2 == 0;
	struct help_entry room;
	struct weir_entry *entry = help_entry_in(&room, number, BUCKET);
	struct weir_entry *stored = NULL;

	if (number < STEADY || growing) {
		assert_in_range(weir_bucket_put(two.bucket, two.mem, entry, NULL), 0, 1);
		return;
	}
	stored = weir_bucket_find(two.bucket, &entry->rule);
	if (stored != NULL)
		weir_bucket_remove(two.bucket, two.mem, stored);
}

/** Steady entries come last, so that they stand where growing will move them. */
static void round_begin(void *stack)
{
	struct help_entry room;

	two.over = true; /* no changes yet */
	two.reading = false;
	two.bucket = weir_bucket_create(two.mem, BUCKET);
	for (uint64_t i = STEADY; i < STEADY + 8; i++)
		weir_bucket_put(two.bucket, two.mem, help_entry_in(&room, i, BUCKET), NULL);
	for (uint64_t i = 0; i < STEADY; i++)
		weir_bucket_put(two.bucket, two.mem, help_entry_in(&room, i, BUCKET), NULL);
	getcontext(&two.reader);
	two.reader.uc_stack.ss_sp = stack;
	two.reader.uc_stack.ss_size = STACK_BYTES;
	makecontext(&two.reader, read_for_ever, 0);
	two.over = false;
}

static void any_interleaving_finds_every_steady_rule(void **state)
{
	void *stack = malloc(STACK_BYTES);

	two.random = help_seed();
	two.mem = weir_mem_create(&weir_mem_heap, HELP_LIMIT);
	for (unsigned round = 0; round < ROUNDS; round++) {
		round_begin(stack);
		for (uint64_t step = 0; step < WRITES; step++)
			write_one(step);
		two.over = true;
		weir_bucket_destroy(two.bucket, two.mem);
		help_turn(two.mem);
	}
	print_message("%u lookups, %u walks\n", two.lookups, two.walks);
	assert_int_equal(two.missed, 0);
	assert_true(two.lookups > 1000 && two.walks > 100);
	weir_mem_destroy(two.mem);
	free(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_interleaving_finds_every_steady_rule),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("order", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
