/* SPDX-License-Identifier: BSD-3-Clause */
/* Bad frames: each kind is counted and dropped, and nothing else happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "fabric.h"
#include "link/stream.h"

#define MESSAGE_BYTES 21
#define PAYLOAD_BYTES (1 + MESSAGE_BYTES)

static const unsigned one_worker[] = {1, 1};

static struct fabric fabric;

static struct fabric_seen *a_sees;
static struct fabric_seen *b_sees;

/** The frame that a test spoils: the last one with a message, from A to B. */
static struct rte_mbuf *sample;

static bool tap_sample(struct fabric *net, struct rte_mbuf *mbuf)
{
	if (fabric_is_data(mbuf)) {
		rte_pktmbuf_free(sample);
		sample = rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX);
		return false;
	}
	return true;
}

/** Two ends that are up, and a frame that B has not received and would take. */
static void pair_start(void)
{
	fabric_start(&fabric, 1, one_worker, 2);
	fabric_join(&fabric);
	a_sees = fabric_seen(&fabric, 0, 0, 1, 0);
	b_sees = fabric_seen(&fabric, 1, 0, 0, 0);
	fabric_until(&fabric, 100, a_sees->up && b_sees->up);
	fabric_steps(&fabric, 10);
	fabric.tap = tap_sample;
	assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, MESSAGE_BYTES), 0);
	fabric_step(&fabric);
	assert_non_null(sample);
	/* A's own repetition of it must not disturb. */
	fabric.nodes[0].workers[0].stopped = true;
}

/** The sample, unspoilt, is taken: what was dropped before was dropped for its faults. */
static void pair_end(void)
{
	fabric_inject(&fabric, 1, 0, sample);
	fabric_step(&fabric);
	assert_int_equal(b_sees->received, 1);
	assert_int_equal(b_sees->downs, 0);
	sample = NULL;
	fabric.nodes[0].workers[0].stopped = false;
	fabric.tap = NULL;
	fabric_send(&fabric, 0, 0, 1, 0, 5000);
	fabric_until(&fabric, 100, b_sees->received == 2);
	fabric_end(&fabric);
}

static struct rte_mbuf *sample_copy(void)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_copy(sample, sample->pool, 0, UINT32_MAX);

	assert_non_null(mbuf);
	return mbuf;
}

static struct weir_frame *frame_of(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_mtod(mbuf, struct weir_frame *);
}

/** What A and B know of A's frames in their session, numbers up to 2^16. */
static uint64_t known(void)
{
	const struct weir_stream *stream = fabric_stream(&fabric, 0, 0, 1, 0);

	return stream->way_out ^ stream->pair_out;
}

static uint64_t bad_sum(const struct weir_link_stats *stats)
{
	return stats->bad_truncated + stats->bad_checksum + stats->bad_foreign + stats->bad_stale;
}

/** B gets a frame and must drop it. @return the counters' growth */
static struct weir_link_stats dropped(struct rte_mbuf *mbuf)
{
	const struct weir_link_stats before = fabric_stats(&fabric, 1, 0);
	const uint64_t carried = fabric.carried;
	struct weir_link_stats after;

	fabric_inject(&fabric, 1, 0, mbuf);
	fabric_step(&fabric);
	after = fabric_stats(&fabric, 1, 0);
	assert_int_equal(bad_sum(&after) - bad_sum(&before), 1);
	assert_int_equal(b_sees->received, 0);
	assert_int_equal(b_sees->downs, 0);
	assert_int_equal(fabric.carried, carried);
	after.bad_truncated -= before.bad_truncated;
	after.bad_checksum -= before.bad_checksum;
	after.bad_foreign -= before.bad_foreign;
	after.bad_stale -= before.bad_stale;
	return after;
}

static void frame_cut_at_each_length_is_dropped(void **state)
{
	pair_start();
	for (uint16_t len = 0; len < sample->data_len; len++) {
		struct rte_mbuf *mbuf = sample_copy();

		rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - len));
		assert_int_equal(dropped(mbuf).bad_truncated, 1);
	}
	pair_end();
}

/** Cut, and its length fields made to agree: the checksum notices. */
static void frame_cut_with_fitting_lengths_is_dropped(void **state)
{
	pair_start();
	for (uint16_t len = 0; len < PAYLOAD_BYTES; len++) {
		struct rte_mbuf *mbuf = sample_copy();
		const uint64_t check = frame_of(mbuf)->head.check;

		rte_pktmbuf_trim(mbuf, (uint16_t)(PAYLOAD_BYTES - len));
		weir_frame_seal(frame_of(mbuf), known(), len);
		frame_of(mbuf)->head.check = check;
		assert_int_equal(dropped(mbuf).bad_checksum, 1);
	}
	pair_end();
}

