/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What weir-perf measures, in the order in which it does.
 */
#ifndef BENCH_SUBJECTS_H
#define BENCH_SUBJECTS_H

#include "bench.h"

void lookup_run(const struct bench *bench);
void table_run(const struct bench *bench);
void add_run(const struct bench *bench);
void pair_run(const struct bench *bench);
void memif_run(const struct bench *bench);
void scan_run(const struct bench *bench);
void memory_run(const struct bench *bench);
void idle_run(const struct bench *bench);
void growth_run(const struct bench *bench);
void link_run(const struct bench *bench);

#endif
