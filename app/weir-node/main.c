/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * weir-node: one node of the cluster. What happens, and in which order.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <rte_common.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <urcu/urcu-qsbr.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "coord/redis/redis.h"
#include "coord/solo/solo.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

#include "arguments.h"
#include "complain.h"
#include "logging.h"
#include "port.h"
#include "settings.h"

struct worker_start {
	struct weir_store *store;
	unsigned number;
};

struct node {
	struct weir_arguments arguments;
	struct weir_settings settings;
	cpu_set_t cpus; /* where the process may run: EAL binds this thread to one of them */
	unsigned workers_count;
	struct weir_port port;
	struct event_base *base;
	struct event *signals[3];
	struct weir_store *store;
	struct weir_coord *coord;
	struct weir_api *api;
	struct worker_start starts[WEIR_WORKERS_MAX];
	bool leaving;
};

/* ------------------------------------------------------------------------------ the EAL --- */

static int start_eal(struct node *node)
{
	const struct weir_arguments *arguments = &node->arguments;

	CPU_ZERO(&node->cpus);
	sched_getaffinity(0, sizeof(node->cpus), &node->cpus);
	/* The reclaiming thread inherits its CPUs from the first that needs it: before EAL binds.
	 */
	urcu_qsbr_get_default_call_rcu_data();
	weir_logging_start();
	/* getopt, which EAL uses too, begins anew. */
	optind = 1;
	if (rte_eal_init(arguments->eal_count, arguments->eal) >= 0)
		return 0;
	weir_complain("EAL does not start with these arguments (%s); it says above why",
		rte_strerror(rte_errno));
	return WEIR_ERR;
}

static int count_workers(struct node *node)
{
	unsigned count = rte_lcore_count() - 1;

	node->workers_count = count;
	if (count == 0)
		weir_complain(
			"EAL has a main lcore only: give it one more for each worker, such as "
			"-l 0,1 or --lcores 0@0,1@1");
	else if (count > WEIR_WORKERS_MAX || !rte_is_power_of_2(count))
		weir_complain(
			"EAL has %u worker lcores: their number must be a power of two, %d at "
			"most",
			count, WEIR_WORKERS_MAX);
	else
		return 0;
	return WEIR_ERR;
}

/* Only a node that shares its devices needs a port. */
static int open_port(struct node *node)
{
	node->port.id = WEIR_NO_PORT;
	if (!weir_settings_shared(&node->settings))
		return 0;
	return weir_port_open(&node->port, &node->settings, node->workers_count);
}

/* ------------------------------------------------------------------------------ the store --- */

static int make_store(struct node *node)
{
	const struct weir_settings *settings = &node->settings;
	struct weir_store_conf conf = {
		.tenure = {.backup_count = (uint8_t)settings->backup_count,
			.lease_ms = settings->lease_ms,
			.join_grace_ms = settings->join_grace_ms,
			.leave_timeout_ms = settings->leave_timeout_ms,
			.unclean_takeover = settings->unclean_takeover},
		.workers_count = node->workers_count,
		.port_id = node->port.id,
		.mtu = (uint16_t)settings->port_mtu,
		.ipv4 = settings->port_ipv4,
		.udp_port = (uint16_t)settings->port_udp_port,
		.pool = node->port.pool,
		.idle = settings->idle_policy,
		.idle_sleep_max_us = settings->idle_sleep_max_us,
		.insync_timeout_ms = settings->insync_timeout_ms,
		.anti_entropy_period_ms = settings->anti_entropy_period_ms,
		.backup_period_ms = settings->backup_period_ms,
		.request_timeout_ms = settings->request_timeout_ms,
		.memory_bytes = (uint64_t)settings->per_worker_mb << 20,
	};

	strcpy(conf.cluster, settings->cluster);
	strcpy(conf.tenure.self.id, settings->node_id);
	strcpy(conf.tenure.self.socket, settings->api_socket);
	node->store = weir_store_create(&conf);
	return node->store != NULL ? 0 : WEIR_ERR;
}

