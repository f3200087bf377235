/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "wire/varint.h"
#include "wire/wire.h"

static uint8_t bytes[WEIR_MESSAGE_BYTES_MAX];
static union weir_entry_room one, two;

static void make_entry(union weir_entry_room *room, uint16_t match_len, uint16_t instr_len)
{
	memset(room, 0, sizeof(*room));
	room->entry.created = 77;
	room->entry.packets = 5;
	room->entry.state = WEIR_FLOW_ADDED;
	room->entry.rule.flow_id = 0x1122334455667788;
	room->entry.rule.match_len = match_len;
	room->entry.rule.instr_len = instr_len;
	for (unsigned i = 0; i < match_len + instr_len; i++)
		room->entry.rule.data[i] = (uint8_t)(i * 7);
}

static struct weir_wire_delta change(enum weir_wire_delta_kind kind, uint64_t seq)
{
	return (struct weir_wire_delta){.kind = (uint8_t)kind, .seq = seq, .entry = &one.entry};
}

static struct weir_wire_delta purge(unsigned bucket, int app)
{
	return (struct weir_wire_delta){
		.kind = WEIR_WIRE_PURGE, .bucket = (uint16_t)bucket, .app = app, .seq = 11};
}

static void put(struct weir_out *out, struct weir_wire_delta delta)
{
	const uint8_t *before = out->at;

	weir_wire_put_delta(out, &delta);
	assert_int_equal(out->at - before, weir_wire_delta_bytes(&delta));
}

static void changes_come_back_as_they_were(void **state)
{
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_wire_delta delta;
	struct weir_in in;

	make_entry(&one, 20, 16);
	put(&out, change(WEIR_WIRE_PUT, 9));
	put(&out, purge(1023, 65535));
	put(&out, purge(0, WEIR_ANY_APP));
	put(&out, change(WEIR_WIRE_REMOVE, 10));
	assert_false(out.bad);
	in = weir_in(bytes, (size_t)(out.at - bytes));
	assert_int_equal(weir_wire_get_delta(&in, &delta, &two), 1);
	assert_int_equal(delta.kind, WEIR_WIRE_PUT);
	assert_int_equal(delta.seq, 9);
	assert_ptr_equal(delta.entry, &two.entry);
	assert_int_equal(delta.bucket, weir_flow_bucket(one.entry.rule.flow_id));
	assert_memory_equal(&two, &one, weir_entry_bytes(&one.entry));
	assert_int_equal(weir_wire_get_delta(&in, &delta, &two), 1);
	assert_int_equal(delta.kind, WEIR_WIRE_PURGE);
	assert_int_equal(delta.bucket, 1023);
	assert_int_equal(delta.app, 65535);
	assert_int_equal(weir_wire_get_delta(&in, &delta, &two), 1);
	assert_int_equal(delta.app, WEIR_ANY_APP);
	assert_int_equal(weir_wire_get_delta(&in, &delta, &two), 1);
	assert_int_equal(delta.kind, WEIR_WIRE_REMOVE);
	assert_int_equal(delta.seq, 10);
	assert_int_equal(two.entry.rule.instr_len, 0);
	assert_true(weir_rule_same(&two.entry.rule, &one.entry.rule));
	assert_int_equal(weir_wire_get_delta(&in, &delta, &two), 0);
}

static void flow_ids_of_what_comes_next_are_told_without_reading(void **state)
{
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_in in;
	uint64_t ids[8];

	make_entry(&one, 20, 16);
	for (unsigned i = 0; i < 6; i++) {
		one.entry.rule.flow_id = 100 + i;
		put(&out, change(i % 2 ? WEIR_WIRE_REMOVE : WEIR_WIRE_PUT, i));
	}
	put(&out, purge(3, 7));
	put(&out, change(WEIR_WIRE_PUT, 9));
	in = weir_in(bytes, (size_t)(out.at - bytes));
	assert_int_equal(weir_wire_peek_flow_ids(&in, ids, 4), 4);
	assert_int_equal(weir_wire_peek_flow_ids(&in, ids, 8), 6);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(ids[i], 100 + i);
	assert_ptr_equal(in.at, bytes);
	for (size_t len = 0; len < (size_t)(out.at - bytes); len++) {
		in = weir_in(bytes, len);
		assert_true(weir_wire_peek_flow_ids(&in, ids, 8) <= 6);
		assert_false(in.bad);
	}
	memset(bytes, 0xff, 40);
	in = weir_in(bytes, 40);
	assert_int_equal(weir_wire_peek_flow_ids(&in, ids, 8), 0);
}

