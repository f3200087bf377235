/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/err.h"
#include "wire/wire.h"

static const char *const type_names[WEIR_WIRE_TYPES_COUNT] = {
	[WEIR_WIRE_ACK] = "ACK",
	[WEIR_WIRE_DELTA] = "DELTA",
	[WEIR_WIRE_COUNTERS] = "COUNTERS",
	[WEIR_WIRE_CHECK] = "CHECK",
	[WEIR_WIRE_JOIN] = "JOIN",
	[WEIR_WIRE_SHARDS] = "SHARDS",
	[WEIR_WIRE_BUCKET] = "BUCKET",
	[WEIR_WIRE_SYNCED] = "SYNCED",
	[WEIR_WIRE_SEAL] = "SEAL",
	[WEIR_WIRE_SEALED] = "SEALED",
	[WEIR_WIRE_DIGESTS_GET] = "DIGESTS_GET",
	[WEIR_WIRE_DIGESTS] = "DIGESTS",
	[WEIR_WIRE_BUCKET_GET] = "BUCKET_GET",
	[WEIR_WIRE_REFUSED] = "REFUSED",
	[WEIR_WIRE_UNFIT] = "UNFIT",
};

const char *weir_wire_type_name(enum weir_wire_type type)
{
	return type < WEIR_WIRE_TYPES_COUNT && type_names[type] != NULL ? type_names[type] : "?";
}

void weir_wire_put_head(struct weir_out *out, const struct weir_wire_head *head)
{
	weir_out_u8(out, WEIR_WIRE_VERSION);
	weir_out_u8(out, head->type);
	weir_out_u64(out, head->device_key);
	weir_out_u64(out, head->term);
}

int weir_wire_get_head(struct weir_in *in, struct weir_wire_head *head)
{
	uint8_t version = weir_in_u8(in);

	head->type = weir_in_u8(in);
	head->device_key = weir_in_u64(in);
	head->term = weir_in_u64(in);
	if (in->bad || version != WEIR_WIRE_VERSION || head->type == 0 ||
		head->type >= WEIR_WIRE_TYPES_COUNT)
		return WEIR_ERR;
	return 0;
}

static size_t delta_entry_bytes(const struct weir_wire_delta *delta)
{
	const struct weir_entry *entry = delta->entry;
	size_t instr = delta->kind == WEIR_WIRE_REMOVE ? entry->rule.instr_len : 0;

	return weir_entry_bytes(entry) - instr;
}

#define DELTA_HEAD_BYTES 9
#define PURGE_BYTES      7

size_t weir_wire_delta_bytes(const struct weir_wire_delta *delta)
{
	return DELTA_HEAD_BYTES +
	       (delta->kind == WEIR_WIRE_PURGE ? PURGE_BYTES : 2 + delta_entry_bytes(delta));
}

static void put_purge(struct weir_out *out, const struct weir_wire_delta *delta)
{
	weir_out_u16(out, delta->bucket);
	weir_out_u8(out, delta->app == WEIR_ANY_APP);
	weir_out_u32(out, delta->app == WEIR_ANY_APP ? 0 : (uint32_t)delta->app);
}

void weir_wire_put_delta(struct weir_out *out, const struct weir_wire_delta *delta)
{
	const struct weir_entry *entry = delta->entry;
	struct weir_entry head;
	size_t len;

	weir_out_u8(out, delta->kind);
	weir_out_u64(out, delta->seq);
	if (delta->kind == WEIR_WIRE_PURGE) {
		put_purge(out, delta);
		return;
	}
	len = delta_entry_bytes(delta);
	head = *entry;
	if (delta->kind == WEIR_WIRE_REMOVE)
		head.rule.instr_len = 0;
	weir_out_u16(out, (uint16_t)len);
	weir_out_put(out, &head, sizeof(head));
	weir_out_put(out, entry->rule.data, len - sizeof(head));
}

