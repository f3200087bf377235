/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a link costs: messages of 100 bytes from one end to the other through ports made of rings,
 * on one core, against the same bytes in raw frames that are filled, sent, received and read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "base/clock.h"
#include "base/err.h"
#include "link/link.h"

#define MESSAGE_BYTES 100
#define MESSAGES      20000000
#define TURN_MESSAGES 256 /**< queued in one turn */
#define FRAME_BYTES   (14 + 1500)
#define RING_SIZE     1024
#define LINE          "%-32s %12.1f %-6s %6.3f %s\n"

struct end {
	uint16_t port_id;
	struct weir_link *link;
	uint64_t ns; /**< spent on this side */
	uint64_t received, sum;
	bool up;
};

static struct rte_mempool *pool;

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

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

static uint16_t port_make(const char *name, struct rte_ring *rx, struct rte_ring *tx)
{
	const struct rte_eth_conf conf = {0};
	const int port = rte_eth_from_rings(name, &rx, 1, &tx, 1, 0);

	if (port < 0 || rte_eth_dev_configure((uint16_t)port, 1, 1, &conf) != 0 ||
		rte_eth_rx_queue_setup((uint16_t)port, 0, 0, 0, NULL, pool) != 0 ||
		rte_eth_tx_queue_setup((uint16_t)port, 0, 0, 0, NULL) != 0 ||
		rte_eth_dev_start((uint16_t)port) != 0)
		die("no port");
	return (uint16_t)port;
}

