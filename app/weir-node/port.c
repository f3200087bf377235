/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/err.h"
#include "store/store.h"

#include "complain.h"
#include "port.h"

#define DESCRIPTORS 1024

/* Beside what the queues hold: frames on the way, and those that came too early. */
#define WORKER_MBUFS 4096
#define POOL_CACHE   256

static int find(struct weir_port *port, const struct weir_settings *settings)
{
	const char *device = settings->port_device;

	if (device[0] == '\0') {
		port->id = (uint16_t)rte_eth_find_next(0);
		if (port->id < RTE_MAX_ETHPORTS)
			return 0;
		weir_complain("EAL has no port to replicate over: give it one with -a or --vdev, "
			      "such as --vdev=net_af_packet0,iface=eth1");
	} else {
		if (rte_eth_dev_get_port_by_name(device, &port->id) == 0)
			return 0;
		weir_complain("[port] device: EAL has no port '%s'; was it given with -a or "
			      "--vdev, and could it be probed?",
			device);
	}
	port->id = WEIR_NO_PORT;
	return WEIR_ERR;
}

static int check_queues(const char *device, const struct rte_eth_dev_info *info, unsigned workers)
{
	unsigned most = RTE_MIN(info->max_rx_queues, info->max_tx_queues);

	if (most >= workers)
		return 0;
	weir_complain(
		"port %s has %u queue pairs, and %u workers need one each: use fewer lcores%s",
		device, most, workers,
		strcmp(info->driver_name, "net_af_packet") == 0 ? ", or give the vdev qpairs=N"
								: "");
	return WEIR_ERR;
}

static int pool_make(struct weir_port *port, const struct weir_settings *settings, unsigned workers,
	unsigned descriptors)
{
	unsigned room =
		settings->port_mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + RTE_PKTMBUF_HEADROOM;
	unsigned count = workers * (descriptors + WORKER_MBUFS);

	room = RTE_MAX(room, (unsigned)RTE_MBUF_DEFAULT_BUF_SIZE);
	port->pool = rte_pktmbuf_pool_create("weir", count, POOL_CACHE, 0,
		(uint16_t)RTE_ALIGN_CEIL(room, RTE_CACHE_LINE_SIZE), (int)rte_socket_id());
	if (port->pool != NULL)
		return 0;
	weir_complain("no memory for %u frames of %u bytes (%s): give EAL more with -m", count,
		room, rte_strerror(rte_errno));
	return WEIR_ERR;
}

static void spread(struct rte_eth_conf *conf, const struct rte_eth_dev_info *info)
{
	uint64_t hash = info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);

	if (hash == 0)
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf = hash;
}

static int start(struct weir_port *port, const struct weir_settings *settings, unsigned workers,
	const struct rte_eth_dev_info *info)
{
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS, queues = (uint16_t)workers;
	struct rte_eth_conf conf = {0};
	int err;

	if (workers > 1)
		spread(&conf, info);
	err = rte_eth_dev_configure(port->id, queues, queues, &conf);
	if (err == 0)
		err = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);
	if (err == 0 && pool_make(port, settings, workers, rx + tx) != 0)
		return WEIR_ERR;
	for (uint16_t queue = 0; queue < queues && err == 0; queue++) {
		int socket = rte_eth_dev_socket_id(port->id);

		err = rte_eth_rx_queue_setup(
			port->id, queue, rx, (unsigned)socket, NULL, port->pool);
		if (err == 0)
			err = rte_eth_tx_queue_setup(port->id, queue, tx, (unsigned)socket, NULL);
	}
	if (err == 0)
		err = rte_eth_dev_set_mtu(port->id, (uint16_t)settings->port_mtu);
	if (err == 0 || err == -ENOTSUP)
		err = rte_eth_dev_start(port->id);
	if (err == 0)
		return 0;
	weir_complain("the port with %u queue pairs and mtu %u cannot be started: %s", workers,
		settings->port_mtu, rte_strerror(-err));
	return WEIR_ERR;
}

int weir_port_open(
	struct weir_port *port, const struct weir_settings *settings, unsigned workers_count)
{
	struct rte_eth_dev_info info;
	char name[RTE_ETH_NAME_MAX_LEN] = "";

	port->pool = NULL;
	if (find(port, settings) != 0)
		return WEIR_ERR;
	rte_eth_dev_get_name_by_port(port->id, name);
	if (rte_eth_dev_info_get(port->id, &info) != 0) {
		weir_complain("port %s says nothing about itself", name);
		return WEIR_ERR;
	}
	if (check_queues(name, &info, workers_count) != 0)
		return WEIR_ERR;
	return start(port, settings, workers_count, &info);
}

void weir_port_close(struct weir_port *port)
{
	if (port->id == WEIR_NO_PORT)
		return;
	rte_eth_dev_stop(port->id);
	rte_eth_dev_close(port->id);
	rte_mempool_free(port->pool);
	port->id = WEIR_NO_PORT;
}