static void each_flipped_bit_is_noticed(void **state)
{
	struct weir_link_stats sum = {0};

	pair_start();
	for (unsigned bit = 0; bit < 8U * sample->data_len; bit++) {
		struct rte_mbuf *mbuf = sample_copy();
		struct weir_link_stats growth;

		rte_pktmbuf_mtod(mbuf, uint8_t *)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		growth = dropped(mbuf);
		sum.bad_checksum += growth.bad_checksum;
		sum.bad_foreign += growth.bad_foreign;
		sum.bad_truncated += growth.bad_truncated;
		sum.bad_stale += growth.bad_stale;
	}
	assert_int_equal(bad_sum(&sum), 8U * sample->data_len);
	assert_true(sum.bad_checksum > sum.bad_foreign && sum.bad_truncated > 0);
	assert_int_equal(sum.bad_stale, 16); /* the tag itself */
	pair_end();
}

static void garbage_is_dropped(void **state)
{
	pair_start();
	for (unsigned i = 0; i < 20000; i++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(fabric.nodes[0].pool);
		const uint16_t len = (uint16_t)(fabric_random(&fabric) % 1500);
		const unsigned kept = (unsigned)(fabric_random(&fabric) % (len + 1U));
		uint8_t *bytes;

		bytes = (uint8_t *)rte_pktmbuf_append(mbuf, len);
		for (unsigned k = 0; k < len; k++)
			bytes[k] = (uint8_t)fabric_random(&fabric);
		/* Often the beginning is that of a good frame. */
		memcpy(bytes, rte_pktmbuf_mtod(sample, const uint8_t *),
			RTE_MIN(kept, (unsigned)sample->data_len - 8));
		dropped(mbuf);
	}
	pair_end();
}

/** Changes fields of a good frame, whose checksums are then made right, for what is known. */
#define DROPPED_AS(known, change, cause)                                                           \
	do {                                                                                       \
		struct rte_mbuf *const mbuf = sample_copy();                                       \
		struct weir_frame *const frame = frame_of(mbuf);                                   \
                                                                                                   \
		change;                                                                            \
		weir_frame_seal(frame, known, PAYLOAD_BYTES);                                      \
		assert_int_equal(dropped(mbuf).cause, 1);                                          \
	} while (0)

#define DROPPED_WITH(change, cause) DROPPED_AS(known(), change, cause)

static void frame_for_or_from_somebody_else_is_dropped(void **state)
{
	pair_start();
	DROPPED_WITH(frame->eth.dst_addr.addr_bytes[5] = 77, bad_foreign);
	DROPPED_WITH(memset(&frame->eth.dst_addr, 0xff, 6), bad_foreign);
	DROPPED_WITH(frame->eth.src_addr.addr_bytes[5] = 77, bad_foreign);
	DROPPED_WITH(frame->eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP), bad_foreign);
	DROPPED_WITH(frame->eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV6), bad_foreign);
	DROPPED_WITH(frame->eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_VLAN), bad_foreign);
	DROPPED_WITH(frame->ip.version_ihl = 0x65, bad_foreign);
	DROPPED_WITH(frame->ip.version_ihl = 0x46, bad_foreign);
	DROPPED_WITH(frame->ip.next_proto_id = IPPROTO_TCP, bad_foreign);
	DROPPED_WITH(frame->ip.fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG), bad_foreign);
	DROPPED_WITH(frame->ip.fragment_offset = RTE_BE16(1), bad_foreign);
	DROPPED_WITH(frame->ip.dst_addr ^= 1, bad_foreign);
	DROPPED_WITH(frame->ip.src_addr ^= 1, bad_foreign);
	DROPPED_WITH(frame->udp.dst_port = RTE_BE16(6639), bad_foreign);
	DROPPED_WITH(frame->udp.dst_port = RTE_BE16(6641), bad_foreign);
	DROPPED_WITH(frame->udp.src_port = RTE_BE16(6641), bad_foreign);
	DROPPED_WITH(frame->head.kind += 1 << WEIR_FRAME_VERSION_SHIFT, bad_foreign);
	DROPPED_WITH(frame->head.kind = 1, bad_foreign); /* version 1 has its number here */
	DROPPED_WITH(frame->head.kind |= 8, bad_foreign);
	DROPPED_WITH(frame->head.kind |= WEIR_FRAME_CONTROL | WEIR_FRAME_HELLO, bad_foreign);
	DROPPED_WITH(frame->head.kind |= WEIR_FRAME_LATE | WEIR_FRAME_HELLO, bad_foreign);
	DROPPED_WITH(frame->head.hint++, bad_foreign);
	DROPPED_WITH(frame->udp.dgram_cksum = 1, bad_checksum);
	pair_end();
}

