/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Links: ordered, reliable streams of messages between workers, over DPDK ethdev ports.
 *
 * Why not TCP: a worker sends to its peers from its own poll loop, in bursts, without a system
 * call, on the port that it already polls; and it must learn at once, and reliably, when the
 * process at the other end is another one than before.
 *
 * What a link is
 * --------------
 * Each worker has one link. On it, for each worker of each peer node, there is one stream both
 * ways: UDP over IPv4, port `udp_port + worker` of either side, MAC and address from the node
 * records. Frames carry several messages; a message may span frames. Sequence numbers, cumulative
 * and selective acknowledgement, a window, retransmission after about a millisecond (adaptive,
 * backing off to tens of milliseconds). An acknowledgement waits a fifth of that for messages to
 * ride on, so that a stream with traffic both ways sends next to none of their own. Headers take
 * 66 bytes a frame, Ethernet's counted: what both ends know of it enters its check and does not
 * travel (see frame.h).
 *
 * Sessions
 * --------
 * A stream is up while both ends have agreed on a pair of session numbers. Whatever breaks it (a
 * new incarnation of either end, weir_link_peer_set with another incarnation or NULL, a peer that
 * says it knows nothing of this session) ends the session on both ends: `down` is called, all
 * messages not yet delivered are dropped on both sides, and a new session comes up with `up`.
 * Guarantee: within a session, messages arrive exactly once, in the order in which they were
 * sent, without gap; each end sees messages only between its `up` and its `down`. A message of an
 * old session is never delivered in a new one. There is no time limit on a session: a peer that
 * is silent for a minute and comes back goes on where it was. weir_link_peer_set(NULL) ends it.
 *
 * Bad frames
 * ----------
 * Frames that are truncated, garbled (a checksum over the whole payload), of another cluster,
 * protocol version or destination, or of another session are counted by cause and dropped; nothing
 * else happens. The checksum is against accidents: it is no key.
 *
 * Thread-safety: a link belongs to one thread. Only weir_link_stats may be called from others.
 */
#ifndef WEIR_LINK_LINK_H
#define WEIR_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

struct rte_mbuf;
struct rte_mempool;
struct weir_link;

/** Bytes of messages that wait in one stream for sending or acknowledgement, at most. */
#define WEIR_LINK_QUEUE_BYTES     (4U << 20) /**< default */
#define WEIR_LINK_QUEUE_BYTES_MAX (1U << 30) /**< what can be asked for */

/** Who stands at an end of a link. */
struct weir_link_end {
	uint64_t node_key;    /**< hash of the node's name, see weir_node_key */
	uint64_t incarnation; /**< grows with every start of the node; 1..2^44-1 */
	uint32_t ipv4;        /**< address, host byte order */
	uint16_t udp_port;    /**< port of worker 0; worker w has udp_port + w */
	uint8_t mac[6];
	uint8_t workers_count; /**< worker cores of that node */
};

/**
 * What a link tells its owner. All are called from weir_link_poll, weir_link_receive and
 * weir_link_flush only. They may call weir_link_send and weir_link_room, on any stream, and
 * nothing else of the link.
 */
struct weir_link_ops {
	/** One whole message; good until the function returns. */
	void (*message)(void *ctx, unsigned peer, unsigned worker, const void *bytes, size_t len);
	/** A new session with that worker of that peer; what is sent from now on belongs to it. */
	void (*up)(void *ctx, unsigned peer, unsigned worker, uint64_t incarnation);
	/** The session is over. */
	void (*down)(void *ctx, unsigned peer, unsigned worker);
	/**
	 * A frame came here that another worker of this node must have: the callee takes the mbuf,
	 * for that worker's weir_link_receive, or frees it. NULL: such frames are counted and
	 * dropped.
	 */
	void (*steer)(void *ctx, unsigned worker, struct rte_mbuf *frame);
};

