/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replica/state.h"

/* What the answer to DIGESTS_GET for so many shards takes at most. */
static uint32_t digests_bytes(uint32_t shards)
{
	return (uint32_t)__builtin_popcount(shards) * WEIR_WIRE_DIGESTS_BYTES_MAX;
}

struct join *weir_join_find(const struct share *share, unsigned peer)
{
	for (unsigned i = 0; i < share->joins_count; i++)
		if (share->joins[i]->peer == peer)
			return share->joins[i];
	return NULL;
}

/* -------------------------------------------------------------------------- attempts --- */

static bool may_ask(const struct weir_replica *r, const struct join *join, uint32_t bytes)
{
	return r->peers[join->peer].asked_bytes + bytes <= PEER_ASK_BYTES_MAX;
}

static void asked(struct weir_replica *r, struct join *join, uint32_t bytes)
{
	join->asked_bytes += bytes;
	r->peers[join->peer].asked_bytes += bytes;
}

static void answered(struct weir_replica *r, struct join *join, uint32_t bytes)
{
	join->asked_bytes -= bytes;
	r->peers[join->peer].asked_bytes -= bytes;
}

static void reset(struct weir_replica *r, struct join *join)
{
	answered(r, join, join->asked_bytes);
	join->state = JOIN_IDLE;
	join->shards_known = 0;
	join->shards_differ = 0;
	join->shards_compared = 0;
	memset(&join->follows, 0, sizeof(join->follows));
	memset(&join->todo, 0, sizeof(join->todo));
	memset(&join->counted, 0, sizeof(join->counted));
	memset(&join->counters, 0, sizeof(join->counters));
}

/** The attempt has failed. Who must acknowledge goes on having to, until the coordinator agrees. */
void weir_join_break(struct weir_replica *r, struct share *share, struct join *join)
{
	if (join->state == JOIN_BROKEN)
		return;
	reset(r, join);
	join->state = JOIN_BROKEN;
	if (WEIR_DEFECT(RELEASE_ON_LAG))
		weir_master_release(r, share, join->peer, UINT64_MAX);
	weir_share_firm(r, share);
	weir_share_report(
		r, share, WEIR_REPORT_LAGGING, share->view.term, join->peer, join->attempt);
}

static void drop(struct weir_replica *r, struct share *share, unsigned i)
{
	struct join *join = share->joins[i];

	reset(r, join);
	share->joins[i] = share->joins[--share->joins_count];
	weir_master_release(r, share, join->peer, UINT64_MAX);
	free(join);
}

void weir_joins_drop(struct weir_replica *r, struct share *share)
{
	while (share->joins_count > 0)
		drop(r, share, 0);
	free(share->joins);
	share->joins = NULL;
}

static struct join *make(struct share *share, const struct weir_member *member)
{
	struct join *join;

	if (share->joins_count == WEIR_COPIES_MAX)
		return NULL;
	if (share->joins == NULL)
		share->joins = calloc(WEIR_COPIES_MAX, sizeof(struct join *));
	join = share->joins != NULL ? calloc(1, sizeof(*join)) : NULL;
	if (join == NULL)
		return NULL;
	join->peer = member->peer;
	join->attempt = member->attempt;
	share->joins[share->joins_count++] = join;
	return join;
}

/* @return false: memory is short */
static bool update(struct weir_replica *r, struct share *share, const struct weir_member *member)
{
	struct join *join = weir_join_find(share, member->peer);

	if (join == NULL)
		join = make(share, member);
	if (join == NULL)
		return false;
	if (member->attempt != join->attempt) {
		reset(r, join);
		join->attempt = member->attempt;
		join->must = member->insync;
		if (!join->must)
			weir_master_release(r, share, join->peer, UINT64_MAX);
	}
	join->must |= member->insync && share->view.active == share->view.term;
	join->wanted = member->backup && member->live;
	return true;
}

static const struct weir_member *member_of(const struct share *share, unsigned peer)
{
	for (unsigned i = 0; i < share->view.members_count; i++)
		if (share->view.members[i].peer == peer)
			return &share->view.members[i];
	return NULL;
}

