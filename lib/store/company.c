/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

static void company_free(struct rcu_head *rcu)
{
	weir_rcu_callback_begins();
	free(caa_container_of(rcu, struct weir_company, rcu));
}

void weir_company_publish(struct weir_store *store)
{
	struct weir_company *old = store->company, *company = malloc(sizeof(*company));

	/* Without the news workers would go on with dead peers: nothing good comes of that. */
	weir_assert(company != NULL);
	store->control.company.version++;
	*company = store->control.company;
	weir_rcu_publish(store->company, company);
	atomic_store_explicit(&store->company_version, company->version, memory_order_release);
	weir_rcu_call(&old->rcu, company_free);
}

const struct weir_company *weir_company_now(const struct weir_store *store)
{
	return weir_rcu_load(store->company);
}

unsigned weir_store_nodes(const struct weir_store *store, struct weir_node *nodes, unsigned room)
{
	const struct weir_company *company = weir_company_now(store);
	unsigned count = 0;

	for (unsigned i = 0; i < company->nodes_count && count < room; i++)
		if (!company->nodes[i].forgotten || company->nodes[i].live)
			nodes[count++] = company->nodes[i];
	return count;
}
