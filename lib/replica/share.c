/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replica/state.h"

#define SLOTS_MIN 64U

unsigned weir_bucket_set_next(const struct bucket_set *set, unsigned from)
{
	while (from < WEIR_BUCKETS) {
		uint64_t word = set->words[from / 64] >> from % 64;

		if (word != 0)
			return from + (unsigned)__builtin_ctzll(word);
		from = (from / 64 + 1) * 64;
	}
	return WEIR_BUCKETS;
}

struct share *weir_share_find(struct weir_replica *r, uint64_t key)
{
	if (r->last != NULL && r->last->key == key)
		return r->last;
	if (r->slots_count == 0)
		return NULL;
	for (unsigned i = (unsigned)key & (r->slots_count - 1); r->slots[i] != NULL;
		i = (i + 1) & (r->slots_count - 1))
		if (r->slots[i]->key == key)
			return r->last = r->slots[i];
	return NULL;
}

/** Fetches what a write to the device looks at in its share; a hint. */
void weir_share_prefetch(const struct weir_replica *r, uint64_t key)
{
	const struct share *share;

	if (r->slots_count == 0)
		return;
	share = r->slots[(unsigned)key & (r->slots_count - 1)];
	if (share == NULL)
		return;
	__builtin_prefetch(share);
	__builtin_prefetch(&share->joins);
	__builtin_prefetch(&share->view.term);
}

static void place(struct share **slots, unsigned slots_count, struct share *share)
{
	unsigned i = (unsigned)share->key & (slots_count - 1);

	while (slots[i] != NULL)
		i = (i + 1) & (slots_count - 1);
	slots[i] = share;
}

static bool grow(struct weir_replica *r)
{
	unsigned count = r->slots_count == 0 ? SLOTS_MIN : r->slots_count * 2;
	struct share **slots = calloc(count, sizeof(struct share *));

	if (slots == NULL)
		return false;
	for (unsigned i = 0; i < r->slots_count; i++)
		if (r->slots[i] != NULL)
			place(slots, count, r->slots[i]);
	free(r->slots);
	r->slots = slots;
	r->slots_count = count;
	r->checked = count; /* who has changed places is compared in the next round */
	return true;
}

/** The share of a device, made at its first sight; NULL: too many devices or memory is short. */
struct share *weir_share_make(struct weir_replica *r, uint64_t key)
{
	struct share *share = weir_share_find(r, key);
	struct weir_table *table;

	if (share != NULL)
		return share;
	if (r->shares_count >= WEIR_DEVICES_MAX ||
		(r->shares_count * 2 >= r->slots_count && !grow(r)))
		return NULL;
	table = r->ops.table(r->ctx, key);
	share = table != NULL ? calloc(1, sizeof(*share)) : NULL;
	if (share == NULL)
		return NULL;
	share->key = key;
	share->table = table;
	share->promised_peer = WEIR_NO_PEER;
	share->queue_tail = &share->queue_head;
	TAILQ_INIT(&share->pending);
	TAILQ_INIT(&share->unmet);
	place(r->slots, r->slots_count, share);
	r->shares_count++;
	return share;
}

void weir_share_free(struct weir_replica *r, struct share *share)
{
	weir_share_step_down(r, share);
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		if (r->own & 1U << shard)
			weir_table_clear_shard(share->table, r->conf.mem, shard);
	free(share->synced_shards);
	free(share->gift);
	free(share);
}

void weir_share_work(struct weir_replica *r, struct share *share)
{
	if (share->working)
		return;
	share->working = true;
	TAILQ_INSERT_TAIL(&r->work, share, link);
}

/** A task is not answered: from now on its deadline is looked at. */
void weir_share_waits(struct weir_replica *r, struct share *share)
{
	if (share->waiting)
		return;
	share->waiting = true;
	TAILQ_INSERT_TAIL(&r->waits, share, wait_link);
}

bool weir_share_leads(const struct share *share)
{
	return share->phase != PHASE_IDLE;
}

/** From now on nothing of a lower term is applied, acknowledged or read (guarantees B, F). */
void weir_share_promise(struct weir_replica *r, struct share *share, uint64_t term, uint8_t peer)
{
	weir_assert(term >= share->promised);
	if (term > share->promised) {
		weir_table_fence_raise(share->table, term);
		if (weir_share_leads(share) && share->view.term < term)
			weir_share_step_down(r, share);
		free(share->gift);
		share->gift = NULL;
	}
	share->promised = term;
	share->promised_peer = peer;
}