/** Follows the view: who is to be brought up, who need not be waited for any more. */
void weir_joins_update(struct weir_replica *r, struct share *share)
{
	bool forgotten = false;

	for (unsigned i = share->joins_count; i-- > 0;) {
		const struct weir_member *member = member_of(share, share->joins[i]->peer);

		if (member == NULL || (!member->backup && !member->insync))
			drop(r, share, i);
	}
	for (unsigned i = 0; i < share->view.members_count; i++) {
		const struct weir_member *member = &share->view.members[i];

		if (member->backup || (member->insync && share->phase == PHASE_ACTIVE))
			forgotten |= !update(r, share, member) && member->insync;
	}
	/* An in-sync copy that nobody waits for would lack what is answered OK. */
	if (forgotten)
		weir_share_deposed(r, share, share->view.term);
	weir_share_firm(r, share);
	weir_share_work(r, share);
}

/* ----------------------------------------------------------------------------- steps --- */

static void say_join(
	struct weir_replica *r, struct share *share, struct channel *channel, uint32_t shards)
{
	uint8_t bytes[WEIR_WIRE_HEAD_BYTES + 12];
	struct weir_out out = weir_out(bytes, sizeof(bytes));

	weir_wire_put_head(&out, &(struct weir_wire_head){.type = WEIR_WIRE_JOIN,
					 .device_key = share->key,
					 .term = share->view.term});
	weir_out_u32(&out, shards);
	weir_out_u64(&out, share->view.revision);
	weir_channel_send(r, channel, bytes, (size_t)(out.at - bytes));
}

/* Whether each worker of the peer that has some of these shards takes a question. */
static bool takes_question(struct weir_replica *r, const struct join *join, uint32_t shards)
{
	const struct peer *peer = &r->peers[join->peer];

	for (unsigned worker = 0; worker < peer->workers_count; worker++)
		if ((weir_channel_shards(r, join->peer, worker) & shards) != 0 &&
			!weir_channel_takes(r, peer->channels[worker], 64))
			return false;
	return true;
}

static bool ask_shards(struct weir_replica *r, struct share *share, struct join *join)
{
	struct peer *peer = &r->peers[join->peer];
	uint32_t bytes = peer->workers_count * (uint32_t)WEIR_WIRE_SHARDS_BYTES_MAX;

	if (!weir_peer_up(r, join->peer) || !may_ask(r, join, bytes) ||
		!takes_question(r, join, r->own))
		return false;
	for (unsigned worker = 0; worker < peer->workers_count; worker++) {
		uint32_t shards = weir_channel_shards(r, join->peer, worker);

		if (shards != 0)
			say_join(r, share, peer->channels[worker], shards);
	}
	asked(r, join, bytes);
	join->state = JOIN_ASKED;
	return true;
}

/* Of shards that differ: which of their buckets? */
static bool ask_digests(struct weir_replica *r, struct share *share, struct join *join)
{
	struct peer *peer = &r->peers[join->peer];

	if (!may_ask(r, join, digests_bytes(join->shards_differ)) ||
		!takes_question(r, join, join->shards_differ))
		return false;
	for (unsigned worker = 0; worker < peer->workers_count; worker++) {
		uint32_t shards = weir_channel_shards(r, join->peer, worker) & join->shards_differ;

		if (shards != 0)
			weir_channel_say_shards(r, peer->channels[worker], WEIR_WIRE_DIGESTS_GET,
				share->key, share->view.term, shards);
	}
	asked(r, join, digests_bytes(join->shards_differ));
	join->state = JOIN_COMPARED;
	return true;
}

static void shard_follows(struct join *join, unsigned shard)
{
	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++)
		bucket_set_add(&join->follows, shard + i * WEIR_SHARDS);
}

