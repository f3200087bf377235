/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the table room share: rules made by hand, and a worker's memory. */
#ifndef TESTS_UNIT_TABLE_HELP_H
#define TESTS_UNIT_TABLE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "table/rcu.h"
#include "table/table.h"

#define HELP_MATCH_LEN 35
#define HELP_INSTR_LEN 40

/** An entry with room for a rule of the usual size (five-tuple, one output). */
struct help_entry {
	struct weir_entry entry;
	uint8_t bytes[HELP_MATCH_LEN + HELP_INSTR_LEN];
};

#define HELP_ENTRY_BYTES (sizeof(struct weir_entry) + HELP_MATCH_LEN + HELP_INSTR_LEN)

static inline uint64_t help_spread(uint64_t bits)
{
	bits = (bits + 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
	bits = (bits ^ bits >> 27) * 0x94d049bb133111ebULL;
	return bits ^ bits >> 31;
}

/** A random number; the state is the seed. */
static inline uint64_t help_random(uint64_t *state)
{
	return help_spread((*state)++);
}

/** The number that a test was given as WEIR_SEED, else another one each time; printed. */
static inline uint64_t help_seed(void)
{
	const char *given = getenv("WEIR_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	print_message("WEIR_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

/** Entry number `number`: all of its match bytes follow from that number. */
static inline struct weir_entry *help_entry(struct help_entry *room, uint64_t number)
{
	struct weir_entry *entry = &room->entry;
	uint64_t word = number;

	memset(room, 0, sizeof(*room));
	entry->created = 1000 + number;
	entry->rule.match_len = HELP_MATCH_LEN;
	entry->rule.instr_len = HELP_INSTR_LEN;
	entry->rule.priority = 100;
	memcpy(entry->rule.data, &word, sizeof(word));
	for (unsigned i = sizeof(word); i < HELP_MATCH_LEN; i++)
		entry->rule.data[i] = (uint8_t)(help_spread(number) >> i % 8 * 8);
	entry->rule.flow_id = weir_rule_flow_id(&entry->rule, 1);
	return entry;
}

/** The same, with its flow id moved into a bucket. */
static inline struct weir_entry *help_entry_in(
	struct help_entry *room, uint64_t number, unsigned bucket)
{
	struct weir_entry *entry = help_entry(room, number);

	entry->rule.flow_id = (entry->rule.flow_id & ~(WEIR_BUCKETS - 1ULL)) | bucket;
	return entry;
}

/** The number that help_entry was given. */
static inline uint64_t help_number(const struct weir_rule *rule)
{
	uint64_t number;

	memcpy(&number, rule->data, sizeof(number));
	return number;
}

/** A table and its one worker. */
struct help_table {
	struct weir_mem *mem;
	struct weir_table *table;
};

#define HELP_LIMIT (1ULL << 30)

static inline struct help_table help_table_limit(uint64_t limit_bytes)
{
	struct help_table help = {
		.mem = weir_mem_create(&weir_mem_heap, limit_bytes),
		.table = weir_table_create(),
	};

	assert_non_null(help.mem);
	assert_non_null(help.table);
	return help;
}

static inline struct help_table help_table(void)
{
	return help_table_limit(HELP_LIMIT);
}

/** Gives everything back, and sees that nothing was left in use. */
static inline void help_table_end(struct help_table *help)
{
	struct weir_mem_stats stats;

	for (unsigned i = 0; i < WEIR_SHARDS; i++)
		weir_table_clear_shard(help->table, help->mem, i);
	weir_table_destroy(help->table);
	weir_mem_stats(help->mem, &stats);
	assert_int_equal(stats.used_bytes, 0);
	weir_mem_destroy(help->mem);
}

/** What a worker does once a turn. */
static inline void help_turn(struct weir_mem *mem)
{
	weir_rcu_quiescent();
	weir_mem_turn(mem, false);
}

/** Puts an entry where it belongs. */
static inline int help_put(
	struct help_table *help, const struct weir_entry *entry, struct weir_entry **stored)
{
	struct weir_bucket *bucket = weir_table_bucket_make(
		help->table, help->mem, weir_flow_bucket(entry->rule.flow_id));

	return bucket == NULL ? WEIR_BUSY : weir_bucket_put(bucket, help->mem, entry, stored);
}

static inline void help_remove(struct help_table *help, struct weir_entry *entry)
{
	weir_bucket_remove(weir_table_bucket(help->table, weir_flow_bucket(entry->rule.flow_id)),
		help->mem, entry);
}

/** Turns until nothing waits for readers any more. */
static inline void help_settle(struct weir_mem *mem)
{
	struct weir_mem_stats stats;

	for (int i = 0; i < 1000; i++) {
		weir_mem_turn(mem, true);
		weir_rcu_barrier();
		weir_mem_turn(mem, false);
		weir_mem_stats(mem, &stats);
		if (stats.waiting_bytes == 0)
			return;
	}
	fail_msg("blocks still wait for readers");
}

/** Whether a process that runs `body` is ended by an assertion. */
static inline bool help_aborts(void (*body)(void *ctx), void *ctx)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		signal(SIGABRT, SIG_DFL); /* cmocka and sanitizers may have set their own */
		if (freopen("/dev/null", "w", stderr) != NULL)
			body(ctx);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