static void purges_that_make_no_sense_are_errors(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct weir_out out = weir_out(bytes, sizeof(bytes));
		struct weir_wire_delta delta;
		struct weir_in in;

		put(&out, purge(i == 0 ? WEIR_BUCKETS : 5, i == 1 ? 65536 : 7));
		if (i == 2)
			bytes[4] = 2; /* neither any nor one */
		if (i == 3)
			bytes[4] = 1; /* any, and one */
		in = weir_in(bytes, (size_t)(out.at - bytes));
		assert_int_equal(weir_wire_get_delta(&in, &delta, &two), WEIR_ERR);
	}
}

static void counters_come_back_as_they_were(void **state)
{
	struct weir_wire_counters counters = {1, 2, 3, 4, 5, 6, 7}, back = {0};
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_in in;

	weir_wire_put_counters(&out, &counters);
	assert_int_equal(out.at - bytes, WEIR_WIRE_COUNTERS_BYTES);
	weir_wire_put_counters(&out, &counters);
	in = weir_in(bytes, 2 * WEIR_WIRE_COUNTERS_BYTES);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(weir_wire_get_counters(&in, &back), 1);
		assert_int_equal(back.flow_id, 1);
		assert_int_equal(back.created, 2);
		assert_int_equal(back.packets, 3);
		assert_int_equal(back.bytes, 4);
		assert_int_equal(back.last_seen_ms, 5);
		assert_int_equal(back.life_s, 6);
		assert_int_equal(back.live_type, 7);
	}
	assert_int_equal(weir_wire_get_counters(&in, &back), 0);
	for (size_t len = 1; len < WEIR_WIRE_COUNTERS_BYTES; len++) {
		in = weir_in(bytes, len);
		assert_int_equal(weir_wire_get_counters(&in, &back), WEIR_ERR);
	}
}

/** All that an entry can have, as large as it can be. */
static void make_largest(union weir_entry_room *room)
{
	struct weir_entry *const entry = &room->entry;

	make_entry(room, WEIR_MATCH_BYTES_MAX, WEIR_INSTR_BYTES_MAX);
	entry->created = entry->packets = entry->bytes = entry->last_seen_ms = UINT64_MAX;
	entry->life_s = UINT32_MAX;
	entry->error = UINT16_MAX;
	entry->state = WEIR_FLOW_FAILED;
	entry->live_type = UINT8_MAX;
	entry->rule.flow_id = entry->rule.cookie = UINT64_MAX;
	entry->rule.priority = entry->rule.flags = UINT16_MAX;
	entry->rule.idle_timeout_s = entry->rule.hard_timeout_s = UINT16_MAX;
	entry->rule.table = UINT8_MAX;
}