struct weir_link_conf {
	uint64_t cluster_key; /**< frames of other clusters are dropped */
	struct weir_link_end self;
	unsigned worker;   /**< this worker's number on its node */
	uint16_t port_id;  /**< ethdev port, started by the caller */
	uint16_t queue_id; /**< RX and TX queue of it that this worker owns */
	uint16_t mtu;      /**< IP packet size at most, 576..9000 */
	/**
	 * For frames; data room of mtu + 14 + headroom or more. Frames that came too early may hold
	 * a quarter of it, shared out among the node's workers.
	 */
	struct rte_mempool *pool;
	/**
	 * Bound of a stream's send queue, WEIR_MESSAGE_BYTES_MAX..WEIR_LINK_QUEUE_BYTES_MAX;
	 * 0: WEIR_LINK_QUEUE_BYTES. Memory is used as it is needed, up to twice as much with
	 * messages of one byte.
	 */
	uint32_t queue_bytes;
};

/** Counters; they only grow. */
struct weir_link_stats {
	uint64_t tx_frames, tx_bytes; /**< frames given to the port, Ethernet header counted */
	uint64_t rx_frames, rx_bytes; /**< whole frames of known peers */
	uint64_t tx_messages, rx_messages;
	uint64_t retransmits;  /**< frames sent again */
	uint64_t duplicates;   /**< frames that had been received before */
	uint64_t out_of_order; /**< frames that came too early and were kept */
	uint64_t sessions;     /**< sessions that came up */
	uint64_t bad_truncated, bad_checksum, bad_foreign,
		bad_stale;  /**< frames dropped, by cause */
	uint64_t port_full; /**< bursts that the port did not take whole */
	uint64_t no_mbuf;   /**< frames not built for want of an mbuf */
};

/** The key of a node's or cluster's name on the wire: XXH3-64 of its bytes. */
uint64_t weir_node_key(const char *name);

/**
 * Makes the link of a worker, once for each incarnation: session numbers begin anew with it, so
 * that peers would hold another one for a ghost of the first.
 * @return NULL where memory is short or conf makes no sense (logged)
 */
struct weir_link *weir_link_create(
	const struct weir_link_conf *conf, const struct weir_link_ops *ops, void *ctx);

/** Frees the link without telling anybody. NULL is fine. */
void weir_link_destroy(struct weir_link *link);

/**
 * Says who peer number `peer` (0..WEIR_NODES_MAX-1, the owner's own numbering) is. A stream to
 * each of its workers that shares shards with this one begins at once to look for its session.
 * The same end again is nothing new; another one ends the sessions; NULL forgets the peer. `down`
 * is called in the next poll, receive or flush. Frames of another incarnation than this one, older
 * or newer, are dropped as stale.
 * @return 0, WEIR_ERR where the end makes no sense (logged, nothing changed), or WEIR_BUSY where
 * memory is short (the peer is forgotten)
 */
int weir_link_peer_set(struct weir_link *link, unsigned peer, const struct weir_link_end *end);

/**
 * Queues a message of 1 to WEIR_MESSAGE_BYTES_MAX bytes; the bytes are copied.
 * @return 0, WEIR_BUSY where weir_link_room says less than len, WEIR_UNREACHABLE without session,
 * WEIR_ERR for no bytes, WEIR_TOOBIG for too many
 */
int weir_link_send(
	struct weir_link *link, unsigned peer, unsigned worker, const void *bytes, size_t len);

/** Bytes of messages that the stream takes now for sure, one message or several; 0 without session.
 */
size_t weir_link_room(const struct weir_link *link, unsigned peer, unsigned worker);

/** Takes a burst from the port, delivers what is due. @return frames received */
unsigned weir_link_poll(struct weir_link *link, uint64_t now_ns);

/** The same for frames that another worker steered here; takes the mbufs. */
void weir_link_receive(
	struct weir_link *link, struct rte_mbuf **frames, unsigned frames_count, uint64_t now_ns);

/**
 * At the end of a turn: sends what is queued as far as windows allow, acknowledgements that are
 * due, and what timers say must be sent again. @return frames sent
 */
unsigned weir_link_flush(struct weir_link *link, uint64_t now_ns);

void weir_link_stats(const struct weir_link *link, struct weir_link_stats *stats);

#endif
