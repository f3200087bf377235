/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "tenure/internal.h"

static const char *const event_names[] = {
	[WEIR_EVENT_TERM_START] = "term-start",
	[WEIR_EVENT_TERM_ACTIVE] = "term-active",
	[WEIR_EVENT_TERM_END] = "term-end",
	[WEIR_EVENT_TERM_UPDATE] = "term-update",
	[WEIR_EVENT_UNCLEAN] = "unclean-takeover",
	[WEIR_EVENT_NODE_UP] = "node-up",
	[WEIR_EVENT_NODE_DOWN] = "node-down",
	[WEIR_EVENT_LEASE_SUSPENDED] = "lease-suspended",
	[WEIR_EVENT_LEASE_RESUMED] = "lease-resumed",
};

const char *weir_tenure_event_name(enum weir_tenure_event_kind kind)
{
	return kind < sizeof(event_names) / sizeof(event_names[0]) ? event_names[kind] : "?";
}

struct weir_tenure *weir_tenure_create(const struct weir_tenure_conf *conf,
	const struct weir_tenure_ops *ops, void *ctx, uint64_t now_ns)
{
	struct weir_tenure *tenure = calloc(1, sizeof(*tenure));

	weir_assert(conf->workers_count >= 1 && conf->workers_count <= WEIR_WORKERS_MAX);
	weir_assert(conf->backup_count <= WEIR_BACKUPS_MAX && conf->lease_ms > 0);
	if (tenure == NULL)
		return NULL;
	tenure->conf = *conf;
	tenure->ops = *ops;
	tenure->ctx = ctx;
	tenure->now_ns = now_ns;
	tenure->lease_ns = conf->lease_ms * WEIR_NS_PER_MS;
	tenure->all_workers = (uint32_t)((1ULL << conf->workers_count) - 1);
	tenure->nodes[0] = conf->self;
	tenure->nodes[0].live = false;
	tenure->nodes[0].incarnation = 0;
	if (tenure->nodes[0].buckets_count == 0)
		tenure->nodes[0].buckets_count = WEIR_BUCKETS;
	tenure->nodes_count = 1;
	TAILQ_INIT(&tenure->work);
	TAILQ_INIT(&tenure->waiting);
	STAILQ_INIT(&tenure->requests_free);
	for (unsigned i = 0; i < WEIR_TENURE_REQUESTS_MAX; i++)
		STAILQ_INSERT_TAIL(&tenure->requests_free, &tenure->requests[i], link);
	tenure->slots = calloc(HASH_SLOTS, sizeof(*tenure->slots));
	tenure->heap = calloc(WEIR_DEVICES_MAX + 1, sizeof(*tenure->heap));
	if (tenure->slots == NULL || tenure->heap == NULL) {
		weir_tenure_destroy(tenure);
		return NULL;
	}
	return tenure;
}

void weir_tenure_destroy(struct weir_tenure *tenure)
{
	if (tenure == NULL)
		return;
	if (tenure->slots != NULL)
		weir_tenure_devices_free(tenure);
	free(tenure->slots);
	free(tenure->heap);
	free(tenure);
}

/* What has become due, then the work that has gathered. @return when to be called again */
static uint64_t run(struct weir_tenure *tenure)
{
	uint64_t next;

	weir_tenure_wake_due(tenure);
	weir_tenure_work_run(tenure);
	next = weir_tenure_member_tick(tenure);
	if (tenure->state == MEMBER_OUT)
		return NEVER;
	if (tenure->heap_count > 0 && tenure->heap[1]->due_ns < next)
		next = tenure->heap[1]->due_ns;
	if (tenure->state == MEMBER_YES && tenure->joined && !TAILQ_EMPTY(&tenure->work) &&
		tenure->changes_count < WEIR_TENURE_CHANGES_MAX)
		next = tenure->now_ns;
	return next;
}

uint64_t weir_tenure_tick(struct weir_tenure *tenure, uint64_t now_ns)
{
	tenure->now_ns = now_ns;
	return run(tenure);
}