static void largest_change_reaches_its_bound_and_fits_a_message(void **state)
{
	struct weir_wire_delta delta = change(WEIR_WIRE_PUT, UINT64_MAX);
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_in in;

	make_largest(&one);
	put(&out, delta);
	assert_int_equal(out.at - bytes, WEIR_WIRE_DELTA_BYTES_MAX);
	assert_int_equal(weir_wire_entry_bytes(&one.entry), WEIR_WIRE_ENTRY_BYTES_MAX);
	in = weir_in(bytes, (size_t)(out.at - bytes));
	assert_int_equal(weir_wire_get_delta(&in, &delta, &two), 1);
	assert_int_equal(delta.seq, UINT64_MAX);
	assert_memory_equal(&two, &one, weir_entry_bytes(&one.entry));
	assert_true(WEIR_WIRE_HEAD_BYTES + WEIR_WIRE_DELTA_BYTES_MAX <= WEIR_MESSAGE_BYTES_MAX);
	assert_true(
		WEIR_WIRE_BUCKET_HEAD_BYTES + WEIR_WIRE_ENTRY_BYTES_MAX <= WEIR_MESSAGE_BYTES_MAX);
	assert_true(WEIR_WIRE_DIGESTS_BYTES_MAX <= WEIR_MESSAGE_BYTES_MAX);
	assert_true(WEIR_WIRE_SEALED_BYTES_MAX <= WEIR_MESSAGE_BYTES_MAX);
}

/** A field, and what it may be; each is there alone, and with all others. */
static void every_field_of_an_entry_comes_back(void **state)
{
	static const struct {
		size_t at, size;
	} fields[] = {
#define FIELD(name) {offsetof(struct weir_entry, name), sizeof(one.entry.name)}
		FIELD(created),
		FIELD(packets),
		FIELD(bytes),
		FIELD(last_seen_ms),
		FIELD(life_s),
		FIELD(error),
		FIELD(live_type),
		FIELD(rule.flow_id),
		FIELD(rule.cookie),
		FIELD(rule.priority),
		FIELD(rule.flags),
		FIELD(rule.idle_timeout_s),
		FIELD(rule.hard_timeout_s),
		FIELD(rule.table),
#undef FIELD
	};

	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		for (unsigned bit = 0; bit < 8 * fields[i].size; bit++) {
			struct weir_out out = weir_out(bytes, sizeof(bytes));
			const uint64_t value = 1ULL << bit;
			struct weir_in in;

			make_entry(&one, 5, 8);
			one.entry.packets = bit % 2;
			memcpy(one.bytes + fields[i].at, &value, fields[i].size);
			weir_wire_put_entry(&out, &one.entry);
			assert_int_equal(out.at - bytes, weir_wire_entry_bytes(&one.entry));
			memset(&two, 0xff, sizeof(two));
			in = weir_in(bytes, (size_t)(out.at - bytes));
			assert_int_equal(weir_wire_get_entry(&in, &two), 1);
			assert_memory_equal(&two, &one, weir_entry_bytes(&one.entry));
			assert_int_equal(weir_wire_get_entry(&in, &two), 0);
		}
	}
}

static void field_that_is_not_there_costs_nothing(void **state)
{
	const struct weir_wire_delta delta = change(WEIR_WIRE_PUT, 5);

	make_entry(&one, 35, 40);
	one.entry.packets = 0;
	assert_int_equal(weir_wire_delta_bytes(&delta), 1 + 1 + 1 + 18 + 1 + 35 + 40);
	one.entry.rule.table = 1;
	assert_int_equal(weir_wire_delta_bytes(&delta), 1 + 1 + 1 + 18 + 1 + 1 + 35 + 40);
	one.entry.packets = 1;
	assert_int_equal(weir_wire_delta_bytes(&delta), 1 + 2 + 1 + 18 + 2 + 1 + 35 + 40);
}

static void head_is_as_small_as_its_term(void **state)
{
	static const uint64_t terms[] = {0, 127, 128, 1ULL << 35, UINT64_MAX};
	static const size_t lens[] = {1, 1, 2, 6, 10};

	for (unsigned i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
		for (uint8_t type = 1; type < WEIR_WIRE_TYPES_COUNT; type++) {
			const bool ack = type == WEIR_WIRE_ACK;
			const struct weir_wire_head head = {
				.type = type, .device_key = ack ? 0 : 0x8877, .term = terms[i]};
			struct weir_out out = weir_out(bytes, WEIR_WIRE_HEAD_BYTES);
			struct weir_wire_head back;
			struct weir_in in;

			weir_wire_put_head(&out, &head);
			assert_false(out.bad);
			assert_int_equal(out.at - bytes, 1 + (ack ? 0 : 8) + lens[i]);
			assert_int_equal(out.at - bytes, weir_wire_head_bytes(&head));
			in = weir_in(bytes, (size_t)(out.at - bytes));
			assert_int_equal(weir_wire_get_head(&in, &back), 0);
			assert_ptr_equal(in.at, in.end);
			assert_int_equal(back.type, type);
			assert_int_equal(back.device_key, head.device_key);
			assert_int_equal(back.term, terms[i]);
		}
	}
}

