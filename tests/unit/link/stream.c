/* SPDX-License-Identifier: BSD-3-Clause */
/* Within a session: messages once, in order, whole, whatever the network does. */
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
static struct weir_link *a_link;
static struct weir_link *b_link;

static void pair_start(uint64_t seed)
{
	fabric_start(&fabric, seed, one_worker, 2);
	fabric_join(&fabric);
	a_sees = fabric_seen(&fabric, 0, 0, 1, 0);
	b_sees = fabric_seen(&fabric, 1, 0, 0, 0);
	a_link = fabric.nodes[0].workers[0].link;
	b_link = fabric.nodes[1].workers[0].link;
	fabric_until(&fabric, 100, a_sees->up && b_sees->up);
}

/** Sends messages until `count` were sent in all, or the stream takes no more now. */
static void feed(unsigned from, uint64_t count, size_t len_max)
{
	const struct fabric_seen *seen = from == 0 ? a_sees : b_sees;

	while (seen->sent < count) {
		const size_t len = 1 + fabric_random(&fabric) % len_max;

		if (fabric_send(&fabric, from, 0, 1 - from, 0, len) == WEIR_BUSY)
			return;
	}
}

/** All that was sent is there, and nothing is under way any more. */
static bool all_arrived(void)
{
	const struct weir_link_stats a = fabric_stats(&fabric, 0, 0);
	const size_t room =
		fabric.shape.queue_bytes != 0 ? fabric.shape.queue_bytes : WEIR_LINK_QUEUE_BYTES;

	return b_sees->received == a_sees->sent && a_sees->received == b_sees->sent &&
	       b_sees->received_sum == a_sees->sent_sum &&
	       a_sees->received_sum == b_sees->sent_sum && a.rx_messages == a_sees->received &&
	       weir_link_room(a_link, 1, 0) == room && weir_link_room(b_link, 0, 0) == room;
}

/** Both ways at once. */
static void exchange(uint64_t count, size_t len_max, unsigned ms)
{
	const uint64_t until_ns = fabric.now_ns + ms * WEIR_NS_PER_MS;

	while ((a_sees->sent < count || b_sees->sent < count) && fabric.now_ns < until_ns) {
		feed(0, count, len_max);
		feed(1, count, len_max);
		fabric_step(&fabric);
	}
	fabric_until(&fabric, ms, all_arrived());
	assert_int_equal(a_sees->sent, count);
	assert_int_equal(b_sees->sent, count);
	assert_int_equal(a_sees->ups, 1);
	assert_int_equal(b_sees->ups, 1);
}

static void messages_arrive_once_in_order_despite_loss_doubling_and_reordering(void **state)
{
	struct weir_link_stats stats;

	pair_start(0x5eed0001);
	fabric.faults = (struct fabric_faults){.loss = 50000, .twice = 20000, .late = 20000};
	exchange(100000, WEIR_MESSAGE_BYTES_MAX, 60000);
	stats = fabric_stats(&fabric, 0, 0);
	print_message("virtual %lu us, %lu frames, %lu lost, %lu repeated, %lu doubles\n",
		fabric.now_ns / 1000, stats.tx_frames, fabric.lost, stats.retransmits,
		stats.duplicates);
	assert_int_equal(stats.rx_messages, 100000);
	assert_int_equal(stats.tx_messages, 100000);
	assert_true(stats.retransmits > 0 && stats.duplicates > 0 && stats.out_of_order > 0);
	fabric_end(&fabric);
}

static void spoilt_frames_are_as_good_as_lost(void **state)
{
	struct weir_link_stats stats;

	pair_start(0x5eed0002);
	fabric.faults = (struct fabric_faults){
		.loss = 50000, .twice = 20000, .late = 20000, .garble = 20000, .cut = 20000};
	exchange(30000, 3000, 60000);
	stats = fabric_stats(&fabric, 0, 0);
	assert_true(stats.bad_checksum > 0 && stats.bad_truncated > 0);
	fabric_end(&fabric);
}

static void small_messages_arrive_despite_heavy_loss(void **state)
{
	pair_start(0x5eed0003);
	fabric.faults = (struct fabric_faults){.loss = 300000, .twice = 100000, .late = 100000};
	exchange(100000, 200, 60000);
	fabric_end(&fabric);
}

