/* SPDX-License-Identifier: BSD-3-Clause */
/* One writer and many readers at once, bounded by operations. */
#include <pthread.h>

#include "help.h"

#define READERS     3
#define STEADY      200
#define NUMBERS     3000 /* the others come and go */
#define BUCKETS     3
#define WRITES      60000
#define READS_LEAST 2000 /* rounds of each reader, while the writer writes */

/** What the writer and its readers share. */
struct stage {
	struct help_table help;
	uint64_t seed;
	unsigned ready;
	unsigned rounds[READERS];
	bool over;
};

struct reader {
	pthread_t thread;
	struct stage *stage;
	unsigned number;
	uint64_t wrong; /**< what must not be seen: the test asserts in one thread only */
	uint64_t reads;
	uint8_t times[STEADY];
};

/** An entry whose cookie says whether the rest of it is whole. */
static struct weir_entry *make(struct help_entry *room, uint64_t number, uint64_t version)
{
	struct weir_entry *entry =
		help_entry_in(room, number, (unsigned)(number % BUCKETS) * WEIR_SHARDS);

	entry->created = version;
	memset(entry->rule.data + HELP_MATCH_LEN, (int)(version % 251), HELP_INSTR_LEN);
	entry->rule.cookie = help_spread(number) ^ help_spread(version);
	return entry;
}

static bool whole(const struct weir_entry *entry)
{
	const struct weir_rule *rule = &entry->rule;

	for (unsigned i = 0; i < HELP_INSTR_LEN; i++)
		if (weir_rule_instr(rule)[i] != entry->created % 251)
			return false;
	return rule->cookie == (help_spread(help_number(rule)) ^ help_spread(entry->created));
}

/* Readers. */

static void look(struct reader *reader, uint64_t number)
{
	struct help_entry room;
	const struct weir_rule *rule = &make(&room, number, 0)->rule;
	const struct weir_table *table = reader->stage->help.table;
	struct weir_entry *entry = weir_table_find(table, rule);
	struct weir_entry *by_id = weir_table_find_id(table, rule->flow_id);

	reader->reads++;
	reader->wrong += number < STEADY && (entry == NULL || by_id == NULL);
	reader->wrong += entry != NULL && (help_number(&entry->rule) != number || !whole(entry));
	reader->wrong += by_id != NULL && by_id->rule.flow_id != rule->flow_id;
}

static void look_bulk(struct reader *reader, uint64_t *random)
{
	enum {
		COUNT = 40
	};
	struct help_entry rooms[COUNT];
	const struct weir_rule *rules[COUNT];
	struct weir_entry *entries[COUNT];

	for (unsigned i = 0; i < COUNT; i++)
		rules[i] = &make(&rooms[i], help_random(random) % STEADY, 0)->rule;
	weir_table_find_bulk(reader->stage->help.table, rules, COUNT, entries);
	for (unsigned i = 0; i < COUNT; i++)
		reader->wrong += entries[i] == NULL || !whole(entries[i]);
	reader->reads += COUNT;
}

static bool see(void *ctx, struct weir_entry *entry)
{
	struct reader *reader = ctx;
	uint64_t number = help_number(&entry->rule);

	reader->wrong += !whole(entry);
	if (number < STEADY)
		reader->times[number]++;
	return true;
}

static void walk(struct reader *reader, uint64_t *random)
{
	uint64_t cursor = 0;

	memset(reader->times, 0, sizeof(reader->times));
	do {
		cursor = weir_table_walk(reader->stage->help.table, cursor,
			1 + (unsigned)help_random(random) % 200, see, reader);
		weir_rcu_quiescent();
	} while (cursor != 0);
	for (unsigned i = 0; i < STEADY; i++)
		reader->wrong += reader->times[i] != 1;
}

static void *reader_run(void *ctx)
{
	struct reader *reader = ctx;
	struct stage *stage = reader->stage;
	uint64_t random = stage->seed + 1 + reader->number;

	weir_rcu_register();
	__atomic_fetch_add(&stage->ready, 1, __ATOMIC_RELEASE);
	while (!weir_rcu_load(stage->over)) {
		for (unsigned i = 0; i < 20; i++)
			look(reader, help_random(&random) % STEADY);
		for (unsigned i = 0; i < 20; i++)
			look(reader, help_random(&random) % NUMBERS);
		look_bulk(reader, &random);
		if (help_random(&random) % 64 == 0)
			walk(reader, &random);
		weir_table_count(stage->help.table);
		weir_table_shard_digest(stage->help.table, 0);
		weir_rcu_quiescent();
		weir_rcu_poke(stage->rounds[reader->number], stage->rounds[reader->number] + 1);
	}
	weir_rcu_unregister();
	return NULL;
}

/* The writer. */

static bool readers_enough(const struct stage *stage)
{
	for (unsigned i = 0; i < READERS; i++)
		if (weir_rcu_peek(stage->rounds[i]) < READS_LEAST)
			return false;
	return true;
}

static void swap(struct stage *stage, uint64_t version)
{
	struct weir_bucket *bucket = weir_bucket_create(stage->help.mem, 0);
	struct help_entry room;

	for (uint64_t i = 0; i < STEADY; i += BUCKETS)
		weir_bucket_put(bucket, stage->help.mem, make(&room, i, version), NULL);
	assert_int_equal(weir_table_swap(stage->help.table, stage->help.mem, bucket), 0);
}

/** One write: steady rules are replaced, the others come and go in waves. */
static void write_one(struct stage *stage, uint64_t step, uint64_t *random)
{
	uint64_t number = help_random(random) % NUMBERS;
	bool growing = step / 4000 % 2 == 0;
	struct help_entry room;
	struct weir_entry *entry = make(&room, number, step);
	struct weir_entry *stored = weir_table_find(stage->help.table, &entry->rule);

	if (number < STEADY || (growing && stored == NULL))
		assert_in_range(help_put(&stage->help, entry, NULL), 0, 1);
	else if (!growing && stored != NULL)
		help_remove(&stage->help, stored);
	else if (stored != NULL)
		weir_bucket_set_state(weir_table_bucket(stage->help.table,
					      weir_flow_bucket(stored->rule.flow_id)),
			stored, WEIR_FLOW_ADDED, 0);
	if (step % 5000 == 4999)
		swap(stage, step);
	if (step % 16 == 0)
		help_turn(stage->help.mem);
}

static void readers_find_every_steady_rule_whole_while_the_writer_writes(void **state)
{
	struct stage stage = {.help = help_table(), .seed = help_seed()};
	struct reader readers[READERS] = {0};
	uint64_t random = stage.seed;
	struct help_entry room;
	uint64_t step;

	for (uint64_t i = 0; i < STEADY; i++)
		help_put(&stage.help, make(&room, i, 0), NULL);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i].stage = &stage;
		readers[i].number = i;
		pthread_create(&readers[i].thread, NULL, reader_run, &readers[i]);
	}
	while (weir_rcu_load(stage.ready) < READERS)
		sched_yield();
	for (step = 0; step < WRITES || !readers_enough(&stage); step++)
		write_one(&stage, step, &random);
	weir_rcu_publish(stage.over, true);
	weir_rcu_offline();
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i].thread, NULL);
	weir_rcu_online();
	for (unsigned i = 0; i < READERS; i++) {
		print_message("reader %u: %llu lookups while %llu writes\n", i,
			(unsigned long long)readers[i].reads, (unsigned long long)step);
		assert_int_equal(readers[i].wrong, 0);
	}
	help_table_end(&stage.help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_find_every_steady_rule_whole_while_the_writer_writes),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
