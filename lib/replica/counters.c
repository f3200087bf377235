/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters travel in a lane of their own: newest values only, once a period, never as a change of
 * a bucket. What is lost on the way (a session breaks) is made good when the backup joins again.
 */
#include <string.h>

#include "replica/state.h"

/** All counters are due: a copy that is equal by its digests need not have them. */
void weir_counters_all(struct join *join)
{
	memset(&join->counters, 0xff, sizeof(join->counters.words));
	join->counters.count = WEIR_BUCKETS;
	join->counters_ms = 1;
}

static void bucket_set_join(struct bucket_set *set, const struct bucket_set *more)
{
	unsigned bucket = 0;

	while ((bucket = weir_bucket_set_next(more, bucket)) < WEIR_BUCKETS)
		bucket_set_add(set, bucket++);
}

/** Counters of a bucket have changed: the next round sends them. */
void weir_counters_note(struct weir_replica *r, struct share *share, unsigned bucket)
{
	for (unsigned i = 0; i < share->joins_count; i++)
		bucket_set_add(&share->joins[i]->counted, bucket);
	if (share->counted)
		return;
	share->counted = true;
	TAILQ_INSERT_TAIL(&r->reported, share, counted_link);
}

/** What was reported of a share is due. */
static void share_due(struct weir_replica *r, struct share *share)
{
	for (unsigned i = 0; i < share->joins_count; i++) {
		struct join *join = share->joins[i];

		if (join->state != JOIN_EQUAL)
			continue;
		if (join->counters.count == 0 || r->since_ms < join->counters_ms)
			join->counters_ms = r->since_ms;
		bucket_set_join(&join->counters, &join->counted);
		memset(&join->counted, 0, sizeof(join->counted));
	}
	weir_share_work(r, share);
	r->done++;
}

static void round_begin(struct weir_replica *r)
{
	/* A wall clock that went back would hide what was reported meanwhile. */
	r->since_ms = r->wall_back_ns >= r->counters_ns ? 1 : r->counters_ms;
	r->counters_ns = r->now_ns;
	r->counters_ms = r->wall_ns / WEIR_NS_PER_MS;
	TAILQ_CONCAT(&r->due, &r->reported, counted_link);
}

/** Once a turn: where a period is over, what was reported in it is due, some shares a turn. */
void weir_counters_round(struct weir_replica *r)
{
	struct share *share;

	if (TAILQ_EMPTY(&r->due) && r->conf.backup_period_ns != 0 &&
		r->now_ns - r->counters_ns >= r->conf.backup_period_ns)
		round_begin(r);
	for (unsigned i = 0; i < COUNTERS_TURN_SHARES && (share = TAILQ_FIRST(&r->due)) != NULL;
		i++) {
		TAILQ_REMOVE(&r->due, share, counted_link);
		share->counted = false;
		share_due(r, share);
	}
}

struct lane {
	struct weir_replica *r;
	struct channel *channel;
	struct weir_wire_head head;
	uint64_t since_ms;
	struct weir_out out;
	uint8_t bytes[WEIR_MESSAGE_BYTES_MAX];
};

static void lane_flush(struct lane *lane)
{
	size_t len = (size_t)(lane->out.at - lane->bytes);

	if (len > weir_wire_head_bytes(&lane->head))
		weir_channel_send(lane->r, lane->channel, lane->bytes, len);
	lane->out = weir_out(lane->bytes, sizeof(lane->bytes));
	weir_wire_put_head(&lane->out, &lane->head);
}

static bool lane_add(void *ctx, struct weir_entry *entry)
{
	struct lane *lane = ctx;

	if (entry->last_seen_ms < lane->since_ms)
		return true;
	if (weir_out_left(&lane->out) < WEIR_WIRE_COUNTERS_BYTES)
		lane_flush(lane);
	weir_wire_put_counters(&lane->out, &(struct weir_wire_counters){
						   .flow_id = entry->rule.flow_id,
						   .created = entry->created,
						   .packets = entry->packets,
						   .bytes = entry->bytes,
						   .last_seen_ms = entry->last_seen_ms,
						   .life_s = entry->life_s,
						   .live_type = entry->live_type,
					   });
	lane->r->stats.counters_sent++;
	return true;
}

