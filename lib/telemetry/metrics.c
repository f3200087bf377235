/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <rte_common.h>
#include <rte_cycles.h>

#include "base/clock.h"
#include "base/err.h"
#include "telemetry/telemetry.h"

/* Where a figure stands; anything but a uint64_t does not compile. */
#define PLACE(of, field)                                                                           \
	(offsetof(struct of, field) + 0 * _Generic(((struct of *)0)->field, uint64_t : 1))

#define NODE(kind, name, unit, field, help)                                                        \
	{                                                                                          \
		name, unit, help, WEIR_METRIC_##kind, PLACE(weir_node_figures, field)              \
	}
#define WORKER(kind, name, unit, field, help)                                                      \
	{                                                                                          \
		name, unit, help, WEIR_METRIC_##kind, PLACE(weir_worker_figures, field)            \
	}

#define TENURE(kind, name, unit, field, help)                                                      \
	{                                                                                          \
		name, unit, help, WEIR_METRIC_##kind, PLACE(weir_tenure_stats, field)              \
	}
#define PEER(kind, name, unit, field, help)                                                        \
	{                                                                                          \
		name, unit, help, WEIR_METRIC_##kind, PLACE(weir_peer_stats, field)                \
	}

/* clang-format off */
static const struct weir_metric node_metrics[] = {
	NODE(GAUGE, "workers", "", workers, "worker cores of this node"),
	NODE(GAUGE, "nodes", "", nodes, "nodes that the cluster knows, this one counted"),
	NODE(GAUGE, "nodes_live", "", nodes_live, "those whose lease is valid"),
	NODE(GAUGE, "lease_left_ms", "ms", lease_left_ms, "what is left of this node's lease; 0: it serves nothing"),
	NODE(GAUGE, "tsc_hz", "hz", tsc_hz, "cycles of the time stamp counter a second"),
	NODE(GAUGE, "devices", "", devices, "devices known here"),
	NODE(GAUGE, "devices_master", "", devices_master, "those that this node is master of"),
	NODE(GAUGE, "devices_standby", "", devices_standby, "those that it keeps a copy of"),
	NODE(GAUGE, "devices_open", "", devices_open, "those whose reads and writes it takes now"),
	NODE(GAUGE, "flows", "", flows, "flows in the copies of this node"),
};

static const struct weir_metric worker_metrics[] = {
	WORKER(COUNTER, "turns", "", stats.turns, "turns of the worker's loop"),
	WORKER(COUNTER, "busy_turns", "", stats.busy_turns, "turns that found work"),
	WORKER(COUNTER, "sleeps", "", stats.sleeps, "times that it slept because nothing came"),
	WORKER(COUNTER, "run_ns", "ns", stats.run_ns, "time since its first turn"),
	WORKER(COUNTER, "busy_ns", "ns", stats.busy_ns, "time in turns that found work, CPU lost to others counted"),
	WORKER(GAUGE, "busy_share_ppm", "ppm", busy_share_ppm, "share of busy_ns in run_ns since the start"),
	WORKER(COUNTER, "operations", "", operations, "writes taken and changes of other nodes applied"),
	WORKER(GAUGE, "operation_cycles", "cycles", operation_cycles, "busy_ns in cycles of the TSC an operation, since the start"),
	WORKER(COUNTER, "tasks", "", stats.replica.tasks, "writes taken from clients"),
	WORKER(COUNTER, "answers_ok", "", stats.replica.answers_ok, "writes answered OK"),
	WORKER(COUNTER, "answers_err", "", stats.replica.answers_err, "writes refused"),
	WORKER(COUNTER, "answers_unknown", "", stats.replica.answers_unknown, "writes that may or may not have happened"),
	WORKER(GAUGE, "tasks_waiting", "", stats.waiting_now, "writes in the worker's ring"),
	WORKER(GAUGE, "tasks_queued", "", stats.replica.queued_now, "writes that wait for a term or for room"),
	WORKER(GAUGE, "writes_pending", "", stats.replica.pending_now, "writes that wait for the copies"),
	WORKER(COUNTER, "deltas_sent", "", stats.replica.deltas_sent, "changes sent to copies"),
	WORKER(COUNTER, "deltas_applied", "", stats.replica.deltas_applied, "changes of masters applied here"),
	WORKER(COUNTER, "deltas_refused", "", stats.replica.deltas_refused, "changes that did not fit the copy"),
	WORKER(COUNTER, "buckets_shipped", "", stats.replica.buckets_shipped, "whole buckets sent to copies"),
	WORKER(COUNTER, "buckets_fetched", "", stats.replica.buckets_fetched, "whole buckets asked for"),
	WORKER(COUNTER, "buckets_received", "", stats.replica.buckets_received, "whole buckets that came"),
	WORKER(COUNTER, "counters_sent", "", stats.replica.counters_sent, "flows whose counters were sent to copies"),
	WORKER(COUNTER, "seals", "", stats.replica.seals, "shares sealed against an older term"),
	WORKER(COUNTER, "refusals", "", stats.replica.refusals, "messages of an older term refused"),
	WORKER(COUNTER, "session_resets", "", stats.replica.resets, "sessions with peers ended from here"),
	WORKER(COUNTER, "corruptions", "", stats.replica.corruptions, "buckets of other content at the same version, repaired"),
	WORKER(COUNTER, "bad_messages", "", stats.replica.bad_messages, "messages that could not be read or came from the wrong peer"),
	WORKER(COUNTER, "steer_drops", "", stats.steer_drops, "frames for other workers that found no room there"),
	WORKER(GAUGE, "memory_taken_bytes", "bytes", stats.mem.chunk_bytes, "memory taken from the system"),
	WORKER(GAUGE, "memory_used_bytes", "bytes", stats.mem.used_bytes, "memory in use by flows and tables"),
	WORKER(GAUGE, "memory_waiting_bytes", "bytes", stats.mem.waiting_bytes, "memory that waits for readers"),
	WORKER(COUNTER, "memory_batches", "", stats.mem.batches, "batches of freed memory that readers have let go"),
};