/** Its hint tells that it is foreign; where the hint happens to be ours, the check does. */
static void dropped_of_way(uint64_t way)
{
	const uint64_t pair = fabric_stream(&fabric, 0, 0, 1, 0)->pair_out;

	DROPPED_AS(way ^ pair, frame->head.hint = (uint8_t)(way >> 56), bad_foreign);
	DROPPED_AS(way ^ pair, , bad_checksum);
}

static void frame_of_another_way_at_the_same_addresses_is_dropped(void **state)
{
	struct weir_link_end a, b, other;

	pair_start();
	a = fabric.nodes[0].end;
	b = fabric.nodes[1].end;
	assert_int_equal(weir_frame_way(FABRIC_CLUSTER, &a, 0, &b, 0),
		fabric_stream(&fabric, 0, 0, 1, 0)->way_out);
	other = a;
	other.node_key++;
	dropped_of_way(weir_frame_way(FABRIC_CLUSTER + 1, &a, 0, &b, 0));
	dropped_of_way(weir_frame_way(FABRIC_CLUSTER, &other, 0, &b, 0));
	dropped_of_way(weir_frame_way(FABRIC_CLUSTER, &a, 1, &b, 0));
	dropped_of_way(weir_frame_way(FABRIC_CLUSTER, &a, 0, &b, 1));
	other = b;
	other.node_key++;
	dropped_of_way(weir_frame_way(FABRIC_CLUSTER, &a, 0, &other, 0));
	dropped_of_way(weir_frame_way(FABRIC_CLUSTER, &b, 0, &a, 0));
	pair_end();
}

/** Its tag tells that it is stale; where the tag happens to be ours, the check does. */
static void dropped_of_session(uint64_t session, uint64_t other)
{
	const struct weir_stream *stream = fabric_stream(&fabric, 0, 0, 1, 0);
	const uint64_t pair = weir_frame_pair(session, other);

	DROPPED_AS(
		stream->way_out ^ pair, frame->head.tag = htole16(weir_frame_tag(pair)), bad_stale);
	DROPPED_AS(stream->way_out ^ pair, , bad_checksum);
}

static void frame_of_another_session_is_dropped(void **state)
{
	const uint64_t incarnation = 1ULL << WEIR_SESSION_BITS;
	uint64_t a, b;

	pair_start();
	a = fabric_stream(&fabric, 0, 0, 1, 0)->mine;
	b = fabric_stream(&fabric, 1, 0, 0, 0)->mine;
	dropped_of_session(a - 1, b);
	dropped_of_session(a + 1, b);
	dropped_of_session(a - incarnation, b);
	dropped_of_session(a + incarnation, b);
	dropped_of_session(0, b);
	dropped_of_session(UINT64_MAX, b);
	dropped_of_session(a, b - 1);
	dropped_of_session(a, b + 1);
	dropped_of_session(a, b + incarnation);
	dropped_of_session(a, 0);
	dropped_of_session(0, 0);
	pair_end();
}

/** A hello from A to B, sealed. */
static struct rte_mbuf *hello_copy(uint64_t session, uint64_t other, uint16_t len)
{
	const struct weir_frame_hello hello = {
		.session = htole64(session), .other = htole64(other)};
	struct rte_mbuf *mbuf = sample_copy();
	struct weir_frame *frame = frame_of(mbuf);

	memset(frame->payload, 0, PAYLOAD_BYTES);
	memcpy(frame->payload, &hello, sizeof(hello));
	frame->head.kind = WEIR_FRAME_VERSION << WEIR_FRAME_VERSION_SHIFT | WEIR_FRAME_HELLO;
	frame->head.tag = frame->head.seq = frame->head.ack = 0;
	frame->head.order = 0;
	weir_frame_seal(frame, fabric_stream(&fabric, 0, 0, 1, 0)->way_out, len);
	return mbuf;
}

