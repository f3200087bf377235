/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * INFO: the figures of this node, as "name:value" lines in sections. Clients and Stats have the
 * names that clients of Redis look for; the metrics of the node and its workers come from their
 * table.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/command.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

struct page {
	const struct weir_call *call;
	struct weir_reply *build;
};

static void put(const struct page *page, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void put(const struct page *page, const char *format, ...)
{
	char text[256];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	weir_assert(len >= 0 && (size_t)len < sizeof(text));
	weir_reply_raw(page->build, text, (size_t)len);
}

#define line(page, ...) (put(page, __VA_ARGS__), weir_reply_raw((page)->build, "\r\n", 2))

static void server_section(const struct page *page)
{
	const struct weir_store_conf *conf = weir_store_conf(page->call->store);
	const struct weir_api *api = page->call->gateway->api;

	line(page, "weir_version:%s", WEIR_VERSION);
	line(page, "process_id:%d", (int)getpid());
	line(page, "node:%s", conf->tenure.self.id);
	line(page, "cluster:%s", conf->cluster);
	line(page, "socket:%s", api->socket);
	line(page, "uptime_in_seconds:%" PRIu64,
		(uint64_t)((weir_clock_ns() - api->since_ns) / WEIR_NS_PER_S));
}

#define STAT(gateway, name) atomic_load_explicit(&(gateway)->stats.name, memory_order_relaxed)

#define STAT_LINE(page, label, name)                                                               \
	do {                                                                                       \
		const struct weir_api *api = (page)->call->gateway->api;                           \
		unsigned long sum = 0;                                                             \
                                                                                                   \
		for (unsigned i = 0; i < api->gateways_count; i++)                                 \
			sum += STAT(&api->gateways[i], name);                                      \
		line(page, label ":%lu", sum);                                                     \
	} while (0)

static void clients_section(const struct page *page)
{
	STAT_LINE(page, "connected_clients", clients_now);
	line(page, "maxclients:%d", WEIR_API_CLIENTS_MAX);
	STAT_LINE(page, "rejected_connections", refused);
}

static void stats_section(const struct page *page)
{
	STAT_LINE(page, "total_connections_received", accepted);
	STAT_LINE(page, "total_commands_processed", requests);
	STAT_LINE(page, "flow_writes", writes);
	STAT_LINE(page, "total_error_replies", errors);
	STAT_LINE(page, "malformed_requests", malformed);
	STAT_LINE(page, "total_net_input_bytes", bytes_in);
	STAT_LINE(page, "total_net_output_bytes", bytes_out);
}

/* All metrics of a group, each in a line. */
static void metrics_lines(
	const struct page *page, enum weir_metric_group group, const void *figures)
{
	unsigned count;
	const struct weir_metric *metrics = weir_metrics(group, &count);

	for (unsigned i = 0; i < count; i++)
		line(page, "%s:%" PRIu64, metrics[i].name, weir_metric_value(&metrics[i], figures));
}

static void node_section(const struct page *page)
{
	struct weir_node_figures figures;

	weir_figures_node(page->call->store, &figures);
	metrics_lines(page, WEIR_METRICS_NODE, &figures);
}

static void tenure_section(const struct page *page)
{
	struct weir_tenure_stats stats;

	weir_store_tenure_stats(page->call->store, &stats);
	metrics_lines(page, WEIR_METRICS_TENURE, &stats);
}

/* All metrics of a group in one line, as "label:name=value,name=value". */
static void metrics_line(const struct page *page, enum weir_metric_group group, const void *figures,
	const char *label)
{
	unsigned count;
	const struct weir_metric *metrics = weir_metrics(group, &count);

	put(page, "%s:", label);
	for (unsigned i = 0; i < count; i++)
		put(page, "%s%s=%" PRIu64, i > 0 ? "," : "", metrics[i].name,
			weir_metric_value(&metrics[i], figures));
	weir_reply_raw(page->build, "\r\n", 2);
}

static void peers_section(const struct page *page)
{
	struct weir_node nodes[WEIR_NODES_MAX];
	unsigned count = weir_store_nodes(page->call->store, nodes, WEIR_NODES_MAX);

	for (unsigned i = 1; i < count; i++) {
		struct weir_peer_stats stats;
		char label[WEIR_NODE_ID_MAX + 8];

		weir_store_peer_stats(page->call->store, nodes[i].id, &stats);
		snprintf(label, sizeof(label), "peer_%s", nodes[i].id);
		metrics_line(page, WEIR_METRICS_PEER, &stats, label);
	}
}

static void workers_section(const struct page *page)
{
	unsigned count = weir_store_conf(page->call->store)->workers_count;

	for (unsigned i = 0; i < count; i++) {
		struct weir_worker_figures figures;
		char label[32];

		weir_figures_worker(page->call->store, i, &figures);
		snprintf(label, sizeof(label), "worker%u", i);
		metrics_line(page, WEIR_METRICS_WORKER, &figures, label);
		snprintf(label, sizeof(label), "worker%u_link", i);
		metrics_line(page, WEIR_METRICS_LINK, &figures, label);
	}
}

static const struct {
	const char *name;
	void (*put)(const struct page *page);
} sections[] = {
	{"Server", server_section},
	{"Clients", clients_section},
	{"Stats", stats_section},
	{"Node", node_section},
	{"Tenure", tenure_section},
	{"Peers", peers_section},
	{"Workers", workers_section},
};

static bool section_wanted(const struct weir_words *words, const char *name)
{
	for (unsigned i = 1; i < words->count; i++)
		if (weir_word_is(&words->word[i], name) || weir_word_is(&words->word[i], "all") ||
			weir_word_is(&words->word[i], "everything") ||
			weir_word_is(&words->word[i], "default"))
			return true;
	return words->count == 1;
}

WEIR_RUN(info)
{
	struct page page = {call, &call->gateway->build};

	weir_reply_clear(page.build);
	for (unsigned i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (!section_wanted(call->words, sections[i].name))
			continue;
		if (weir_reply_left(page.build) > 0)
			weir_reply_raw(page.build, "\r\n", 2);
		line(&page, "# %s", sections[i].name);
		sections[i].put(&page);
	}
	weir_reply_bulk(call->reply, page.build->bytes, weir_reply_left(page.build));
	return WEIR_CALL_ANSWERED;
}