static void numbers_have_one_encoding(void **state)
{
	static const struct {
		uint8_t bytes[11];
		size_t len;
	} bad[] = {
		{{0x80, 0}, 2},
		{{0xff, 0}, 2},
		{{0x80, 0x80, 0}, 3},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, 10},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 1}, 11},
		{{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}, 11},
	};

	for (unsigned bit = 0; bit < 64; bit++) {
		for (unsigned off = 0; off < 2; off++) {
			const uint64_t value = (1ULL << bit) - off;
			struct weir_out out = weir_out(bytes, WEIR_VARINT_BYTES_MAX);
			struct weir_in in;

			weir_out_varint(&out, value);
			assert_false(out.bad);
			assert_int_equal(out.at - bytes, weir_varint_bytes(value));
			in = weir_in(bytes, (size_t)(out.at - bytes));
			assert_int_equal(weir_in_varint(&in), value);
			assert_false(in.bad);
			for (size_t len = 0; len < (size_t)(out.at - bytes); len++) {
				in = weir_in(bytes, len);
				assert_int_equal(weir_in_varint(&in), 0);
				assert_true(in.bad);
			}
		}
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct weir_in in = weir_in(bad[i].bytes, bad[i].len);

		weir_in_varint(&in);
		assert_true(in.bad);
	}
}

static void digests_and_seals_come_back_as_they_were(void **state)
{
	struct weir_wire_digests digests = {.shard = 31}, digests_back;
	struct weir_wire_sealed sealed = {.synced = 12, .shards.mask = 0x80000001}, sealed_back;
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_in in;

	digests.digests[3] = (struct weir_digest){.term = 1, .seq = 2, .hash = 3, .count = 4};
	digests.digests[31] = (struct weir_digest){.term = 5, .seq = 6, .hash = 7, .count = 0};
	weir_wire_put_digests(&out, &digests);
	in = weir_in(bytes, (size_t)(out.at - bytes));
	assert_int_equal(weir_wire_get_digests(&in, &digests_back), 0);
	assert_int_equal(digests_back.shard, 31);
	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++)
		assert_true(weir_digest_equal(&digests.digests[i], &digests_back.digests[i]));

	sealed.shards.digests[31].sum = 99;
	sealed.shards.digests[0].count = 98;
	out = weir_out(bytes, sizeof(bytes));
	weir_wire_put_sealed(&out, &sealed);
	in = weir_in(bytes, (size_t)(out.at - bytes));
	assert_int_equal(weir_wire_get_sealed(&in, &sealed_back), 0);
	assert_int_equal(sealed_back.synced, 12);
	assert_int_equal(sealed_back.shards.mask, sealed.shards.mask);
	assert_memory_equal(
		sealed_back.shards.digests, sealed.shards.digests, sizeof(sealed.shards.digests));
}

