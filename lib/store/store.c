/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_ethdev.h>

#include "store/internal.h"
#include "wire/wire.h"

/* ------------------------------------------------------------------------------- making --- */

static bool conf_sound(const struct weir_store_conf *conf)
{
	const char *fault = NULL;

	if (conf->workers_count < 1 || conf->workers_count > WEIR_WORKERS_MAX ||
		!rte_is_power_of_2(conf->workers_count))
		fault = "the number of workers must be a power of two, 32 at most";
	else if (conf->tenure.self.id[0] == '\0' || conf->cluster[0] == '\0')
		fault = "node and cluster need a name";
	else if (conf->port_id != WEIR_NO_PORT && !rte_eth_dev_is_valid_port(conf->port_id))
		fault = "there is no such port";
	else if (conf->port_id != WEIR_NO_PORT && conf->pool == NULL)
		fault = "a port needs a pool of mbufs";
	else if (conf->idle_sleep_max_us < 1 || conf->idle_sleep_max_us >= 1000000)
		fault = "the longest sleep must be 1 us at least and shorter than a second";
	if (fault != NULL)
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_ERR, "%s", fault);
	return fault == NULL;
}

/* What other nodes are to know of this one. */
static void self_complete(struct weir_store_conf *conf)
{
	struct weir_node *self = &conf->tenure.self;
	struct rte_ether_addr mac;

	if (conf->port_id != WEIR_NO_PORT && rte_eth_macaddr_get(conf->port_id, &mac) == 0)
		memcpy(self->mac, mac.addr_bytes, sizeof(self->mac));
	self->ipv4 = conf->ipv4;
	self->udp_port = conf->udp_port;
	self->workers_count = (uint8_t)conf->workers_count;
	self->buckets_count = WEIR_BUCKETS;
	self->protocol = WEIR_WIRE_VERSION;
	conf->tenure.workers_count = conf->workers_count;
}

static int build(struct weir_store *store)
{
	pthread_mutex_init(&store->gates_lock, NULL);
	pthread_mutex_init(&store->sweep_lock, NULL);
	store->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	store->company = calloc(1, sizeof(*store->company));
	if (store->wake_fd < 0 || store->company == NULL || weir_registry_init(&store->registry))
		return WEIR_BUSY;
	for (unsigned i = 0; i < store->conf.workers_count; i++)
		if (weir_worker_init(&store->workers[i], store, i) != 0)
			return WEIR_BUSY;
	return 0;
}

struct weir_store *weir_store_create(const struct weir_store_conf *conf)
{
	struct weir_store *store;
	size_t bytes;

	if (!conf_sound(conf))
		return NULL;
	bytes = sizeof(*store) + conf->workers_count * sizeof(store->workers[0]);
	store = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(bytes, WEIR_CACHE_LINE));
	if (store == NULL)
		return NULL;
	memset(store, 0, bytes);
	store->conf = *conf;
	self_complete(&store->conf);
	weir_store_idle_set(store, conf->idle, conf->idle_sleep_max_us);
	if (build(store) != 0) {
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_ERR, "no memory for a node of %u workers",
			conf->workers_count);
		weir_store_destroy(store);
		return NULL;
	}
	return store;
}

void weir_store_destroy(struct weir_store *store)
{
	if (store == NULL)
		return;
	weir_assert(store->gates_open == 0);
	/* The workers' memory waits for readers, as an owner that is a reader itself. */
	weir_rcu_register();
	for (unsigned i = 0; i < store->conf.workers_count; i++)
		weir_worker_free(&store->workers[i]);
	weir_rcu_unregister();
	/* What call_rcu still has of ours is ours until it has run. */
	weir_rcu_barrier();
	weir_registry_free(&store->registry);
	free(store->company);
	if (store->wake_fd >= 0)
		close(store->wake_fd);
	pthread_mutex_destroy(&store->gates_lock);
	pthread_mutex_destroy(&store->sweep_lock);
	free(store);
}

/* ------------------------------------------------------------------------------ stopping --- */

void weir_store_stop(struct weir_store *store)
{
	uint64_t running = 0;

	if (!atomic_compare_exchange_strong(
		    &store->stop_by_ns, &running, weir_clock_ns() + WEIR_STOP_GRACE_NS))
		return;
	atomic_store(&store->lease_ns, 0);
	weir_wake(store->wake_fd);
	pthread_mutex_lock(&store->gates_lock);
	for (unsigned i = 0; i < WEIR_GATES_MAX; i++)
		if (store->gates[i] != NULL)
			weir_wake(store->gates[i]->wake_fd);
	pthread_mutex_unlock(&store->gates_lock);
}

bool weir_store_stopping(const struct weir_store *store)
{
	return atomic_load_explicit(&store->stop_by_ns, memory_order_acquire) != 0;
}

/* ------------------------------------------------------------------------------- asking --- */

void weir_store_idle_set(struct weir_store *store, enum weir_idle idle, uint32_t sleep_max_us)
{
	atomic_store_explicit(&store->idle, idle, memory_order_relaxed);
	atomic_store_explicit(&store->idle_sleep_max_us, sleep_max_us, memory_order_relaxed);
}

const struct weir_store_conf *weir_store_conf(const struct weir_store *store)
{
	return &store->conf;
}

uint64_t weir_store_lease_ns(const struct weir_store *store)
{
	uint64_t until_ns = atomic_load_explicit(&store->lease_ns, memory_order_acquire);
	uint64_t now_ns = weir_clock_ns();

	return until_ns > now_ns ? until_ns - now_ns : 0;
}