static void ports_make(struct end *ends)
{
	struct rte_ring *there =
		rte_ring_create("there", RING_SIZE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
	struct rte_ring *back =
		rte_ring_create("back", RING_SIZE, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);

	pool = rte_pktmbuf_pool_create("frames", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (there == NULL || back == NULL || pool == NULL)
		die("no memory");
	ends[0].port_id = port_make("a", back, there);
	ends[1].port_id = port_make("b", there, back);
}

static void links_make(struct end *ends)
{
	static const struct weir_link_ops ops = {
		.message = on_message, .up = on_up, .down = on_down};
	struct weir_link_conf conf = {.cluster_key = 1, .mtu = 1500, .pool = pool};
	struct weir_link_end names[2];

	for (unsigned i = 0; i < 2; i++)
		names[i] = (struct weir_link_end){.node_key = 1 + i,
			.incarnation = 1,
			.ipv4 = 0x0a000001 + i,
			.udp_port = 6640,
			.workers_count = 1,
			.mac = {2, 0, 0, 0, 0, (uint8_t)i}};
	for (unsigned i = 0; i < 2; i++) {
		conf.self = names[i];
		conf.port_id = ends[i].port_id;
		ends[i].link = weir_link_create(&conf, &ops, &ends[i]);
		if (ends[i].link == NULL || weir_link_peer_set(ends[i].link, 0, &names[1 - i]) != 0)
			die("no link");
	}
}

static uint64_t turn(struct end *end, unsigned messages, const uint8_t *bytes)
{
	const uint64_t now_ns = weir_clock_ns();
	uint64_t spent_ns;

	while (weir_link_poll(end->link, now_ns) > 0)
		;
	for (unsigned i = 0; i < messages; i++) {
		if (weir_link_send(end->link, 0, 0, bytes, MESSAGE_BYTES) != 0)
			break;
	}
	weir_link_flush(end->link, now_ns);
	spent_ns = weir_clock_ns() - now_ns;
	end->ns += spent_ns;
	return spent_ns;
}

/** @return messages a second */
static double link_run(struct end *ends, unsigned turn_messages)
{
	static const uint8_t bytes[MESSAGE_BYTES] = {1};
	const uint64_t from = ends[1].received;
	const uint64_t started_ns = weir_clock_ns();
	uint64_t ns;

	ends[0].ns = ends[1].ns = 0;
	while (ends[1].received - from < MESSAGES) {
		turn(&ends[0], turn_messages, bytes);
		turn(&ends[1], 0, bytes);
	}
	ns = weir_clock_ns() - started_ns;
	return (double)(ends[1].received - from) * 1e9 / (double)ns;
}

/** The same bytes in full frames without headers. @return messages a second */
static double raw_run(const struct end *ends, unsigned turn_messages)
{
	static const uint8_t bytes[MESSAGE_BYTES] = {1};
	const unsigned per_frame = FRAME_BYTES / MESSAGE_BYTES;
	const uint64_t started_ns = weir_clock_ns();
	struct rte_mbuf *frames[64];
	uint64_t messages = 0, sum = 0;

	while (messages < MESSAGES) {
		unsigned count = 0;

		for (unsigned left = turn_messages; left > 0;) {
			const unsigned n = left < per_frame ? left : per_frame;

			frames[count] = rte_pktmbuf_alloc(pool);
			if (frames[count] == NULL)
				die("no mbuf");
			for (unsigned i = 0; i < n; i++)
				memcpy(rte_pktmbuf_append(frames[count], MESSAGE_BYTES), bytes,
					MESSAGE_BYTES);
			left -= n;
			count++;
		}
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
	if (sum != messages)
		die("bytes went wrong");
	return (double)messages * 1e9 / (double)(weir_clock_ns() - started_ns);
}

/** A turn without work, against an empty burst from the port alone. */
static void idle_bench(struct end *end)
{
	const unsigned turns = 10000000;
	const uint64_t now_ns = weir_clock_ns();
	uint64_t polled_ns, turned_ns;
	struct rte_mbuf *frames[64];

	for (unsigned i = 0; i < turns; i++)
		rte_eth_rx_burst(end->port_id, 0, frames, RTE_DIM(frames));
	polled_ns = weir_clock_ns();
	for (unsigned i = 0; i < turns; i++) {
		weir_link_poll(end->link, now_ns);
		weir_link_flush(end->link, now_ns);
	}
	turned_ns = weir_clock_ns() - polled_ns;
	polled_ns -= now_ns;
	printf(LINE, "link_idle_turn", (double)turned_ns / turns, "ns",
		(double)turned_ns / (double)polled_ns, "empty_rx_burst");
}

static void eal_start(void)
{
	char prefix[32];
	const char *args[] = {"bench-link", "--no-pci", "--no-huge", "-m", "96", "--no-shconf",
		"--no-telemetry", "--log-level", "4", "--lcores", "0", "--file-prefix", prefix};

	snprintf(prefix, sizeof(prefix), "wlnk%d", (int)getpid());
	if (rte_eal_init(RTE_DIM(args), (char **)(uintptr_t)args) < 0)
		die("EAL does not start");
}

static void bench(struct end *ends, unsigned turn_messages)
{
	const double raw = raw_run(ends, turn_messages);
	const double link = link_run(ends, turn_messages);
	const double messages = MESSAGES;
	char name[64];

	snprintf(name, sizeof(name), "link_messages_turn%u", turn_messages);
	printf(LINE, name, link / 1e3, "kmsg/s", link / raw, "raw_frames");
	snprintf(name, sizeof(name), "link_bytes_turn%u", turn_messages);
	printf(LINE, name, link * MESSAGE_BYTES / 1e6, "MB/s", link / raw, "raw_frames");
	snprintf(name, sizeof(name), "link_send_side_turn%u", turn_messages);
	printf(LINE, name, (double)ends[0].ns / messages, "ns/msg",
		(double)ends[0].ns * raw / messages / 1e9, "raw_frames_both_sides");
	snprintf(name, sizeof(name), "link_receive_side_turn%u", turn_messages);
	printf(LINE, name, (double)ends[1].ns / messages, "ns/msg",
		(double)ends[1].ns * raw / messages / 1e9, "raw_frames_both_sides");
}

int main(void)
{
	static struct end ends[2];

	eal_start();
	ports_make(ends);
	for (unsigned turn_messages = TURN_MESSAGES; turn_messages > 0; turn_messages /= 16) {
		raw_run(ends, turn_messages);
		if (ends[0].link == NULL) {
			links_make(ends);
			while (!ends[0].up || !ends[1].up) {
				turn(&ends[0], 0, NULL);
				turn(&ends[1], 0, NULL);
			}
		}
		bench(ends, turn_messages);
	}
	idle_bench(&ends[1]);
	weir_link_destroy(ends[0].link);
	weir_link_destroy(ends[1].link);
	rmdir(rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	return 0;
}
