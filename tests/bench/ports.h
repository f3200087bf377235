/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Ports to measure over, of one queue pair each. */
#ifndef BENCH_PORTS_H
#define BENCH_PORTS_H

#include "bench.h"

struct rte_mempool;

struct rte_mempool *ports_pool(const struct bench *bench, unsigned mbufs);

/** Two ports in this process: what one sends the other receives. @param name short, used once */
void ports_join(const struct bench *bench, struct rte_mempool *pool, const char *name,
	uint16_t port_ids[2]);

/** Configures and starts a port. */
void ports_start(const struct bench *bench, struct rte_mempool *pool, uint16_t port_id);

#endif