/* Lengths and state must hold together; the content was checked where it entered the cluster. */
static int get_entry(struct weir_in *in, union weir_entry_room *room)
{
	uint16_t len = weir_in_u16(in);
	const void *bytes = weir_in_bytes(in, len);
	const struct weir_entry *entry = &room->entry;

	if (bytes == NULL || len < sizeof(struct weir_entry) || len > sizeof(*room))
		return WEIR_ERR;
	memcpy(room, bytes, len);
	if (len != weir_entry_bytes(entry) || entry->rule.match_len > WEIR_MATCH_BYTES_MAX ||
		entry->rule.instr_len > WEIR_INSTR_BYTES_MAX ||
		entry->state >= WEIR_FLOW_STATES_COUNT)
		return WEIR_ERR;
	return 0;
}

static int get_purge(struct weir_in *in, struct weir_wire_delta *delta)
{
	uint8_t any;
	uint32_t app;

	delta->bucket = weir_in_u16(in);
	any = weir_in_u8(in);
	app = weir_in_u32(in);
	delta->app = any != 0 ? WEIR_ANY_APP : (int32_t)app;
	if (in->bad || delta->bucket >= WEIR_BUCKETS || any > 1 || app > (any ? 0 : UINT16_MAX))
		return WEIR_ERR;
	return 0;
}

int weir_wire_get_delta(
	struct weir_in *in, struct weir_wire_delta *delta, union weir_entry_room *room)
{
	if (!in->bad && in->at == in->end)
		return 0;
	delta->kind = weir_in_u8(in);
	delta->seq = weir_in_u64(in);
	if (delta->kind == WEIR_WIRE_PURGE)
		return get_purge(in, delta) == 0 ? 1 : WEIR_ERR;
	if ((delta->kind != WEIR_WIRE_PUT && delta->kind != WEIR_WIRE_REMOVE) ||
		get_entry(in, room) != 0)
		return WEIR_ERR;
	delta->entry = &room->entry;
	delta->bucket = (uint16_t)weir_flow_bucket(room->entry.rule.flow_id);
	return 1;
}

unsigned weir_wire_peek_flow_ids(const struct weir_in *in, uint64_t *flow_ids, unsigned room)
{
	struct weir_in at = *in;
	unsigned count = 0;

	while (count < room && at.at != at.end) {
		uint8_t kind = weir_in_u8(&at);
		const uint8_t *entry;
		uint16_t len;

		if (kind != WEIR_WIRE_PUT && kind != WEIR_WIRE_REMOVE)
			break;
		weir_in_u64(&at);
		len = weir_in_u16(&at);
		entry = weir_in_bytes(&at, len);
		if (entry == NULL || len < sizeof(struct weir_entry))
			break;
		memcpy(&flow_ids[count++], entry + offsetof(struct weir_entry, rule.flow_id),
			sizeof(flow_ids[0]));
	}
	return count;
}

void weir_wire_put_counters(struct weir_out *out, const struct weir_wire_counters *counters)
{
	weir_out_u64(out, counters->flow_id);
	weir_out_u64(out, counters->created);
	weir_out_u64(out, counters->packets);
	weir_out_u64(out, counters->bytes);
	weir_out_u64(out, counters->last_seen_ms);
	weir_out_u32(out, counters->life_s);
	weir_out_u8(out, counters->live_type);
}

int weir_wire_get_counters(struct weir_in *in, struct weir_wire_counters *counters)
{
	if (!in->bad && in->at == in->end)
		return 0;
	counters->flow_id = weir_in_u64(in);
	counters->created = weir_in_u64(in);
	counters->packets = weir_in_u64(in);
	counters->bytes = weir_in_u64(in);
	counters->last_seen_ms = weir_in_u64(in);
	counters->life_s = weir_in_u32(in);
	counters->live_type = weir_in_u8(in);
	return in->bad ? WEIR_ERR : 1;
}

