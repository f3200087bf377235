/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A network of links in one process: ports made of rings, virtual time, and faults by a seed.
 *
 * Each frame is copied on its way, as af_packet does, and is then lost, doubled, delayed or
 * spoilt as the test wants. The receiving side checks each message against what was sent.
 */
#ifndef WEIR_TESTS_FABRIC_H
#define WEIR_TESTS_FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "link/link.h"

#define FABRIC_NODES   3
#define FABRIC_WORKERS 4
#define FABRIC_CLUSTER 0x1122334455667788ULL
#define FABRIC_MTU     1500
#define FABRIC_WHEEL   1024 /**< steps that a frame can be delayed, and one more */
#define FABRIC_STEP_NS 10000

/** Faults, in parts of a million. */
struct fabric_faults {
	uint32_t loss, twice, late, garble, cut;
};

/** What one worker saw of one stream. */
struct fabric_seen {
	unsigned ups, downs;
	bool up;
	uint64_t incarnation;
	uint64_t sent, received; /**< messages of the session that is up */
	uint64_t received_total;
	uint64_t sent_sum, received_sum; /**< of length times number: lengths arrived as sent */
	/** Decide the messages' content; each session of a sender has its own. 0: not known yet. */
	uint64_t salt, peer_salt, peer_salt_before;
};

/** Sizes, to be set before fabric_start; 0: the usual ones. fabric_end forgets them. */
struct fabric_shape {
	uint32_t queue_bytes;
	unsigned ring_size, pool_size; /**< ports' rings hold one frame less than their size */
};

struct fabric;

struct fabric_worker {
	struct fabric *fabric;
	unsigned node, worker;
	uint16_t port_id;
	struct rte_ring *rx, *tx;
	struct weir_link *link;
	bool stopped; /**< is not run, as if its kernel had taken the core away */
	bool jammed;  /**< the port sends nothing */
	bool echo;    /**< answers each message with one of its own */
	unsigned steered;
	struct fabric_seen seen[FABRIC_NODES][WEIR_WORKERS_MAX];
};

struct fabric_node {
	struct weir_link_end end;
	struct rte_mempool *pool;
	struct fabric_worker workers[FABRIC_WORKERS];
	bool cut_off; /**< nothing reaches it and nothing leaves it */
};

struct fabric {
	uint64_t seed, random;
	uint64_t now_ns, step_ns;
	unsigned delay_steps; /**< that each frame takes on its way */
	struct fabric_shape shape;
	unsigned all_to_worker; /**< of any node that has so many; 0: each frame to its own */
	unsigned nodes_count;
	struct fabric_faults faults;
	struct fabric_node nodes[FABRIC_NODES];
	struct {
		struct rte_mbuf **frames;
		unsigned count, size;
	} wheel[FABRIC_WHEEL];
	uint64_t step;
	uint64_t carried, lost, salts;
	/** Sees each frame that enters the network; false: it is taken out. */
	bool (*tap)(struct fabric *fabric, struct rte_mbuf *frame);
	void *tap_ctx;
};

/** Starts EAL once for the process. */
void fabric_eal(void);
void fabric_eal_end(void);

/** Makes nodes with so many workers each, links made, peers not set. Prints the seed. */
void fabric_start(struct fabric *fabric, uint64_t seed, const unsigned *workers, unsigned nodes);

/** Ends all; fails where an mbuf has leaked. */
void fabric_end(struct fabric *fabric);

/** Every node learns of every other. */
void fabric_join(struct fabric *fabric);

/** One node's workers learn of another, as it is now. */
void fabric_introduce(struct fabric *fabric, unsigned node, unsigned peer);

/** The node dies without a word and starts with the next incarnation, knowing nobody. */
void fabric_restart(struct fabric *fabric, unsigned node);

/** One step: carries frames, runs every worker once. */
void fabric_step(struct fabric *fabric);
void fabric_steps(struct fabric *fabric, unsigned steps);

/** Steps until the condition holds, at most `ms` of virtual time; fails the test otherwise. */
#define fabric_until(fabric, ms, condition)                                                        \
	do {                                                                                       \
		const uint64_t fabric_until_ns = (fabric)->now_ns + (uint64_t)(ms)*1000000;        \
		while (!(condition) && (fabric)->now_ns < fabric_until_ns)                         \
			fabric_step(fabric);                                                       \
		if (!(condition))                                                                  \
			print_error("%s does not hold, seed %#lx\n", #condition, (fabric)->seed);  \
		assert_true(condition);                                                            \
	} while (0)

uint64_t fabric_random(struct fabric *fabric);

/** Sends the next message of the stream. @return weir_link_send's answer */
int fabric_send(struct fabric *fabric, unsigned node, unsigned worker, unsigned peer,
	unsigned peer_worker, size_t len);

/** Puts a frame on a worker's port as if it came from the network. */
void fabric_inject(struct fabric *fabric, unsigned node, unsigned worker, struct rte_mbuf *frame);

/** Whether a frame has messages. */
bool fabric_is_data(const struct rte_mbuf *frame);

/** The stream itself. */
struct weir_stream *fabric_stream(
	struct fabric *fabric, unsigned node, unsigned worker, unsigned peer, unsigned peer_worker);

struct fabric_seen *fabric_seen(
	struct fabric *fabric, unsigned node, unsigned worker, unsigned peer, unsigned peer_worker);
struct weir_link_stats fabric_stats(struct fabric *fabric, unsigned node, unsigned worker);

#endif
