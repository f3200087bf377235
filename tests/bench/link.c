/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a link costs: messages of 100 bytes from one end to the other through ports made of rings,
 * on one core, beside the same bytes in raw frames that are filled, sent, received and read.
 */
#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/clock.h"
#include "link/link.h"

#include "ports.h"
#include "subjects.h"

#define MESSAGE_BYTES  100
#define MESSAGES       5000000
#define MESSAGES_QUICK 20000
#define TURN_MESSAGES  256 /* queued in one turn */
#define FRAME_BYTES    (14 + 1500)
#define IDLE_TURNS     1000000
#define POOL_MBUFS     8191
#define MEMORY_MB      96

struct end {
	uint16_t port_id;
	struct weir_link *link;
	uint64_t ns; /**< spent on this side */
	uint64_t received, sum;
	bool up;
};

struct wire {
	const struct bench *bench;
	struct rte_mempool *pool;
	struct end ends[2];
	uint64_t messages; /**< of a measurement */
};

static void on_message(void *ctx, unsigned peer, unsigned worker, const void *bytes, size_t len)
{
	struct end *end = ctx;
	uint64_t first;

	memcpy(&first, bytes, sizeof(first));
	end->received++;
	end->sum += first;
}

static void on_up(void *ctx, unsigned peer, unsigned worker, uint64_t incarnation)
{
	((struct end *)ctx)->up = true;
}

static void on_down(void *ctx, unsigned peer, unsigned worker)
{
	((struct end *)ctx)->up = false;
}

static void links_open(struct wire *wire)
{
	static const struct weir_link_ops ops = {
		.message = on_message, .up = on_up, .down = on_down};
	struct weir_link_conf conf = {.cluster_key = 1, .mtu = 1500, .pool = wire->pool};
	struct weir_link_end names[2];

	for (unsigned i = 0; i < 2; i++)
		names[i] = (struct weir_link_end){.node_key = 1 + i,
			.incarnation = 1,
			.ipv4 = 0x0a000001 + i,
			.udp_port = 6640,
			.workers_count = 1,
			.mac = {2, 0, 0, 0, 0, (uint8_t)i}};
	for (unsigned i = 0; i < 2; i++) {
		struct end *end = &wire->ends[i];

		conf.self = names[i];
		conf.port_id = end->port_id;
		end->link = weir_link_create(&conf, &ops, end);
		bench_check(wire->bench, end->link != NULL);
		bench_check(wire->bench, weir_link_peer_set(end->link, 0, &names[1 - i]) == 0);
	}
}

static void turn(struct end *end, unsigned messages, const uint8_t *bytes)
{
	const uint64_t now_ns = weir_clock_ns();

	while (weir_link_poll(end->link, now_ns) > 0)
		;
	for (unsigned i = 0; i < messages; i++) {
		if (weir_link_send(end->link, 0, 0, bytes, MESSAGE_BYTES) != 0)
			break;
	}
	weir_link_flush(end->link, now_ns);
	end->ns += weir_clock_ns() - now_ns;
}

/** @return messages a second */
static double link_rate(struct wire *wire, unsigned turn_messages)
{
	static const uint8_t bytes[MESSAGE_BYTES] = {1};
	struct end *ends = wire->ends;
	const uint64_t from = ends[1].received, from_sum = ends[1].sum;
	const uint64_t started_ns = weir_clock_ns();
	uint64_t received;

	ends[0].ns = ends[1].ns = 0;
	while (ends[1].received - from < wire->messages) {
		turn(&ends[0], turn_messages, bytes);
		turn(&ends[1], 0, bytes);
	}
	received = ends[1].received - from;
	bench_check(wire->bench, ends[1].sum - from_sum == received);
	return (double)received * 1e9 / (double)(weir_clock_ns() - started_ns);
}

static unsigned frames_fill(
	struct wire *wire, struct rte_mbuf **frames, unsigned messages, const uint8_t *bytes)
{
	const unsigned per_frame = FRAME_BYTES / MESSAGE_BYTES;
	unsigned count = 0;

	for (unsigned left = messages; left > 0; count++) {
		const unsigned n = left < per_frame ? left : per_frame;

		frames[count] = rte_pktmbuf_alloc(wire->pool);
		bench_check(wire->bench, frames[count] != NULL);
		for (unsigned i = 0; i < n; i++)
			memcpy(rte_pktmbuf_append(frames[count], MESSAGE_BYTES), bytes,
				MESSAGE_BYTES);
		left -= n;
	}
	return count;
}

