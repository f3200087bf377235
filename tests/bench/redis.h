/* SPDX-License-Identifier: BSD-3-Clause */
/** @file A Redis of one's own, on a Unix socket, without files. */
#ifndef BENCH_REDIS_H
#define BENCH_REDIS_H

#include <sys/types.h>

#include "bench.h"

struct redis {
	const struct bench *bench;
	pid_t pid;
	char socket[96];
};

/** @return false where there is no redis-server to be run */
bool redis_open(struct redis *redis, const struct bench *bench, unsigned cpu);
void redis_close(struct redis *redis);

/**
 * SETs of `count` keys with values of `value_bytes` through a pipeline, by a client that costs
 * next to nothing. Each must be answered OK.
 * @return million a second
 */
double redis_set_rate(struct redis *redis, uint64_t count, unsigned value_bytes);

#endif
