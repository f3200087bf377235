/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of DPDK's telemetry socket. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_telemetry.h>

#include "base/err.h"
#include "table/rcu.h"
#include "telemetry/telemetry.h"

/* ---------------------------------------------------------------------------- parameters --- */

/* The number of a worker. @return -1: there is no such */
static int worker_of(const struct weir_store *store, const char *params)
{
	unsigned long number;
	char *end;

	if (params == NULL || params[0] < '0' || params[0] > '9')
		return -1;
	number = strtoul(params, &end, 10);
	return *end == '\0' && number < weir_store_conf(store)->workers_count ? (int)number : -1;
}

/* ------------------------------------------------------------------------------- replies --- */

static void put_metrics(
	struct rte_tel_data *data, enum weir_metric_group group, const void *figures)
{
	unsigned count;
	const struct weir_metric *metrics = weir_metrics(group, &count);

	for (unsigned i = 0; i < count; i++)
		rte_tel_data_add_dict_u64(
			data, metrics[i].name, weir_metric_value(&metrics[i], figures));
}

/* Lists inside a reply. @return NULL where memory is short */
static struct rte_tel_data *names_begin(void)
{
	struct rte_tel_data *names = rte_tel_data_alloc();

	if (names != NULL)
		rte_tel_data_start_array(names, RTE_TEL_STRING_VAL);
	return names;
}

static int names_put(struct rte_tel_data *data, const char *name, struct rte_tel_data *names)
{
	int err = rte_tel_data_add_dict_container(data, name, names, 0);

	if (err != 0)
		rte_tel_data_free(names);
	return err;
}

/* ------------------------------------------------------------------------------ the node --- */

static int info(const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	const struct weir_store_conf *conf = weir_store_conf(store);
	struct weir_node_figures figures;

	weir_figures_node(store, &figures);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "weir_version", WEIR_VERSION);
	rte_tel_data_add_dict_int(data, "process_id", (int)getpid());
	rte_tel_data_add_dict_string(data, "node", conf->tenure.self.id);
	rte_tel_data_add_dict_string(data, "cluster", conf->cluster);
	rte_tel_data_add_dict_string(data, "socket", conf->tenure.self.socket);
	put_metrics(data, WEIR_METRICS_NODE, &figures);
	return 0;
}

static int node_list(const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	struct weir_node nodes[WEIR_NODES_MAX];
	unsigned count = weir_store_nodes(store, nodes, WEIR_NODES_MAX);

	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	for (unsigned i = 0; i < count; i++)
		rte_tel_data_add_array_string(data, nodes[i].id);
	return 0;
}

static int peer_list(const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	struct weir_node nodes[WEIR_NODES_MAX];
	unsigned count = weir_store_nodes(store, nodes, WEIR_NODES_MAX);

	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	for (unsigned i = 1; i < count; i++)
		if (nodes[i].live)
			rte_tel_data_add_array_string(data, nodes[i].id);
	return 0;
}

/* The place of a node in the list; -1: there is none of this name. */
static int place_of(const struct weir_node *nodes, unsigned count, const char *name)
{
	for (unsigned i = 0; name != NULL && i < count; i++)
		if (strcmp(nodes[i].id, name) == 0)
			return (int)i;
	return -1;
}

static int peer_stats(const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	struct weir_peer_stats stats;

	if (params == NULL || weir_store_peer_stats(store, params, &stats) != 0)
		return -EINVAL;
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "node", params);
	put_metrics(data, WEIR_METRICS_PEER, &stats);
	return 0;
}

static int tenure_stats(
	const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	struct weir_tenure_stats stats;

	weir_store_tenure_stats(store, &stats);
	rte_tel_data_start_dict(data);
	put_metrics(data, WEIR_METRICS_TENURE, &stats);
	return 0;
}