static int connect_redis(struct node *node)
{
	const struct weir_settings *settings = &node->settings;
	char address[WEIR_SETTING_TEXT_MAX + 16], wrong[256] = "";
	struct weir_coord_redis_conf conf = {
		.address = address,
		.user = settings->redis_user,
		.password = settings->redis_password,
		.db = settings->redis_db,
		.cluster = settings->cluster,
		.timeout_ms = settings->redis_timeout_ms,
		.min_replicas = settings->redis_min_replicas,
		.sentinels = settings->redis_sentinels,
		.sentinel_master = settings->redis_sentinel_master,
	};
	bool bare_ipv6 =
		strchr(settings->redis_host, ':') != NULL && settings->redis_host[0] != '[';

	if (settings->redis_sentinels[0] != '\0')
		conf.address = NULL;
	else if (settings->redis_socket[0] != '\0')
		snprintf(address, sizeof(address), "%s", settings->redis_socket);
	else
		snprintf(address, sizeof(address), bare_ipv6 ? "[%s]:%u" : "%s:%u",
			settings->redis_host, settings->redis_port);
	node->coord = weir_coord_redis_create(
		&conf, node->base, &weir_store_coord_events, node->store, wrong, sizeof(wrong));
	if (node->coord == NULL)
		weir_complain("[redis]: %s", wrong);
	return node->coord != NULL ? 0 : WEIR_ERR;
}

static int connect_coordinator(struct node *node)
{
	if (weir_settings_shared(&node->settings))
		return connect_redis(node);
	node->coord =
		weir_coord_solo_create(node->base, NULL, &weir_store_coord_events, node->store);
	return node->coord != NULL ? 0 : WEIR_ERR;
}

static int run_worker(void *arg)
{
	struct worker_start *start = arg;

	return weir_store_worker_run(start->store, start->number);
}

static void launch_workers(struct node *node)
{
	unsigned lcore, number = 0;

	RTE_LCORE_FOREACH_WORKER (lcore) {
		struct worker_start *start = &node->starts[number];

		start->store = node->store;
		start->number = number++;
		weir_assert(rte_eal_remote_launch(run_worker, start, lcore) == 0);
	}
}

/* ------------------------------------------------------------------------------- clients --- */

/* Gateways keep off the workers' CPUs where there are others, and are not bound to ours. */
static void gateway_cpus(const struct node *node, cpu_set_t *cpus)
{
	cpu_set_t workers;
	unsigned lcore;

	CPU_ZERO(&workers);
	RTE_LCORE_FOREACH_WORKER (lcore) {
		cpu_set_t cpuset = rte_lcore_cpuset(lcore);

		CPU_OR(&workers, &workers, &cpuset);
	}
	CPU_AND(&workers, &workers, &node->cpus);
	CPU_XOR(cpus, &node->cpus, &workers);
	if (CPU_COUNT(cpus) == 0)
		*cpus = node->cpus;
}