static void message_of_each_length_arrives(void **state)
{
	pair_start(1);
	for (size_t len = 1; len <= WEIR_MESSAGE_BYTES_MAX; len++) {
		while (fabric_send(&fabric, 0, 0, 1, 0, len) == WEIR_BUSY)
			fabric_step(&fabric);
	}
	fabric_until(&fabric, 10000, all_arrived());
	assert_int_equal(b_sees->received, WEIR_MESSAGE_BYTES_MAX);
	fabric_end(&fabric);
}

static void message_without_bytes_or_too_long_is_refused(void **state)
{
	static const uint8_t bytes[WEIR_MESSAGE_BYTES_MAX + 1];

	pair_start(1);
	assert_int_equal(weir_link_send(a_link, 1, 0, bytes, 0), WEIR_ERR);
	assert_int_equal(weir_link_send(a_link, 1, 0, bytes, sizeof(bytes)), WEIR_TOOBIG);
	assert_int_equal(weir_link_send(a_link, 1, 0, bytes, SIZE_MAX), WEIR_TOOBIG);
	assert_int_equal(weir_link_room(a_link, 1, 0), WEIR_LINK_QUEUE_BYTES);
	fabric_end(&fabric);
}

static void stream_that_is_not_there_is_unreachable(void **state)
{
	pair_start(1);
	assert_int_equal(weir_link_send(a_link, 0, 0, "x", 1), WEIR_UNREACHABLE);
	assert_int_equal(weir_link_send(a_link, 1, 1, "x", 1), WEIR_UNREACHABLE);
	assert_int_equal(weir_link_send(a_link, WEIR_NODES_MAX, 0, "x", 1), WEIR_UNREACHABLE);
	assert_int_equal(weir_link_send(a_link, 1, WEIR_WORKERS_MAX, "x", 1), WEIR_UNREACHABLE);
	assert_int_equal(weir_link_room(a_link, WEIR_NODES_MAX, 0), 0);
	assert_int_equal(weir_link_room(a_link, 1, WEIR_WORKERS_MAX), 0);
	fabric_end(&fabric);
}

/** Fills the stream with messages of `len` bytes; what was accepted must be what was promised. */
static void fill(size_t len)
{
	size_t room = weir_link_room(a_link, 1, 0);

	while (room >= len) {
		assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, len), 0);
		assert_int_equal(weir_link_room(a_link, 1, 0), room - len);
		room -= len;
	}
	assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, len), WEIR_BUSY);
	if (room > 0)
		assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, room), 0);
	assert_int_equal(weir_link_room(a_link, 1, 0), 0);
	assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, 1), WEIR_BUSY);
}

static void full_queue_is_busy_as_room_says(void **state)
{
	static const size_t lens[] = {1, 2, 3, 100, 1500, WEIR_MESSAGE_BYTES_MAX};

	fabric.shape.queue_bytes = 300001;
	pair_start(1);
	for (unsigned i = 0; i < RTE_DIM(lens); i++) {
		fill(lens[i]);
		/* While the queue empties, room never promises too much. */
		for (unsigned k = 0; k < 20; k++) {
			fabric_step(&fabric);
			fill(lens[i]);
		}
		fabric_until(&fabric, 1000, all_arrived());
	}
	fabric_end(&fabric);
}

/** Short messages take more of the queue than room counts; a promise stands all the same. */
static void room_shrinks_by_what_is_sent_only(void **state)
{
	size_t room;

	fabric.shape.queue_bytes = 300001;
	pair_start(1);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, 1), 0);
	room = weir_link_room(a_link, 1, 0);
	assert_int_equal(room, 200001);
	while (!all_arrived()) {
		fabric_step(&fabric);
		assert_true(weir_link_room(a_link, 1, 0) >= room);
		room = weir_link_room(a_link, 1, 0);
	}
	fabric_end(&fabric);
}

