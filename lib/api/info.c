/* SPDX-License-Identifier: BSD-3-Clause */
/* INFO: the figures of this node, as "name:value" lines in sections. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/command.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/store.h"

struct page {
	const struct weir_call *call;
	struct weir_reply *build;
};

static void line(const struct page *page, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void line(const struct page *page, const char *format, ...)
{
	char text[256];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	weir_assert(len >= 0 && (size_t)len < sizeof(text));
	weir_reply_raw(page->build, text, (size_t)len);
	weir_reply_raw(page->build, "\r\n", 2);
}

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
	line(page, "workers:%u", conf->workers_count);
	line(page, "lease_left_ms:%" PRIu64,
		(uint64_t)(weir_store_lease_ns(page->call->store) / WEIR_NS_PER_MS));
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

static void workers_section(const struct page *page)
{
	unsigned count = weir_store_conf(page->call->store)->workers_count;

	for (unsigned i = 0; i < count; i++) {
		struct weir_worker_stats stats;

		weir_store_worker_stats(page->call->store, i, &stats);
		line(page,
			"worker%u:turns=%" PRIu64 ",busy_turns=%" PRIu64 ",sleeps=%" PRIu64
			",memory_bytes=%" PRIu64,
			i, stats.turns, stats.busy_turns, stats.sleeps, stats.mem.used_bytes);
		line(page,
			"worker%u_writes:tasks=%" PRIu64 ",ok=%" PRIu64 ",refused=%" PRIu64
			",unknown=%" PRIu64 ",queued=%" PRIu64 ",pending=%" PRIu64,
			i, stats.replica.tasks, stats.replica.answers_ok, stats.replica.answers_err,
			stats.replica.answers_unknown, stats.replica.queued_now,
			stats.replica.pending_now);
		line(page,
			"worker%u_copies:deltas_sent=%" PRIu64 ",deltas_applied=%" PRIu64
			",deltas_refused=%" PRIu64 ",buckets_shipped=%" PRIu64
			",buckets_received=%" PRIu64 ",corruptions=%" PRIu64,
			i, stats.replica.deltas_sent, stats.replica.deltas_applied,
			stats.replica.deltas_refused, stats.replica.buckets_shipped,
			stats.replica.buckets_received, stats.replica.corruptions);
		line(page,
			"worker%u_link:tx_frames=%" PRIu64 ",tx_bytes=%" PRIu64
			",rx_frames=%" PRIu64 ",rx_bytes=%" PRIu64 ",retransmits=%" PRIu64
			",sessions=%" PRIu64,
			i, stats.link.tx_frames, stats.link.tx_bytes, stats.link.rx_frames,
			stats.link.rx_bytes, stats.link.retransmits, stats.link.sessions);
		line(page,
			"worker%u_dropped:bad_truncated=%" PRIu64 ",bad_checksum=%" PRIu64
			",bad_foreign=%" PRIu64 ",bad_stale=%" PRIu64 ",bad_messages=%" PRIu64,
			i, stats.link.bad_truncated, stats.link.bad_checksum,
			stats.link.bad_foreign, stats.link.bad_stale, stats.replica.bad_messages);
	}
}

struct devices {
	const struct weir_store *store;
	unsigned count, master, standby, open;
	uint64_t flows;
};

static bool device_visit(void *ctx, const struct weir_device *device)
{
	struct weir_device_status status;
	struct devices *devices = ctx;

	weir_device_status(devices->store, device, &status);
	devices->count++;
	devices->master += status.role == WEIR_ROLE_MASTER;
	devices->standby += status.role == WEIR_ROLE_BACKUP;
	devices->open += status.open;
	devices->flows += status.flows;
	return true;
}

static void devices_section(const struct page *page)
{
	struct devices devices = {.store = page->call->store};

	weir_store_devices(page->call->store, device_visit, &devices);
	line(page, "devices:%u", devices.count);
	line(page, "devices_master:%u", devices.master);
	line(page, "devices_standby:%u", devices.standby);
	line(page, "devices_open:%u", devices.open);
	line(page, "flows:%" PRIu64, devices.flows);
}

static const struct {
	const char *name;
	void (*put)(const struct page *page);
} sections[] = {
	{"Server", server_section},
	{"Clients", clients_section},
	{"Stats", stats_section},
	{"Devices", devices_section},
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
