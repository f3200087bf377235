/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "fabric.h"
#include "link/stream.h"

#define RING_SIZE    4096
#define POOL_SIZE    8191
#define CONTENT_SIZE (64U << 10)

static uint8_t content[CONTENT_SIZE + WEIR_MESSAGE_BYTES_MAX];
static unsigned ports_made;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

uint64_t fabric_random(struct fabric *fabric)
{
	return mix(fabric->random += 0x9e3779b97f4a7c15ULL);
}

void fabric_eal(void)
{
	char prefix[32];
	const char *args[] = {"test-link", "--no-pci", "--no-huge", "-m", "192", "--no-shconf",
		"--no-telemetry", "--file-prefix", prefix, "--lcores", "0", "--log-level", "4",
		NULL};

	snprintf(prefix, sizeof(prefix), "wlnk%d", (int)getpid());
	assert_true(
		rte_eal_init(sizeof(args) / sizeof(args[0]) - 1, (char **)(uintptr_t)args) >= 0);
	for (unsigned i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)mix(i);
}

void fabric_eal_end(void)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	rmdir(dir);
}

/** Bytes of message n of a session: its salt, as far as it fits, then what salt and n decide. */
static const uint8_t *content_of(uint64_t salt, uint64_t n, size_t len)
{
	static uint8_t bytes[WEIR_MESSAGE_BYTES_MAX];
	const size_t first = RTE_MIN(len, sizeof(salt));

	memcpy(bytes, &salt, first);
	memcpy(bytes + first, content + mix(salt ^ n << 24) % CONTENT_SIZE, len - first);
	return bytes;
}

/** The first message that is long enough tells the session's salt: one never seen before. */
static void salt_learn(struct fabric_seen *seen, const void *bytes, size_t len)
{
	if (seen->peer_salt != 0 || len < sizeof(seen->peer_salt))
		return;
	memcpy(&seen->peer_salt, bytes, sizeof(seen->peer_salt));
	assert_true(seen->peer_salt > seen->peer_salt_before);
	seen->peer_salt_before = seen->peer_salt;
}

static void on_message(void *ctx, unsigned peer, unsigned worker, const void *bytes, size_t len)
{
	struct fabric_worker *me = ctx;
	struct fabric_seen *seen = &me->seen[peer][worker];

	assert_true(seen->up);
	salt_learn(seen, bytes, len);
	if (seen->peer_salt != 0)
		assert_memory_equal(bytes, content_of(seen->peer_salt, seen->received, len), len);
	seen->received_sum += ++seen->received * len;
	seen->received_total++;
	if (me->echo)
		fabric_send(me->fabric, me->node, me->worker, peer, worker, len);
}

static void on_up(void *ctx, unsigned peer, unsigned worker, uint64_t incarnation)
{
	struct fabric_worker *me = ctx;
	struct fabric_seen *seen = &me->seen[peer][worker];

	assert_false(seen->up);
	seen->up = true;
	seen->ups++;
	seen->incarnation = incarnation;
	seen->sent = seen->received = seen->sent_sum = seen->received_sum = 0;
	seen->salt = ++me->fabric->salts;
	seen->peer_salt = 0;
}

static void on_down(void *ctx, unsigned peer, unsigned worker)
{
	struct fabric_worker *me = ctx;
	struct fabric_seen *seen = &me->seen[peer][worker];

	assert_true(seen->up);
	seen->up = false;
	seen->downs++;
}

static void on_steer(void *ctx, unsigned worker, struct rte_mbuf *frame)
{
	struct fabric_worker *me = ctx;
	struct fabric_worker *other = &me->fabric->nodes[me->node].workers[worker];

	me->steered++;
	if (rte_ring_enqueue(other->rx, frame) != 0)
		rte_pktmbuf_free(frame);
}

static void link_make(struct fabric *fabric, struct fabric_node *node, struct fabric_worker *me)
{
	static const struct weir_link_ops ops = {on_message, on_up, on_down, on_steer};
	const struct weir_link_conf conf = {
		.cluster_key = FABRIC_CLUSTER,
		.self = node->end,
		.worker = me->worker,
		.port_id = me->port_id,
		.mtu = FABRIC_MTU,
		.pool = node->pool,
		.queue_bytes = fabric->shape.queue_bytes,
	};

	me->link = weir_link_create(&conf, &ops, me);
	assert_non_null(me->link);
}

