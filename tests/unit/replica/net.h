/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A scripted network for replicas: nodes, channels that keep order, and a hand on everything.
 *
 * Each node has one replica a worker. Messages wait in queues until net_run delivers them; a
 * direction can be held back, a session cut. Time moves only by net_pass. Views are made by the
 * test, in the place of tenure; reports are remembered.
 */
#ifndef TESTS_UNIT_REPLICA_NET_H
#define TESTS_UNIT_REPLICA_NET_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "replica/replica.h"
#include "wire/wire.h"
#include "table/rcu.h"
#include "wire/wire.h"

#define NET_NODES   4
#define NET_WORKERS 4
#define NET_DEVICES 256
#define NET_REPORTS 4096
#define NET_LEASE   (1000 * WEIR_NS_PER_S)
#define NOT_YET     1 /**< err of a task that is not answered */

struct net;

struct net_message {
	struct net_message *next;
	size_t len;
	uint8_t bytes[];
};

/** One direction between two workers. */
struct net_queue {
	struct net_message *head, **tail;
	size_t bytes;
};

struct net_node {
	struct net *net;
	unsigned number;
	unsigned workers_count;
	bool dead;
	uint64_t incarnation;
	struct weir_replica *replicas[NET_WORKERS];
	struct weir_mem *mems[NET_WORKERS];
	struct net_worker {
		struct net_node *node;
		unsigned worker;
	} workers[NET_WORKERS];
	uint64_t keys[NET_DEVICES];
	struct weir_table *tables[NET_DEVICES];
	struct weir_report reports[NET_REPORTS];
	unsigned reports_count;
};

struct net {
	uint64_t now_ns;
	int64_t wall_shift_ns;
	uint64_t revision;
	size_t room_bytes;         /**< what a channel takes */
	size_t room_of[NET_NODES]; /**< what those of one node take, where not 0 */
	struct net_node nodes[NET_NODES];
	struct net_queue queues[NET_NODES][NET_WORKERS][NET_NODES][NET_WORKERS];
	bool held[NET_NODES][NET_NODES];
	bool up[NET_NODES][NET_NODES];
	bool reset[NET_NODES][NET_NODES]; /**< a replica has asked for that */
	unsigned spoilt; /**< the last byte of messages of this type changes on its way; 0: of none
			  */
	uint64_t delivered;                   /**< messages, so far */
	uint64_t sent[WEIR_WIRE_TYPES_COUNT]; /**< messages, by type */
	void (*answered)(void);               /**< called at each answer; may be NULL */
};

/** A task with its own memory. */
struct net_task {
	struct weir_task task;
	uint8_t rule[256];
	unsigned answers;
};

struct net *net_new(unsigned nodes, const unsigned *workers);
void net_free(struct net *net);
void net_connect(struct net *net, unsigned a, unsigned b);
void net_cut(struct net *net, unsigned a, unsigned b);
void net_kill(struct net *net, unsigned node);
/** The node comes back with empty memory under the next incarnation, connected to the living. */
void net_restart(struct net *net, unsigned node);
/** Delivers and turns until nothing moves. */
void net_run(struct net *net);
void net_pass(struct net *net, uint64_t ns);
/** Loses what is under way from a to b; no link would do that. */
void net_lose(struct net *net, unsigned a, unsigned b);

#define ALL_LIVE 0xffffffffU

/** What a test says of a record; sets of nodes as masks. */
struct net_record {
	uint64_t term, active;
	unsigned master;
	uint32_t backups, insync, live;
	uint32_t second; /**< nodes that are in their second attempt */
	bool unclean;
	uint32_t let_go; /**< nodes */
};

/** Tells one node, or with ALL_NODES every living one. */
#define ALL_NODES NET_NODES
void net_view(struct net *net, unsigned node, uint64_t device, const struct net_record *record);

/** The first term of a device: node 0 is master, those of the mask are its backups, in sync. */
struct net_record net_begin(struct net *net, uint64_t device, uint32_t backups);

/** Rule number n, with a cookie. */
void net_rule(struct weir_rule *rule, unsigned n, uint64_t cookie);
void net_submit(struct net *net, unsigned node, uint64_t device, struct net_task *task,
	enum weir_op op, unsigned n, uint64_t cookie);
/** The entry of rule n in a node's copy, or NULL. */
const struct weir_entry *net_find(struct net *net, unsigned node, uint64_t device, unsigned n);
struct weir_table *net_table(struct net *net, unsigned node, uint64_t device);
/** Whether two copies are equal, entry by entry and by digest. */
bool net_equal(struct net *net, unsigned a, unsigned b, uint64_t device);
/** How many reports of that kind a node's workers made for a term. */
unsigned net_reports(struct net *net, unsigned node, enum weir_report_kind kind, uint64_t term);

#endif
