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

static const unsigned one_worker[] = {1, 1};

static struct fabric fabric;

static struct fabric_seen *a_sees;
static struct fabric_seen *b_sees;

/** The frame that a test spoils: the last one with a message, from A to B. */
static struct rte_mbuf *sample;

static bool tap_sample(struct fabric *net, struct rte_mbuf *mbuf)
{
	const struct weir_frame *frame = rte_pktmbuf_mtod(mbuf, const struct weir_frame *);

	if (frame->head.kind == WEIR_FRAME_DATA) {
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
	assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, 21), 0);
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
	for (uint16_t len = 0; len < 23; len++) {
		struct rte_mbuf *mbuf = sample_copy();
		const uint64_t check = frame_of(mbuf)->head.check;

		rte_pktmbuf_trim(mbuf, (uint16_t)(23 - len));
		weir_frame_seal(frame_of(mbuf), fabric.nodes[1].end.node_key, len);
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
	}
	assert_int_equal(bad_sum(&sum), 8U * sample->data_len);
	assert_true(sum.bad_checksum > sum.bad_foreign && sum.bad_truncated > 0);
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

/** Changes one field of a good frame, whose checksums are then made right. */
#define DROPPED_WITH(change, cause)                                                                \
	do {                                                                                       \
		struct rte_mbuf *const mbuf = sample_copy();                                       \
		struct weir_frame *const frame = frame_of(mbuf);                                   \
                                                                                                   \
		change;                                                                            \
		weir_frame_seal(frame, fabric.nodes[1].end.node_key, 23);                          \
		assert_int_equal(dropped(mbuf).cause, 1);                                          \
	} while (0)

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
	DROPPED_WITH(frame->head.version++, bad_foreign);
	DROPPED_WITH(frame->head.key = 1, bad_foreign);
	DROPPED_WITH(frame->head.cluster++, bad_foreign);
	DROPPED_WITH(frame->head.node++, bad_foreign);
	DROPPED_WITH(frame->head.worker = 1, bad_foreign);
	DROPPED_WITH(frame->head.worker = 255, bad_foreign);
	pair_end();
}

static void frame_of_another_session_is_dropped(void **state)
{
	const uint64_t incarnation = htole64(1ULL << WEIR_SESSION_BITS);

	pair_start();
	DROPPED_WITH(frame->head.session -= 1, bad_stale);
	DROPPED_WITH(frame->head.session -= incarnation, bad_stale);
	DROPPED_WITH(frame->head.session += incarnation, bad_stale);
	DROPPED_WITH(frame->head.session = 0, bad_stale);
	DROPPED_WITH(frame->head.session = UINT64_MAX, bad_stale);
	DROPPED_WITH(frame->head.other -= 1, bad_stale);
	DROPPED_WITH(frame->head.other += 1, bad_stale);
	DROPPED_WITH(frame->head.other = 0, bad_stale);
	pair_end();
}

static void acknowledgement_of_what_was_never_sent_is_dropped(void **state)
{
	pair_start();
	DROPPED_WITH(frame->head.ack = htole64(2), bad_stale);
	DROPPED_WITH(frame->head.ack = UINT64_MAX, bad_stale);
	DROPPED_WITH(frame->head.seen = htole32(1), bad_stale);
	pair_end();
}

/** Far outside of the window, or with an acknowledgement from long ago: harmless. */
static void odd_numbers_are_harmless(void **state)
{
	struct rte_mbuf *mbuf;

	pair_start();
	mbuf = sample_copy();
	frame_of(mbuf)->head.seq = htole64(UINT64_MAX);
	weir_frame_seal(frame_of(mbuf), fabric.nodes[1].end.node_key, 23);
	fabric_inject(&fabric, 1, 0, mbuf);
	mbuf = sample_copy();
	frame_of(mbuf)->head.seq = 0;
	weir_frame_seal(frame_of(mbuf), fabric.nodes[1].end.node_key, 23);
	fabric_inject(&fabric, 1, 0, mbuf);
	mbuf = sample_copy();
	frame_of(mbuf)->head.seq = htole64(1 + WEIR_WINDOW_FRAMES_MAX);
	frame_of(mbuf)->head.ack = 0;
	weir_frame_seal(frame_of(mbuf), fabric.nodes[1].end.node_key, 23);
	fabric_inject(&fabric, 1, 0, mbuf);
	fabric_steps(&fabric, 3);
	assert_int_equal(b_sees->received, 0);
	assert_int_equal(fabric_stats(&fabric, 1, 0).out_of_order, 0);
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
		frame->head.kind = WEIR_FRAME_CONTROL;
		weir_frame_seal(frame, fabric.nodes[1].end.node_key, len);
		fabric_inject(&fabric, 1, 0, mbuf);
		fabric_step(&fabric);
	}
	assert_int_equal(b_sees->received, 0);
	pair_end();
}

/** Only a peer gone mad says this; the session cannot go on, another one can. */
static void bytes_that_are_no_message_end_the_session(void **state)
{
	static const uint16_t lens[] = {0, WEIR_MESSAGE_BYTES_MAX + 1, UINT16_MAX};

	pair_start();
	for (unsigned i = 0; i < RTE_DIM(lens); i++) {
		struct rte_mbuf *mbuf;
		const uint16_t len = htole16(lens[i]);

		mbuf = sample_copy();
		memcpy(frame_of(mbuf)->payload, &len, sizeof(len));
		weir_frame_seal(frame_of(mbuf), fabric.nodes[1].end.node_key, 23);
		fabric_inject(&fabric, 1, 0, mbuf);
		fabric_step(&fabric);
		assert_int_equal(b_sees->downs, i + 1);
		assert_int_equal(fabric_stats(&fabric, 1, 0).bad_truncated, i + 1);
		fabric.nodes[0].workers[0].stopped = false;
		fabric_until(&fabric, 100, b_sees->ups == i + 2 && a_sees->ups == i + 2);
		fabric_send(&fabric, 0, 0, 1, 0, 21);
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
		cmocka_unit_test(frame_of_another_session_is_dropped),
		cmocka_unit_test(acknowledgement_of_what_was_never_sent_is_dropped),
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