static void every_truncation_is_an_error(void **state)
{
	struct weir_wire_digests digests = {.shard = 1};
	struct weir_wire_sealed sealed = {.shards.mask = 6};
	struct weir_wire_bucket bucket = {.number = 5};
	struct weir_wire_head head = {.type = WEIR_WIRE_SEAL};
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_wire_delta delta;
	struct weir_in in;
	size_t len;

	make_entry(&one, 20, 16);
	put(&out, change(WEIR_WIRE_PUT, 9));
	for (len = 1; len < (size_t)(out.at - bytes); len++) {
		in = weir_in(bytes, len);
		assert_int_equal(weir_wire_get_delta(&in, &delta, &two), WEIR_ERR);
	}
	out = weir_out(bytes, sizeof(bytes));
	put(&out, purge(5, 7));
	for (len = 1; len < (size_t)(out.at - bytes); len++) {
		in = weir_in(bytes, len);
		assert_int_equal(weir_wire_get_delta(&in, &delta, &two), WEIR_ERR);
	}
	out = weir_out(bytes, sizeof(bytes));
	weir_wire_put_entry(&out, &one.entry);
	for (len = 1; len < (size_t)(out.at - bytes); len++) {
		in = weir_in(bytes, len);
		assert_int_equal(weir_wire_get_entry(&in, &two), WEIR_ERR);
	}
	out = weir_out(bytes, sizeof(bytes));
	weir_wire_put_head(&out, &head);
	for (len = 0; len < (size_t)(out.at - bytes); len++) {
		in = weir_in(bytes, len);
		assert_int_equal(weir_wire_get_head(&in, &head), WEIR_ERR);
	}
	out = weir_out(bytes, sizeof(bytes));
	weir_wire_put_bucket(&out, &bucket);
	for (len = 0; len < (size_t)(out.at - bytes); len++) {
		in = weir_in(bytes, len);
		assert_int_equal(weir_wire_get_bucket(&in, &bucket), WEIR_ERR);
	}
	digests.digests[2].seq = 1;
	out = weir_out(bytes, sizeof(bytes));
	weir_wire_put_digests(&out, &digests);
	for (len = 0; len < (size_t)(out.at - bytes); len++) {
		in = weir_in(bytes, len);
		assert_int_equal(weir_wire_get_digests(&in, &digests), WEIR_ERR);
	}
	out = weir_out(bytes, sizeof(bytes));
	weir_wire_put_sealed(&out, &sealed);
	for (len = 0; len < (size_t)(out.at - bytes); len++) {
		in = weir_in(bytes, len);
		assert_int_equal(weir_wire_get_sealed(&in, &sealed), WEIR_ERR);
	}
}

/** An entry in bytes: bits, the length of its body, and the body; seq stands before it. */
static int entry_reads(uint8_t seq, const uint8_t *bits, size_t bits_len, size_t claimed,
	const uint8_t *body, size_t body_len)
{
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_wire_delta delta;
	struct weir_in in;

	weir_out_u8(&out, seq);
	weir_out_put(&out, bits, bits_len);
	weir_out_varint(&out, claimed);
	weir_out_put(&out, body, body_len);
	in = weir_in(bytes, (size_t)(out.at - bytes));
	return weir_wire_get_delta(&in, &delta, &two);
}