void weir_tenure_answer(
	struct weir_tenure *tenure, const struct weir_coord_answer *answer, uint64_t now_ns)
{
	tenure->now_ns = now_ns;
	switch (answer->kind) {
	case WEIR_COORD_REGISTER:
		weir_tenure_registered(tenure, answer);
		break;
	case WEIR_COORD_RENEW:
		weir_tenure_renewed(tenure, answer);
		break;
	case WEIR_COORD_CHANGE:
		weir_tenure_changed(tenure, answer);
		break;
	case WEIR_COORD_LEAVE:
		weir_tenure_parted(tenure, answer);
		break;
	case WEIR_COORD_FORGET:
		weir_tenure_forgot(tenure, answer);
		break;
	}
	run(tenure);
}

void weir_tenure_hint(struct weir_tenure *tenure, uint64_t now_ns)
{
	tenure->now_ns = now_ns;
	tenure->stats.hints++;
	if (tenure->renewal.asked)
		tenure->renewal.again = true;
	else
		tenure->renewal.due_ns = now_ns;
	run(tenure);
}

/* ------------------------------------------------------------------------------- reports --- */

static void settled(struct weir_tenure *tenure, struct device *device, uint32_t worker)
{
	device->settled |= worker;
	if (device->settled == tenure->all_workers && device->settled_ns == 0)
		device->settled_ns = tenure->now_ns;
}

/*
 * Writes may wait for a mate that some worker had caught up: its next attempt, which releases
 * them, waits no longer than it must to keep attempts apart.
 */
static void lagging(struct weir_tenure *tenure, struct mate *mate)
{
	uint64_t from_ns = mate->caught != 0 ? mate->begun_ns : tenure->now_ns;
	uint32_t least = tenure->conf.lease_ms / 8;

	mate->backoff_ms = mate->backoff_ms == 0 ? least : mate->backoff_ms * 2;
	if (mate->backoff_ms > tenure->conf.lease_ms)
		mate->backoff_ms = tenure->conf.lease_ms;
	mate->retry_ns = from_ns + mate->backoff_ms * WEIR_NS_PER_MS;
	mate->lagging = true;
	mate->caught = 0;
}

static void deposed(struct weir_tenure *tenure, struct device *device, uint64_t term)
{
	if (WEIR_DEFECT(DEPOSED_IGNORED))
		return;
	if (term > device->seen_term)
		device->seen_term = term;
	/* The same term: a copy has promised it to another master, as two histories may have it. */
	if (!weir_tenure_is_master(tenure, device) || term < device->record->term)
		return;
	tenure->stats.deposed += !device->deposed;
	device->deposed = true;
	/* Somebody else's term, as a rule: the record is read again before one above is asked. */
	weir_tenure_unsure(tenure, device);
	if (tenure->renewal.asked)
		tenure->renewal.again = true;
	else
		tenure->renewal.due_ns = tenure->now_ns;
}

static void reported(
	struct weir_tenure *tenure, struct device *device, const struct weir_report *report)
{
	uint32_t worker = 1U << report->worker;
	struct mate *mate = weir_tenure_mate_find(device, report->peer);
	bool current =
		weir_tenure_is_master(tenure, device) && report->term == device->record->term;
	bool of_mate = current && mate != NULL &&
		       (mate->attempt == report->attempt || WEIR_DEFECT(CAUGHT_UP_STALE)) &&
		       !mate->lagging;

	if (report->kind == WEIR_REPORT_DEPOSED)
		deposed(tenure, device, report->term);
	else if (report->kind == WEIR_REPORT_SETTLED && (current || WEIR_DEFECT(B6)))
		settled(tenure, device, worker);
	else if (report->kind == WEIR_REPORT_CAUGHT_UP && of_mate)
		mate->caught |= worker;
	else if (report->kind == WEIR_REPORT_LAGGING && of_mate && !WEIR_DEFECT(LAGGING_IGNORED))
		lagging(tenure, mate);
}

void weir_tenure_report(
	struct weir_tenure *tenure, const struct weir_report *report, uint64_t now_ns)
{
	struct device *device = weir_tenure_device_by_key(tenure, report->device_key);

	tenure->now_ns = now_ns;
	if (device == NULL || device->record->revision == 0 ||
		report->worker >= tenure->conf.workers_count)
		return;
	reported(tenure, device, report);
	weir_tenure_work_add(tenure, device);
	run(tenure);
}

/* ------------------------------------------------------------------------------ operators --- */

static bool is_member(const struct weir_tenure *tenure)
{
	return tenure->state == MEMBER_YES && tenure->joined;
}

static void request_add(
	struct weir_tenure *tenure, struct device *device, const struct request *wanted)
{
	struct request *request = STAILQ_FIRST(&tenure->requests_free);