static void silent_peer_costs_little_and_goes_on_after_a_minute(void **state)
{
	uint64_t frames;

	pair_start(1);
	fill(WEIR_MESSAGE_BYTES_MAX);
	fabric.nodes[1].workers[0].stopped = true;
	fabric_steps(&fabric, 100);
	frames = fabric_stats(&fabric, 0, 0).tx_frames;
	fabric.step_ns = WEIR_NS_PER_MS;
	fabric_steps(&fabric, 60000);
	assert_in_range(
		fabric_stats(&fabric, 0, 0).tx_frames - frames, 60000 / 50 - 10, 60000 / 50 + 20);
	fabric.step_ns = FABRIC_STEP_NS;
	fabric.nodes[1].workers[0].stopped = false;
	fabric_until(&fabric, 1000, all_arrived());
	assert_int_equal(a_sees->downs + b_sees->downs, 0);
	fabric_end(&fabric);
}

static void unreachable_peer_goes_on_after_a_minute(void **state)
{
	pair_start(1);
	fill(WEIR_MESSAGE_BYTES_MAX);
	fabric.nodes[1].cut_off = true;
	fabric.step_ns = WEIR_NS_PER_MS;
	fabric_steps(&fabric, 60000);
	fabric.step_ns = FABRIC_STEP_NS;
	fabric.nodes[1].cut_off = false;
	fabric_until(&fabric, 1000, all_arrived());
	assert_int_equal(a_sees->downs + b_sees->downs, 0);
	fabric_end(&fabric);
}

/** A core that is taken away for some ms is not the network's loss. */
static void peer_that_pauses_is_not_flooded(void **state)
{
	struct weir_link_stats stats;

	pair_start(1);
	for (unsigned i = 0; i < 50; i++) {
		for (unsigned k = 0; k < 800; k++) {
			feed(0, UINT64_MAX, 1000);
			fabric.nodes[1].workers[0].stopped = k < 700;
			fabric_step(&fabric);
		}
	}
	fabric_until(&fabric, 1000, all_arrived());
	stats = fabric_stats(&fabric, 0, 0);
	print_message("%lu frames, %lu repeated\n", stats.tx_frames, stats.retransmits);
	assert_true(stats.retransmits <= 50 * 4);
	fabric_end(&fabric);
}

/** Takes out the first so many frames of messages. */
static bool tap_first(struct fabric *net, struct rte_mbuf *mbuf)
{
	unsigned *left = net->tap_ctx;

	if (*left == 0 || !fabric_is_data(mbuf))
		return true;
	(*left)--;
	return false;
}

static void lost_frame_is_sent_again_after_a_millisecond(void **state)
{
	unsigned losses;
	uint64_t sent_ns;

	pair_start(1);
	exchange(1000, 1000, 1000);
	fabric_steps(&fabric, 1000);
	for (unsigned i = 0; i < 3; i++) {
		losses = 1;
		fabric.tap = tap_first;
		fabric.tap_ctx = &losses;
		/* The acknowledgement of the one before is still on its way, and must not count. */
		fabric_steps(&fabric, 7 * i);
		feed(0, a_sees->sent + 1, 100);
		sent_ns = fabric.now_ns;
		fabric_until(&fabric, 10, b_sees->received == a_sees->sent);
		assert_in_range(fabric.now_ns - sent_ns, WEIR_RTO_NS_MIN,
			WEIR_RTO_NS_MIN + 20 * FABRIC_STEP_NS);
		assert_int_equal(losses, 0);
	}
	fabric_end(&fabric);
}

static void frame_that_was_overtaken_is_sent_again_at_once(void **state)
{
	unsigned losses = 2;
	uint64_t sent_ns;

	pair_start(1);
	fabric.tap = tap_first;
	fabric.tap_ctx = &losses;
	sent_ns = fabric.now_ns;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, 1400), 0);
	fabric_until(&fabric, 10, all_arrived());
	assert_true(fabric.now_ns - sent_ns < 10 * FABRIC_STEP_NS);
	assert_int_equal(fabric_stats(&fabric, 0, 0).retransmits, 2);
	fabric_end(&fabric);
}

