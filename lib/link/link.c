/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <xxhash.h>

#include "base/err.h"
#include "base/log.h"
#include "link/stream.h"

#define MTU_MIN         576
#define MTU_MAX         9000
#define INCARNATION_MAX ((1ULL << (64 - WEIR_SESSION_BITS)) - 1)

/** Part of the pool that frames received too early may hold, over all workers of the node. */
#define KEPT_SHARE 4

uint64_t weir_node_key(const char *name)
{
	return XXH3_64bits(name, strlen(name));
}

static bool power_of_two(unsigned n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/** What is wrong with an end, or NULL. */
static const char *end_fault(const struct weir_link_end *end)
{
	if (end->incarnation == 0 || end->incarnation > INCARNATION_MAX)
		return "incarnation out of range";
	if (end->workers_count > WEIR_WORKERS_MAX || !power_of_two(end->workers_count))
		return "workers not a power of two up to 32";
	if (end->udp_port == 0 || end->udp_port + end->workers_count - 1 > UINT16_MAX)
		return "UDP ports out of range";
	if (end->ipv4 == 0)
		return "no address";
	return NULL;
}

static const char *conf_fault(const struct weir_link_conf *conf, const struct weir_link_ops *ops)
{
	const char *fault = end_fault(&conf->self);

	if (fault != NULL)
		return fault;
	if (conf->worker >= conf->self.workers_count)
		return "no such worker";
	if (conf->mtu < MTU_MIN || conf->mtu > MTU_MAX)
		return "mtu out of range";
	if (!rte_eth_dev_is_valid_port(conf->port_id))
		return "no such port";
	if (conf->pool == NULL || rte_pktmbuf_data_room_size(conf->pool) <
					  RTE_PKTMBUF_HEADROOM + RTE_ETHER_HDR_LEN + conf->mtu)
		return "data room of the pool too small for the mtu";
	if (conf->queue_bytes != 0 && (conf->queue_bytes < WEIR_MESSAGE_BYTES_MAX ||
					      conf->queue_bytes > WEIR_LINK_QUEUE_BYTES_MAX))
		return "queue bytes out of range";
	if (ops->message == NULL || ops->up == NULL || ops->down == NULL)
		return "an operation is missing";
	return NULL;
}

struct weir_link *weir_link_create(
	const struct weir_link_conf *conf, const struct weir_link_ops *ops, void *ctx)
{
	const char *fault = conf_fault(conf, ops);
	struct weir_link *link;

	if (fault != NULL) {
		weir_log(WEIR_ROOM_LINK, WEIR_LOG_ERR, "worker %u: %s", conf->worker, fault);
		return NULL;
	}
	link = calloc(1, sizeof(*link));
	if (link == NULL)
		return NULL;
	link->conf = *conf;
	link->ops = *ops;
	link->ctx = ctx;
	if (link->conf.queue_bytes == 0)
		link->conf.queue_bytes = WEIR_LINK_QUEUE_BYTES;
	link->payload_bytes = (uint16_t)(conf->mtu - WEIR_FRAME_IP_BYTES);
	link->kept_max = conf->pool->size / (KEPT_SHARE * conf->self.workers_count);
	return link;
}

static void peer_forget(struct weir_link *link, struct weir_peer *peer)
{
	unsigned left = 0;

	for (unsigned i = 0; i < link->streams_count; i++) {
		struct weir_stream *stream = link->streams[i];

		if (&link->peers[stream->peer] == peer)
			weir_stream_destroy(stream);
		else
			link->streams[left++] = stream;
	}
	link->streams_count = left;
	memset(peer->streams, 0, sizeof(peer->streams));
	peer->set = false;
}

void weir_link_destroy(struct weir_link *link)
{
	if (link == NULL)
		return;
	for (unsigned i = 0; i < WEIR_NODES_MAX; i++)
		peer_forget(link, &link->peers[i]);
	rte_pktmbuf_free_bulk(link->tx, link->tx_count);
	free(link);
}

/** Notes the sessions that end, for the owner, and tells the peer where it lives on. */
static void peer_leave(struct weir_link *link, struct weir_peer *peer, bool farewell)
{
	link->blocked = link->tx_count == WEIR_BURST;
	for (unsigned i = 0; i < WEIR_WORKERS_MAX; i++) {
		struct weir_stream *stream = peer->streams[i];

		if (stream == NULL || !stream->up)
			continue;
		peer->down_due |= 1U << i;
		link->down_due = true;
		if (farewell && !link->blocked)
			weir_stream_farewell(stream);
	}
	if (farewell && link->tx_count > 0 && !link->blocked)
		weir_link_push(link);
}

static bool end_same(const struct weir_link_end *a, const struct weir_link_end *b)
{
	return a->node_key == b->node_key && a->incarnation == b->incarnation &&
	       a->ipv4 == b->ipv4 && a->udp_port == b->udp_port &&
	       a->workers_count == b->workers_count && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/** Worker numbers that are equal modulo the smaller count of workers share shards. */
static bool shares_shards(const struct weir_link *link, const struct weir_peer *peer, unsigned w)
{
	const unsigned ours = link->conf.self.workers_count;
	const unsigned theirs = peer->end.workers_count;

	return ((w ^ link->conf.worker) & ((ours < theirs ? ours : theirs) - 1)) == 0;
}

static int peer_join(struct weir_link *link, unsigned idx, const struct weir_link_end *end)
{
	struct weir_peer *peer = &link->peers[idx];

	peer->end = *end;
	peer->set = true;
	for (unsigned w = 0; w < end->workers_count; w++) {
		if (!shares_shards(link, peer, w))
			continue;
		peer->streams[w] = weir_stream_create(link, idx, w);
		if (peer->streams[w] == NULL) {
			peer_forget(link, peer);
			return WEIR_BUSY;
		}
		link->streams[link->streams_count++] = peer->streams[w];
	}
	return 0;
}

int weir_link_peer_set(struct weir_link *link, unsigned peer, const struct weir_link_end *end)
{
	struct weir_peer *old = &link->peers[peer];
	const char *fault = end != NULL ? end_fault(end) : NULL;

	weir_assert(!link->inside && peer < WEIR_NODES_MAX);
	if (fault != NULL) {
		weir_log(WEIR_ROOM_LINK, WEIR_LOG_ERR, "peer %u: %s", peer, fault);
		return WEIR_ERR;
	}
	if (end != NULL && old->set && end_same(end, &old->end))
		return 0;
	if (old->set) {
		peer_leave(link, old, end == NULL || end->incarnation == old->end.incarnation);
		peer_forget(link, old);
	}
	return end != NULL ? peer_join(link, peer, end) : 0;
}

static inline struct weir_stream *stream_find(
	const struct weir_link *link, unsigned peer, unsigned worker)
{
	return peer < WEIR_NODES_MAX && worker < WEIR_WORKERS_MAX
		       ? link->peers[peer].streams[worker]
		       : NULL;
}

int weir_link_send(
	struct weir_link *link, unsigned peer, unsigned worker, const void *bytes, size_t len)
{
	struct weir_stream *stream = stream_find(link, peer, worker);

	if (len - 1 >= WEIR_MESSAGE_BYTES_MAX)
		return len == 0 ? WEIR_ERR : WEIR_TOOBIG;
	if (stream == NULL || !stream->up)
		return WEIR_UNREACHABLE;
	if (len > stream->sender.room)
		return WEIR_BUSY;
	weir_sender_put(&stream->sender, bytes, len);
	weir_count(&link->stats.tx_messages, 1);
	return 0;
}

size_t weir_link_room(const struct weir_link *link, unsigned peer, unsigned worker)
{
	const struct weir_stream *stream = stream_find(link, peer, worker);

	return stream != NULL && stream->up ? stream->sender.room : 0;
}

/** Makes up for the down calls that weir_link_peer_set could not make. */
static void downs_tell(struct weir_link *link)
{
	if (!link->down_due)
		return;
	link->down_due = false;
	for (unsigned i = 0; i < WEIR_NODES_MAX; i++) {
		struct weir_peer *peer = &link->peers[i];

		for (; peer->down_due != 0; peer->down_due &= peer->down_due - 1)
			link->ops.down(link->ctx, i, (unsigned)__builtin_ctz(peer->down_due));
	}
}

static void fault_count(struct weir_link *link, enum weir_frame_fault fault)
{
	struct weir_link_stats *stats = &link->stats;

	weir_count(fault == WEIR_FRAME_TRUNCATED ? &stats->bad_truncated
		   : fault == WEIR_FRAME_GARBLED ? &stats->bad_checksum
		   : fault == WEIR_FRAME_STALE   ? &stats->bad_stale
						 : &stats->bad_foreign,
		1);
}

static bool mac_same(const struct rte_ether_addr *mac, const uint8_t *bytes)
{
	return memcmp(mac->addr_bytes, bytes, sizeof(mac->addr_bytes)) == 0;
}

/** The stream to whose peer the addresses of a frame belong, or NULL. */
static struct weir_stream *address_stream(
	const struct weir_peer *peer, const struct weir_frame *frame)
{
	const unsigned worker = (unsigned)be16toh(frame->udp.src_port) - peer->end.udp_port;

	return peer->set && worker < WEIR_WORKERS_MAX &&
			       frame->ip.src_addr == htobe32(peer->end.ipv4) &&
			       mac_same(&frame->eth.src_addr, peer->end.mac)
		       ? peer->streams[worker]
		       : NULL;
}

/**
 * The stream that a frame belongs to: its node must be known and speak from its own address. Two
 * that are known by one address, as when a node took the place of another, tell by the check.
 */
static enum weir_frame_fault frame_find(
	const struct weir_link *link, const struct weir_frame *frame, struct weir_stream **stream)
{
	enum weir_frame_fault fault = WEIR_FRAME_FOREIGN;

	for (unsigned i = 0; i < WEIR_NODES_MAX; i++) {
		enum weir_frame_fault found;

		*stream = address_stream(&link->peers[i], frame);
		if (*stream == NULL)
			continue;
		found = weir_stream_verify(*stream, frame);
		if (found == WEIR_FRAME_GOOD)
			return found;
		if (found != WEIR_FRAME_FOREIGN)
			fault = found;
	}
	return fault;
}

/** Whose the frame is. @return NULL where it is nobody's here: steered, or counted and freed */
static struct weir_stream *frame_sort(struct weir_link *link, struct rte_mbuf *mbuf)
{
	enum weir_frame_fault fault;
	struct weir_stream *stream = NULL;
	unsigned worker;

	fault = weir_frame_address(mbuf, &link->conf.self, &worker);
	if (fault == WEIR_FRAME_GOOD && worker != link->conf.worker) {
		if (link->ops.steer != NULL) {
			link->ops.steer(link->ctx, worker, mbuf);
			return NULL;
		}
		fault = WEIR_FRAME_FOREIGN;
	}
	if (fault == WEIR_FRAME_GOOD)
		fault = frame_find(
			link, rte_pktmbuf_mtod(mbuf, const struct weir_frame *), &stream);
	if (fault == WEIR_FRAME_GOOD)
		return stream;
	fault_count(link, fault);
	rte_pktmbuf_free(mbuf);
	return NULL;
}

static void frame_receive(struct weir_link *link, struct rte_mbuf *mbuf)
{
	struct weir_stream *stream = frame_sort(link, mbuf);

	if (stream == NULL)
		return;
	weir_count(&link->stats.rx_frames, 1);
	weir_count(&link->stats.rx_bytes, mbuf->pkt_len);
	weir_stream_receive(stream, mbuf);
}

void weir_link_receive(
	struct weir_link *link, struct rte_mbuf **frames, unsigned frames_count, uint64_t now_ns)
{
	weir_assert(!link->inside);
	link->inside = true;
	link->now_ns = now_ns;
	downs_tell(link);
	for (unsigned i = 0; i < frames_count; i++) {
		if (i + 1 < frames_count)
			rte_prefetch0(rte_pktmbuf_mtod(frames[i + 1], const void *));
		frame_receive(link, frames[i]);
	}
	link->inside = false;
}

unsigned weir_link_poll(struct weir_link *link, uint64_t now_ns)
{
	struct rte_mbuf *frames[WEIR_BURST];
	const unsigned frames_count =
		rte_eth_rx_burst(link->conf.port_id, link->conf.queue_id, frames, WEIR_BURST);

	weir_link_receive(link, frames, frames_count, now_ns);
	return frames_count;
}

void weir_link_push(struct weir_link *link)
{
	uint64_t bytes = 0;
	uint16_t lens[WEIR_BURST];
	uint16_t taken;

	/* The port owns what it takes: lengths must be read before. */
	for (unsigned i = 0; i < link->tx_count; i++)
		lens[i] = link->tx[i]->data_len;
	taken = rte_eth_tx_burst(link->conf.port_id, link->conf.queue_id, link->tx, link->tx_count);
	for (unsigned i = 0; i < taken; i++)
		bytes += lens[i];
	weir_count(&link->stats.tx_frames, taken);
	weir_count(&link->stats.tx_bytes, bytes);
	link->tx_count = (uint16_t)(link->tx_count - taken);
	if (link->tx_count > 0) {
		memmove(link->tx, link->tx + taken, link->tx_count * sizeof(link->tx[0]));
		weir_count(&link->stats.port_full, 1);
		link->blocked = true;
	}
}

unsigned weir_link_flush(struct weir_link *link, uint64_t now_ns)
{
	const uint64_t before = link->stats.tx_frames;

	weir_assert(!link->inside);
	link->inside = true;
	link->now_ns = now_ns;
	link->blocked = false;
	downs_tell(link);
	if (link->tx_count > 0)
		weir_link_push(link);
	for (unsigned i = 0; i < link->streams_count && !link->blocked; i++)
		weir_stream_flush(link->streams[(link->turn + i) % link->streams_count]);
	if (link->streams_count > 0)
		link->turn = (link->turn + 1) % link->streams_count;
	if (link->tx_count > 0 && !link->blocked)
		weir_link_push(link);
	link->inside = false;
	return (unsigned)(link->stats.tx_frames - before);
}

void weir_link_stats(const struct weir_link *link, struct weir_link_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&link->stats;
	uint64_t *to = (uint64_t *)stats;

	for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
