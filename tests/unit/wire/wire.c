/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
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
			bytes[11] = 2; /* neither any nor one */
		if (i == 3)
			bytes[11] = 1; /* any, and one */
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

static void largest_change_fits_its_bound_and_a_message(void **state)
{
	struct weir_wire_delta delta = change(WEIR_WIRE_PUT, 1);

	make_entry(&one, WEIR_MATCH_BYTES_MAX, WEIR_INSTR_BYTES_MAX);
	assert_true(weir_wire_delta_bytes(&delta) <= WEIR_WIRE_DELTA_BYTES_MAX);
	assert_true(WEIR_WIRE_HEAD_BYTES + WEIR_WIRE_DELTA_BYTES_MAX <= WEIR_MESSAGE_BYTES_MAX);
	assert_true(
		WEIR_WIRE_BUCKET_HEAD_BYTES + 2 + WEIR_ENTRY_BYTES_MAX <= WEIR_MESSAGE_BYTES_MAX);
	assert_true(WEIR_WIRE_DIGESTS_BYTES_MAX <= WEIR_MESSAGE_BYTES_MAX);
	assert_true(WEIR_WIRE_SEALED_BYTES_MAX <= WEIR_MESSAGE_BYTES_MAX);
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

static void lengths_that_do_not_hold_together_are_errors(void **state)
{
	struct weir_wire_delta delta;

	for (unsigned i = 0; i < 3; i++) {
		struct weir_out out = weir_out(bytes, sizeof(bytes));
		struct weir_in in;

		make_entry(&one, 20, 16);
		put(&out, change(WEIR_WIRE_PUT, 9));
		if (i == 0)
			bytes[0] = 77; /* kind */
		if (i == 1)
			bytes[9]++; /* length */
		if (i == 2)
			bytes[11 + offsetof(struct weir_entry, state)] = WEIR_FLOW_STATES_COUNT;
		in = weir_in(bytes, (size_t)(out.at - bytes));
		assert_int_equal(weir_wire_get_delta(&in, &delta, &two), WEIR_ERR);
	}
}

static void wrong_version_or_type_is_an_error(void **state)
{
	struct weir_wire_head head = {.type = WEIR_WIRE_SEAL, .device_key = 1, .term = 2};

	for (unsigned i = 0; i < 3; i++) {
		struct weir_out out = weir_out(bytes, sizeof(bytes));
		struct weir_in in;

		weir_wire_put_head(&out, &head);
		if (i == 0)
			bytes[0]++;
		if (i == 1)
			bytes[1] = 0;
		if (i == 2)
			bytes[1] = WEIR_WIRE_TYPES_COUNT;
		in = weir_in(bytes, WEIR_WIRE_HEAD_BYTES);
		assert_int_equal(weir_wire_get_head(&in, &head), WEIR_ERR);
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
		cmocka_unit_test(largest_change_fits_its_bound_and_a_message),
		cmocka_unit_test(digests_and_seals_come_back_as_they_were),
		cmocka_unit_test(every_truncation_is_an_error),
		cmocka_unit_test(lengths_that_do_not_hold_together_are_errors),
		cmocka_unit_test(wrong_version_or_type_is_an_error),
		cmocka_unit_test(random_bytes_never_lead_astray),
		cmocka_unit_test(types_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