static size_t lane_bytes(const struct weir_bucket *bucket)
{
	size_t bytes = weir_bucket_digest(bucket).count * (size_t)WEIR_WIRE_COUNTERS_BYTES;

	return bytes + (1 + bytes / (WEIR_MESSAGE_BYTES_MAX / 2)) * WEIR_WIRE_HEAD_BYTES;
}

/* Whole buckets while the channel takes them. */
static void send_some(struct weir_replica *r, struct share *share, struct join *join)
{
	size_t budget = SHIP_TURN_BYTES;
	struct lane lane;

	lane.r = r;
	lane.head = (struct weir_wire_head){
		.type = WEIR_WIRE_COUNTERS, .device_key = share->key, .term = share->view.term};
	lane.since_ms = join->counters_ms;
	for (unsigned number = 0;
		(number = weir_bucket_set_next(&join->counters, number)) < WEIR_BUCKETS; number++) {
		const struct weir_bucket *bucket = weir_table_bucket(share->table, number);
		size_t bytes;

		if ((r->own & 1U << weir_bucket_shard(number)) == 0 || bucket == NULL ||
			weir_bucket_digest(bucket).count == 0) {
			bucket_set_drop(&join->counters, number);
			continue;
		}
		bytes = lane_bytes(bucket);
		lane.channel = weir_channel_of(r, join->peer, weir_bucket_shard(number));
		if (bytes > budget && budget < SHIP_TURN_BYTES)
			return;
		if (!weir_channel_takes(r, lane.channel, bytes))
			continue;
		lane.out = weir_out(lane.bytes, sizeof(lane.bytes));
		weir_wire_put_head(&lane.out, &lane.head);
		weir_bucket_walk(bucket, 0, UINT32_MAX, lane_add, &lane);
		lane_flush(&lane);
		bucket_set_drop(&join->counters, number);
		budget -= bytes < budget ? bytes : budget;
	}
}

/** @return whether there is more to do */
bool weir_counters_step(struct weir_replica *r, struct share *share)
{
	bool more = false;

	for (unsigned i = 0; i < share->joins_count; i++) {
		struct join *join = share->joins[i];

		if (join->state != JOIN_EQUAL || join->counters.count == 0 ||
			r->conf.backup_period_ns == 0)
			continue;
		send_some(r, share, join);
		more |= join->counters.count > 0;
	}
	return more;
}

/* Relaxed stores: readers show counters, nothing depends on them. */
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

struct sought {
	const struct weir_wire_counters *counters;
	struct weir_entry *entry;
};

static bool seek(void *ctx, struct weir_entry *entry)
{
	struct sought *sought = ctx;

	if (entry->rule.flow_id == sought->counters->flow_id &&
		entry->created == sought->counters->created)
		sought->entry = entry;
	return sought->entry == NULL;
}

/* The entry that counters are about: not the first of its flow id where several share that. */
static struct weir_entry *counted_entry(
	const struct share *share, const struct weir_wire_counters *counters)
{
	struct weir_entry *entry = weir_table_find_id(share->table, counters->flow_id);
	struct sought sought = {.counters = counters};

	if (entry == NULL || entry->created == counters->created || WEIR_DEFECT(COUNTERS_BY_ID))
		return entry;
	weir_bucket_walk(weir_table_bucket(share->table, weir_flow_bucket(counters->flow_id)), 0,
		UINT32_MAX, seek, &sought);
	return sought.entry;
}

/** What a master says of entries that stand here as they stand there; others are passed over. */
void weir_counters_take(struct weir_replica *r, struct share *share, struct weir_in *in)
{
	struct weir_wire_counters counters;
	int more;

	while ((more = weir_wire_get_counters(in, &counters)) > 0) {
		struct weir_entry *entry;

		if ((r->own & 1U << weir_flow_shard(counters.flow_id)) == 0)
			continue;
		entry = counted_entry(share, &counters);
		if (entry == NULL || entry->created != counters.created)
			continue;
		STORE(entry->packets, counters.packets);
		STORE(entry->bytes, counters.bytes);
		STORE(entry->last_seen_ms, counters.last_seen_ms);
		STORE(entry->life_s, counters.life_s);
		STORE(entry->live_type, counters.live_type);
	}
	if (more != 0)
		r->stats.bad_messages++;
}
