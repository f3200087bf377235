/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replica/state.h"

/* The least term that is taken from this peer: it may be master of the promised one itself, and
 * what came is from before it knew. */
static uint64_t least_term(const struct share *share, unsigned peer)
{
	bool others = share->promised_peer != peer && share->promised_peer != WEIR_NO_PEER;

	return share->promised + (others && !WEIR_DEFECT(REFUSED_VAGUE));
}

/* Guarantee B: whether a message of this term from this peer may be acted upon. A higher term is
 * promised on the spot; a lower one, or another master's, is refused. */
static bool admit(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head)
{
	bool same_master =
		share->promised_peer == channel->peer || share->promised_peer == WEIR_NO_PEER;

	if ((WEIR_DEFECT(TERM_LOWER) && head->term < share->promised) ||
		(WEIR_DEFECT(PROMISE_BY_VIEW) && head->term > share->promised) ||
		(WEIR_DEFECT(SEAL_NO_PROMISE) && head->type == WEIR_WIRE_SEAL))
		return true;
	if (head->term > share->promised || (head->term == share->promised && same_master)) {
		weir_share_promise(r, share, head->term, channel->peer);
		return true;
	}
	if (head->term == share->promised)
		weir_log(WEIR_ROOM_REPLICA, WEIR_LOG_ERR,
			"device %016" PRIx64 ": two masters in term %" PRIu64, share->key,
			head->term);
	weir_channel_refuse(
		r, channel, WEIR_WIRE_REFUSED, share->key, least_term(share, channel->peer));
	return false;
}

/* Something that came could not be taken: until this channel's worker has the copy join anew, these
 * shards lack it, and a SYNCED that is on its way already does not hold. */
static void unfit(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head)
{
	share->unfit |= weir_channel_shards(r, channel->peer, channel->worker);
	weir_channel_refuse(r, channel, WEIR_WIRE_UNFIT, share->key, head->term);
}

/* --------------------------------------------------------------------------- changes --- */

static bool apply_entry(
	struct weir_replica *r, struct weir_bucket *bucket, const struct weir_wire_delta *delta)
{
	struct weir_entry *stored;

	if (!WEIR_DEFECT(CREATED_NOT_SEEN))
		weir_hlc_seen(&r->hlc, delta->entry->created);
	if (delta->kind == WEIR_WIRE_PUT)
		return weir_bucket_put(bucket, r->conf.mem, delta->entry, NULL) >= 0;
	stored = weir_bucket_find(bucket, &delta->entry->rule);
	if (stored == NULL)
		return false;
	weir_bucket_remove(bucket, r->conf.mem, stored);
	return true;
}

static bool apply(struct weir_replica *r, struct share *share, uint64_t term,
	const struct weir_wire_delta *delta)
{
	struct weir_bucket *bucket;

	if ((r->own & 1U << weir_bucket_shard(delta->bucket)) == 0)
		return false;
	bucket = weir_table_bucket_make(share->table, r->conf.mem, delta->bucket);
	if (bucket == NULL ||
		(weir_bucket_digest(bucket).seq + 1 != delta->seq && !WEIR_DEFECT(DELTA_GAP)) ||
		weir_bucket_digest(bucket).term > term)
		return false;
	if (delta->kind == WEIR_WIRE_PURGE)
		weir_bucket_purge(
			bucket, r->conf.mem, WEIR_DEFECT(PURGE_ANY) ? WEIR_ANY_APP : delta->app);
	else if (!apply_entry(r, bucket, delta))
		return false;
	weir_bucket_stamp(bucket, term, delta->seq);
	r->stats.deltas_applied++;
	return true;
}

/* What they will touch is fetched ahead, a burst at a time. */
static bool apply_all(
	struct weir_replica *r, struct share *share, uint64_t term, struct weir_in *in)
{
	uint64_t flow_ids[WEIR_REPLICA_BURST];
	struct weir_wire_delta delta;
	unsigned ahead;
	int more;

	do {
		ahead = weir_wire_peek_flow_ids(in, flow_ids, WEIR_REPLICA_BURST);
		if (ahead > 1)
			weir_table_prefetch(share->table, flow_ids, ahead);
		do {
			more = weir_wire_get_delta(in, &delta, &r->room);
			if (more > 0 && !apply(r, share, term, &delta))
				return false;
		} while (more > 0 && ahead-- > 1);
	} while (more > 0);
	return more == 0;
}

static void on_delta(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head, struct weir_in *in)
{
	if (!admit(r, channel, share, head))
		r->stats.deltas_refused++;
	else if (!apply_all(r, share, head->term, in))
		unfit(r, channel, share, head);
}

