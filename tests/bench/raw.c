/* SPDX-License-Identifier: BSD-3-Clause */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include "base/clock.h"

#include "raw.h"

#define BURST      32
#define ANSWER_NS  (10 * WEIR_NS_PER_S)
#define ETHER_TYPE 0x88b5 /* for experiments */

static void swallow(struct raw_far *far, struct rte_mbuf **frames, uint16_t count)
{
	uint64_t bytes = 0, sum = 0;

	/* Reads what it got, as any receiver does. */
	for (uint16_t i = 0; i < count; i++) {
		const uint8_t *data = rte_pktmbuf_mtod(frames[i], const uint8_t *);

		for (unsigned at = 0; at < frames[i]->data_len; at += 64)
			sum += data[at];
		bytes += frames[i]->data_len;
	}
	far->bytes += bytes + (sum == UINT64_MAX);
	rte_pktmbuf_free_bulk(frames, count);
}

static void echo(struct raw_far *far, struct rte_mbuf **frames, uint16_t count)
{
	uint16_t sent = rte_eth_tx_burst(far->port_id, 0, frames, count);

	far->bytes += count;
	rte_pktmbuf_free_bulk(frames + sent, count - sent);
}

static void *serve(void *arg)
{
	struct raw_far *far = arg;
	struct rte_mbuf *frames[BURST];

	rte_thread_register();
	while (!far->stop) {
		uint16_t count = rte_eth_rx_burst(far->port_id, 0, frames, BURST);

		if (count == 0)
			rte_pause();
		else if (far->echoes)
			echo(far, frames, count);
		else
			swallow(far, frames, count);
	}
	rte_thread_unregister();
	return NULL;
}

struct start {
	struct raw_far *far;
	unsigned cpu;
};

static void *begin(void *arg)
{
	struct start start = *(struct start *)arg;

	bench_pin(start.far->bench, start.cpu);
	free(arg);
	return serve(start.far);
}

void raw_far_begin(
	struct raw_far *far, const struct bench *bench, uint16_t port_id, unsigned cpu, bool echoes)
{
	struct start *start = malloc(sizeof(*start));

	*far = (struct raw_far){.bench = bench, .port_id = port_id, .echoes = echoes};
	bench_check(bench, start != NULL);
	*start = (struct start){far, cpu};
	bench_check(bench, pthread_create(&far->thread, NULL, begin, start) == 0);
}

uint64_t raw_far_end(struct raw_far *far)
{
	far->stop = true;
	pthread_join(far->thread, NULL);
	return far->bytes;
}

static struct rte_mbuf *frame_make(
	const struct bench *bench, struct rte_mempool *pool, uint16_t bytes)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
	char *data;

	bench_check(bench, frame != NULL);
	data = rte_pktmbuf_append(frame, bytes);
	memset(data, 0, bytes);
	data[12] = (char)(ETHER_TYPE >> 8);
	data[13] = (char)(ETHER_TYPE & 0xff);
	return frame;
}

static uint64_t ping(const struct bench *bench, uint16_t port_id, struct rte_mempool *pool)
{
	struct rte_mbuf *frame = frame_make(bench, pool, RAW_PING_BYTES);
	uint64_t begin_ns = weir_clock_ns(), ns;

	while (rte_eth_tx_burst(port_id, 0, &frame, 1) != 1)
		;
	while (rte_eth_rx_burst(port_id, 0, &frame, 1) != 1)
		bench_check(bench, weir_clock_ns() - begin_ns < ANSWER_NS);
	ns = weir_clock_ns() - begin_ns;
	rte_pktmbuf_free(frame);
	return ns;
}

void raw_ping(const struct bench *bench, uint16_t port_id, struct rte_mempool *pool, unsigned count,
	uint64_t *ns)
{
	for (unsigned i = 0; i < count; i++)
		ns[i] = ping(bench, port_id, pool);
}

double raw_pour(const struct bench *bench, uint16_t port_id, struct rte_mempool *pool,
	uint64_t frames_count)
{
	uint64_t begin_ns = weir_clock_ns();
	struct rte_mbuf *frames[BURST];

	for (uint64_t sent = 0; sent < frames_count; sent += BURST) {
		uint16_t done = 0;

		for (unsigned i = 0; i < BURST; i++)
			frames[i] = frame_make(bench, pool, RAW_FRAME_BYTES);
		while (done < BURST) {
			uint16_t taken = rte_eth_tx_burst(
				port_id, 0, frames + done, (uint16_t)(BURST - done));

			done = (uint16_t)(done + taken);
			if (taken == 0)
				sched_yield();
		}
	}
	return (double)(frames_count * RAW_FRAME_BYTES) * 1e9 /
	       (double)(weir_clock_ns() - begin_ns);
}
