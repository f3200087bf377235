/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The replication port: found, given a queue pair for each worker, started.
 */
#ifndef WEIR_NODE_PORT_H
#define WEIR_NODE_PORT_H

#include <stdint.h>

#include "settings.h"

struct rte_mempool;

struct weir_port {
	uint16_t id; /**< WEIR_NO_PORT: none */
	struct rte_mempool *pool;
};

/** @return 0, or WEIR_ERR with a sentence on standard error */
int weir_port_open(
	struct weir_port *port, const struct weir_settings *settings, unsigned workers_count);

void weir_port_close(struct weir_port *port);

#endif