void weir_wire_put_digest(struct weir_out *out, const struct weir_digest *digest)
{
	weir_out_u64(out, digest->term);
	weir_out_u64(out, digest->seq);
	weir_out_u64(out, digest->hash);
	weir_out_u32(out, digest->count);
}

struct weir_digest weir_wire_get_digest(struct weir_in *in)
{
	struct weir_digest digest;

	digest.term = weir_in_u64(in);
	digest.seq = weir_in_u64(in);
	digest.hash = weir_in_u64(in);
	digest.count = weir_in_u32(in);
	return digest;
}

void weir_wire_put_bucket(struct weir_out *out, const struct weir_wire_bucket *bucket)
{
	weir_out_u16(out, bucket->number);
	weir_out_u8(out, bucket->flags);
	weir_wire_put_digest(out, &bucket->digest);
}

int weir_wire_get_bucket(struct weir_in *in, struct weir_wire_bucket *bucket)
{
	bucket->number = weir_in_u16(in);
	bucket->flags = weir_in_u8(in);
	bucket->digest = weir_wire_get_digest(in);
	return in->bad || bucket->number >= WEIR_BUCKETS ? WEIR_ERR : 0;
}

void weir_wire_put_entry(struct weir_out *out, const struct weir_entry *entry)
{
	weir_out_u16(out, (uint16_t)weir_entry_bytes(entry));
	weir_out_put(out, entry, weir_entry_bytes(entry));
}

int weir_wire_get_entry(struct weir_in *in, union weir_entry_room *room)
{
	if (!in->bad && in->at == in->end)
		return 0;
	return get_entry(in, room) == 0 ? 1 : WEIR_ERR;
}

static bool written(const struct weir_digest *digest)
{
	return digest->term != 0 || digest->seq != 0 || digest->count != 0;
}

void weir_wire_put_digests(struct weir_out *out, const struct weir_wire_digests *digests)
{
	uint32_t present = 0;

	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++)
		if (written(&digests->digests[i]))
			present |= 1U << i;
	weir_out_u8(out, digests->shard);
	weir_out_u32(out, present);
	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++)
		if (present & 1U << i)
			weir_wire_put_digest(out, &digests->digests[i]);
}

int weir_wire_get_digests(struct weir_in *in, struct weir_wire_digests *digests)
{
	uint32_t present;

	digests->shard = weir_in_u8(in);
	present = weir_in_u32(in);
	memset(digests->digests, 0, sizeof(digests->digests));
	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++)
		if (present & 1U << i)
			digests->digests[i] = weir_wire_get_digest(in);
	return in->bad || in->at != in->end || digests->shard >= WEIR_SHARDS ? WEIR_ERR : 0;
}

void weir_wire_put_shards(struct weir_out *out, const struct weir_wire_shards *shards)
{
	weir_out_u32(out, shards->mask);
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		if ((shards->mask & 1U << shard) == 0)
			continue;
		weir_out_u64(out, shards->digests[shard].sum);
		weir_out_u64(out, shards->digests[shard].count);
	}
}

int weir_wire_get_shards(struct weir_in *in, struct weir_wire_shards *shards)
{
	memset(shards->digests, 0, sizeof(shards->digests));
	shards->mask = weir_in_u32(in);
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		if ((shards->mask & 1U << shard) == 0)
			continue;
		shards->digests[shard].sum = weir_in_u64(in);
		shards->digests[shard].count = weir_in_u64(in);
	}
	return in->bad || in->at != in->end ? WEIR_ERR : 0;
}

void weir_wire_put_sealed(struct weir_out *out, const struct weir_wire_sealed *sealed)
{
	weir_out_u64(out, sealed->synced);
	weir_wire_put_shards(out, &sealed->shards);
}

int weir_wire_get_sealed(struct weir_in *in, struct weir_wire_sealed *sealed)
{
	sealed->synced = weir_in_u64(in);
	return weir_wire_get_shards(in, &sealed->shards);
}