static void hello_of_an_older_number_or_incarnation_is_stale(void **state)
{
	const uint64_t incarnation = 1ULL << WEIR_SESSION_BITS;
	uint64_t a, b;

	pair_start();
	a = fabric_stream(&fabric, 0, 0, 1, 0)->mine;
	b = fabric_stream(&fabric, 1, 0, 0, 0)->mine;
	assert_int_equal(dropped(hello_copy(a - 1, b, 16)).bad_stale, 1);
	assert_int_equal(dropped(hello_copy(a - incarnation, b, 16)).bad_stale, 1);
	assert_int_equal(dropped(hello_copy(a + incarnation, b, 16)).bad_stale, 1);
	assert_int_equal(dropped(hello_copy(0, b, 16)).bad_stale, 1);
	assert_int_equal(dropped(hello_copy(UINT64_MAX, b, 16)).bad_stale, 1);
	/* B is up: A knows its number by now. */
	assert_int_equal(dropped(hello_copy(a, 0, 16)).bad_stale, 1);
	assert_int_equal(dropped(hello_copy(a, b - 1, 16)).bad_stale, 1);
	assert_int_equal(dropped(hello_copy(a, b + 1, 16)).bad_stale, 1);
	pair_end();
}

static void hello_that_is_spoilt_is_dropped(void **state)
{
	uint64_t a, b;

	pair_start();
	a = fabric_stream(&fabric, 0, 0, 1, 0)->mine;
	b = fabric_stream(&fabric, 1, 0, 0, 0)->mine;
	for (uint16_t len = 0; len <= PAYLOAD_BYTES; len++) {
		if (len != sizeof(struct weir_frame_hello))
			assert_int_equal(dropped(hello_copy(a + 1, b, len)).bad_truncated, 1);
	}
	for (unsigned byte = offsetof(struct weir_frame, head);
		byte < sizeof(struct weir_frame) + 16; byte++) {
		struct rte_mbuf *mbuf = hello_copy(a + 1, b, 16);

		rte_pktmbuf_mtod(mbuf, uint8_t *)[byte] ^= 0x40;
		dropped(mbuf);
	}
	pair_end();
}

static void acknowledgement_of_what_was_never_sent_is_dropped(void **state)
{
	pair_start();
	DROPPED_WITH(frame->head.ack = htole16(2), bad_stale);
	DROPPED_AS(known() ^ weir_frame_numbers(1, UINT64_MAX), frame->head.ack = UINT16_MAX,
		bad_stale);
	DROPPED_WITH(frame->head.seen = htole32(1), bad_stale);
	pair_end();
}

static void frame_of_another_turn_of_the_numbers_is_dropped(void **state)
{
	static const uint64_t turns[] = {1ULL << 16, 1ULL << 32, 1ULL << 48, UINT64_MAX << 16};

	pair_start();
	for (unsigned i = 0; i < RTE_DIM(turns); i++) {
		DROPPED_AS(known() ^ weir_frame_numbers(1 + turns[i], 1), , bad_checksum);
		DROPPED_AS(known() ^ weir_frame_numbers(1, 1 + turns[i]), , bad_checksum);
		DROPPED_AS(
			known() ^ weir_frame_numbers(1 + turns[i], 1 + turns[i]), , bad_checksum);
	}
	pair_end();
}

/** The receiver has gone on by a turn of the numbers: an old frame looks like the one it expects.
 */
static void frame_late_by_a_turn_of_the_numbers_is_dropped(void **state)
{
	struct weir_stream *stream;

	pair_start();
	stream = fabric_stream(&fabric, 1, 0, 0, 0);
	for (unsigned bits = 16; bits < 64; bits += 16) {
		stream->receiver.expected = 1 + (1ULL << bits);
		assert_int_equal(dropped(sample_copy()).bad_checksum, 1);
		stream->receiver.expected = 1;
		stream->sender.una = stream->sender.next = 1 + (1ULL << bits);
		assert_int_equal(dropped(sample_copy()).bad_checksum, 1);
		stream->sender.una = stream->sender.next = 1;
	}
	pair_end();
}

/** Puts a frame of these numbers before B. */
static void numbers_inject(uint64_t seq, uint64_t ack)
{
	struct rte_mbuf *mbuf = sample_copy();

	frame_of(mbuf)->head.seq = htole16((uint16_t)seq);
	frame_of(mbuf)->head.ack = htole16((uint16_t)ack);
	weir_frame_seal(frame_of(mbuf), known() ^ weir_frame_numbers(seq, ack), PAYLOAD_BYTES);
	fabric_inject(&fabric, 1, 0, mbuf);
}