static void port_that_takes_nothing_for_a_while_loses_nothing(void **state)
{
	fabric.shape.ring_size = 16;
	pair_start(1);
	for (unsigned i = 0; i < 20; i++) {
		feed(0, UINT64_MAX, 3000);
		feed(1, UINT64_MAX, 3000);
		fabric.nodes[0].workers[0].jammed = i % 2 == 0;
		fabric_steps(&fabric, 500);
	}
	fabric.nodes[0].workers[0].jammed = false;
	fabric_until(&fabric, 10000, all_arrived());
	assert_true(fabric_stats(&fabric, 0, 0).port_full > 0);
	assert_true(fabric_stats(&fabric, 0, 0).retransmits < 100);
	fabric_end(&fabric);
}

static void empty_pool_delays_only(void **state)
{
	static struct rte_mbuf *taken[8192];
	unsigned count = 0;

	pair_start(1);
	fabric_steps(&fabric, 10);
	while ((taken[count] = rte_pktmbuf_alloc(fabric.nodes[0].pool)) != NULL)
		count++;
	feed(0, 10000, 1000);
	feed(1, 1000, 1000);
	fabric_steps(&fabric, 1000);
	assert_true(fabric_stats(&fabric, 0, 0).no_mbuf > 0);
	assert_int_equal(b_sees->received, 0);
	rte_pktmbuf_free_bulk(taken, count);
	fabric_until(&fabric, 1000, all_arrived());
	fabric_end(&fabric);
}

/** As long as it is closed, frame number 1 does not get through, however often it is sent. */
struct hole {
	bool closed;
	uint64_t seq_most;
};

static bool tap_hole(struct fabric *net, struct rte_mbuf *mbuf)
{
	const struct weir_frame *frame = rte_pktmbuf_mtod(mbuf, const struct weir_frame *);
	struct hole *hole = net->tap_ctx;

	if (!fabric_is_data(mbuf))
		return true;
	hole->seq_most = RTE_MAX(hole->seq_most, le16toh(frame->head.seq));
	return !hole->closed || frame->head.seq != htole16(1);
}

static void early_frames_hold_no_more_than_their_share_of_the_pool(void **state)
{
	const unsigned share = 511 / 4;
	struct hole hole = {.closed = true};

	fabric.shape.pool_size = 511;
	pair_start(1);
	fabric.tap = tap_hole;
	fabric.tap_ctx = &hole;
	for (unsigned i = 0; i < 1000; i++) {
		feed(0, UINT64_MAX, 3000);
		fabric_step(&fabric);
	}
	assert_int_equal(fabric_stats(&fabric, 1, 0).out_of_order, share);
	assert_int_equal(b_sees->received, 0);
	hole.closed = false;
	fabric_until(&fabric, 10000, all_arrived());
	fabric_end(&fabric);
}

static void window_reaches_no_further_than_its_bound_past_a_hole(void **state)
{
	struct hole hole = {.closed = true};

	pair_start(1);
	fabric.tap = tap_hole;
	fabric.tap_ctx = &hole;
	for (unsigned i = 0; i < 10000; i++) {
		feed(0, UINT64_MAX, 3000);
		fabric_step(&fabric);
	}
	assert_int_equal(hole.seq_most, WEIR_WINDOW_FRAMES_MAX);
	assert_int_equal(fabric_stats(&fabric, 1, 0).out_of_order, WEIR_WINDOW_FRAMES_MAX - 1);
	hole.closed = false;
	fabric_until(&fabric, 1000, all_arrived());
	fabric_end(&fabric);
}

/** Watches how many frames are sent and not acknowledged. */
struct span {
	uint64_t seq, ack, most;
};

static bool tap_span(struct fabric *net, struct rte_mbuf *mbuf)
{
	const struct weir_frame *frame = rte_pktmbuf_mtod(mbuf, const struct weir_frame *);
	struct span *span = net->tap_ctx;

	if (fabric_is_data(mbuf)) {
		span->seq =
			RTE_MAX(span->seq, weir_frame_number(span->seq, le16toh(frame->head.seq)));
		span->most = RTE_MAX(span->most, span->seq + 1 - span->ack);
	} else {
		span->ack =
			RTE_MAX(span->ack, weir_frame_number(span->ack, le16toh(frame->head.ack)));
	}
	return true;
}

