/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "replica/state.h"

/* The answer to a question for digests of so many shards, at most. */
static uint32_t digests_bytes(uint32_t shards)
{
	return (uint32_t)__builtin_popcount(shards) * WEIR_WIRE_DIGESTS_BYTES_MAX;
}

static struct source *source_find(struct share *share, unsigned peer)
{
	struct settle *settle = share->settle;

	for (unsigned i = 0; settle != NULL && i < settle->sources_count; i++)
		if (settle->sources[i].peer == peer)
			return &settle->sources[i];
	return NULL;
}

static void ask_for(struct weir_replica *r, struct source *source, uint32_t bytes)
{
	source->asked_bytes += bytes;
	r->peers[source->peer].asked_bytes += bytes;
}

static void answered(struct weir_replica *r, struct source *source, uint32_t bytes)
{
	bytes = bytes < source->asked_bytes ? bytes : source->asked_bytes;
	source->asked_bytes -= bytes;
	r->peers[source->peer].asked_bytes -= bytes;
}

static bool may_ask(const struct weir_replica *r, const struct source *source, uint32_t bytes)
{
	return r->peers[source->peer].asked_bytes + bytes <= PEER_ASK_BYTES_MAX;
}

static void source_reset(struct weir_replica *r, struct source *source)
{
	answered(r, source, source->asked_bytes);
	source->seal_sent = false;
	source->sealed = 0;
	source->synced = UINT64_MAX;
	source->digests_asked = 0;
	source->digests_known = 0;
}

void weir_settle_end(struct weir_replica *r, struct share *share)
{
	struct settle *settle = share->settle;

	if (settle == NULL)
		return;
	for (unsigned i = 0; i < settle->sources_count; i++) {
		source_reset(r, &settle->sources[i]);
		free(settle->sources[i].buckets);
	}
	free(settle);
	share->settle = NULL;
}

/** Takes over from the view who is to be sealed, and who of them lives. */
void weir_settle_members(struct weir_replica *r, struct share *share)
{
	struct settle *settle = share->settle;

	for (unsigned i = 0; i < share->view.members_count; i++) {
		const struct weir_member *member = &share->view.members[i];
		struct source *source = source_find(share, member->peer);

		if (source == NULL) {
			if (settle->sources_count == WEIR_COPIES_MAX)
				continue;
			source = &settle->sources[settle->sources_count++];
			source->peer = member->peer;
			source_reset(r, source);
		}
		source->live = member->live;
		source->insync = member->insync;
		source->incarnation = member->incarnation;
	}
}

/** A new term of this share's own begins. */
void weir_settle_begin(struct weir_replica *r, struct share *share)
{
	weir_settle_end(r, share);
	share->settle = calloc(1, sizeof(*share->settle));
	if (share->settle == NULL) {
		weir_log(WEIR_ROOM_REPLICA, WEIR_LOG_ERR, "out of memory at a change of term");
		return;
	}
	share->phase = PHASE_SEALING;
	weir_settle_members(r, share);
	weir_share_work(r, share);
}

/** A peer's session is over: its promise must be asked for again, and what it was to send. */
void weir_settle_lost(struct weir_replica *r, struct share *share, unsigned peer)
{
	struct source *source = source_find(share, peer);

	if (source == NULL)
		return;
	if (WEIR_DEFECT(B23) && share->settle->planned) {
		memset(&share->settle->wanted, 0, sizeof(share->settle->wanted));
		return;
	}
	source_reset(r, source);
	share->settle->planned = false;
	share->phase = PHASE_SEALING;
	weir_share_work(r, share);
}

/* --------------------------------------------------------------------------- sealing --- */

static void seal(struct weir_replica *r, struct share *share, struct source *source)
{
	const struct peer *peer = &r->peers[source->peer];

	if (source->seal_sent || !weir_peer_up(r, source->peer) ||
		!may_ask(r, source, WEIR_WIRE_SEALED_BYTES_MAX * peer->workers_count))
		return;
	for (unsigned worker = 0; worker < peer->workers_count; worker++) {
		uint32_t shards = weir_channel_shards(r, source->peer, worker);

		if (shards == 0)
			continue;
		weir_channel_say_shards(r, peer->channels[worker], WEIR_WIRE_SEAL, share->key,
			share->view.term, shards);
		ask_for(r, source, WEIR_WIRE_SEALED_BYTES_MAX);
	}
	source->seal_sent = true;
	r->stats.seals++;
}

void weir_settle_sealed(struct weir_replica *r, struct share *share, unsigned peer,
	const struct weir_wire_sealed *sealed)
{
	struct source *source = source_find(share, peer);

	if (source == NULL || !source->seal_sent || (sealed->shards.mask & source->sealed) != 0 ||
		(sealed->shards.mask & ~r->own) != 0) {
		r->stats.bad_messages++;
		return;
	}
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		if (sealed->shards.mask & 1U << shard)
			source->shards[shard] = sealed->shards.digests[shard];
	source->sealed |= sealed->shards.mask;
	source->sealed_by = r->peers[peer].incarnation;
	if (sealed->synced < source->synced)
		source->synced = sealed->synced;
	answered(r, source, WEIR_WIRE_SEALED_BYTES_MAX);
	weir_share_work(r, share);
}