/** A backup's shards in short: those that are equal follow at once. */
void weir_join_shards(struct weir_replica *r, struct share *share, unsigned peer,
	const struct weir_wire_shards *shards)
{
	struct join *join = weir_join_find(share, peer);

	if (join == NULL || join->state != JOIN_ASKED || (join->shards_known & shards->mask) != 0 ||
		(shards->mask & ~r->own) != 0) {
		r->stats.bad_messages++;
		return;
	}
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		struct weir_shard_digest mine;

		if ((shards->mask & 1U << shard) == 0)
			continue;
		mine = weir_table_shard_digest(share->table, shard);
		if (mine.sum == shards->digests[shard].sum &&
			mine.count == shards->digests[shard].count)
			shard_follows(join, shard);
		else
			join->shards_differ |= 1U << shard;
	}
	join->shards_known |= shards->mask;
	if (join->shards_known == r->own)
		answered(r, join, join->asked_bytes);
	weir_share_work(r, share);
}

static void corruption_note(struct weir_replica *r, const struct share *share, unsigned peer,
	unsigned bucket, const struct weir_digest *digest)
{
	r->stats.corruptions += !WEIR_DEFECT(CORRUPTION_UNTOLD);
	weir_log(WEIR_ROOM_REPLICA, WEIR_LOG_ERR,
		"device %016" PRIx64 " bucket %u: peer %u has other content under the same "
		"version %" PRIu64 ".%" PRIu64 "; repaired from the master",
		share->key, bucket, peer, digest->term, digest->seq);
}

/** A backup's digests of one shard: what is equal follows at once, the rest is shipped. */
void weir_join_digests(struct weir_replica *r, struct share *share, unsigned peer,
	const struct weir_wire_digests *digests)
{
	struct join *join = weir_join_find(share, peer);
	uint32_t bit = 1U << digests->shard;

	if (join == NULL || join->state != JOIN_COMPARED ||
		(join->shards_differ & ~join->shards_compared & bit) == 0) {
		r->stats.bad_messages++;
		return;
	}
	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++) {
		unsigned bucket = digests->shard + i * WEIR_SHARDS;
		struct weir_digest mine = weir_table_digest(share->table, bucket);
		const struct weir_digest *theirs = &digests->digests[i];

		if (weir_digest_equal(&mine, theirs) ||
			(WEIR_DEFECT(B1) && theirs->seq > mine.seq) ||
			(WEIR_DEFECT(B8) && mine.term != share->view.term) ||
			(WEIR_DEFECT(DIGEST_VERSION_ONLY) &&
				weir_digest_compare(&mine, theirs) == 0)) {
			bucket_set_add(&join->follows, bucket);
			continue;
		}
		bucket_set_add(&join->todo, bucket);
		if (weir_digest_compare(&mine, theirs) == 0 && mine.seq != 0)
			corruption_note(r, share, peer, bucket, &mine);
	}
	answered(r, join, WEIR_WIRE_DIGESTS_BYTES_MAX);
	join->shards_compared |= bit;
	weir_share_work(r, share);
}

/* From here on each write waits for this copy; what came before is covered by the message. */
static bool confirm(struct weir_replica *r, struct share *share, struct join *join)
{
	struct peer *peer = &r->peers[join->peer];

	if (share->view.unclean && share->phase != PHASE_ACTIVE)
		return false;
	for (unsigned worker = 0; worker < peer->workers_count; worker++) {
		if (weir_channel_shards(r, join->peer, worker) == 0)
			continue;
		weir_channel_say(
			r, peer->channels[worker], WEIR_WIRE_SYNCED, share->key, share->view.term);
		join->confirm[worker] = peer->channels[worker]->sent;
	}
	join->confirm_number = share->pending_number;
	if (!WEIR_DEFECT(MUST_LATE))
		join->must = true;
	join->state = JOIN_CONFIRM;
	return true;
}

static bool confirmed(struct weir_replica *r, const struct join *join)
{
	const struct peer *peer = &r->peers[join->peer];

	for (unsigned worker = 0; worker < peer->workers_count; worker++)
		if (weir_channel_shards(r, join->peer, worker) != 0 &&
			peer->channels[worker]->acked < join->confirm[worker])
			return false;
	return true;
}

/* -------------------------------------------------------------------------- shipping --- */

static bool add_size(void *ctx, struct weir_entry *entry)
{
	*(size_t *)ctx += weir_wire_entry_bytes(entry);
	return true;
}