static void on_check(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head, struct weir_in *in)
{
	uint32_t shards = weir_in_u32(in);
	uint64_t sum = weir_in_u64(in);

	if (in->bad || !admit(r, channel, share, head))
		return;
	if (weir_share_sum(share, shards & r->own).sum == sum || WEIR_DEFECT(CHECK_DEAF))
		return;
	weir_log(WEIR_ROOM_REPLICA, WEIR_LOG_WARNING,
		"device %016" PRIx64 ": this copy differs from its master's; joining anew",
		share->key);
	unfit(r, channel, share, head);
}

/* --------------------------------------------------------------------- whole buckets --- */

static void stage_drop(struct weir_replica *r, struct channel *channel)
{
	weir_bucket_destroy(channel->stage, r->conf.mem);
	channel->stage = NULL;
	channel->stage_share = NULL;
}

static bool stage_fill(struct weir_replica *r, struct channel *channel, struct weir_in *in)
{
	int more;

	while ((more = weir_wire_get_entry(in, &r->room)) > 0) {
		if (!WEIR_DEFECT(CREATED_NOT_SEEN))
			weir_hlc_seen(&r->hlc, r->room.entry.created);
		if (weir_flow_bucket(r->room.entry.rule.flow_id) != channel->stage_head.number ||
			weir_bucket_put(channel->stage, r->conf.mem, &r->room.entry, NULL) < 0)
			return false;
	}
	return more == 0;
}

static bool stage_swap(struct weir_replica *r, struct channel *channel)
{
	const struct weir_digest *digest = &channel->stage_head.digest;
	struct weir_digest have;

	weir_bucket_stamp(channel->stage, digest->term, digest->seq);
	have = weir_bucket_digest(channel->stage);
	if ((!weir_digest_equal(&have, digest) && !WEIR_DEFECT(STAGE_UNCHECKED) &&
		    !WEIR_DEFECT(PART_EARLY)) ||
		weir_table_swap(channel->stage_share->table, r->conf.mem, channel->stage) != 0)
		return false;
	channel->stage = NULL;
	r->stats.buckets_received++;
	return true;
}

/* @return 1 whole bucket in place, 0 more is to come, WEIR_ERR */
static int take_part(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_bucket *part, struct weir_in *in)
{
	if (part->flags & WEIR_WIRE_FIRST) {
		stage_drop(r, channel);
		channel->stage_share = share;
		channel->stage_head = *part;
		channel->stage = weir_bucket_create(r->conf.mem, part->number);
	}
	if (channel->stage == NULL || channel->stage_share != share ||
		channel->stage_head.number != part->number || !stage_fill(r, channel, in))
		return WEIR_ERR;
	if ((part->flags & WEIR_WIRE_LAST) == 0 && !WEIR_DEFECT(PART_EARLY))
		return 0;
	return stage_swap(r, channel) ? 1 : WEIR_ERR;
}

static void on_bucket(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head, struct weir_in *in)
{
	struct weir_wire_bucket part;
	int got;

	if (weir_wire_get_bucket(in, &part) != 0 ||
		(r->own & 1U << weir_bucket_shard(part.number)) == 0) {
		r->stats.bad_messages++;
		return;
	}
	if (part.flags & WEIR_WIRE_REPLY) {
		if (!WEIR_DEFECT(LATE_BUCKET) &&
			(share->settle == NULL || head->term != share->view.term ||
				!bucket_set_has(&share->settle->under_way, part.number)))
			return;
	} else if (!admit(r, channel, share, head)) {
		return;
	}
	got = take_part(r, channel, share, &part, in);
	if (got < 0)
		stage_drop(r, channel);
	if (part.flags & WEIR_WIRE_REPLY) {
		if (got != 0)
			weir_settle_fetched(r, share, channel->peer, part.number, got > 0);
	} else if (got < 0) {
		unfit(r, channel, share, head);
	}
}

/* -------------------------------------------------------------------------- questions --- */

static void send_digests(struct weir_replica *r, struct channel *channel, struct share *share,
	uint64_t term, unsigned shard)
{
	uint8_t bytes[WEIR_WIRE_DIGESTS_BYTES_MAX];
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_wire_digests digests = {.shard = (uint8_t)shard};

	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++)
		digests.digests[i] = weir_table_digest(share->table, shard + i * WEIR_SHARDS);
	weir_wire_put_head(
		&out, &(struct weir_wire_head){
			      .type = WEIR_WIRE_DIGESTS, .device_key = share->key, .term = term});
	weir_wire_put_digests(&out, &digests);
	weir_channel_send(r, channel, bytes, (size_t)(out.at - bytes));
}

/* The asking end bounds what it asks for, so that there is room. */
static bool may_answer(struct weir_replica *r, struct channel *channel, size_t bytes)
{
	channel->broken |= weir_channel_room(r, channel) < bytes;
	return !channel->broken;
}