static void window_grows_to_its_bound_and_no_further(void **state)
{
	struct span span = {.ack = 1};

	pair_start(1);
	fabric.delay_steps = 200;
	fabric.tap = tap_span;
	fabric.tap_ctx = &span;
	for (unsigned i = 0; i < 20000; i++) {
		feed(0, UINT64_MAX, 3000);
		fabric_step(&fabric);
	}
	fabric_until(&fabric, 1000, all_arrived());
	assert_int_equal(span.most, WEIR_WINDOW_FRAMES_MAX);
	fabric_end(&fabric);
}

static void message_may_be_answered_from_within(void **state)
{
	pair_start(1);
	fabric.nodes[1].workers[0].echo = true;
	for (unsigned i = 0; i < 10000; i++) {
		while (fabric_send(&fabric, 0, 0, 1, 0, 1 + i % 3000) == WEIR_BUSY)
			fabric_step(&fabric);
	}
	fabric_until(&fabric, 1000, all_arrived());
	assert_int_equal(a_sees->received, 10000);
	fabric_end(&fabric);
}

/** A frame that only acknowledges is sent where nothing else carries the acknowledgement. */
static void acknowledgement_rides_on_messages(void **state)
{
	struct weir_link_stats before, after;

	pair_start(1);
	fabric.nodes[1].workers[0].echo = true;
	fabric_steps(&fabric, 10);
	before = fabric_stats(&fabric, 1, 0);
	for (unsigned i = 0; i < 100; i++) {
		fabric_send(&fabric, 0, 0, 1, 0, 100);
		fabric_step(&fabric);
	}
	fabric_until(&fabric, 10, all_arrived());
	after = fabric_stats(&fabric, 1, 0);
	assert_int_equal(after.tx_frames - before.tx_frames, 100);
	fabric_end(&fabric);
}

/** A pair of which B has nothing to acknowledge, and its frames so far. */
static uint64_t quiet_start(void)
{
	pair_start(1);
	fabric_steps(&fabric, 100);
	return fabric_stats(&fabric, 1, 0).tx_frames;
}

static uint64_t b_frames(void)
{
	return fabric_stats(&fabric, 1, 0).tx_frames;
}

/** Sends messages that fill a frame each, and lets B take them. */
static void frames_send(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, 1400), 0);
	fabric_step(&fabric);
	fabric_step(&fabric);
}

static void acknowledgement_waits_no_longer_than_its_bound(void **state)
{
	const uint64_t before = quiet_start();
	uint64_t came_ns;

	for (unsigned i = 1; i <= 10; i++) {
		frames_send(1);
		came_ns = fabric.now_ns - fabric.step_ns;
		assert_int_equal(b_frames(), before + i - 1);
		fabric_until(&fabric, 1, b_frames() == before + i);
		assert_in_range(fabric.now_ns - came_ns, WEIR_ACK_DELAY_NS,
			WEIR_ACK_DELAY_NS + 2 * FABRIC_STEP_NS);
		fabric_until(&fabric, 1, all_arrived());
	}
	assert_int_equal(fabric_stats(&fabric, 0, 0).retransmits, 0);
	fabric_end(&fabric);
}

/** One change at a time, each acknowledged by a message: two frames for each, and one in the end.
 */
static void acknowledgement_rides_on_the_next_message(void **state)
{
	const uint64_t before = quiet_start() + fabric_stats(&fabric, 0, 0).tx_frames;

	fabric.nodes[1].workers[0].echo = true;
	for (unsigned i = 1; i <= 100; i++) {
		fabric_send(&fabric, 0, 0, 1, 0, 100);
		fabric_until(&fabric, 1, a_sees->received == i);
		fabric_steps(&fabric, 10);
	}
	fabric_until(&fabric, 1, all_arrived());
	assert_int_equal(b_frames() + fabric_stats(&fabric, 0, 0).tx_frames - before, 201);
	fabric_end(&fabric);
}

static void acknowledgement_of_so_many_frames_does_not_wait(void **state)
{
	const uint64_t before = quiet_start();

	frames_send(WEIR_ACK_FRAMES - 1);
	assert_int_equal(b_frames(), before);
	frames_send(1);
	assert_int_equal(b_frames(), before + 1);
	frames_send(WEIR_ACK_FRAMES);
	assert_int_equal(b_frames(), before + 2);
	fabric_end(&fabric);
}

