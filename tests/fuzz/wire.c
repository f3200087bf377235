/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target of lib/wire: the bytes are taken as a DELTA and as a BUCKET. Whatever is read must,
 * written again, be the same bytes: each message has one encoding.
 *
 * With libFuzzer: clang -fsanitize=fuzzer,address -DWEIR_LIBFUZZER ... wire.c. Otherwise main
 * mutates messages of its own, as many times as it is told, from a seed that it prints.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static union weir_entry_room room;

/** What was read from `from` on must come out again. */
static void assert_same(const struct weir_in *in, const uint8_t *from, const struct weir_out *out,
	const uint8_t *again)
{
	const size_t len = (size_t)(in->at - from);

	weir_assert(!out->bad && (size_t)(out->at - again) == len);
	weir_assert(memcmp(from, again, len) == 0);
}

static bool head_reads(struct weir_in *in)
{
	uint8_t again[WEIR_WIRE_HEAD_BYTES];
	struct weir_out out = weir_out(again, sizeof(again));
	const uint8_t *const from = in->at;
	struct weir_wire_head head;

	if (weir_wire_get_head(in, &head) != 0)
		return false;
	weir_wire_put_head(&out, &head);
	weir_assert(weir_wire_head_bytes(&head) == (size_t)(out.at - again));
	assert_same(in, from, &out, again);
	return true;
}

/** @return changes that were read */
static unsigned as_delta(const uint8_t *data, size_t size)
{
	static uint8_t again[WEIR_WIRE_DELTA_BYTES_MAX];
	struct weir_in in = weir_in(data, size);
	struct weir_wire_delta delta;
	const uint8_t *from;
	uint64_t flow_ids[4];
	unsigned count = 0, ahead;

	if (!head_reads(&in))
		return 0;
	ahead = weir_wire_peek_flow_ids(&in, flow_ids, 4);
	for (from = in.at; weir_wire_get_delta(&in, &delta, &room) > 0; from = in.at) {
		struct weir_out out = weir_out(again, sizeof(again));

		weir_wire_put_delta(&out, &delta);
		weir_assert(weir_wire_delta_bytes(&delta) == (size_t)(out.at - again));
		assert_same(&in, from, &out, again);
		if (delta.kind == WEIR_WIRE_PURGE)
			ahead = 0;
		else if (count < ahead)
			weir_assert(flow_ids[count] == delta.entry->rule.flow_id);
		count++;
	}
	return count;
}