static bool is_sealed(const struct weir_replica *r, const struct source *source)
{
	return source->sealed == r->own;
}

/* Another process of the same name, started earlier or later, promises for itself only. */
static bool has_promised(const struct weir_replica *r, const struct source *source)
{
	return is_sealed(r, source) &&
	       (source->sealed_by == source->incarnation || WEIR_DEFECT(SEAL_ANYBODY));
}

/* One in-sync copy holds every acknowledged write; the living are waited for as long as one of
 * them may still believe in its lease. */
static bool sealed_enough(const struct weir_replica *r, const struct share *share)
{
	const struct settle *settle = share->settle;
	bool insync = share->view.self_insync || share->view.unclean || WEIR_DEFECT(UNCLEAN_SETTLE);
	bool waiting = false;

	for (unsigned i = 0; i < settle->sources_count; i++) {
		const struct source *source = &settle->sources[i];

		if (has_promised(r, source))
			insync |= source->insync;
		else
			waiting |= source->live;
		insync |= is_sealed(r, source) && WEIR_DEFECT(B10);
	}
	if (WEIR_DEFECT(SEAL_NO_WAIT) || WEIR_DEFECT(B10))
		waiting = false;
	return insync && (!waiting || r->now_ns >= share->view.seal_deadline_ns);
}

/* -------------------------------------------------------------------------- planning --- */

static uint64_t best_synced(const struct weir_replica *r, const struct share *share)
{
	const struct settle *settle = share->settle;
	uint64_t best = weir_share_synced(share, r->own);

	for (unsigned i = 0; i < settle->sources_count; i++) {
		const struct source *source = &settle->sources[i];

		if (is_sealed(r, source) && source->synced > best)
			best = source->synced;
	}
	return best;
}

static bool is_candidate(const struct weir_replica *r, const struct source *source, uint64_t best)
{
	return is_sealed(r, source) && (source->synced == best || WEIR_DEFECT(SYNCED_IGNORED));
}

/* The shards in which a copy differs from this one. */
static uint32_t differing(
	const struct weir_replica *r, const struct share *share, const struct source *source)
{
	uint32_t shards = 0;

	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		struct weir_shard_digest mine;

		if ((r->own & 1U << shard) == 0)
			continue;
		mine = weir_table_shard_digest(share->table, shard);
		if (mine.sum != source->shards[shard].sum ||
			mine.count != source->shards[shard].count)
			shards |= 1U << shard;
	}
	return shards;
}

static void ask_digests(
	struct weir_replica *r, struct share *share, struct source *source, uint32_t shards)
{
	const struct peer *peer = &r->peers[source->peer];

	if (!may_ask(r, source, digests_bytes(shards)))
		return;
	for (unsigned worker = 0; worker < peer->workers_count; worker++) {
		uint32_t part = weir_channel_shards(r, source->peer, worker) & shards;

		if (part != 0)
			weir_channel_say_shards(r, peer->channels[worker], WEIR_WIRE_DIGESTS_GET,
				share->key, share->view.term, part);
	}
	source->digests_asked |= shards;
	ask_for(r, source, digests_bytes(shards));
}

void weir_settle_digests(struct weir_replica *r, struct share *share, unsigned peer,
	const struct weir_wire_digests *digests)
{
	struct source *source = source_find(share, peer);
	uint32_t bit = 1U << digests->shard;

	if (source == NULL || (source->digests_asked & bit) == 0 ||
		(source->digests_known & bit) != 0) {
		r->stats.bad_messages++;
		return;
	}
	if (source->buckets == NULL)
		source->buckets = calloc(WEIR_BUCKETS, sizeof(*source->buckets));
	if (source->buckets == NULL) {
		source->digests_asked &= ~bit; /* to be asked for again */
		answered(r, source, WEIR_WIRE_DIGESTS_BYTES_MAX);
		return;
	}
	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++)
		source->buckets[digests->shard + i * WEIR_SHARDS] = digests->digests[i];
	source->digests_known |= bit;
	answered(r, source, WEIR_WIRE_DIGESTS_BYTES_MAX);
	weir_share_work(r, share);
}

/* @return whether all digests that the plan needs have come */
static bool gather(struct weir_replica *r, struct share *share, uint64_t best)
{
	struct settle *settle = share->settle;
	bool complete = true;

	for (unsigned i = 0; i < settle->sources_count; i++) {
		struct source *source = &settle->sources[i];
		uint32_t needed;

		if (!is_candidate(r, source, best))
			continue;
		needed = differing(r, share, source);
		if ((needed & ~source->digests_asked) != 0)
			ask_digests(r, share, source, needed & ~source->digests_asked);
		complete &= (needed & ~source->digests_known) == 0;
	}
	return complete;
}