static const struct weir_metric link_metrics[] = {
	WORKER(COUNTER, "tx_frames", "", stats.link.tx_frames, "frames given to the port"),
	WORKER(COUNTER, "tx_bytes", "bytes", stats.link.tx_bytes, "their bytes, Ethernet header counted"),
	WORKER(COUNTER, "rx_frames", "", stats.link.rx_frames, "whole frames of known peers"),
	WORKER(COUNTER, "rx_bytes", "bytes", stats.link.rx_bytes, "their bytes"),
	WORKER(COUNTER, "tx_messages", "", stats.link.tx_messages, "messages sent"),
	WORKER(COUNTER, "rx_messages", "", stats.link.rx_messages, "messages received"),
	WORKER(COUNTER, "sessions", "", stats.link.sessions, "sessions with peers that came up"),
	WORKER(COUNTER, "retransmits", "", stats.link.retransmits, "frames sent again"),
	WORKER(COUNTER, "duplicates", "", stats.link.duplicates, "frames that had been received before"),
	WORKER(COUNTER, "out_of_order", "", stats.link.out_of_order, "frames that came too early and were kept"),
	WORKER(COUNTER, "bad_truncated", "", stats.link.bad_truncated, "frames dropped: shorter than they say"),
	WORKER(COUNTER, "bad_checksum", "", stats.link.bad_checksum, "frames dropped: harmed on the way"),
	WORKER(COUNTER, "bad_foreign", "", stats.link.bad_foreign, "frames dropped: of nobody known"),
	WORKER(COUNTER, "bad_stale", "", stats.link.bad_stale, "frames dropped: of an earlier life"),
	WORKER(COUNTER, "port_full", "", stats.link.port_full, "bursts that the port did not take whole"),
	WORKER(COUNTER, "no_mbuf", "", stats.link.no_mbuf, "frames not built for want of an mbuf"),
};
static const struct weir_metric tenure_metrics[] = {
	TENURE(COUNTER, "renewals", "", renewals, "renewals of the lease that counted"),
	TENURE(COUNTER, "renewals_failed", "", renewals_failed, "renewals without an answer, or refused"),
	TENURE(GAUGE, "renewal_ns", "ns", renewal_ns, "from the last renewal to its answer"),
	TENURE(COUNTER, "hints", "", hints, "times that the coordinator said that something has changed"),
	TENURE(COUNTER, "changes", "", changes, "changes of records that were carried out for this node"),
	TENURE(COUNTER, "changes_refused", "", changes_refused, "changes that came after another's"),
	TENURE(COUNTER, "changes_unknown", "", changes_unknown, "changes without an answer"),
	TENURE(GAUGE, "changes_under_way", "", changes_now, "changes that wait for their answer"),
	TENURE(COUNTER, "terms", "", terms, "terms of devices that began, anywhere"),
	TENURE(COUNTER, "terms_active", "", terms_active, "terms of devices whose master began to serve"),
	TENURE(COUNTER, "terms_unclean", "", terms_unclean, "terms that this node began without an in-sync copy"),
	TENURE(COUNTER, "takeovers", "", takeovers, "times that this node asked to succeed a dead master"),
	TENURE(COUNTER, "deposed", "", deposed, "terms of this node that a copy had promised away"),
	TENURE(COUNTER, "regressions", "", regressions, "records that the coordinator had lost"),
	TENURE(COUNTER, "nodes_up", "", nodes_up, "times that another node came up"),
	TENURE(COUNTER, "nodes_down", "", nodes_down, "times that another node went down"),
	TENURE(COUNTER, "lease_suspensions", "", lease_suspensions, "times that this node's lease ran out"),
	TENURE(COUNTER, "fenced", "", fenced, "times that the coordinator knew another life of this node"),
	TENURE(COUNTER, "requests", "", requests, "operators' requests answered here"),
	TENURE(COUNTER, "requests_refused", "", requests_refused, "operators' requests not answered OK"),
};

