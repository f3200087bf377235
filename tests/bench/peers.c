/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables that a user would take instead. */
#include <string.h>

#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "tables.h"

/* DPDK's, with lock-free readers. */

void rte_open(struct tables *tables)
{
	struct rte_hash_parameters params = {
		.name = "bench",
		.entries = (uint32_t)(tables->count + tables->count / 4),
		.key_len = KEY_BYTES,
		.hash_func = rte_hash_crc,
		.socket_id = (int)rte_socket_id(),
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};

	tables->hash = rte_hash_create(&params);
	tables->stored = rte_malloc("stored", tables->count * sizeof(*tables->stored), 64);
	bench_check(tables->bench, tables->hash != NULL && tables->stored != NULL);
	memcpy(tables->stored, tables->flows, tables->count * sizeof(*tables->stored));
}

void rte_close(struct tables *tables)
{
	rte_hash_free(tables->hash);
	rte_free(tables->stored);
}

void rte_put(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++) {
		/* The entry of this flow, wherever an order has put it: numbers stay. */
		struct flow *stored = &tables->stored[tables->flows[i].entry.created];

		bench_check(tables->bench,
			rte_hash_add_key_data(tables->hash, &tables->keys[i], &stored->entry) == 0);
	}
}

void rte_find(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++) {
		void *data;

		tables->misses += rte_hash_lookup_data(tables->hash, &tables->keys[i], &data) < 0;
	}
}

/** The same, and what a user of an entry does next: it reads something of it. */
void rte_find_entry(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++) {
		void *data = NULL;

		if (rte_hash_lookup_data(tables->hash, &tables->keys[i], &data) >= 0)
			tables->sum += ((struct weir_entry *)data)->rule.flow_id;
		else
			tables->misses++;
	}
}

void rte_find_bulk(struct tables *tables)
{
	const void *keys[BULK];
	void *data[BULK];

	for (uint64_t i = 0; i + BULK <= tables->count; i += BULK) {
		uint64_t hits = 0;

		for (unsigned k = 0; k < BULK; k++)
			keys[k] = &tables->keys[i + k];
		rte_hash_lookup_bulk_data(tables->hash, keys, BULK, &hits, data);
		tables->misses += hits != (1ULL << BULK) - 1;
	}
}

void rte_walk(struct tables *tables)
{
	const void *key;
	void *data;
	uint32_t next = 0;

	while (rte_hash_iterate(tables->hash, &key, &data, &next) >= 0)
		tables->sum += ((struct weir_entry *)data)->created;
}

void rte_remove(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++) {
		int32_t at = rte_hash_del_key(tables->hash, &tables->keys[i]);

		bench_check(tables->bench,
			at >= 0 && rte_hash_free_key_with_position(tables->hash, at) == 0);
	}
}

/* liburcu's, made large enough from the start. */

static int node_match(struct cds_lfht_node *node, const void *key)
{
	return memcmp(&caa_container_of(node, struct node, node)->key, key, KEY_BYTES) == 0;
}

static unsigned long key_hash(const struct key *key)
{
	return (unsigned long)flow_spread(rte_hash_crc(key, KEY_BYTES, 0));
}

static void lfht_put(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++) {
		struct node *node = &tables->nodes[i];

		node->key = tables->keys[i];
		cds_lfht_node_init(&node->node);
		cds_lfht_add_unique(
			tables->lfht, key_hash(&node->key), node_match, &node->key, &node->node);
	}
}

void lfht_open(struct tables *tables)
{
	unsigned long size = 1;

	while (size < tables->count)
		size *= 2;
	tables->lfht = cds_lfht_new_flavor(size, size, size, 0, &urcu_qsbr_flavor, NULL);
	tables->nodes = rte_malloc("lfht", tables->count * sizeof(*tables->nodes), 64);
	bench_check(tables->bench, tables->lfht != NULL && tables->nodes != NULL);
	lfht_put(tables);
}

void lfht_find(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++) {
		struct cds_lfht_iter iter;

		cds_lfht_lookup(tables->lfht, key_hash(&tables->keys[i]), node_match,
			&tables->keys[i], &iter);
		tables->misses += cds_lfht_iter_get_node(&iter) == NULL;
		if (i % TURN == 0)
			urcu_qsbr_quiescent_state();
	}
}

void lfht_close(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++)
		cds_lfht_del(tables->lfht, &tables->nodes[i].node);
	urcu_qsbr_synchronize_rcu();
	cds_lfht_destroy(tables->lfht, NULL);
	rte_free(tables->nodes);
}