/** Ends leadership: what waits was not begun, what was begun has an unknown fate. */
void weir_share_step_down(struct weir_replica *r, struct share *share)
{
	share->phase = PHASE_IDLE;
	/* Before writes are given up: they move no more then, though copies lack them. */
	weir_share_firm(r, share);
	weir_settle_end(r, share);
	if (WEIR_DEFECT(TASK_DROPPED) && share->queue_head != NULL) {
		r->stats.queued_now -= share->queue_count;
		share->queue_count = 0;
		share->queue_head = NULL;
		share->queue_tail = &share->queue_head;
	}
	if (!WEIR_DEFECT(B5))
		weir_master_queue_fail(r, share, WEIR_NOTMASTER);
	if (WEIR_DEFECT(RELEASE_ON_STEP_DOWN))
		weir_joins_drop(r, share);
	weir_master_pending_fail(r, share);
	weir_joins_drop(r, share);
}

/** Says to readers whether all that is not in motion here is on all in-sync copies (E). */
void weir_share_firm(struct weir_replica *r, struct share *share)
{
	bool firm = share->phase == PHASE_ACTIVE;

	for (unsigned i = 0; i < share->joins_count; i++)
		firm &= !share->joins[i]->must || share->joins[i]->state == JOIN_EQUAL;
	if (firm == share->firm)
		return;
	share->firm = firm;
	weir_table_firm_set(share->table, r->own, firm);
}

/** A copy has shown a promise that this share's term does not meet: it needs one above `term`. */
void weir_share_deposed(struct weir_replica *r, struct share *share, uint64_t term)
{
	weir_log(WEIR_ROOM_REPLICA, WEIR_LOG_NOTICE,
		"device %016" PRIx64 ": term %" PRIu64 " is over, a copy takes none up to %" PRIu64,
		share->key, share->view.term, term);
	share->overtaken = term;
	weir_share_step_down(r, share);
	weir_share_report(r, share, WEIR_REPORT_DEPOSED, term, WEIR_NO_PEER, 0);
}

void weir_share_report(struct weir_replica *r, const struct share *share,
	enum weir_report_kind kind, uint64_t term, uint8_t peer, uint32_t attempt)
{
	struct weir_report report = {
		.kind = (uint8_t)kind,
		.peer = peer,
		.worker = (uint8_t)r->conf.worker,
		.attempt = attempt,
		.device_key = share->key,
		.term = term,
	};

	r->done++;
	r->ops.report(r->ctx, &report);
}

struct weir_shard_digest weir_share_sum(const struct share *share, uint32_t shards)
{
	struct weir_shard_digest total = {0};

	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		struct weir_shard_digest one;

		if ((shards & 1U << shard) == 0)
			continue;
		one = weir_table_shard_digest(share->table, shard);
		total.sum += one.sum;
		total.count += one.count;
	}
	return total;
}

/** The least over these shards. */
uint64_t weir_share_synced(const struct share *share, uint32_t shards)
{
	uint64_t least = UINT64_MAX;

	if (share->synced_shards == NULL)
		return shards != 0 ? share->synced : UINT64_MAX;
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		if ((shards & 1U << shard) != 0 && share->synced_shards[shard] < least)
			least = share->synced_shards[shard];
	return least;
}

/** @return false: memory is short, it is left as it was */
bool weir_share_synced_set(
	struct weir_replica *r, struct share *share, uint32_t shards, uint64_t term)
{
	if (shards == r->own || WEIR_DEFECT(SYNCED_A_WORKER)) {
		free(share->synced_shards);
		share->synced_shards = NULL;
		share->synced = term;
		return true;
	}
	if (share->synced_shards == NULL) {
		share->synced_shards = malloc(WEIR_SHARDS * sizeof(*share->synced_shards));
		if (share->synced_shards == NULL)
			return false;
		for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
			share->synced_shards[shard] = share->synced;
	}
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		if (shards & 1U << shard)
			share->synced_shards[shard] = term;
	return true;
}