/* Per bucket: of the copies with the newest synced term, the highest version. */
static void plan_bucket(struct weir_replica *r, struct share *share, uint64_t best,
	bool mine_counts, unsigned bucket)
{
	struct settle *settle = share->settle;
	struct weir_digest mine = weir_table_digest(share->table, bucket);
	uint32_t bit = 1U << weir_bucket_shard(bucket);
	const struct weir_digest *chosen = mine_counts ? &mine : NULL;
	unsigned from = 0;

	for (unsigned i = 0; i < settle->sources_count; i++) {
		const struct source *source = &settle->sources[i];
		const struct weir_digest *theirs = &mine;

		if (!is_candidate(r, source, best))
			continue;
		if (source->digests_known & bit)
			theirs = &source->buckets[bucket];
		if (chosen == NULL || weir_digest_compare(theirs, chosen) > 0) {
			chosen = theirs;
			from = i;
		}
	}
	if (chosen == NULL || weir_digest_equal(chosen, &mine))
		return;
	bucket_set_add(&settle->wanted, bucket);
	settle->from[bucket] = (uint8_t)from;
}

static void plan(struct weir_replica *r, struct share *share, uint64_t best)
{
	bool mine_counts = weir_share_synced(share, r->own) == best || WEIR_DEFECT(SYNCED_IGNORED);

	memset(&share->settle->wanted, 0, sizeof(share->settle->wanted));
	memset(&share->settle->under_way, 0, sizeof(share->settle->under_way));
	for (unsigned bucket = 0; bucket < WEIR_BUCKETS; bucket++)
		if (r->own & 1U << weir_bucket_shard(bucket))
			plan_bucket(r, share, best, mine_counts, bucket);
	share->settle->planned = true;
}

/* -------------------------------------------------------------------------- fetching --- */

static void fetch(struct weir_replica *r, struct share *share)
{
	struct settle *settle = share->settle;
	unsigned bucket = 0;

	while (settle->under_way.count < FETCH_WINDOW &&
		(bucket = weir_bucket_set_next(&settle->wanted, bucket)) < WEIR_BUCKETS) {
		const struct source *source = &settle->sources[settle->from[bucket]];
		uint8_t bytes[WEIR_WIRE_HEAD_BYTES + 2];
		struct weir_out out = weir_out(bytes, sizeof(bytes));

		if (!bucket_set_has(&settle->under_way, bucket)) {
			weir_wire_put_head(
				&out, &(struct weir_wire_head){.type = WEIR_WIRE_BUCKET_GET,
					      .device_key = share->key,
					      .term = share->view.term});
			weir_out_u16(&out, (uint16_t)bucket);
			weir_channel_send(r,
				weir_channel_of(r, source->peer, weir_bucket_shard(bucket)), bytes,
				(size_t)(out.at - bytes));
			bucket_set_add(&settle->under_way, bucket);
		}
		bucket++;
	}
}

/** A bucket that was asked for stands here now, or came broken and is planned anew. */
void weir_settle_fetched(
	struct weir_replica *r, struct share *share, unsigned peer, unsigned bucket, bool whole)
{
	struct settle *settle = share->settle;

	if (settle == NULL || !bucket_set_has(&settle->under_way, bucket) ||
		settle->sources[settle->from[bucket]].peer != peer)
		return;
	bucket_set_drop(&settle->under_way, bucket);
	if (whole) {
		bucket_set_drop(&settle->wanted, bucket);
		r->stats.buckets_fetched++;
	}
	weir_share_work(r, share);
}

static void settled(struct weir_replica *r, struct share *share)
{
	share->phase = WEIR_DEFECT(OPEN_EARLY) ? PHASE_ACTIVE : PHASE_SETTLED;
	weir_settle_end(r, share);
	/* Without a choice made by force, this copy holds whatever any in-sync copy held. */
	if (!share->view.unclean)
		weir_share_synced_set(r, share, r->own, share->view.term);
	weir_share_report(r, share, WEIR_REPORT_SETTLED, share->view.term, WEIR_NO_PEER, 0);
	weir_joins_update(r, share);
}

/** @return whether there is more to do */
bool weir_settle_step(struct weir_replica *r, struct share *share)
{
	struct settle *settle = share->settle;

	if (share->phase != PHASE_SEALING && share->phase != PHASE_SETTLING)
		return false;
	if (settle == NULL) {
		weir_settle_begin(r, share);
		return true;
	}
	for (unsigned i = 0; i < settle->sources_count; i++)
		seal(r, share, &settle->sources[i]);
	if (share->phase == PHASE_SEALING &&
		(sealed_enough(r, share) ||
			(WEIR_DEFECT(B11) && weir_share_synced(share, r->own) == 0)))
		share->phase = PHASE_SETTLING;
	if (share->phase != PHASE_SETTLING)
		return true;
	if (!settle->planned) {
		uint64_t best = best_synced(r, share);

		if (!gather(r, share, best))
			return true;
		plan(r, share, best);
	}
	fetch(r, share);
	if (settle->wanted.count > 0)
		return true;
	settled(r, share);
	return false;
}