static void acknowledgement_of_a_gap_and_of_its_end_does_not_wait(void **state)
{
	const uint64_t before = quiet_start();
	unsigned losses = 1;

	fabric.tap = tap_first;
	fabric.tap_ctx = &losses;
	frames_send(1);
	assert_int_equal(b_frames(), before);
	frames_send(1);
	assert_int_equal(b_frames(), before + 1);
	/* The first one again: nothing is missing any more, and A must hear of it. */
	fabric_until(&fabric, 10, b_sees->received == 2);
	assert_int_equal(b_frames(), before + 2);
	fabric_end(&fabric);
}

/** A frame that comes twice tells that its acknowledgement was lost, or late. */
static void acknowledgement_of_a_frame_that_came_twice_does_not_wait(void **state)
{
	const uint64_t before = quiet_start();

	fabric.faults.twice = 1000000;
	frames_send(1);
	assert_int_equal(fabric_stats(&fabric, 1, 0).duplicates, 1);
	assert_int_equal(b_frames(), before + 1);
	fabric_end(&fabric);
}

/** What an acknowledgement has waited is no part of the way. */
static void round_trip_is_measured_without_the_wait(void **state)
{
	static const unsigned delays[] = {1, 10, 45, 80};
	const struct weir_sender *sender;

	for (unsigned i = 0; i < RTE_DIM(delays); i++) {
		const uint64_t way_ns = 2ULL * delays[i] * FABRIC_STEP_NS;

		pair_start(1);
		fabric.delay_steps = delays[i];
		sender = &fabric_stream(&fabric, 0, 0, 1, 0)->sender;
		for (unsigned k = 0; k < 100; k++) {
			fabric_send(&fabric, 0, 0, 1, 0, 100);
			fabric_until(&fabric, 100, all_arrived());
		}
		assert_in_range(sender->rtt_ns, way_ns, way_ns + 5 * FABRIC_STEP_NS);
		assert_true(fabric_stats(&fabric, 0, 0).retransmits < 10);
		fabric_end(&fabric);
	}
}

/** Nor is it taken for a loss, where the way takes always as long and nearly as long as may be. */
static void acknowledgement_that_waits_is_not_taken_for_lost(void **state)
{
	uint64_t repeated;

	pair_start(1);
	fabric.delay_steps = 45;
	for (unsigned i = 0; i < 100; i++) {
		frames_send(WEIR_ACK_FRAMES);
		fabric_until(&fabric, 100, all_arrived());
	}
	repeated = fabric_stats(&fabric, 0, 0).retransmits;
	for (unsigned i = 0; i < 20; i++) {
		frames_send(1);
		fabric_until(&fabric, 100, all_arrived());
	}
	assert_int_equal(fabric_stats(&fabric, 0, 0).retransmits, repeated);
	fabric_end(&fabric);
}

/** Where both ends stand is set; then all goes on as ever, whatever turns over meanwhile. */
static void numbers_turn_over_without_notice(void **state)
{
	static const uint64_t firsts[] = {
		(1ULL << 16) - 50, (1ULL << 15) - 50, (1ULL << 32) - 50, (1ULL << 48) - 50};

	for (unsigned i = 0; i < RTE_DIM(firsts); i++) {
		pair_start(0x5eed0100 + i);
		fabric_steps(&fabric, 100);
		for (unsigned n = 0; n < 2; n++) {
			struct weir_stream *from = fabric_stream(&fabric, n, 0, 1 - n, 0);
			struct weir_stream *to = fabric_stream(&fabric, 1 - n, 0, n, 0);

			from->sender.una = from->sender.next = firsts[i];
			to->receiver.expected = firsts[i];
			from->sender.order = from->sender.seen = UINT32_MAX - 70;
			to->receiver.seen = UINT32_MAX - 70;
		}
		fabric.faults =
			(struct fabric_faults){.loss = 50000, .twice = 20000, .late = 20000};
		exchange(3000, 3000, 60000);
		assert_int_equal(fabric_stats(&fabric, 0, 0).bad_checksum, 0);
		assert_true(fabric_stream(&fabric, 0, 0, 1, 0)->sender.order < 1U << 31);
		assert_true(fabric_stream(&fabric, 0, 0, 1, 0)->sender.una > firsts[i] + 100);
		fabric_end(&fabric);
	}
}

