/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a node counts, told under one name to all who watch it.
 *
 * Each metric stands once in a table: its name, its unit, what it means, and where it is read. From
 * the table come the replies of DPDK's telemetry socket (dpdk-telemetry.py: /weir/info and so on),
 * the INFO of the gateway, and with that weirctl top. A metric that is added there shows
 * everywhere.
 *
 * Names
 * -----
 * A name is lower case and ends in its unit (busy_ns, tx_bytes), or says what is counted (tasks).
 * A counter only grows while the node lives; rates and shares over a period are the differences of
 * two looks. A gauge says how things are now, or how they were on average since the start.
 *
 * Threads
 * -------
 * - The table never changes; any thread reads it.
 * - Figures are filled by a registered QSBR reader that is online (table/rcu.h), as gateways are.
 * - DPDK answers each client of its socket in a thread of its own. Such a thread is a reader while
 *   it looks and no longer, so it holds up no grace period once its client is silent.
 *
 * Guarantees
 * ----------
 * - When weir_telemetry_stop has come back, no thread of DPDK's looks at the store any more, nor
 *   will: what is asked then is answered null.
 * - A reply is shorter than DPDK's 16 KiB: lists that may be longer come in pages.
 */
#ifndef WEIR_TELEMETRY_TELEMETRY_H
#define WEIR_TELEMETRY_TELEMETRY_H

#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

/* ------------------------------------------------------------------------------- metrics --- */

enum weir_metric_kind {
	WEIR_METRIC_COUNTER, /**< only grows */
	WEIR_METRIC_GAUGE,
};

/** What a metric is of, which is what its value is read from. */
enum weir_metric_group {
	WEIR_METRICS_NODE,   /**< struct weir_node_figures */
	WEIR_METRICS_WORKER, /**< struct weir_worker_figures */
	WEIR_METRICS_LINK,   /**< of one worker: struct weir_worker_figures too */
	WEIR_METRICS_TENURE, /**< struct weir_tenure_stats */
	WEIR_METRICS_PEER,   /**< of another node: struct weir_peer_stats */
	WEIR_METRIC_GROUPS,
};

struct weir_metric {
	const char *name; /**< unique among all metrics */
	const char *unit; /**< the end of its name; "": a number of what it is named for */
	const char *help; /**< half a sentence */
	enum weir_metric_kind kind;
	uint32_t offset; /**< of a uint64_t in the figures of its group */
};

/** A node's figures at one moment. */
struct weir_node_figures {
	uint64_t workers, nodes, nodes_live;
	uint64_t lease_left_ms;
	uint64_t tsc_hz; /**< 0: not known, before the EAL runs */
	uint64_t devices, devices_master, devices_standby, devices_open;
	uint64_t flows;
};

/** A worker's figures, and what follows from them. */
struct weir_worker_figures {
	struct weir_worker_stats stats;
	uint64_t operations;       /**< writes taken and changes of others applied */
	uint64_t busy_share_ppm;   /**< busy_ns of run_ns */
	uint64_t operation_cycles; /**< busy time in cycles of the TSC, by operations */
};

/** The metrics of a group, in the order in which they are shown. */
const struct weir_metric *weir_metrics(enum weir_metric_group group, unsigned *count);

/** The value of a metric in figures of its group. */
uint64_t weir_metric_value(const struct weir_metric *metric, const void *figures);

/** Visits all devices: takes its time where there are thousands. */
void weir_figures_node(const struct weir_store *store, struct weir_node_figures *figures);

/** @param worker below the node's number of workers */
void weir_figures_worker(
	const struct weir_store *store, unsigned worker, struct weir_worker_figures *figures);

/* -------------------------------------------------------------------- DPDK's own socket --- */

/** Bytes that the names in one page of a list may take, as JSON writes them. */
#define WEIR_TELEMETRY_PAGE_BYTES 12288

/** Names in one page of a list; DPDK has room for 512. */
#define WEIR_TELEMETRY_PAGE_NAMES 500

/**
 * Answers /weir/... on the EAL's telemetry socket from this store, one a process; the EAL runs.
 * DPDK cannot take commands back: they stay when it is stopped, and are good for the next store.
 * @return 0, WEIR_EXISTS where another store is shown already, or WEIR_BUSY where memory is short
 */
int weir_telemetry_start(const struct weir_store *store);

/**
 * Shows the store no more; before it is destroyed. Waits for answers that are being made. Nothing
 * happens where none is shown. Not from a QSBR reader that is online.
 */
void weir_telemetry_stop(void);

#endif
