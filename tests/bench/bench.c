/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <urcu-qsbr.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include "bench.h"

#define EAL_ARGUMENTS_MAX 24

/* ----------------------------------------------------------------------------------- series --- */

void bench_note(struct bench_series *series, double value)
{
	weir_assert(series->count < BENCH_VALUES_MAX);
	series->values[series->count++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct bench_series sorted(const struct bench_series *series)
{
	struct bench_series copy = *series;

	qsort(copy.values, copy.count, sizeof(copy.values[0]), compare);
	return copy;
}

double bench_median(const struct bench_series *series)
{
	struct bench_series copy = sorted(series);
	unsigned middle = copy.count / 2;

	weir_assert(copy.count > 0);
	return copy.count % 2 != 0 ? copy.values[middle]
				   : (copy.values[middle - 1] + copy.values[middle]) / 2;
}

/** Round by round, where both have as many; of the medians else. */
static double ratio_of(const struct bench_series *series, const struct bench_series *baseline)
{
	struct bench_series ratios = {.count = series->count};

	if (series->count != baseline->count)
		return bench_median(series) / bench_median(baseline);
	for (unsigned i = 0; i < series->count; i++)
		ratios.values[i] = series->values[i] / baseline->values[i];
	return bench_median(&ratios);
}

/* ------------------------------------------------------------------------------------- rows --- */

/** A row as it is printed. */
struct figures {
	double value, least, most, ratio;
	bool has_ratio;
	const char *baseline;
	char goal[32];
	bool reached;
};

static void goal_read(struct figures *figures, const struct bench_goal *goal)
{
	bool of_ratio = goal->kind == BENCH_RATIO_LEAST || goal->kind == BENCH_RATIO_MOST;
	bool least = goal->kind == BENCH_VALUE_LEAST || goal->kind == BENCH_RATIO_LEAST;
	double reached = of_ratio ? figures->ratio : figures->value;

	if (goal->kind == BENCH_NO_GOAL)
		return;
	snprintf(figures->goal, sizeof(figures->goal), "%s%s %.4g", of_ratio ? "ratio " : "",
		least ? ">=" : "<=", goal->bound);
	figures->reached = least ? reached >= goal->bound : reached <= goal->bound;
}

static struct figures figures_of(const struct bench_row *row)
{
	struct bench_series values = sorted(row->value);
	struct figures figures = {.value = bench_median(row->value),
		.least = values.values[0],
		.most = values.values[values.count - 1],
		.baseline = "-"};

	if (row->baseline != NULL) {
		figures.ratio = ratio_of(row->value, row->baseline);
		figures.has_ratio = true;
		figures.baseline = row->baseline_name;
	}
	goal_read(&figures, &row->goal);
	return figures;
}

static void line_print(const struct bench_row *row, const struct figures *figures)
{
	char ratio[32] = "-";

	if (figures->has_ratio)
		snprintf(ratio, sizeof(ratio), "%.3f", figures->ratio);
	printf("%-36s %12.4g %-8s %8s %s\n", row->name, figures->value, row->unit, ratio,
		figures->baseline);
}

static void table_print(const struct bench_row *row, const struct figures *figures)
{
	char ratio[32] = "-", spread[48] = "";

	if (figures->has_ratio)
		snprintf(ratio, sizeof(ratio), "%.3f", figures->ratio);
	if (row->value->count > 1)
		snprintf(spread, sizeof(spread), "%.4g..%.4g", figures->least, figures->most);
	printf("%-36s %10.4g %-8s %-22s %8s %-26s %-14s %s\n", row->name, figures->value, row->unit,
		spread, ratio, figures->baseline, figures->goal,
		figures->goal[0] == '\0' ? ""
		: figures->reached       ? "reached"
					 : "missed");
}

static void json_print(
	const struct bench *bench, const struct bench_row *row, const struct figures *figures)
{
	printf("{\"subject\":\"%s\",\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\","
	       "\"least\":%.6g,\"most\":%.6g,\"rounds\":%u",
		bench->subject, row->name, figures->value, row->unit, figures->least, figures->most,
		row->value->count);
	if (figures->has_ratio)
		printf(",\"ratio\":%.6g,\"baseline\":\"%s\"", figures->ratio, figures->baseline);
	if (figures->goal[0] != '\0')
		printf(",\"goal\":\"%s\",\"reached\":%s", figures->goal,
			figures->reached ? "true" : "false");
	printf("}\n");
}

void bench_print(const struct bench *bench, const struct bench_row *row)
{
	struct figures figures = figures_of(row);

	if (bench->form == BENCH_JSON)
		json_print(bench, row, &figures);
	else if (bench->form == BENCH_TABLE)
		table_print(row, &figures);
	else
		line_print(row, &figures);
	fflush(stdout);
}

void bench_print_one(const struct bench *bench, const char *name, double value, const char *unit,
	struct bench_goal goal)
{
	struct bench_series series = {.values = {value}, .count = 1};

	bench_print(bench,
		&(struct bench_row){.name = name, .value = &series, .unit = unit, .goal = goal});
}

static void remark(const struct bench *bench, const char *kind, const char *format, va_list list)
{
	char text[256];

	vsnprintf(text, sizeof(text), format, list);
	if (bench->form == BENCH_JSON)
		printf("{\"subject\":\"%s\",\"%s\":\"%s\"}\n", bench->subject, kind, text);
	else
		printf("# %s: %s: %s\n", bench->subject, kind, text);
	fflush(stdout);
}

void bench_say(const struct bench *bench, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	remark(bench, "note", format, list);
	va_end(list);
}

void bench_skip(const struct bench *bench, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	remark(bench, "skipped", format, list);
	va_end(list);
}

void bench_fail(const struct bench *bench, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	remark(bench, "failed", format, list);
	va_end(list);
	_exit(1); /* threads may be running */
}

/* -------------------------------------------------------------------------------- the place --- */

static uint64_t hugepages_free_mb(void)
{
	static const char path[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
	FILE *file = fopen(path, "r");
	uint64_t pages = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%" SCNu64, &pages) != 1)
		pages = 0;
	fclose(file);
	return 2 * pages;
}

static void arguments_add(char **arguments, int *count, const char *argument)
{
	weir_assert(*count < EAL_ARGUMENTS_MAX);
	arguments[(*count)++] = (char *)(uintptr_t)argument;
}

/** Warnings are about a machine that is busy, or are meant to be seen. */
static void warnings_only(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	if (level <= WEIR_LOG_WARNING)
		fprintf(stderr, "weir.%s: %s\n", weir_log_room_name(room), line);
}

void bench_eal_start(const struct bench *bench, unsigned memory_mb, const char *const *arguments)
{
	static char prefix[64], lcores[32], memory[16];
	bool huge = hugepages_free_mb() >= memory_mb;
	char *list[EAL_ARGUMENTS_MAX];
	int count = 0;

	snprintf(prefix, sizeof(prefix), "--file-prefix=weir-perf-%d", (int)getpid());
	snprintf(lcores, sizeof(lcores), "--lcores=0@%u", bench_cpu(bench, 0));
	snprintf(memory, sizeof(memory), "%u", memory_mb);
	for (const char *const *at = (const char *const[]){"weir-perf", "--no-pci",
		     "--no-telemetry", "--log-level=3", prefix, lcores, NULL};
		*at != NULL; at++)
		arguments_add(list, &count, *at);
	/* All of it now: pages that come and go with the heap would be cleared again and again. */
	arguments_add(list, &count, "-m");
	arguments_add(list, &count, memory);
	if (huge) {
		arguments_add(list, &count, "--in-memory");
	} else {
		bench_say(bench, "fewer than %u MiB of hugepages are free: pages of 4 KiB",
			memory_mb);
		arguments_add(list, &count, "--no-huge");
		arguments_add(list, &count, "--no-shconf");
	}
	for (; arguments != NULL && *arguments != NULL; arguments++)
		arguments_add(list, &count, *arguments);
	weir_log_sink_set(warnings_only);
	urcu_qsbr_get_default_call_rcu_data(); /* before the EAL pins this thread, and it with it */
	if (rte_eal_init(count, list) < 0)
		bench_fail(bench, "the EAL does not start");
}

unsigned bench_cpu(const struct bench *bench, unsigned thread)
{
	return bench->cpus[thread < bench->cpus_count ? thread : bench->cpus_count - 1];
}

void bench_pin(const struct bench *bench, unsigned thread)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(bench_cpu(bench, thread), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
		bench_fail(bench, "CPU %u is not there", bench_cpu(bench, thread));
}

uint64_t bench_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * WEIR_NS_PER_S + (uint64_t)now.tv_nsec;
}