/** Enough frames for a turn of what travels of their numbers, and of a half. */
static void more_frames_than_their_numbers_tell_apart_arrive(void **state)
{
	pair_start(0x5eed0200);
	fabric.faults = (struct fabric_faults){.loss = 1000, .twice = 1000, .late = 1000};
	for (uint64_t sent = 2000; sent <= 150000; sent += 2000) {
		while (a_sees->sent < sent)
			if (fabric_send(&fabric, 0, 0, 1, 0, 1400) != 0)
				fabric_step(&fabric);
	}
	fabric_until(&fabric, 10000, all_arrived());
	assert_true(fabric_stream(&fabric, 1, 0, 0, 0)->receiver.expected > 1U << 17);
	assert_int_equal(fabric_stats(&fabric, 1, 0).bad_checksum, 0);
	fabric_end(&fabric);
}

static void idle_stream_sends_nothing(void **state)
{
	uint64_t carried;

	pair_start(1);
	exchange(100, 100, 100);
	fabric_steps(&fabric, 2 * WEIR_ACK_DELAY_NS / FABRIC_STEP_NS);
	carried = fabric.carried;
	fabric.step_ns = WEIR_NS_PER_MS;
	fabric_steps(&fabric, 10000);
	assert_int_equal(fabric.carried, carried);
	fabric_end(&fabric);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			messages_arrive_once_in_order_despite_loss_doubling_and_reordering),
		cmocka_unit_test(spoilt_frames_are_as_good_as_lost),
		cmocka_unit_test(small_messages_arrive_despite_heavy_loss),
		cmocka_unit_test(message_of_each_length_arrives),
		cmocka_unit_test(message_without_bytes_or_too_long_is_refused),
		cmocka_unit_test(stream_that_is_not_there_is_unreachable),
		cmocka_unit_test(full_queue_is_busy_as_room_says),
		cmocka_unit_test(room_shrinks_by_what_is_sent_only),
		cmocka_unit_test(silent_peer_costs_little_and_goes_on_after_a_minute),
		cmocka_unit_test(unreachable_peer_goes_on_after_a_minute),
		cmocka_unit_test(peer_that_pauses_is_not_flooded),
		cmocka_unit_test(lost_frame_is_sent_again_after_a_millisecond),
		cmocka_unit_test(frame_that_was_overtaken_is_sent_again_at_once),
		cmocka_unit_test(port_that_takes_nothing_for_a_while_loses_nothing),
		cmocka_unit_test(empty_pool_delays_only),
		cmocka_unit_test(early_frames_hold_no_more_than_their_share_of_the_pool),
		cmocka_unit_test(window_grows_to_its_bound_and_no_further),
		cmocka_unit_test(window_reaches_no_further_than_its_bound_past_a_hole),
		cmocka_unit_test(message_may_be_answered_from_within),
		cmocka_unit_test(acknowledgement_rides_on_messages),
		cmocka_unit_test(acknowledgement_rides_on_the_next_message),
		cmocka_unit_test(acknowledgement_waits_no_longer_than_its_bound),
		cmocka_unit_test(acknowledgement_of_so_many_frames_does_not_wait),
		cmocka_unit_test(acknowledgement_of_a_gap_and_of_its_end_does_not_wait),
		cmocka_unit_test(acknowledgement_of_a_frame_that_came_twice_does_not_wait),
		cmocka_unit_test(round_trip_is_measured_without_the_wait),
		cmocka_unit_test(acknowledgement_that_waits_is_not_taken_for_lost),
		cmocka_unit_test(numbers_turn_over_without_notice),
		cmocka_unit_test(more_frames_than_their_numbers_tell_apart_arrive),
		cmocka_unit_test(idle_stream_sends_nothing),
	};
	int failed;

	fabric_eal();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fabric_eal_end();
	return failed;
}