static void node_put(struct rte_tel_data *data, const struct weir_node *node)
{
	char address[32];

	snprintf(address, sizeof(address), "%u.%u.%u.%u:%u", node->ipv4 >> 24,
		node->ipv4 >> 16 & 255, node->ipv4 >> 8 & 255, node->ipv4 & 255, node->udp_port);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "node", node->id);
	rte_tel_data_add_dict_int(data, "live", node->live);
	rte_tel_data_add_dict_u64(data, "incarnation", node->incarnation);
	rte_tel_data_add_dict_string(data, "socket", node->socket);
	rte_tel_data_add_dict_string(data, "address", node->udp_port != 0 ? address : "");
	rte_tel_data_add_dict_int(data, "workers", node->workers_count);
	rte_tel_data_add_dict_int(data, "protocol", node->protocol);
}

static int node_info(const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	struct weir_node nodes[WEIR_NODES_MAX];
	int place = place_of(nodes, weir_store_nodes(store, nodes, WEIR_NODES_MAX), params);

	if (place < 0)
		return -EINVAL;
	node_put(data, &nodes[place]);
	return 0;
}

/* ------------------------------------------------------------------------------- devices --- */

struct page {
	const char *after; /* the last name of the page before; NULL: from the first */
	const char *last;
	struct rte_tel_data *names;
	size_t bytes;
	unsigned count;
	bool more;
};

/* What a name takes in JSON at most, its quotes and comma counted. */
static size_t json_bytes(const char *name)
{
	size_t bytes = sizeof("\"\",") - 1;

	for (; *name != '\0'; name++)
		bytes += *name == '"' || *name == '\\' ? 2 : 1;
	return bytes;
}

static bool page_visit(void *ctx, const struct weir_device *device)
{
	const char *name = weir_device_name(device);
	struct page *page = ctx;

	if (page->after != NULL && strcmp(name, page->after) <= 0)
		return true;
	page->bytes += json_bytes(name);
	page->more =
		page->bytes > WEIR_TELEMETRY_PAGE_BYTES || page->count == WEIR_TELEMETRY_PAGE_NAMES;
	if (page->more)
		return false;
	rte_tel_data_add_array_string(page->names, name);
	page->last = name;
	page->count++;
	return true;
}

static int device_list(
	const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	struct page page = {.after = params, .names = names_begin()};

	if (page.names == NULL)
		return -ENOMEM;
	weir_store_devices(store, page_visit, &page);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "cursor", page.more ? page.last : "");
	return names_put(data, "devices", page.names);
}

static int copies_put(struct rte_tel_data *data, const struct weir_record *record)
{
	struct rte_tel_data *backups = names_begin(), *insync = names_begin();

	if (backups == NULL || insync == NULL) {
		rte_tel_data_free(backups);
		rte_tel_data_free(insync);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < record->backups_count; i++)
		rte_tel_data_add_array_string(backups, record->backups[i]);
	for (unsigned i = 0; i < record->insync_count; i++)
		rte_tel_data_add_array_string(insync, record->insync[i].node);
	names_put(data, "backups", backups);
	return names_put(data, "insync", insync);
}

static int device_info(
	const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	const struct weir_device *device =
		params != NULL ? weir_store_device(store, params, strlen(params)) : NULL;
	struct weir_device_status status;
	char content[32];

	if (device == NULL)
		return -EINVAL;
	weir_device_status(store, device, &status);
	snprintf(content, sizeof(content), "0x%016llx", (unsigned long long)status.content);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "device", weir_device_name(device));
	rte_tel_data_add_dict_string(data, "role", weir_role_name(status.role));
	rte_tel_data_add_dict_u64(data, "term", status.term);
	rte_tel_data_add_dict_u64(data, "active", status.active);
	rte_tel_data_add_dict_string(data, "master", status.record.master.node);
	rte_tel_data_add_dict_u64(data, "flows", status.flows);
	rte_tel_data_add_dict_string(data, "content", content);
	rte_tel_data_add_dict_u64(data, "revision", status.revision);
	rte_tel_data_add_dict_int(data, "open", status.open);
	return copies_put(data, &status.record);
}

/* ------------------------------------------------------------------------------- workers --- */

static int worker_list(
	const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	unsigned count = weir_store_conf(store)->workers_count;

	rte_tel_data_start_array(data, RTE_TEL_INT_VAL);
	for (unsigned i = 0; i < count; i++)
		rte_tel_data_add_array_int(data, (int)i);
	return 0;
}