static void port_make(struct fabric_worker *me)
{
	char name[RTE_RING_NAMESIZE];
	const struct rte_eth_conf conf = {0};
	int port;

	snprintf(name, sizeof(name), "rx%u", ports_made);
	me->rx = rte_ring_create(name, RING_SIZE, 0, 0);
	snprintf(name, sizeof(name), "tx%u", ports_made);
	me->tx = rte_ring_create(name, me->fabric->shape.ring_size, 0, 0);
	assert_non_null(me->rx);
	assert_non_null(me->tx);
	snprintf(name, sizeof(name), "fabric%u", ports_made++);
	port = rte_eth_from_rings(name, &me->rx, 1, &me->tx, 1, 0);
	assert_true(port >= 0);
	me->port_id = (uint16_t)port;
	assert_int_equal(rte_eth_dev_configure(me->port_id, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_tx_queue_setup(me->port_id, 0, 0, 0, NULL), 0);
	assert_int_equal(rte_eth_rx_queue_setup(
				 me->port_id, 0, 0, 0, NULL, me->fabric->nodes[me->node].pool),
		0);
	assert_int_equal(rte_eth_dev_start(me->port_id), 0);
}

static void node_make(struct fabric *fabric, unsigned idx, unsigned workers_count)
{
	struct fabric_node *node = &fabric->nodes[idx];
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "n%u", idx + 1);
	node->end = (struct weir_link_end){
		.node_key = weir_node_key(name),
		.incarnation = 7,
		.ipv4 = 0x0a000001 + idx,
		.udp_port = 6640,
		.mac = {2, 0, 0, 0, 0, (uint8_t)(idx + 1)},
		.workers_count = (uint8_t)workers_count,
	};
	snprintf(name, sizeof(name), "pool%u", ports_made);
	node->pool = rte_pktmbuf_pool_create(
		name, fabric->shape.pool_size, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(node->pool);
	for (unsigned w = 0; w < workers_count; w++) {
		struct fabric_worker *me = &node->workers[w];

		*me = (struct fabric_worker){.fabric = fabric, .node = idx, .worker = w};
		port_make(me);
		link_make(fabric, node, me);
	}
}

void fabric_start(struct fabric *fabric, uint64_t seed, const unsigned *workers, unsigned nodes)
{
	if (fabric->shape.ring_size == 0)
		fabric->shape.ring_size = RING_SIZE;
	if (fabric->shape.pool_size == 0)
		fabric->shape.pool_size = POOL_SIZE;
	fabric->step_ns = FABRIC_STEP_NS;
	fabric->delay_steps = 1;
	fabric->seed = fabric->random = seed;
	fabric->now_ns = 1000 * FABRIC_STEP_NS;
	fabric->nodes_count = nodes;
	print_message("seed %#lx\n", seed);
	for (unsigned i = 0; i < nodes; i++)
		node_make(fabric, i, workers[i]);
}

static void ring_free(struct rte_ring *ring)
{
	void *frame;

	while (rte_ring_dequeue(ring, &frame) == 0)
		rte_pktmbuf_free(frame);
	rte_ring_free(ring);
}

static void node_end(struct fabric_node *node)
{
	for (unsigned w = 0; w < node->end.workers_count; w++) {
		struct fabric_worker *me = &node->workers[w];

		weir_link_destroy(me->link);
		rte_eth_dev_stop(me->port_id);
		rte_eth_dev_close(me->port_id);
		ring_free(me->rx);
		ring_free(me->tx);
	}
}

void fabric_end(struct fabric *fabric)
{
	for (unsigned i = 0; i < FABRIC_WHEEL; i++) {
		for (unsigned k = 0; k < fabric->wheel[i].count; k++)
			rte_pktmbuf_free(fabric->wheel[i].frames[k]);
		free(fabric->wheel[i].frames);
	}
	for (unsigned i = 0; i < fabric->nodes_count; i++)
		node_end(&fabric->nodes[i]);
	for (unsigned i = 0; i < fabric->nodes_count; i++) {
		assert_int_equal(
			rte_mempool_avail_count(fabric->nodes[i].pool), fabric->shape.pool_size);
		rte_mempool_free(fabric->nodes[i].pool);
	}
	memset(fabric, 0, sizeof(*fabric));
}

void fabric_introduce(struct fabric *fabric, unsigned node, unsigned peer)
{
	for (unsigned w = 0; w < fabric->nodes[node].end.workers_count; w++)
		assert_int_equal(weir_link_peer_set(fabric->nodes[node].workers[w].link, peer,
					 &fabric->nodes[peer].end),
			0);
}

void fabric_join(struct fabric *fabric)
{
	for (unsigned i = 0; i < fabric->nodes_count; i++) {
		for (unsigned k = 0; k < fabric->nodes_count; k++) {
			if (i != k)
				fabric_introduce(fabric, i, k);
		}
	}
}

void fabric_restart(struct fabric *fabric, unsigned idx)
{
	struct fabric_node *node = &fabric->nodes[idx];

	node->end.incarnation++;
	for (unsigned w = 0; w < node->end.workers_count; w++) {
		struct fabric_worker *me = &node->workers[w];

		weir_link_destroy(me->link);
		memset(me->seen, 0, sizeof(me->seen));
		link_make(fabric, node, me);
	}
}

/** The port whose MAC and UDP port a frame names; garbled ones go to node 0, worker 0. */
static struct fabric_worker *frame_goal(struct fabric *fabric, struct rte_mbuf *frame)
{
	const uint8_t *bytes = rte_pktmbuf_mtod(frame, const uint8_t *);
	unsigned node = bytes[5] - 1U;
	unsigned worker = (unsigned)(bytes[36] << 8 | bytes[37]) - 6640;

	if (node >= fabric->nodes_count)
		node = 0;
	if (worker >= fabric->nodes[node].end.workers_count)
		worker = 0;
	if (fabric->all_to_worker != 0 &&
		fabric->all_to_worker < fabric->nodes[node].end.workers_count)
		worker = fabric->all_to_worker;
	return &fabric->nodes[node].workers[worker];
}

static bool chance(struct fabric *fabric, uint32_t ppm)
{
	return ppm != 0 && fabric_random(fabric) % 1000000 < ppm;
}

static void wheel_put(struct fabric *fabric, struct rte_mbuf *frame)
{
	uint64_t step = fabric->step + fabric->delay_steps;

	if (chance(fabric, fabric->faults.late))
		step += fabric_random(fabric) % (FABRIC_WHEEL - fabric->delay_steps - 1);
	step %= FABRIC_WHEEL;
	if (fabric->wheel[step].count == fabric->wheel[step].size) {
		fabric->wheel[step].size = 2 * fabric->wheel[step].size + 64;
		fabric->wheel[step].frames = realloc(
			fabric->wheel[step].frames, fabric->wheel[step].size * sizeof(frame));
		assert_non_null(fabric->wheel[step].frames);
	}
	fabric->wheel[step].frames[fabric->wheel[step].count++] = frame;
}

static void frame_spoil(struct fabric *fabric, struct rte_mbuf *frame)
{
	if (chance(fabric, fabric->faults.garble)) {
		const uint64_t bit = fabric_random(fabric) % (8ULL * frame->data_len);

		rte_pktmbuf_mtod(frame, uint8_t *)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	if (chance(fabric, fabric->faults.cut))
		rte_pktmbuf_trim(
			frame, (uint16_t)(1 + fabric_random(fabric) % (frame->data_len - 60U)));
}

static void frame_carry(struct fabric *fabric, struct rte_mbuf *frame)
{
	struct rte_mempool *pool = frame->pool;
	struct rte_mbuf *copy;

	fabric->carried++;
	if (fabric->tap != NULL && !fabric->tap(fabric, frame)) {
		rte_pktmbuf_free(frame);
		return;
	}
	if (chance(fabric, fabric->faults.loss)) {
		fabric->lost++;
		rte_pktmbuf_free(frame);
		return;
	}
	if (chance(fabric, fabric->faults.twice) &&
		(copy = rte_pktmbuf_copy(frame, pool, 0, UINT32_MAX)) != NULL)
		wheel_put(fabric, copy);
	frame_spoil(fabric, frame);
	wheel_put(fabric, frame);
}

static void frames_collect(struct fabric *fabric, struct fabric_node *node)
{
	for (unsigned w = 0; w < node->end.workers_count; w++) {
		void *frame;

		while (!node->workers[w].jammed &&
			rte_ring_dequeue(node->workers[w].tx, &frame) == 0) {
			if (node->cut_off)
				rte_pktmbuf_free(frame);
			else
				frame_carry(fabric, frame);
		}
	}
}

static void frames_deliver(struct fabric *fabric)
{
	const uint64_t slot = fabric->step % FABRIC_WHEEL;

	for (unsigned i = 0; i < fabric->wheel[slot].count; i++) {
		struct rte_mbuf *frame = fabric->wheel[slot].frames[i];
		struct fabric_worker *goal = frame_goal(fabric, frame);

		if (fabric->nodes[goal->node].cut_off || rte_ring_enqueue(goal->rx, frame) != 0)
			rte_pktmbuf_free(frame);
	}
	fabric->wheel[slot].count = 0;
}

static void workers_run(struct fabric *fabric, struct fabric_node *node)
{
	for (unsigned w = 0; w < node->end.workers_count; w++) {
		struct fabric_worker *me = &node->workers[w];

		if (me->stopped)
			continue;
		weir_link_poll(me->link, fabric->now_ns);
		weir_link_flush(me->link, fabric->now_ns);
	}
}

void fabric_step(struct fabric *fabric)
{
	for (unsigned i = 0; i < fabric->nodes_count; i++)
		workers_run(fabric, &fabric->nodes[i]);
	for (unsigned i = 0; i < fabric->nodes_count; i++)
		frames_collect(fabric, &fabric->nodes[i]);
	fabric->step++;
	fabric->now_ns += fabric->step_ns;
	frames_deliver(fabric);
}

void fabric_steps(struct fabric *fabric, unsigned steps)
{
	while (steps-- > 0)
		fabric_step(fabric);
}

int fabric_send(struct fabric *fabric, unsigned node, unsigned worker, unsigned peer,
	unsigned peer_worker, size_t len)
{
	struct fabric_seen *seen = fabric_seen(fabric, node, worker, peer, peer_worker);
	const int err = weir_link_send(fabric->nodes[node].workers[worker].link, peer, peer_worker,
		content_of(seen->salt, seen->sent, len), len);

	if (err == 0)
		seen->sent_sum += ++seen->sent * len;
	return err;
}

void fabric_inject(struct fabric *fabric, unsigned node, unsigned worker, struct rte_mbuf *frame)
{
	assert_int_equal(rte_ring_enqueue(fabric->nodes[node].workers[worker].rx, frame), 0);
}

bool fabric_is_data(const struct rte_mbuf *mbuf)
{
	const struct weir_frame *frame = rte_pktmbuf_mtod(mbuf, const struct weir_frame *);

	return (weir_frame_kind(frame) & (WEIR_FRAME_CONTROL | WEIR_FRAME_HELLO)) == 0;
}

struct weir_stream *fabric_stream(
	struct fabric *fabric, unsigned node, unsigned worker, unsigned peer, unsigned peer_worker)
{
	return fabric->nodes[node].workers[worker].link->peers[peer].streams[peer_worker];
}

struct fabric_seen *fabric_seen(
	struct fabric *fabric, unsigned node, unsigned worker, unsigned peer, unsigned peer_worker)
{
	return &fabric->nodes[node].workers[worker].seen[peer][peer_worker];
}

struct weir_link_stats fabric_stats(struct fabric *fabric, unsigned node, unsigned worker)
{
	struct weir_link_stats stats;

	weir_link_stats(fabric->nodes[node].workers[worker].link, &stats);
	return stats;
}
