/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Raw frames over a port, as the limit of what can be done over it: a far side that echoes or
 * swallows frames in a thread of its own, and a near side that pings or pours.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"

struct rte_mempool;

#define RAW_FRAME_BYTES (14 + 1500)
#define RAW_PING_BYTES  64

struct raw_far {
	const struct bench *bench;
	uint16_t port_id;
	bool echoes;
	atomic_bool stop;
	atomic_uint_fast64_t bytes; /**< received */
	pthread_t thread;
};

void raw_far_begin(struct raw_far *far, const struct bench *bench, uint16_t port_id, unsigned cpu,
	bool echoes);

/** @return bytes received */
uint64_t raw_far_end(struct raw_far *far);

/** Round trips one after the other. @param ns receives `count` times */
void raw_ping(const struct bench *bench, uint16_t port_id, struct rte_mempool *pool, unsigned count,
	uint64_t *ns);

/** Frames as fast as the port takes them. @return bytes sent a second */
double raw_pour(
	const struct bench *bench, uint16_t port_id, struct rte_mempool *pool, uint64_t frames);

#endif