static const struct weir_metric peer_metrics[] = {
	PEER(COUNTER, "peer_sessions", "", sessions, "sessions of a worker here with a worker there that came up"),
	PEER(GAUGE, "peer_sessions_up", "", sessions_now, "sessions that are up"),
	PEER(COUNTER, "peer_tx_messages", "", tx_messages, "messages for that node"),
	PEER(COUNTER, "peer_tx_bytes", "bytes", tx_bytes, "their bytes, without frames"),
	PEER(COUNTER, "peer_rx_messages", "", rx_messages, "messages of that node"),
	PEER(COUNTER, "peer_rx_bytes", "bytes", rx_bytes, "their bytes, without frames"),
};
/* clang-format on */

static const struct {
	const struct weir_metric *metrics;
	unsigned count;
} groups[WEIR_METRIC_GROUPS] = {
	[WEIR_METRICS_NODE] = {node_metrics, RTE_DIM(node_metrics)},
	[WEIR_METRICS_WORKER] = {worker_metrics, RTE_DIM(worker_metrics)},
	[WEIR_METRICS_LINK] = {link_metrics, RTE_DIM(link_metrics)},
	[WEIR_METRICS_TENURE] = {tenure_metrics, RTE_DIM(tenure_metrics)},
	[WEIR_METRICS_PEER] = {peer_metrics, RTE_DIM(peer_metrics)},
};

const struct weir_metric *weir_metrics(enum weir_metric_group group, unsigned *count)
{
	weir_assert(group < WEIR_METRIC_GROUPS);
	*count = groups[group].count;
	return groups[group].metrics;
}

uint64_t weir_metric_value(const struct weir_metric *metric, const void *figures)
{
	uint64_t value;

	memcpy(&value, (const char *)figures + metric->offset, sizeof(value));
	return value;
}

/* ------------------------------------------------------------------------------- figures --- */

struct count {
	const struct weir_store *store;
	struct weir_node_figures *figures;
};

static bool device_count(void *ctx, const struct weir_device *device)
{
	const struct count *count = ctx;
	struct weir_node_figures *figures = count->figures;
	struct weir_device_status status;

	weir_device_status(count->store, device, &status);
	figures->devices++;
	figures->devices_master += status.role == WEIR_ROLE_MASTER;
	figures->devices_standby += status.role == WEIR_ROLE_BACKUP;
	figures->devices_open += status.open;
	figures->flows += status.flows;
	return true;
}

void weir_figures_node(const struct weir_store *store, struct weir_node_figures *figures)
{
	struct count count = {store, figures};
	struct weir_node nodes[WEIR_NODES_MAX];

	memset(figures, 0, sizeof(*figures));
	figures->workers = weir_store_conf(store)->workers_count;
	figures->nodes = weir_store_nodes(store, nodes, WEIR_NODES_MAX);
	for (unsigned i = 0; i < figures->nodes; i++)
		figures->nodes_live += nodes[i].live;
	figures->lease_left_ms = weir_store_lease_ns(store) / WEIR_NS_PER_MS;
	figures->tsc_hz = rte_get_tsc_hz();
	weir_store_devices(store, device_count, &count);
}

/* a / b * scale, which may be past 64 bits on the way; 0 where b is. */
static uint64_t ratio(uint64_t a, uint64_t b, uint64_t scale)
{
	return b != 0 ? (uint64_t)((unsigned __int128)a * scale / b) : 0;
}

void weir_figures_worker(
	const struct weir_store *store, unsigned worker, struct weir_worker_figures *figures)
{
	struct weir_worker_stats *stats = &figures->stats;

	weir_store_worker_stats(store, worker, stats);
	figures->operations = stats->replica.tasks + stats->replica.deltas_applied;
	/* Read while the worker goes on, the parts may be a turn apart. */
	figures->busy_share_ppm = RTE_MIN(ratio(stats->busy_ns, stats->run_ns, 1000000), 1000000u);
	figures->operation_cycles = ratio(
		ratio(stats->busy_ns, WEIR_NS_PER_S, rte_get_tsc_hz()), figures->operations, 1);
}
