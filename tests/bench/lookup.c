/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lookups of present rules in random order by one reader, alone and while a writer on another CPU
 * replaces entries of the same table for a share of the time.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <rte_pause.h>

#include "base/clock.h"

#include "subjects.h"
#include "tables.h"

#define WRITER_BURST 64 /* writes before it looks at its share */

/** A writer that works `percent` of the time. */
struct writer {
	struct tables *tables;
	unsigned percent;
	atomic_bool stop;
	atomic_uint_fast64_t writes;
	pthread_t thread;
};

static void pause_until(uint64_t until_ns, const atomic_bool *stop)
{
	weir_rcu_offline();
	while (!*stop && weir_clock_ns() < until_ns)
		rte_pause();
	weir_rcu_online();
}

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	struct tables *tables = writer->tables;
	uint64_t at = 0;

	bench_pin(tables->bench, 1);
	weir_rcu_register();
	while (!writer->stop) {
		uint64_t begin_ns = weir_clock_ns(), end_ns;

		for (unsigned i = 0; i < WRITER_BURST; i++, at++)
			own_put_one(tables, tables->mem, at % tables->count);
		writer->writes += WRITER_BURST;
		end_ns = weir_clock_ns();
		pause_until(
			end_ns + (end_ns - begin_ns) * (100 - writer->percent) / writer->percent,
			&writer->stop);
	}
	weir_rcu_unregister();
	return NULL;
}

static void writer_begin(struct writer *writer, struct tables *tables, unsigned percent)
{
	*writer = (struct writer){.tables = tables, .percent = percent};
	bench_check(tables->bench, pthread_create(&writer->thread, NULL, write_on, writer) == 0);
	while (writer->writes == 0)
		sched_yield();
}

static void writer_end(struct writer *writer)
{
	writer->stop = true;
	pthread_join(writer->thread, NULL);
}

/** A pass as it is alone, and beside a writer; the table's memory is the writer's meanwhile. */
static void beside_writer(struct tables *tables, const char *name, pass *run, unsigned percent)
{
	struct bench_series alone = {0}, beside = {0};
	double least = percent < 50 ? 0.9 : 0.7;

	run(tables);
	for (unsigned round = 0; round < tables->bench->rounds; round++) {
		struct writer writer;

		bench_note(&alone, tables_rate(tables, run));
		writer_begin(&writer, tables, percent);
		bench_note(&beside, tables_rate(tables, run));
		weir_rcu_offline();
		writer_end(&writer);
		weir_rcu_online();
	}
	bench_check(tables->bench, tables->misses == 0);
	bench_print(tables->bench, &(struct bench_row){name, &beside, "M/s", &alone, "no_writer",
					   {BENCH_RATIO_LEAST, least}});
}

static void alone(struct tables *tables)
{
	enum {
		RTE,
		RTE_ENTRY,
		RTE_BULK,
		LFHT,
		FIND,
		FIND_ID,
		FIND_BULK,
		COUNT
	};
	struct lane lanes[COUNT] = {
		[RTE] = {rte_find},
		[RTE_ENTRY] = {rte_find_entry},
		[RTE_BULK] = {rte_find_bulk},
		[LFHT] = {lfht_find},
		[FIND] = {own_find},
		[FIND_ID] = {own_find_id},
		[FIND_BULK] = {own_find_bulk},
	};
	const struct bench_series *rte = &lanes[RTE].rate, *rte_entry = &lanes[RTE_ENTRY].rate,
				  *rte_bulk = &lanes[RTE_BULK].rate;
	const struct bench_row rows[] = {
		{"rte_hash_lookup", rte, "M/s", NULL, NULL, {0}},
		{"rte_hash_lookup_entry", rte_entry, "M/s", rte, "rte_hash_lookup", {0}},
		{"rte_hash_lookup_bulk", rte_bulk, "M/s", NULL, NULL, {0}},
		{"cds_lfht_lookup", &lanes[LFHT].rate, "M/s", rte, "rte_hash_lookup", {0}},
		{"lookup", &lanes[FIND].rate, "M/s", rte, "rte_hash_lookup",
			{BENCH_RATIO_LEAST, 1.0}},
		{"lookup", &lanes[FIND].rate, "M/s", rte_entry, "rte_hash_lookup_entry",
			{BENCH_RATIO_LEAST, 1.0}},
		{"lookup", &lanes[FIND].rate, "M/s", &lanes[LFHT].rate, "cds_lfht_lookup",
			{BENCH_RATIO_LEAST, 1.0}},
		{"lookup_id", &lanes[FIND_ID].rate, "M/s", rte_entry, "rte_hash_lookup_entry", {0}},
		{"lookup_bulk", &lanes[FIND_BULK].rate, "M/s", rte_bulk, "rte_hash_lookup_bulk",
			{BENCH_RATIO_LEAST, 1.0}},
	};

	tables_race(tables, lanes, COUNT);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		bench_print(tables->bench, &rows[i]);
}

void lookup_run(const struct bench *bench)
{
	struct tables tables;

	bench_eal_start(bench, tables_memory_mb(bench), NULL);
	tables_open(&tables, bench);
	own_put(&tables);
	rte_put(&tables);
	lfht_open(&tables);
	tables_shuffle(&tables);
	alone(&tables);
	lfht_close(&tables);
	if (bench->cpus_count < 2) {
		bench_say(bench, "one CPU: no writer beside the reader");
	} else {
		beside_writer(&tables, "lookup_writer_1pct", own_find, 1);
		beside_writer(&tables, "lookup_writer_100pct", own_find, 100);
		beside_writer(&tables, "lookup_bulk_writer_1pct", own_find_bulk, 1);
		beside_writer(&tables, "lookup_bulk_writer_100pct", own_find_bulk, 100);
	}
	own_close(&tables);
	rte_close(&tables);
	tables_close(&tables);
	weir_rcu_unregister();
}
