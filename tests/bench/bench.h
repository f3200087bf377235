/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Harness of weir-perf: how a run was asked for, series of measurements, and rows of output.
 *
 * Each subject runs in a process of its own, which starts the EAL by itself: none inherits
 * another's caches, memory or threads. What is compared is measured in turn, round by round, and a
 * row's ratio is the median of the rounds' own ratios: what else the machine does hits both sides.
 *
 * A subject that cannot run says why (bench_skip) and ends; what went wrong (a lookup that misses,
 * a write that is not acknowledged) ends the program with a failure (bench_check).
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_ROUNDS_MAX 32
#define BENCH_VALUES_MAX (4 * BENCH_ROUNDS_MAX) /**< of one figure */
#define BENCH_CPUS_MAX   8

enum bench_form {
	BENCH_LINES, /**< name value unit ratio baseline */
	BENCH_TABLE, /**< the same with spread and goal */
	BENCH_JSON,  /**< an object a line */
};

struct bench {
	bool quick; /**< smallest sizes: does it still run? */
	bool large; /**< sizes that take minutes and gigabytes */
	enum bench_form form;
	unsigned rounds;
	uint64_t flows; /**< of a usual table */
	unsigned cpus[BENCH_CPUS_MAX];
	unsigned cpus_count;
	const char *subject; /**< at hand */
	const char *folder;  /**< of the run, for sockets; goes with all that is in it */
};

/** What can be measured: one file has one or several. */
struct bench_subject {
	const char *name;
	const char *about;
	void (*run)(const struct bench *bench);
};

/** One figure a round. */
struct bench_series {
	double values[BENCH_VALUES_MAX];
	unsigned count;
};

void bench_note(struct bench_series *series, double value);
double bench_median(const struct bench_series *series);

/** What a row is to reach. */
struct bench_goal {
	enum {
		BENCH_NO_GOAL,
		BENCH_VALUE_LEAST,
		BENCH_VALUE_MOST,
		BENCH_RATIO_LEAST,
		BENCH_RATIO_MOST,
	} kind;
	double bound;
};

struct bench_row {
	const char *name;
	const struct bench_series *value;
	const char *unit;
	const struct bench_series *baseline; /**< NULL: none */
	const char *baseline_name;
	struct bench_goal goal;
};

void bench_print(const struct bench *bench, const struct bench_row *row);

/** A row of one figure that was taken once, such as a size. */
void bench_print_one(const struct bench *bench, const char *name, double value, const char *unit,
	struct bench_goal goal);

/** A remark among the rows. */
void bench_say(const struct bench *bench, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** The subject cannot run here: says why. */
void bench_skip(const struct bench *bench, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** Ends the program with a sentence where something is wrong. */
void bench_fail(const struct bench *bench, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

#define bench_check(bench, good)                                                                   \
	do {                                                                                       \
		if (!(good))                                                                       \
			bench_fail(bench, "%s:%d: not so: %s", __FILE__, __LINE__, #good);         \
	} while (0)

/* -------------------------------------------------------------------------------- the place --- */

/**
 * Starts the EAL for this process: hugepages where enough of them are free, the heap else.
 * @param arguments further EAL arguments (such as "--vdev=..."), NULL-terminated; or NULL
 */
void bench_eal_start(const struct bench *bench, unsigned memory_mb, const char *const *arguments);

/** The CPU for the thread of this number: those of the run in order, the last one for the rest. */
unsigned bench_cpu(const struct bench *bench, unsigned thread);

/** Pins the calling thread to bench_cpu. */
void bench_pin(const struct bench *bench, unsigned thread);

/** Time that the calling thread had a CPU: others may share it. */
uint64_t bench_cpu_ns(void);

#endif
