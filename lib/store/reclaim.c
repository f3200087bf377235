/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/internal.h"

#define NAMES_BYTES 160

/* Whether nothing of what waited has come back since the last look; takes note of what is seen. */
static bool stands_still(const struct weir_worker *worker, struct weir_mem_stats *seen)
{
	struct weir_mem_stats now;
	bool still;

	weir_mem_stats(worker->mem, &now);
	still = seen->waiting_bytes > 0 && now.waiting_bytes >= seen->waiting_bytes &&
		now.batches == seen->batches;
	*seen = now;
	return still;
}

static uint64_t waiting_bytes(struct weir_store *store, struct weir_reclaim *reclaim)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < store->conf.workers_count; i++)
		if (stands_still(&store->workers[i], &reclaim->seen[i]))
			bytes += reclaim->seen[i].waiting_bytes;
	return bytes;
}

void weir_reclaim_watch(struct weir_store *store, uint64_t now_ns)
{
	struct weir_reclaim *reclaim = &store->control.reclaim;
	char names[NAMES_BYTES];
	uint64_t bytes;
	unsigned count;

	if (now_ns - reclaim->looked_ns < WEIR_RECLAIM_WATCH_NS)
		return;
	reclaim->looked_ns = now_ns;
	bytes = waiting_bytes(store, reclaim);
	count = weir_rcu_watch(names, sizeof(names));
	if (bytes == 0 || count == 0 ||
		(reclaim->told_ns != 0 && now_ns - reclaim->told_ns < WEIR_RECLAIM_TELL_NS))
		return;
	reclaim->told_ns = now_ns;
	weir_log(WEIR_ROOM_STORE, WEIR_LOG_WARNING,
		"%llu bytes of freed memory wait for a reader that goes on reading: %s",
		(unsigned long long)bytes, names);
}