static int start_gateways(struct node *node)
{
	const struct weir_settings *settings = &node->settings;
	struct weir_api_conf conf = {
		.socket = settings->api_socket,
		.socket_mode = settings->api_socket_mode,
		.request_timeout_ms = settings->request_timeout_ms,
		.gateways_count = settings->api_gateways,
	};
	cpu_set_t own, cpus;

	/* The threads that it starts inherit where this one may run. */
	sched_getaffinity(0, sizeof(own), &own);
	gateway_cpus(node, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	node->api = weir_api_start(&conf, node->store);
	sched_setaffinity(0, sizeof(own), &own);
	return node->api != NULL ? 0 : WEIR_ERR;
}

/* ------------------------------------------------------------------------------- signals --- */

static void on_stop(evutil_socket_t signal, short what, void *ctx)
{
	struct node *node = ctx;

	if (node->leaving)
		weir_store_stop(node->store);
	else
		weir_store_leave(node->store);
	node->leaving = true;
}

static void reload(struct node *node)
{
	const struct weir_arguments *arguments = &node->arguments;
	struct weir_settings settings;

	if (weir_settings_read(&settings, arguments->file, arguments->overrides,
		    arguments->overrides_count) > 0) {
		weir_log(WEIR_ROOM_NODE, WEIR_LOG_ERR,
			"the configuration has faults: all stays as it is");
		return;
	}
	for (unsigned i = 0; i < weir_keys_count; i++) {
		const struct weir_key *key = &weir_keys[i];

		if (!weir_settings_same(key, &settings, &node->settings))
			weir_log(WEIR_ROOM_NODE, WEIR_LOG_NOTICE, "[%s] %s has changed: %s",
				key->section, key->key,
				key->running ? "done" : "takes effect at the next start");
	}
	weir_store_idle_set(node->store, settings.idle_policy, settings.idle_sleep_max_us);
	if (settings.unclean_takeover != node->settings.unclean_takeover)
		weir_store_unclean_set(node->store, settings.unclean_takeover);
	node->settings.unclean_takeover = settings.unclean_takeover;
	node->settings.idle_policy = settings.idle_policy;
	node->settings.idle_sleep_max_us = settings.idle_sleep_max_us;
}

static void on_reload(evutil_socket_t signal, short what, void *ctx)
{
	weir_log(WEIR_ROOM_NODE, WEIR_LOG_NOTICE, "reading the configuration again");
	reload(ctx);
}

static int listen_signals(struct node *node)
{
	struct event_base *base = node->base;

	signal(SIGPIPE, SIG_IGN);
	node->signals[0] = evsignal_new(base, SIGTERM, on_stop, node);
	node->signals[1] = evsignal_new(base, SIGINT, on_stop, node);
	node->signals[2] = evsignal_new(base, SIGHUP, on_reload, node);
	for (unsigned i = 0; i < RTE_DIM(node->signals); i++)
		if (node->signals[i] == NULL || evsignal_add(node->signals[i], NULL) != 0)
			return WEIR_ERR;
	return 0;
}

static int make_loop(struct node *node)
{
	struct event_config *config = event_config_new();

	if (config != NULL) {
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
		node->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (node->base != NULL && listen_signals(node) == 0)
		return 0;
	weir_complain("no event loop can be made");
	return WEIR_ERR;
}

static void free_loop(struct node *node)
{
	for (unsigned i = 0; i < RTE_DIM(node->signals); i++)
		if (node->signals[i] != NULL)
			event_free(node->signals[i]);
	if (node->base != NULL)
		event_base_free(node->base);
}

/* -------------------------------------------------------------------------------- a life --- */

/* The store is there: it runs until it is told to stop, or the cluster refuses it. */
static int serve(struct node *node)
{
	int err;

	launch_workers(node);
	if (weir_telemetry_start(node->store) != 0)
		weir_log(WEIR_ROOM_NODE, WEIR_LOG_WARNING,
			"no memory to show figures on the EAL's telemetry socket");
	err = start_gateways(node);
	if (err == 0)
		err = weir_store_control_run(node->store, node->base, node->coord);
	weir_store_stop(node->store);
	weir_telemetry_stop();
	weir_api_stop(node->api);
	rte_eal_mp_wait_lcore();
	return err == 0 ? WEIR_EXIT_GOOD : WEIR_EXIT_FAILED;
}

static int run(struct node *node)
{
	int status = WEIR_EXIT_USAGE;

	if (start_eal(node) != 0)
		return WEIR_EXIT_USAGE;
	if (count_workers(node) != 0 || open_port(node) != 0)
		goto close;
	status = WEIR_EXIT_FAILED;
	if (make_loop(node) != 0 || make_store(node) != 0)
		goto free;
	if (connect_coordinator(node) == 0) {
		status = serve(node);
		node->coord->driver->destroy(node->coord);
	}
free:
	weir_store_destroy(node->store);
	free_loop(node);
close:
	weir_port_close(&node->port);
	rte_eal_cleanup();
	return status;
}

int main(int argc, char **argv)
{
	static struct node node = {.port.id = WEIR_NO_PORT};
	struct weir_arguments *arguments = &node.arguments;

	if (weir_arguments_read(argc, argv, arguments) != 0)
		return WEIR_EXIT_USAGE;
	if (arguments->help) {
		weir_arguments_help();
		return WEIR_EXIT_GOOD;
	}
	if (arguments->version) {
		puts("weir-node " WEIR_VERSION);
		return WEIR_EXIT_GOOD;
	}
	if (weir_settings_read(&node.settings, arguments->file, arguments->overrides,
		    arguments->overrides_count) > 0)
		return WEIR_EXIT_USAGE;
	if (arguments->check) {
		puts("configuration is good");
		return WEIR_EXIT_GOOD;
	}
	return run(&node);
}