static int worker_metrics(const struct weir_store *store, const char *params,
	enum weir_metric_group group, struct rte_tel_data *data)
{
	int worker = worker_of(store, params);
	struct weir_worker_figures figures;

	if (worker < 0)
		return -EINVAL;
	weir_figures_worker(store, (unsigned)worker, &figures);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_int(data, "worker", worker);
	put_metrics(data, group, &figures);
	return 0;
}

static int worker_stats(
	const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	return worker_metrics(store, params, WEIR_METRICS_WORKER, data);
}

static int link_stats(const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	return worker_metrics(store, params, WEIR_METRICS_LINK, data);
}

static int metric_list(
	const struct weir_store *store, const char *params, struct rte_tel_data *data)
{
	rte_tel_data_start_dict(data);
	for (unsigned group = 0; group < WEIR_METRIC_GROUPS; group++) {
		unsigned count;
		const struct weir_metric *metrics = weir_metrics(group, &count);

		for (unsigned i = 0; i < count; i++) {
			bool counter = metrics[i].kind == WEIR_METRIC_COUNTER;
			char text[RTE_TEL_MAX_STRING_LEN];

			snprintf(text, sizeof(text), "%s: %s", counter ? "counter" : "gauge",
				metrics[i].help);
			rte_tel_data_add_dict_string(data, metrics[i].name, text);
		}
	}
	return 0;
}

/* ------------------------------------------------------------------------------ commands --- */

static const struct command {
	const char *name;
	int (*fill)(const struct weir_store *store, const char *params, struct rte_tel_data *data);
	const char *help;
} commands[] = {
	{"/weir/info", info, "This node and its figures. No parameters"},
	{"/weir/node/list", node_list, "Nodes of the cluster, this one first. No parameters"},
	{"/weir/node/info", node_info, "One node. Parameters: node"},
	{"/weir/peer/list", peer_list, "Other nodes that are alive. No parameters"},
	{"/weir/peer/stats", peer_stats,
		"What passes between this node and another. Parameters: node"},
	{"/weir/tenure/stats", tenure_stats, "Leases, terms, changes of records. No parameters"},
	{"/weir/device/list", device_list,
		"Devices by name, a page. Parameters: none, or the cursor of the page before"},
	{"/weir/device/info", device_info, "One device as this node sees it. Parameters: device"},
	{"/weir/worker/list", worker_list, "Workers of this node. No parameters"},
	{"/weir/worker/stats", worker_stats, "Figures of one worker. Parameters: int worker"},
	{"/weir/link/stats", link_stats,
		"Figures of one worker's link to its peers. Parameters: int worker"},
	{"/weir/metric/list", metric_list, "What each figure means. No parameters"},
};

/* DPDK 22.11 hands a command nothing but its name: what it is asked about stands here. */
static struct {
	pthread_mutex_t lock;
	const struct weir_store *store; /* NULL: none */
	unsigned registered;            /* commands that DPDK has */
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct command *command_find(const char *name)
{
	for (unsigned i = 0; i < RTE_DIM(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* In a thread of DPDK's. */
static int answer(const char *name, const char *params, struct rte_tel_data *data)
{
	const struct command *command = command_find(name);
	int err = -ENODEV;

	pthread_mutex_lock(&shown.lock);
	if (shown.store != NULL && command != NULL) {
		weir_rcu_register();
		err = command->fill(shown.store, params, data);
		weir_rcu_unregister();
	}
	pthread_mutex_unlock(&shown.lock);
	return err;
}

int weir_telemetry_start(const struct weir_store *store)
{
	int err = 0;

	pthread_mutex_lock(&shown.lock);
	for (; err == 0 && shown.registered < RTE_DIM(commands); shown.registered += err == 0)
		err = rte_telemetry_register_cmd(
			commands[shown.registered].name, answer, commands[shown.registered].help);
	if (err != 0)
		err = WEIR_BUSY;
	else if (shown.store != NULL)
		err = WEIR_EXISTS;
	else
		shown.store = store;
	pthread_mutex_unlock(&shown.lock);
	return err;
}

void weir_telemetry_stop(void)
{
	pthread_mutex_lock(&shown.lock);
	shown.store = NULL;
	pthread_mutex_unlock(&shown.lock);
}
