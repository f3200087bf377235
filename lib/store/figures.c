/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures of tenure and of peers, as other threads may read them. */
#include <string.h>

#include "store/internal.h"

void weir_tenure_show(struct weir_store *store)
{
	struct weir_tenure_stats stats;
	uint64_t words[RTE_DIM(store->tenure_shown)];

	if (store->control.tenure == NULL)
		return;
	weir_tenure_stats(store->control.tenure, &stats);
	memcpy(words, &stats, sizeof(words));
	for (unsigned i = 0; i < RTE_DIM(words); i++)
		atomic_store_explicit(&store->tenure_shown[i], words[i], memory_order_relaxed);
}

void weir_store_tenure_stats(const struct weir_store *store, struct weir_tenure_stats *stats)
{
	uint64_t words[RTE_DIM(store->tenure_shown)];

	for (unsigned i = 0; i < RTE_DIM(words); i++)
		words[i] = atomic_load_explicit(&store->tenure_shown[i], memory_order_relaxed);
	memcpy(stats, words, sizeof(*stats));
}

static uint64_t read_of(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The number of another node; WEIR_NODES_MAX: there is none of this name. */
static unsigned peer_of(const struct weir_store *store, const char *node)
{
	const struct weir_company *company = weir_company_now(store);

	for (unsigned peer = 1; peer < company->nodes_count; peer++)
		if (strcmp(company->nodes[peer].id, node) == 0)
			return peer;
	return WEIR_NODES_MAX;
}

int weir_store_peer_stats(
	const struct weir_store *store, const char *node, struct weir_peer_stats *stats)
{
	unsigned peer = peer_of(store, node);

	*stats = (struct weir_peer_stats){0};
	if (peer == WEIR_NODES_MAX)
		return WEIR_NOTFOUND;
	for (unsigned i = 0; i < store->conf.workers_count; i++) {
		const struct weir_peer_shown *shown = &store->workers[i].peers[peer];

		stats->sessions += read_of(&shown->sessions);
		stats->sessions_now += read_of(&shown->sessions_now);
		stats->tx_messages += read_of(&shown->tx_messages);
		stats->tx_bytes += read_of(&shown->tx_bytes);
		stats->rx_messages += read_of(&shown->rx_messages);
		stats->rx_bytes += read_of(&shown->rx_bytes);
	}
	return 0;
}