/** Far outside of the window, or with an acknowledgement from long ago: harmless. */
static void odd_numbers_are_harmless(void **state)
{
	pair_start();
	numbers_inject(UINT64_MAX, 1);
	numbers_inject(0, 1);
	numbers_inject(1 + WEIR_WINDOW_FRAMES_MAX, 0);
	numbers_inject(1 + INT16_MAX, 1);
	fabric_steps(&fabric, 3);
	assert_int_equal(b_sees->received, 0);
	assert_int_equal(fabric_stats(&fabric, 1, 0).out_of_order, 0);
	assert_int_equal(fabric_stats(&fabric, 1, 0).bad_checksum, 0);
	pair_end();
}

/** A selective acknowledgement may claim anything, of any length; nothing is lost by it. */
static void odd_selective_acknowledgements_are_harmless(void **state)
{
	pair_start();
	for (uint16_t len = 0; len < 300; len++) {
		struct rte_mbuf *mbuf = sample_copy();
		struct weir_frame *frame;

		rte_pktmbuf_append(mbuf, 300);
		frame = frame_of(mbuf);
		memset(frame->payload, 0xff, len);
		frame->head.kind |= WEIR_FRAME_CONTROL;
		weir_frame_seal(frame, known(), len);
		fabric_inject(&fabric, 1, 0, mbuf);
		fabric_step(&fabric);
	}
	assert_int_equal(b_sees->received, 0);
	pair_end();
}

/** Only a peer gone mad says this; the session cannot go on, another one can. */
static void bytes_that_are_no_message_end_the_session(void **state)
{
	/* No bytes; as many in two bytes as fit in one; one more than there may be; the most. */
	static const uint8_t prefixes[][2] = {
		{0, 1}, {0x80, 0}, {0xff, 0}, {0x81, 0x80}, {0xff, 0xff}};

	_Static_assert(WEIR_MESSAGE_BYTES_MAX == 0x80 << 7, "see the fourth");
	pair_start();
	for (unsigned i = 0; i < RTE_DIM(prefixes); i++) {
		struct rte_mbuf *mbuf;

		mbuf = sample_copy();
		memcpy(frame_of(mbuf)->payload, prefixes[i], sizeof(prefixes[i]));
		weir_frame_seal(frame_of(mbuf), known(), PAYLOAD_BYTES);
		fabric_inject(&fabric, 1, 0, mbuf);
		fabric_step(&fabric);
		assert_int_equal(b_sees->downs, i + 1);
		assert_int_equal(fabric_stats(&fabric, 1, 0).bad_truncated, i + 1);
		fabric.nodes[0].workers[0].stopped = false;
		fabric_until(&fabric, 100, b_sees->ups == i + 2 && a_sees->ups == i + 2);
		fabric_send(&fabric, 0, 0, 1, 0, MESSAGE_BYTES);
		fabric_step(&fabric);
		fabric.nodes[0].workers[0].stopped = true;
	}
	fabric_inject(&fabric, 1, 0, sample);
	fabric_step(&fabric);
	assert_int_equal(b_sees->received, 1);
	sample = NULL;
	fabric_end(&fabric);
}

static void frame_in_several_segments_is_taken(void **state)
{
	struct rte_mbuf *whole;
	struct rte_mbuf *rest;

	pair_start();
	for (uint16_t cut = 1; cut < sample->data_len; cut += 13) {
		whole = sample_copy();
		rest = rte_pktmbuf_copy(whole, whole->pool, cut, UINT32_MAX);
		rte_pktmbuf_trim(whole, (uint16_t)(whole->data_len - cut));
		assert_int_equal(rte_pktmbuf_chain(whole, rest), 0);
		/* Its checksum is looked at as a whole. */
		rte_pktmbuf_mtod(rest, uint8_t *)[rest->data_len - 1] ^= 1;
		assert_int_equal(dropped(whole).bad_checksum, 1);
	}
	whole = sample_copy();
	rest = rte_pktmbuf_copy(whole, whole->pool, 70, UINT32_MAX);
	rte_pktmbuf_trim(whole, (uint16_t)(whole->data_len - 70));
	assert_int_equal(rte_pktmbuf_chain(whole, rest), 0);
	fabric_inject(&fabric, 1, 0, whole);
	fabric_step(&fabric);
	assert_int_equal(b_sees->received, 1);
	rte_pktmbuf_free(sample);
	sample = NULL;
	fabric_end(&fabric);
}

