/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Limits: every queue, list and message is bounded, and its bound has a name here.
 */
#ifndef WEIR_BASE_LIMITS_H
#define WEIR_BASE_LIMITS_H

/** Cluster. */
#define WEIR_NODES_MAX       32 /**< nodes of a cluster; a set of nodes is a 32-bit mask */
#define WEIR_NODE_ID_MAX     32 /**< bytes of a node's name, its final NUL counted */
#define WEIR_CLUSTER_ID_MAX  32 /**< bytes of the cluster's name, its final NUL counted */
#define WEIR_COPIES_MAX      8  /**< copies of a device that a record can name */
#define WEIR_BACKUPS_MAX     (WEIR_COPIES_MAX - 1)
#define WEIR_SOCKET_PATH_MAX 108 /**< bytes of a Unix socket's path, as in sockaddr_un */

/** Devices and their tables. */
#define WEIR_DEVICES_MAX   16384 /**< devices of a cluster */
#define WEIR_DEVICE_ID_MAX 128   /**< bytes of a device's name, its final NUL counted */
#define WEIR_BUCKETS       1024  /**< buckets of a device: bucket = flow_id mod WEIR_BUCKETS */
#define WEIR_SHARDS        32    /**< shards of a device: shard = bucket mod WEIR_SHARDS */
#define WEIR_SHARD_BUCKETS (WEIR_BUCKETS / WEIR_SHARDS)
#define WEIR_WORKERS_MAX                                                                           \
	32 /**< worker cores of a node, a power of two: worker = shard mod workers */
#define WEIR_TABLES_MAX 255 /**< OpenFlow tables: 0..254 */

/** Rules. */
#define WEIR_MATCH_BYTES_MAX 1024 /**< OXM TLVs of a match */
#define WEIR_INSTR_BYTES_MAX 4096 /**< instructions of a rule */
#define WEIR_RULE_BYTES_MAX  (64 + WEIR_MATCH_BYTES_MAX + WEIR_INSTR_BYTES_MAX)
#define WEIR_FLOW_TEXT_MAX   16384 /**< bytes of a flow in text */

/** Peer messages. */
#define WEIR_MESSAGE_BYTES_MAX                                                                     \
	16384 /**< one message between nodes; larger than a frame is fine                          \
	       */

/** Queues. */
#define WEIR_TASK_QUEUE_MAX   65536 /**< tasks of one device that wait on one worker for a term */
#define WEIR_TASK_PENDING_MAX 65536 /**< writes on one worker that wait for acknowledgements */
#define WEIR_TASK_RING_SIZE   16384 /**< tasks on the way to one worker; a power of two */

#endif
