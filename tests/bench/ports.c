/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

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

static struct rte_ring *ring_make(const struct bench *bench, const char *name, const char *way)
{
	char whole[RTE_RING_NAMESIZE];
	struct rte_ring *ring;

	snprintf(whole, sizeof(whole), "%s %s", name, way);
	ring = rte_ring_create(whole, RING_SIZE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
	bench_check(bench, ring != NULL);
	return ring;
}

void ports_join(
	const struct bench *bench, struct rte_mempool *pool, const char *name, uint16_t port_ids[2])
{
	struct rte_ring *rings[2] = {
		ring_make(bench, name, "back"), ring_make(bench, name, "there")};

	for (unsigned i = 0; i < 2; i++) {
		char port[RTE_ETH_NAME_MAX_LEN];
		int id;

		snprintf(port, sizeof(port), "%s%u", name, i);
		id = rte_eth_from_rings(port, &rings[i], 1, &rings[1 - i], 1, 0);
		bench_check(bench, id >= 0);
		port_ids[i] = (uint16_t)id;
		ports_start(bench, pool, port_ids[i]);
	}
}