static size_t bucket_bytes(const struct weir_bucket *bucket)
{
	size_t bytes = 0;

	if (bucket != NULL)
		weir_bucket_walk(bucket, 0, UINT32_MAX, add_size, &bytes);
	return bytes;
}

/** A bucket on its way out: parts that follow each other without anything in between. */
struct shipment {
	struct weir_replica *r;
	struct channel *channel;
	struct weir_wire_head head;
	struct weir_wire_bucket bucket;
	struct weir_out out;
	uint8_t bytes[WEIR_MESSAGE_BYTES_MAX];
};

static void part_begin(struct shipment *ship)
{
	ship->out = weir_out(ship->bytes, sizeof(ship->bytes));
	weir_wire_put_head(&ship->out, &ship->head);
	weir_wire_put_bucket(&ship->out, &ship->bucket);
}

static void part_end(struct shipment *ship, bool last)
{
	size_t flags_at = weir_wire_head_bytes(&ship->head) + 2;

	if (last)
		ship->bytes[flags_at] |= WEIR_WIRE_LAST;
	weir_channel_send(
		ship->r, ship->channel, ship->bytes, (size_t)(ship->out.at - ship->bytes));
	ship->bucket.flags &= (uint8_t)~WEIR_WIRE_FIRST;
}

static bool part_add(void *ctx, struct weir_entry *entry)
{
	struct shipment *ship = ctx;

	if (WEIR_DEFECT(B25) && entry->created == ship->r->hlc.last)
		return true;
	if (weir_out_left(&ship->out) < weir_wire_entry_bytes(entry)) {
		part_end(ship, false);
		part_begin(ship);
	}
	weir_wire_put_entry(&ship->out, entry);
	return true;
}

/* @return bytes sent; 0: no room now */
static size_t ship(struct weir_replica *r, struct share *share, struct channel *channel,
	unsigned number, uint64_t term, uint8_t flags)
{
	const struct weir_bucket *bucket = weir_table_bucket(share->table, number);
	size_t bytes = bucket_bytes(bucket);
	struct shipment ship;

	bytes += (1 + bytes / (WEIR_MESSAGE_BYTES_MAX / 2)) * WEIR_WIRE_BUCKET_HEAD_BYTES;
	if (!weir_channel_takes(r, channel, bytes))
		return 0;
	ship.r = r;
	ship.channel = channel;
	ship.head = (struct weir_wire_head){
		.type = WEIR_WIRE_BUCKET, .device_key = share->key, .term = term};
	ship.bucket = (struct weir_wire_bucket){.number = (uint16_t)number,
		.flags = flags | WEIR_WIRE_FIRST,
		.digest = weir_table_digest(share->table, number)};
	part_begin(&ship);
	if (bucket != NULL)
		weir_bucket_walk(bucket, 0, UINT32_MAX, part_add, &ship);
	part_end(&ship, true);
	r->stats.buckets_shipped++;
	return bytes;
}

/* @return whether anything was shipped */
static bool ship_some(struct weir_replica *r, struct share *share, unsigned peer,
	struct bucket_set *todo, struct bucket_set *follows, uint64_t term, uint8_t flags)
{
	size_t budget = SHIP_TURN_BYTES;
	unsigned bucket = 0;
	bool any = false;

	while ((bucket = weir_bucket_set_next(todo, bucket)) < WEIR_BUCKETS) {
		struct channel *channel = weir_channel_of(r, peer, weir_bucket_shard(bucket));
		size_t bytes = ship(r, share, channel, bucket, term, flags);

		if (bytes != 0) {
			any = true;
			bucket_set_drop(todo, bucket);
			if (follows != NULL)
				bucket_set_add(follows, bucket);
			if (bytes >= budget)
				break;
			budget -= bytes;
		}
		bucket++;
	}
	return any;
}

/* It has all that came before SYNCED, also what went to it in whole buckets. */
static void equal(struct weir_replica *r, struct share *share, struct join *join)
{
	join->state = JOIN_EQUAL;
	if (WEIR_DEFECT(MUST_LATE))
		join->must = true;
	weir_master_release(r, share, join->peer, join->confirm_number);
	weir_share_firm(r, share);
	weir_counters_all(join);
	weir_share_report(
		r, share, WEIR_REPORT_CAUGHT_UP, share->view.term, join->peer, join->attempt);
}