/** The same bytes in full frames without headers. @return messages a second */
static double raw_rate(struct wire *wire, unsigned turn_messages)
{
	static const uint8_t bytes[MESSAGE_BYTES] = {1};
	const struct end *ends = wire->ends;
	const uint64_t started_ns = weir_clock_ns();
	struct rte_mbuf *frames[64];
	uint64_t messages = 0, sum = 0;

	while (messages < wire->messages) {
		unsigned count = frames_fill(wire, frames, turn_messages, bytes);

		count = rte_eth_tx_burst(ends[0].port_id, 0, frames, (uint16_t)count);
		count = rte_eth_rx_burst(ends[1].port_id, 0, frames, (uint16_t)count);
		for (unsigned i = 0; i < count; i++) {
			for (unsigned at = 0; at < frames[i]->data_len; at += MESSAGE_BYTES) {
				sum += *rte_pktmbuf_mtod_offset(frames[i], const uint8_t *, at);
				messages++;
			}
		}
		rte_pktmbuf_free_bulk(frames, count);
	}
	bench_check(wire->bench, sum == messages);
	return (double)messages * 1e9 / (double)(weir_clock_ns() - started_ns);
}

static void rates(struct wire *wire, unsigned turn_messages)
{
	struct bench_series raw = {0}, link = {0}, send = {0}, receive = {0}, both = {0};
	const double messages = (double)wire->messages;
	char name[4][64];

	raw_rate(wire, turn_messages);
	for (unsigned round = 0; round < wire->bench->rounds; round++) {
		double rate = raw_rate(wire, turn_messages);

		bench_note(&raw, rate / 1e6);
		bench_note(&both, 1e9 / rate);
		bench_note(&link, link_rate(wire, turn_messages) / 1e6);
		bench_note(&send, (double)wire->ends[0].ns / messages);
		bench_note(&receive, (double)wire->ends[1].ns / messages);
	}
	snprintf(name[0], sizeof(name[0]), "raw_messages_turn%u", turn_messages);
	snprintf(name[1], sizeof(name[1]), "link_messages_turn%u", turn_messages);
	snprintf(name[2], sizeof(name[2]), "link_send_side_turn%u", turn_messages);
	snprintf(name[3], sizeof(name[3]), "link_receive_side_turn%u", turn_messages);
	bench_print(wire->bench, &(struct bench_row){name[0], &raw, "M/s", NULL, NULL, {0}});
	bench_print(
		wire->bench, &(struct bench_row){name[1], &link, "M/s", &raw, "raw_frames", {0}});
	bench_print(wire->bench,
		&(struct bench_row){name[2], &send, "ns", &both, "raw_frames_both_sides", {0}});
	bench_print(wire->bench,
		&(struct bench_row){name[3], &receive, "ns", &both, "raw_frames_both_sides", {0}});
}

/** A turn without work, beside an empty burst from the port alone. */
static void idle(struct wire *wire)
{
	struct bench_series bursts = {0}, turns = {0};
	struct end *end = &wire->ends[1];
	struct rte_mbuf *frames[64];

	for (unsigned round = 0; round < wire->bench->rounds; round++) {
		uint64_t begin_ns = weir_clock_ns(), polled_ns;

		for (unsigned i = 0; i < IDLE_TURNS; i++)
			rte_eth_rx_burst(end->port_id, 0, frames, RTE_DIM(frames));
		polled_ns = weir_clock_ns();
		for (unsigned i = 0; i < IDLE_TURNS; i++) {
			weir_link_poll(end->link, polled_ns);
			weir_link_flush(end->link, polled_ns);
		}
		bench_note(&bursts, (double)(polled_ns - begin_ns) / IDLE_TURNS);
		bench_note(&turns, (double)(weir_clock_ns() - polled_ns) / IDLE_TURNS);
	}
	bench_print(wire->bench, &(struct bench_row){"link_idle_turn", &turns, "ns", &bursts,
					 "empty_rx_burst", {0}});
}

void link_run(const struct bench *bench)
{
	struct wire wire = {.bench = bench, .messages = bench->quick ? MESSAGES_QUICK : MESSAGES};
	uint16_t port_ids[2];

	bench_eal_start(bench, MEMORY_MB, NULL);
	wire.pool = ports_pool(bench, POOL_MBUFS);
	ports_join(bench, wire.pool, "link", port_ids);
	wire.ends[0].port_id = port_ids[0];
	wire.ends[1].port_id = port_ids[1];
	links_open(&wire);
	while (!wire.ends[0].up || !wire.ends[1].up) {
		turn(&wire.ends[0], 0, NULL);
		turn(&wire.ends[1], 0, NULL);
	}
	for (unsigned turn_messages = TURN_MESSAGES; turn_messages > 0; turn_messages /= 16)
		rates(&wire, turn_messages);
	idle(&wire);
	weir_link_destroy(wire.ends[0].link);
	weir_link_destroy(wire.ends[1].link);
}
