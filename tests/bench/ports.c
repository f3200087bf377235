/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "ports.h"

#define RING_SIZE   4096
#define DESCRIPTORS 1024
#define POOL_CACHE  256

struct rte_mempool *ports_pool(const struct bench *bench, unsigned mbufs)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"frames", mbufs, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);

	bench_check(bench, pool != NULL);
	return pool;
}

void ports_start(const struct bench *bench, struct rte_mempool *pool, uint16_t port_id)
{
	const struct rte_eth_conf conf = {0};
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;

	bench_check(bench, rte_eth_dev_configure(port_id, 1, 1, &conf) == 0);
	bench_check(bench, rte_eth_dev_adjust_nb_rx_tx_desc(port_id, &rx, &tx) == 0);
	bench_check(bench, rte_eth_rx_queue_setup(port_id, 0, rx, 0, NULL, pool) == 0);
	bench_check(bench, rte_eth_tx_queue_setup(port_id, 0, tx, 0, NULL) == 0);
	bench_check(bench, rte_eth_dev_start(port_id) == 0);
}

void ports_join(const struct bench *bench, struct rte_mempool *pool, uint16_t port_ids[2])
{
	static const unsigned flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
	struct rte_ring *there = rte_ring_create("there", RING_SIZE, 0, flags);
	struct rte_ring *back = rte_ring_create("back", RING_SIZE, 0, flags);
	int ports[2];

	bench_check(bench, there != NULL && back != NULL);
	ports[0] = rte_eth_from_rings("a", &back, 1, &there, 1, 0);
	ports[1] = rte_eth_from_rings("b", &there, 1, &back, 1, 0);
	for (unsigned i = 0; i < 2; i++) {
		bench_check(bench, ports[i] >= 0);
		port_ids[i] = (uint16_t)ports[i];
		ports_start(bench, pool, port_ids[i]);
	}
}