static void segments_that_do_not_fit_in_one_are_dropped(void **state)
{
	struct rte_mbuf *whole;
	struct rte_mbuf *rest;

	pair_start();
	whole = sample_copy();
	rest = rte_pktmbuf_alloc(whole->pool);
	rte_pktmbuf_append(rest, RTE_MBUF_DEFAULT_DATAROOM);
	assert_int_equal(rte_pktmbuf_chain(whole, rest), 0);
	assert_int_equal(dropped(whole).bad_truncated, 1);
	pair_end();
}

static void padding_behind_the_packet_is_ignored(void **state)
{
	pair_start();
	memset(rte_pktmbuf_append(sample, 9), 0xaa, 9);
	pair_end();
}

static void frame_for_another_worker_is_steered_to_it(void **state)
{
	static const unsigned workers[] = {1, 4};
	struct rte_mbuf *mbuf;

	fabric_start(&fabric, 1, workers, 2);
	fabric_join(&fabric);
	/* All frames for node 1 come in at its worker 2. */
	fabric.all_to_worker = 2;
	for (unsigned w = 0; w < 4; w++) {
		fabric_until(&fabric, 100, fabric_seen(&fabric, 0, 0, 1, w)->up);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(fabric_send(&fabric, 0, 0, 1, w, 1 + 50 * i), 0);
		fabric_until(&fabric, 100, fabric_seen(&fabric, 1, w, 0, 0)->received == 100);
	}
	assert_true(fabric.nodes[1].workers[2].steered > 0);
	assert_int_equal(fabric.nodes[1].workers[0].steered, 0);
	assert_int_equal(fabric_stats(&fabric, 1, 2).bad_foreign, 0);
	/* Without the operation they are dropped. */
	fabric.nodes[1].workers[2].link->ops.steer = NULL;
	fabric.tap = tap_sample;
	fabric_send(&fabric, 0, 0, 1, 1, 10);
	fabric_steps(&fabric, 3);
	mbuf = sample;
	sample = NULL;
	assert_non_null(mbuf);
	fabric_inject(&fabric, 1, 2, mbuf);
	fabric_step(&fabric);
	assert_int_equal(fabric_stats(&fabric, 1, 2).bad_foreign, 1);
	fabric_end(&fabric);
}

static void frames_have_a_valid_ipv4_checksum_and_fit_the_mtu(void **state)
{
	pair_start();
	fabric.nodes[0].workers[0].stopped = false;
	for (unsigned i = 0; i < 100; i++) {
		fabric_send(&fabric, 0, 0, 1, 0, 1 + i * 33);
		fabric_step(&fabric);
		assert_int_equal(rte_raw_cksum(&frame_of(sample)->ip, 20), 0xffff);
		assert_true(sample->pkt_len <= FABRIC_MTU + 14);
	}
	rte_pktmbuf_free(sample);
	sample = NULL;
	fabric_end(&fabric);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_cut_at_each_length_is_dropped),
		cmocka_unit_test(frame_cut_with_fitting_lengths_is_dropped),
		cmocka_unit_test(each_flipped_bit_is_noticed),
		cmocka_unit_test(garbage_is_dropped),
		cmocka_unit_test(frame_for_or_from_somebody_else_is_dropped),
		cmocka_unit_test(frame_of_another_way_at_the_same_addresses_is_dropped),
		cmocka_unit_test(frame_of_another_session_is_dropped),
		cmocka_unit_test(hello_of_an_older_number_or_incarnation_is_stale),
		cmocka_unit_test(hello_that_is_spoilt_is_dropped),
		cmocka_unit_test(acknowledgement_of_what_was_never_sent_is_dropped),
		cmocka_unit_test(frame_of_another_turn_of_the_numbers_is_dropped),
		cmocka_unit_test(frame_late_by_a_turn_of_the_numbers_is_dropped),
		cmocka_unit_test(odd_numbers_are_harmless),
		cmocka_unit_test(odd_selective_acknowledgements_are_harmless),
		cmocka_unit_test(bytes_that_are_no_message_end_the_session),
		cmocka_unit_test(frame_in_several_segments_is_taken),
		cmocka_unit_test(segments_that_do_not_fit_in_one_are_dropped),
		cmocka_unit_test(padding_behind_the_packet_is_ignored),
		cmocka_unit_test(frame_for_another_worker_is_steered_to_it),
		cmocka_unit_test(frames_have_a_valid_ipv4_checksum_and_fit_the_mtu),
	};
	int failed;

	fabric_eal();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fabric_eal_end();
	return failed;
}
