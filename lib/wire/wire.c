/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/err.h"
#include "wire/entry.h"
#include "wire/varint.h"
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

/* Version and type share a byte. */
#define TYPE_BITS 5

_Static_assert(WEIR_WIRE_TYPES_COUNT <= 1 << TYPE_BITS, "each type fits its bits");
_Static_assert(WEIR_WIRE_VERSION < 1 << (8 - TYPE_BITS), "so does the version");

size_t weir_wire_head_bytes(const struct weir_wire_head *head)
{
	return 1U + (head->type == WEIR_WIRE_ACK ? 0 : sizeof(head->device_key)) +
	       weir_varint_bytes(head->term);
}

void weir_wire_put_head(struct weir_out *out, const struct weir_wire_head *head)
{
	weir_out_u8(out, (uint8_t)(WEIR_WIRE_VERSION << TYPE_BITS | head->type));
	if (head->type != WEIR_WIRE_ACK)
		weir_out_u64(out, head->device_key);
	weir_out_varint(out, head->term);
}

int weir_wire_get_head(struct weir_in *in, struct weir_wire_head *head)
{
	const unsigned first = weir_in_u8(in);

	head->type = first & ((1U << TYPE_BITS) - 1);
	head->device_key = head->type != WEIR_WIRE_ACK ? weir_in_u64(in) : 0;
	head->term = weir_in_varint(in);
	if (in->bad || first >> TYPE_BITS != WEIR_WIRE_VERSION || head->type == 0 ||
		head->type >= WEIR_WIRE_TYPES_COUNT)
		return WEIR_ERR;
	return 0;
}

/* What a purge takes behind its seq: kind, bucket, whether of any app, app. */
#define PURGE_BYTES 8

size_t weir_wire_delta_bytes(const struct weir_wire_delta *delta)
{
	return weir_varint_bytes(delta->seq) +
	       (delta->kind == WEIR_WIRE_PURGE ? PURGE_BYTES
					       : weir_wire_packed_bytes(delta->entry,
							 (enum weir_wire_delta_kind)delta->kind));
}

static void put_purge(struct weir_out *out, const struct weir_wire_delta *delta)
{
	weir_out_u8(out, WEIR_WIRE_PURGE);
	weir_out_u16(out, delta->bucket);
	weir_out_u8(out, delta->app == WEIR_ANY_APP);
	weir_out_u32(out, delta->app == WEIR_ANY_APP ? 0 : (uint32_t)delta->app);
}

void weir_wire_put_delta(struct weir_out *out, const struct weir_wire_delta *delta)
{
	weir_out_varint(out, delta->seq);
	if (delta->kind == WEIR_WIRE_PURGE)
		put_purge(out, delta);
	else
		weir_wire_pack(out, delta->entry, (enum weir_wire_delta_kind)delta->kind);
}

static int get_purge(struct weir_in *in, struct weir_wire_delta *delta)
{
	uint8_t any;
	uint32_t app;

	weir_in_u8(in);
	delta->bucket = weir_in_u16(in);
	any = weir_in_u8(in);
	app = weir_in_u32(in);
	delta->app = any != 0 ? WEIR_ANY_APP : (int32_t)app;
	if (in->bad || delta->bucket >= WEIR_BUCKETS || any > 1 || app > (any ? 0 : UINT16_MAX))
		return WEIR_ERR;
	return 0;
}

/** Whether the change that comes next, behind its seq, is one of a whole bucket. */
static bool is_purge(const struct weir_in *in)
{
	return weir_in_left(in) > 0 && *in->at == WEIR_WIRE_PURGE;
}

int weir_wire_get_delta(
	struct weir_in *in, struct weir_wire_delta *delta, union weir_entry_room *room)
{
	int kind;

	if (!in->bad && in->at == in->end)
		return 0;
	delta->seq = weir_in_varint(in);
	if (is_purge(in)) {
		delta->kind = WEIR_WIRE_PURGE;
		return get_purge(in, delta) == 0 ? 1 : WEIR_ERR;
	}
	kind = weir_wire_unpack(in, room);
	if (kind != WEIR_WIRE_PUT && kind != WEIR_WIRE_REMOVE)
		return WEIR_ERR;
	delta->kind = (uint8_t)kind;
	delta->entry = &room->entry;
	delta->bucket = (uint16_t)weir_flow_bucket(room->entry.rule.flow_id);
	return 1;
}

unsigned weir_wire_peek_flow_ids(const struct weir_in *in, uint64_t *flow_ids, unsigned room)
{
	struct weir_in at = *in;
	unsigned count = 0;

	while (count < room && weir_in_left(&at) > 0) {
		weir_in_varint(&at);
		if (is_purge(&at) || !weir_wire_skip(&at, &flow_ids[count]))
			break;
		count++;
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

size_t weir_wire_entry_bytes(const struct weir_entry *entry)
{
	return weir_wire_packed_bytes(entry, WEIR_WIRE_PUT);
}

void weir_wire_put_entry(struct weir_out *out, const struct weir_entry *entry)
{
	weir_wire_pack(out, entry, WEIR_WIRE_PUT);
}

int weir_wire_get_entry(struct weir_in *in, union weir_entry_room *room)
{
	if (!in->bad && in->at == in->end)
		return 0;
	return weir_wire_unpack(in, room) == WEIR_WIRE_PUT ? 1 : WEIR_ERR;
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