static void entries_that_do_not_hold_together_are_errors(void **state)
{
	/* Flow id, created and priority, then no match, then 8 bytes of instructions. */
	static const uint8_t body[27] = {1, [18] = 0, [19] = 1};
	/* A table of 1, a match of 2 bytes. */
	static const uint8_t tabled[22] = {1, [18] = 1, [19] = 2};
	static const uint8_t put_bits = WEIR_WIRE_PUT, remove_bits = WEIR_WIRE_REMOVE;
	static const uint8_t tabled_bits = WEIR_WIRE_PUT | 0x10;
	static const uint8_t tabled_remove = WEIR_WIRE_REMOVE | 0x10;
	static const uint8_t kinds[] = {0, WEIR_WIRE_PURGE | 4, WEIR_WIRE_PURGE | 0x10};
	static const uint8_t no_more[] = {WEIR_WIRE_PUT | 0x80, 0};
	static const uint8_t more[] = {WEIR_WIRE_PUT | 0x80, 1};
	static const uint8_t more_removed[] = {WEIR_WIRE_REMOVE | 0x80, 1};

	assert_int_equal(entry_reads(1, &put_bits, 1, 27, body, 27), 1);
	assert_int_equal(entry_reads(1, &put_bits, 1, 19, body, 19), 1);
	assert_int_equal(entry_reads(1, &remove_bits, 1, 19, body, 19), 1);
	assert_int_equal(entry_reads(1, &tabled_bits, 1, 22, tabled, 22), 1);
	assert_int_equal(entry_reads(1, &tabled_remove, 1, 22, tabled, 22), 1);
	assert_int_equal(entry_reads(1, more, 2, 22, tabled, 22), 1);

	/* No such kind. */
	for (unsigned i = 0; i < sizeof(kinds); i++)
		assert_int_equal(entry_reads(1, &kinds[i], 1, 22, tabled, 22), WEIR_ERR);
	/* A second byte that says nothing. */
	assert_int_equal(entry_reads(1, no_more, 2, 27, body, 27), WEIR_ERR);
	/* A rare field that is zero; one that is too long for itself. */
	assert_int_equal(entry_reads(1, &tabled_bits, 1, 27, body, 27), WEIR_ERR);
	{
		static const uint8_t large[23] = {1, [18] = 0x80, [19] = 2, [20] = 2};

		assert_int_equal(entry_reads(1, &tabled_bits, 1, 23, large, 23), WEIR_ERR);
	}
	/* Shorter than what is always there; longer than the message. */
	for (size_t len = 0; len < 19; len++)
		assert_int_equal(entry_reads(1, &put_bits, 1, len, body, len), WEIR_ERR);
	assert_int_equal(entry_reads(1, &put_bits, 1, 28, body, 27), WEIR_ERR);
	assert_int_equal(entry_reads(1, &put_bits, 1, UINT64_MAX, body, 27), WEIR_ERR);
	/* A match that ends behind the entry. */
	assert_int_equal(entry_reads(1, &tabled_bits, 1, 21, tabled, 22), WEIR_ERR);
	/* Of a rule that is gone: instructions, a state, what devices report. */
	assert_int_equal(entry_reads(1, &remove_bits, 1, 27, body, 27), WEIR_ERR);
	{
		static const uint8_t added = WEIR_WIRE_REMOVE | WEIR_FLOW_ADDED << 2;

		assert_int_equal(entry_reads(1, &added, 1, 19, body, 19), WEIR_ERR);
	}
	assert_int_equal(entry_reads(1, more_removed, 2, 22, tabled, 22), WEIR_ERR);
}

/** Match and instructions one byte longer than they may be, and as long as they may be. */
static void match_or_instructions_over_their_bounds_are_errors(void **state)
{
	static const uint8_t fixed[18] = {1};

	for (unsigned i = 0; i < 4; i++) {
		const size_t match_len = WEIR_MATCH_BYTES_MAX + (i == 1);
		const size_t instr_len = WEIR_INSTR_BYTES_MAX + (i == 2);
		struct weir_out out = weir_out(bytes, sizeof(bytes));
		struct weir_in in;

		weir_out_u8(&out, WEIR_WIRE_PUT);
		weir_out_varint(
			&out, sizeof(fixed) + weir_varint_bytes(match_len) + match_len + instr_len);
		weir_out_put(&out, fixed, sizeof(fixed));
		weir_out_varint(&out, match_len);
		memset(weir_out_bytes(&out, match_len + instr_len), 7, match_len + instr_len);
		in = weir_in(bytes, (size_t)(out.at - bytes));
		assert_int_equal(weir_wire_get_entry(&in, &two), i == 1 || i == 2 ? WEIR_ERR : 1);
	}
}

static void change_in_the_place_of_an_entry_is_an_error(void **state)
{
	struct weir_wire_delta delta = change(WEIR_WIRE_REMOVE, 9);
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_in in;

	make_entry(&one, 20, 16);
	weir_wire_put_delta(&out, &delta);
	in = weir_in(bytes + 1, (size_t)(out.at - bytes) - 1);
	assert_int_equal(weir_wire_get_entry(&in, &two), WEIR_ERR);
}