/** @return entries that were read */
static unsigned as_bucket(const uint8_t *data, size_t size)
{
	static uint8_t again[WEIR_WIRE_ENTRY_BYTES_MAX];
	struct weir_in in = weir_in(data, size);
	struct weir_wire_bucket bucket;
	const uint8_t *from;
	unsigned count = 0;

	if (!head_reads(&in) || weir_wire_get_bucket(&in, &bucket) != 0)
		return 0;
	for (from = in.at; weir_wire_get_entry(&in, &room) > 0; from = in.at) {
		struct weir_out out = weir_out(again, sizeof(again));

		weir_wire_put_entry(&out, &room.entry);
		weir_assert(weir_wire_entry_bytes(&room.entry) == (size_t)(out.at - again));
		assert_same(&in, from, &out, again);
		count++;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_delta(data, size);
	as_bucket(data, size);
	return 0;
}

#ifndef WEIR_LIBFUZZER

#define INPUT_MAX 1024

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* Often zero, else of any number of bits. */
static uint64_t number(uint64_t *dice)
{
	return draw(dice) % 3 == 0 ? draw(dice) >> draw(dice) % 64 : 0;
}

static void make_entry(struct weir_entry *entry, uint64_t *dice)
{
	memset(entry, 0, sizeof(*entry));
	entry->created = draw(dice);
	entry->packets = number(dice);
	entry->bytes = number(dice);
	entry->last_seen_ms = number(dice);
	entry->life_s = (uint32_t)number(dice);
	entry->error = (uint16_t)number(dice);
	entry->state = draw(dice) % WEIR_FLOW_STATES_COUNT;
	entry->live_type = draw(dice) % 4;
	entry->rule.flow_id = draw(dice);
	entry->rule.cookie = number(dice);
	entry->rule.priority = (uint16_t)draw(dice);
	entry->rule.flags = (uint16_t)number(dice);
	entry->rule.idle_timeout_s = (uint16_t)number(dice);
	entry->rule.hard_timeout_s = (uint16_t)number(dice);
	entry->rule.table = (uint8_t)number(dice);
	entry->rule.match_len = draw(dice) % 60;
	entry->rule.instr_len = draw(dice) % 60;
	for (unsigned i = 0; i < entry->rule.match_len + entry->rule.instr_len; i++)
		entry->rule.data[i] = (uint8_t)draw(dice);
}

static void put_change(struct weir_out *out, uint64_t *dice)
{
	struct weir_wire_delta delta = {.kind = (uint8_t)(1 + draw(dice) % 3),
		.seq = number(dice),
		.bucket = draw(dice) % WEIR_BUCKETS,
		.app = draw(dice) % 2 == 0 ? WEIR_ANY_APP : (int32_t)(draw(dice) % 65536),
		.entry = &room.entry};

	make_entry(&room.entry, dice);
	weir_wire_put_delta(out, &delta);
}

static size_t start(uint8_t *input, uint64_t *dice)
{
	struct weir_out out = weir_out(input, INPUT_MAX);
	const bool is_bucket = draw(dice) % 2 == 0;
	const struct weir_wire_bucket bucket = {
		.number = draw(dice) % WEIR_BUCKETS, .flags = draw(dice) % 8};

	weir_wire_put_head(&out,
		&(struct weir_wire_head){.type = is_bucket ? WEIR_WIRE_BUCKET : WEIR_WIRE_DELTA,
			.device_key = draw(dice),
			.term = number(dice)});
	if (is_bucket)
		weir_wire_put_bucket(&out, &bucket);
	for (uint64_t left = draw(dice) % 4; left > 0; left--) {
		if (!is_bucket) {
			put_change(&out, dice);
			continue;
		}
		make_entry(&room.entry, dice);
		weir_wire_put_entry(&out, &room.entry);
	}
	weir_assert(!out.bad);
	return (size_t)(out.at - input);
}

static size_t mutate(uint8_t *input, size_t size, uint64_t *dice)
{
	static const uint8_t likely[] = {0, 1, 2, 3, 0x7f, 0x80, 0x81, 0xff};
	const size_t at = draw(dice) % size;

	switch (draw(dice) % 5) {
	case 0:
		input[at] ^= (uint8_t)(1U << draw(dice) % 8);
		return size;
	case 1:
		input[at] = likely[draw(dice) % sizeof(likely)];
		return size;
	case 2:
		memmove(input + at, input + at + 1, size - at - 1);
		return size > 1 ? size - 1 : size;
	case 3:
		return at > 0 ? at : size;
	default:
		if (size == INPUT_MAX)
			return size;
		memmove(input + at + 1, input + at, size - at);
		input[at] = likely[draw(dice) % sizeof(likely)];
		return size + 1;
	}
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	uint64_t dice = seed, changes = 0, entries = 0;
	uint8_t input[INPUT_MAX];

	printf("%llu inputs from seed %llu\n", (unsigned long long)rounds,
		(unsigned long long)seed);
	fflush(stdout);
	for (uint64_t i = 0; i < rounds; i++) {
		size_t size = start(input, &dice);
		uint8_t *exact;

		for (uint64_t left = draw(&dice) % 4; left > 0; left--)
			size = mutate(input, size, &dice);
		/* Exactly as large: a sanitizer sees what reads behind it. */
		exact = malloc(size);
		weir_assert(exact != NULL);
		memcpy(exact, input, size);
		changes += as_delta(exact, size);
		entries += as_bucket(exact, size);
		free(exact);
	}
	printf("%llu changes and %llu entries were read\n", (unsigned long long)changes,
		(unsigned long long)entries);
	return changes > rounds / 10 && entries > rounds / 10 ? 0 : 1;
}

#endif