static void step(struct weir_replica *r, struct share *share, struct join *join)
{
	if (join->state == JOIN_IDLE && join->must && share->phase == PHASE_ACTIVE) {
		/* In the set, yet nothing is sent to it: out of the set first, then anew. */
		weir_join_break(r, share, join);
		return;
	}
	if (join->state == JOIN_IDLE && join->wanted)
		ask_shards(r, share, join);
	if (join->state == JOIN_ASKED && join->shards_known == r->own) {
		if (join->shards_differ == 0)
			join->state = JOIN_SHIPPING;
		else
			ask_digests(r, share, join);
	}
	if (join->state == JOIN_COMPARED && join->shards_compared == join->shards_differ)
		join->state = JOIN_SHIPPING;
	if (join->state == JOIN_SHIPPING && join->todo.count > 0)
		ship_some(r, share, join->peer, &join->todo, &join->follows, share->view.term, 0);
	if (join->state == JOIN_SHIPPING && join->todo.count == 0)
		confirm(r, share, join);
	if (join->state == JOIN_CONFIRM && confirmed(r, join))
		equal(r, share, join);
}

static bool is_under_way(const struct join *join)
{
	return (join->state == JOIN_IDLE && join->wanted) ||
	       (join->state >= JOIN_ASKED && join->state <= JOIN_CONFIRM);
}

/** @return whether there is more to do */
bool weir_joins_step(struct weir_replica *r, struct share *share)
{
	bool more = false;

	if (share->phase != PHASE_SETTLED && share->phase != PHASE_ACTIVE)
		return false;
	for (unsigned i = 0; i < share->joins_count; i++) {
		step(r, share, share->joins[i]);
		more |= is_under_way(share->joins[i]);
	}
	return more;
}

/** Anti-entropy: a sum of digests goes in line with the changes, so both ends mean one state. */
void weir_joins_check(struct weir_replica *r, struct share *share)
{
	for (unsigned i = 0; i < share->joins_count; i++) {
		const struct join *join = share->joins[i];
		const struct peer *peer = &r->peers[join->peer];

		if (join->state != JOIN_EQUAL || WEIR_DEFECT(CHECK_NEVER))
			continue;
		for (unsigned worker = 0; worker < peer->workers_count; worker++) {
			uint32_t shards = weir_channel_shards(r, join->peer, worker);
			uint8_t bytes[WEIR_WIRE_HEAD_BYTES + 12];
			struct weir_out out = weir_out(bytes, sizeof(bytes));

			if (shards == 0 || !weir_channel_takes(r, peer->channels[worker], 64))
				continue;
			weir_wire_put_head(&out, &(struct weir_wire_head){.type = WEIR_WIRE_CHECK,
							 .device_key = share->key,
							 .term = share->view.term});
			weir_out_u32(&out, shards);
			weir_out_u64(&out, weir_share_sum(share, shards).sum);
			weir_channel_send(
				r, peer->channels[worker], bytes, (size_t)(out.at - bytes));
		}
	}
}

/* Whoever has lost a session asks again when it is back; his other workers go on waiting. */
static void gift_prune(struct weir_replica *r, struct gift *gift)
{
	unsigned bucket = 0;

	while ((bucket = weir_bucket_set_next(&gift->todo, bucket)) < WEIR_BUCKETS) {
		if (weir_channel_of(r, gift->peer, weir_bucket_shard(bucket)) == NULL)
			bucket_set_drop(&gift->todo, bucket);
		bucket++;
	}
}

/** A sealed copy gives away what it was asked for. @return whether there is more to do */
bool weir_gift_step(struct weir_replica *r, struct share *share)
{
	struct gift *gift = share->gift;

	if (gift == NULL || gift->todo.count == 0)
		return false;
	gift_prune(r, gift);
	ship_some(r, share, gift->peer, &gift->todo, NULL, share->promised, WEIR_WIRE_REPLY);
	return gift->todo.count > 0;
}