	if (request == NULL) {
		weir_tenure_reply(tenure, wanted->ticket, WEIR_BUSY, NULL);
		return;
	}
	STAILQ_REMOVE_HEAD(&tenure->requests_free, link);
	*request = *wanted;
	STAILQ_INSERT_TAIL(&device->requests, request, link);
	weir_tenure_work_add(tenure, device);
	run(tenure);
}

void weir_tenure_device_add(
	struct weir_tenure *tenure, uint64_t ticket, const char *name, uint64_t now_ns)
{
	const struct request request = {.ticket = ticket, .add = true};
	struct device *device;
	int err = 0;

	tenure->now_ns = now_ns;
	if (name[0] == '\0')
		err = WEIR_ERR;
	else if (strlen(name) >= WEIR_DEVICE_ID_MAX)
		err = WEIR_TOOBIG;
	else if (!is_member(tenure))
		err = WEIR_UNREACHABLE;
	else if (STAILQ_EMPTY(&tenure->requests_free) ||
		 (device = weir_tenure_device_get(tenure, name)) == NULL)
		err = WEIR_BUSY;
	if (err != 0)
		weir_tenure_reply(tenure, ticket, err, NULL);
	else
		request_add(tenure, device, &request);
}

void weir_tenure_role_set(struct weir_tenure *tenure, uint64_t ticket, const char *name,
	const char *node, enum weir_role role, uint64_t now_ns)
{
	struct device *device = weir_tenure_device_find(tenure, name);
	unsigned peer = weir_tenure_peer_find(tenure, node);
	const struct request request = {
		.ticket = ticket, .peer = (uint8_t)peer, .role = (uint8_t)role};
	int err = 0;

	tenure->now_ns = now_ns;
	if (!is_member(tenure))
		err = WEIR_UNREACHABLE;
	else if (device == NULL || device->record->revision == 0)
		err = WEIR_NODEVICE;
	else if (peer == WEIR_NO_PEER)
		err = WEIR_NOTFOUND;
	if (err != 0)
		weir_tenure_reply(tenure, ticket, err, NULL);
	else
		request_add(tenure, device, &request);
}

void weir_tenure_master_set(struct weir_tenure *tenure, uint64_t ticket, const char *device,
	const char *node, uint64_t now_ns)
{
	weir_tenure_role_set(tenure, ticket, device, node, WEIR_ROLE_MASTER, now_ns);
}

static void hand_over(struct weir_tenure *tenure, struct device *device)
{
	if (device->record->revision == 0 || !weir_tenure_is_master(tenure, device) ||
		weir_tenure_heir(tenure, device) == WEIR_NO_PEER)
		return;
	device->handing = true;
	tenure->handing++;
	weir_tenure_work_add(tenure, device);
}

void weir_tenure_unclean_set(struct weir_tenure *tenure, bool unclean_takeover, uint64_t now_ns)
{
	tenure->now_ns = now_ns;
	tenure->conf.unclean_takeover = unclean_takeover;
	weir_tenure_devices_each(tenure, weir_tenure_work_add);
	run(tenure);
}

void weir_tenure_leave(struct weir_tenure *tenure, uint64_t now_ns)
{
	tenure->now_ns = now_ns;
	if (tenure->leaving || tenure->state == MEMBER_OUT)
		return;
	tenure->leaving = true;
	tenure->leave_by_ns = now_ns + tenure->conf.leave_timeout_ms * WEIR_NS_PER_MS;
	if (tenure->state == MEMBER_NOT) {
		tenure->state = MEMBER_OUT;
		tenure->ops.left(tenure->ctx);
		return;
	}
	weir_tenure_devices_each(tenure, hand_over);
	run(tenure);
}

/* ------------------------------------------------------------------------------- looking --- */

bool weir_tenure_record(
	const struct weir_tenure *tenure, const char *name, struct weir_record *record)
{
	const struct device *device = weir_tenure_device_find(tenure, name);

	if (device == NULL || device->record->revision == 0)
		return false;
	weir_record_of(device->record, record);
	return true;
}

const struct weir_node *weir_tenure_nodes(const struct weir_tenure *tenure, unsigned *count)
{
	*count = tenure->nodes_count;
	return tenure->nodes;
}

uint64_t weir_tenure_incarnation(const struct weir_tenure *tenure)
{
	return tenure->incarnation;
}
