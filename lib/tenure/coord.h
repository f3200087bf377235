/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What tenure asks of a coordinator: the one place that says who is master, in which term.
 *
 * A coordinator keeps one record a device and one lease a node. It knows few rules, the same for
 * every driver (drivers/coord/redis as Lua scripts, drivers/coord/solo and the simulator in C):
 *
 * - REGISTER: refused (EXISTS, with the lease's rest) while a lease under this name is valid;
 *   refused (BUSY) where WEIR_NODES_MAX others are on the list of nodes; else the node's
 *   incarnation grows by one (and above `seen_incarnation`), the lease begins.
 * - RENEW: refused (FENCED) where a larger incarnation was given out or none is known under this
 *   name; else the lease begins anew, also where it had run out. The answer carries, of the same
 *   instant, all nodes, when the first of their leases ends, and the records whose revision is
 *   above `since`, oldest first.
 * - CHANGE: refused (FENCED) unless the asking node's incarnation is the newest of its name;
 *   refused (CONFLICT, with the record as it is) unless the record's revision is
 *   `expected_revision` (0: there is no record). With new_term the record's term becomes
 *   max(the stored term, seen_term) + 1, else it must be the stored term (CONFLICT). active may not
 *   be above term nor below the stored one. The revision becomes max(largest ever given out,
 *   seen_revision) + 1. The whole is atomic.
 * - LEAVE: the lease of this incarnation ends now.
 * - FORGET: strikes the node `forgotten` off the list. Refused (FENCED) as CHANGE is; refused
 *   (NOTFOUND) where it is not on it; refused (EXISTS) while its lease is valid; refused (CONFLICT)
 *   unless the largest revision ever given out is `since`: who asks has seen to it that no record
 *   up to that one names the node. Whoever registers under a name that is not on the list gets an
 *   incarnation above all that were struck off, so that none is given out twice.
 *
 * Every request is answered once: with a result, or with UNREACHABLE, which means that it may or
 * may not have been carried out.
 */
#ifndef WEIR_TENURE_COORD_H
#define WEIR_TENURE_COORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

/** A node in one of its lives. */
struct weir_copy {
	char node[WEIR_NODE_ID_MAX]; /**< empty: nobody */
	uint64_t incarnation;
};

/** Who is master of a device, in which term, and who has copies. */
struct weir_record {
	char device[WEIR_DEVICE_ID_MAX];
	uint64_t term;
	uint64_t active;   /**< newest term whose master has synchronised and serves */
	uint64_t revision; /**< grows with every change, over all devices */
	struct weir_copy master;
	uint8_t backups_count;
	uint8_t insync_count;
	char backups[WEIR_BACKUPS_MAX][WEIR_NODE_ID_MAX]; /**< in order of preference */
	struct weir_copy insync[WEIR_COPIES_MAX]; /**< copies that hold every acknowledged write */
};

/**
 * A record as it is kept where there are many: its names take as many bytes as they have. What a
 * decision looks at often stands open; all of it comes back with weir_record_of.
 */
struct weir_record_kept {
	uint64_t term;
	uint64_t active;
	uint64_t revision;
	uint64_t master; /**< its incarnation */
	uint8_t backups_count;
	uint8_t insync_count;
	uint64_t insync[]; /**< their incarnations; names of device, master, backups, insync follow
			    */
};

/** To be freed with free(); NULL where memory is short. */
struct weir_record_kept *weir_record_keep(const struct weir_record *record);

void weir_record_of(const struct weir_record_kept *kept, struct weir_record *record);

/** The device's name. */
const char *weir_record_device(const struct weir_record_kept *kept);

/** What the cluster knows of a node. */
struct weir_node {
	char id[WEIR_NODE_ID_MAX];
	uint64_t incarnation;
	bool live;         /**< its lease is valid */
	bool forgotten;    /**< tenure's: the coordinator does not list it (any more) */
	uint8_t mac[6];    /**< of its replication port */
	uint32_t ipv4;     /**< of its replication port, host byte order */
	uint16_t udp_port; /**< of its worker 0 */
	uint8_t workers_count;
	uint16_t buckets_count;            /**< one setting for the whole cluster: WEIR_BUCKETS */
	uint16_t protocol;                 /**< version of the peer messages that it speaks */
	char socket[WEIR_SOCKET_PATH_MAX]; /**< where its clients connect */
};

enum weir_coord_kind {
	WEIR_COORD_REGISTER,
	WEIR_COORD_RENEW,
	WEIR_COORD_CHANGE,
	WEIR_COORD_LEAVE,
	WEIR_COORD_FORGET,
};

struct weir_coord_request {
	enum weir_coord_kind kind;
	uint64_t ticket;                  /**< comes back in the answer */
	const char *node;                 /**< who asks */
	uint64_t incarnation;             /**< of who asks; REGISTER: 0 */
	uint32_t lease_ms;                /**< REGISTER, RENEW */
	uint64_t since;                   /**< RENEW, FORGET: revision */
	const char *forgotten;            /**< FORGET: a node */
	uint64_t seen_incarnation;        /**< REGISTER: largest that the caller ever had */
	const struct weir_node *self;     /**< REGISTER: what others are to know */
	const struct weir_record *record; /**< CHANGE: as it is to be; term and revision are set by
					     the coordinator */
	uint64_t expected_revision;       /**< CHANGE */
	uint64_t seen_term;     /**< CHANGE: largest that the caller has seen for the device */
	uint64_t seen_revision; /**< CHANGE: largest that the caller has seen */
	bool new_term;          /**< CHANGE */
};

struct weir_coord_answer {
	enum weir_coord_kind kind;
	uint64_t ticket;
	int err; /**< 0, EXISTS, FENCED, CONFLICT, NOTFOUND, BUSY, UNREACHABLE or ERR */
	uint64_t incarnation; /**< REGISTER */
	uint32_t rest_ms;     /**< EXISTS: the other lease runs so long yet */
	uint64_t run;         /**< identifies the coordinator's process or data set; a change means
				 that it may have forgotten something */
	uint64_t revision;    /**< RENEW: largest that was ever given out */
	const struct weir_node *nodes; /**< RENEW: all, live or not */
	unsigned nodes_count;
	uint32_t expiry_ms; /**< RENEW: the first lease of a live node ends in so many ms; 0: not
			       told */
	const struct weir_record
		*records; /**< RENEW: changed; CHANGE: one, the record as it is now */
	unsigned records_count;
	bool more; /**< RENEW: there are further records; ask again at once */
};

/** Records in one RENEW answer, at most. */
#define WEIR_COORD_RECORDS_MAX 256

/* ---------------------------------------------------------------------------- drivers --- */

struct weir_coord;

/** What a driver tells its owner, from the owner's event loop, never from inside ask. */
struct weir_coord_events {
	void (*answer)(void *ctx, const struct weir_coord_answer *answer);
	/** Records or nodes may have changed. */
	void (*hint)(void *ctx);
	/** The coordinator is (or is not) within reach; a sentence for the log. */
	void (*reach)(void *ctx, bool reachable, const char *sentence);
};

/** The functions of a driver; each driver has a create function of its own. */
struct weir_coord_driver {
	const char *name;
	/** Asks; the request is copied. Answered once, at the latest after the driver's time-out.
	 */
	void (*ask)(struct weir_coord *coord, const struct weir_coord_request *request);
	/** Frees the driver; what was asked is not answered any more. */
	void (*destroy)(struct weir_coord *coord);
};

/** Every driver's own structure begins with this. */
struct weir_coord {
	const struct weir_coord_driver *driver;
};

#endif