static void on_digests_wanted(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head, struct weir_in *in)
{
	uint32_t shards = weir_in_u32(in) & r->own;

	if (in->bad || !admit(r, channel, share, head) ||
		!may_answer(r, channel, WEIR_SHARDS * WEIR_WIRE_DIGESTS_BYTES_MAX))
		return;
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		if (shards & 1U << shard)
			send_digests(r, channel, share, head->term, shard);
}

static void shards_sum(const struct share *share, uint32_t mask, struct weir_wire_shards *shards)
{
	shards->mask = mask;
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		if (mask & 1U << shard)
			shards->digests[shard] = weir_table_shard_digest(share->table, shard);
}

static void on_join(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head, struct weir_in *in)
{
	uint8_t bytes[WEIR_WIRE_SHARDS_BYTES_MAX];
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	uint32_t mask = weir_in_u32(in) & r->own;
	uint64_t revision = weir_in_u64(in);
	struct weir_wire_shards shards;

	if (in->bad || !admit(r, channel, share, head))
		return;
	if (revision > share->joined)
		share->joined = revision;
	share->unfit &= ~mask;
	if (!may_answer(r, channel, sizeof(bytes)))
		return;
	shards_sum(share, mask, &shards);
	weir_wire_put_head(&out,
		&(struct weir_wire_head){
			.type = WEIR_WIRE_SHARDS, .device_key = share->key, .term = head->term});
	weir_wire_put_shards(&out, &shards);
	weir_channel_send(r, channel, bytes, (size_t)(out.at - bytes));
}

static void on_seal(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head, struct weir_in *in)
{
	uint8_t bytes[WEIR_WIRE_SEALED_BYTES_MAX];
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	uint32_t mask = weir_in_u32(in) & r->own;
	struct weir_wire_sealed sealed;

	if (in->bad || !admit(r, channel, share, head) || !may_answer(r, channel, sizeof(bytes)))
		return;
	sealed.synced = weir_share_synced(share, mask);
	shards_sum(share, mask, &sealed.shards);
	weir_wire_put_head(&out,
		&(struct weir_wire_head){
			.type = WEIR_WIRE_SEALED, .device_key = share->key, .term = head->term});
	weir_wire_put_sealed(&out, &sealed);
	weir_channel_send(r, channel, bytes, (size_t)(out.at - bytes));
	r->stats.seals++;
}

static void on_bucket_wanted(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head, struct weir_in *in)
{
	unsigned bucket = weir_in_u16(in);

	if (in->bad || bucket >= WEIR_BUCKETS || !admit(r, channel, share, head))
		return;
	if (share->gift == NULL)
		share->gift = calloc(1, sizeof(*share->gift));
	if (share->gift == NULL) {
		channel->broken = true;
		return;
	}
	share->gift->peer = channel->peer;
	bucket_set_add(&share->gift->todo, bucket);
	weir_share_work(r, share);
}

static void on_synced(struct weir_replica *r, struct channel *channel, struct share *share,
	const struct weir_wire_head *head)
{
	uint32_t shards = weir_channel_shards(r, channel->peer, channel->worker);

	if (!admit(r, channel, share, head) || (shards & share->unfit) != 0)
		return;
	if (!weir_share_synced_set(r, share, shards, head->term))
		channel->broken = true;
}

void weir_backup_message(struct weir_replica *r, struct channel *channel,
	const struct weir_wire_head *head, struct weir_in *in)
{
	struct share *share = weir_share_make(r, head->device_key);

	if (share == NULL) {
		/* Too many devices: this one cannot have a copy here, the others go on. */
		weir_channel_refuse(r, channel, WEIR_WIRE_UNFIT, head->device_key, head->term);
		return;
	}
	switch ((enum weir_wire_type)head->type) {
	case WEIR_WIRE_DELTA:
		on_delta(r, channel, share, head, in);
		break;
	case WEIR_WIRE_CHECK:
		on_check(r, channel, share, head, in);
		break;
	case WEIR_WIRE_BUCKET:
		on_bucket(r, channel, share, head, in);
		break;
	case WEIR_WIRE_COUNTERS:
		if (admit(r, channel, share, head))
			weir_counters_take(r, share, in);
		break;
	case WEIR_WIRE_JOIN:
		on_join(r, channel, share, head, in);
		break;
	case WEIR_WIRE_DIGESTS_GET:
		on_digests_wanted(r, channel, share, head, in);
		break;
	case WEIR_WIRE_SEAL:
		on_seal(r, channel, share, head, in);
		break;
	case WEIR_WIRE_BUCKET_GET:
		on_bucket_wanted(r, channel, share, head, in);
		break;
	case WEIR_WIRE_SYNCED:
		on_synced(r, channel, share, head);
		break;
	default:
		r->stats.bad_messages++;
	}
}