static void wrong_version_or_type_is_an_error(void **state)
{
	const struct weir_wire_head head = {.type = WEIR_WIRE_SEAL, .device_key = 1, .term = 2};
	struct weir_wire_head back;
	unsigned good = 0;

	for (unsigned first = 0; first < 256; first++) {
		struct weir_out out = weir_out(bytes, sizeof(bytes));
		struct weir_in in;

		weir_wire_put_head(&out, &head);
		bytes[0] = (uint8_t)first;
		in = weir_in(bytes, WEIR_WIRE_HEAD_BYTES);
		if (weir_wire_get_head(&in, &back) == 0)
			good++;
		else
			assert_true(first >> 5 != WEIR_WIRE_VERSION || (first & 31) == 0 ||
				    (first & 31) >= WEIR_WIRE_TYPES_COUNT);
	}
	assert_int_equal(good, WEIR_WIRE_TYPES_COUNT - 1);
	/* A term longer than it need be. */
	{
		struct weir_out out = weir_out(bytes, sizeof(bytes));
		struct weir_in in;

		weir_wire_put_head(&out, &head);
		out.at[-1] |= 0x80;
		*out.at = 0;
		in = weir_in(bytes, (size_t)(out.at - bytes) + 1);
		assert_int_equal(weir_wire_get_head(&in, &back), WEIR_ERR);
	}
}

/* Whatever the bytes are, reading stays inside them and says so in the end. */
static void random_bytes_never_lead_astray(void **state)
{
	unsigned seed = 20261124;

	print_message("seed %u\n", seed);
	srandom(seed);
	for (unsigned round = 0; round < 200000; round++) {
		size_t len = (size_t)random() % 600;
		uint8_t *exact = malloc(len + 1);
		struct weir_wire_digests digests;
		struct weir_wire_sealed sealed;
		struct weir_wire_head head;
		struct weir_in in;
		struct weir_wire_counters counters;
		struct weir_wire_delta delta;

		for (size_t i = 0; i < len; i++)
			exact[i] = (uint8_t)(random() % 4 == 0 ? random() : random() % 3);
		in = weir_in(exact, len);
		weir_wire_get_head(&in, &head);
		in = weir_in(exact, len);
		while (weir_wire_get_delta(&in, &delta, &two) > 0)
			;
		in = weir_in(exact, len);
		while (weir_wire_get_counters(&in, &counters) > 0)
			;
		in = weir_in(exact, len);
		while (weir_wire_get_entry(&in, &two) > 0)
			;
		in = weir_in(exact, len);
		weir_wire_get_digests(&in, &digests);
		in = weir_in(exact, len);
		weir_wire_get_sealed(&in, &sealed);
		free(exact);
	}
}

static void types_have_names(void **state)
{
	for (unsigned type = 1; type < WEIR_WIRE_TYPES_COUNT; type++)
		assert_string_not_equal(weir_wire_type_name((enum weir_wire_type)type), "?");
	assert_string_equal(weir_wire_type_name(WEIR_WIRE_TYPES_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_come_back_as_they_were),
		cmocka_unit_test(flow_ids_of_what_comes_next_are_told_without_reading),
		cmocka_unit_test(purges_that_make_no_sense_are_errors),
		cmocka_unit_test(counters_come_back_as_they_were),
		cmocka_unit_test(largest_change_reaches_its_bound_and_fits_a_message),
		cmocka_unit_test(every_field_of_an_entry_comes_back),
		cmocka_unit_test(field_that_is_not_there_costs_nothing),
		cmocka_unit_test(head_is_as_small_as_its_term),
		cmocka_unit_test(numbers_have_one_encoding),
		cmocka_unit_test(digests_and_seals_come_back_as_they_were),
		cmocka_unit_test(every_truncation_is_an_error),
		cmocka_unit_test(entries_that_do_not_hold_together_are_errors),
		cmocka_unit_test(match_or_instructions_over_their_bounds_are_errors),
		cmocka_unit_test(change_in_the_place_of_an_entry_is_an_error),
		cmocka_unit_test(wrong_version_or_type_is_an_error),
		cmocka_unit_test(random_bytes_never_lead_astray),
		cmocka_unit_test(types_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
