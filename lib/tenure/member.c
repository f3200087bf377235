/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "tenure/internal.h"

#define NOTE(level, ...) weir_log(WEIR_ROOM_TENURE, WEIR_LOG_##level, __VA_ARGS__)

#define HOW_TO_FORGET                                                                              \
	"`weirctl forget NODE` strikes off one that is gone and has no part in a device"

void weir_tenure_ask(struct weir_tenure *tenure, struct weir_coord_request *request)
{
	request->ticket = ++tenure->last_ticket;
	request->node = tenure->nodes[0].id;
	request->incarnation = request->kind == WEIR_COORD_REGISTER ? 0 : tenure->incarnation;
	request->lease_ms = tenure->conf.lease_ms;
	request->seen_revision = tenure->seen_revision;
	tenure->ops.ask(tenure->ctx, request);
}

static uint64_t renewal_period(const struct weir_tenure *tenure)
{
	return tenure->lease_ns / (tenure->leaving ? 32 : 8);
}

static void lease_event(struct weir_tenure *tenure, bool suspended)
{
	struct weir_tenure_event event = {
		.kind = suspended ? WEIR_EVENT_LEASE_SUSPENDED : WEIR_EVENT_LEASE_RESUMED,
		.node = &tenure->nodes[0]};

	tenure->suspended = suspended;
	if (suspended)
		NOTE(WARNING,
			"the lease of node %s has run out: it serves nothing until the "
			"coordinator answers",
			tenure->nodes[0].id);
	else
		NOTE(NOTICE, "the lease of node %s is valid again", tenure->nodes[0].id);
	weir_tenure_event_tell(tenure, &event);
}

static void lease_set(struct weir_tenure *tenure, uint64_t until_ns)
{
	bool resumed = tenure->suspended && until_ns > tenure->now_ns;

	tenure->lease_until_ns = until_ns;
	if (until_ns != 0)
		tenure->held_until_ns = until_ns;
	tenure->ops.lease(tenure->ctx, until_ns);
	if (resumed)
		lease_event(tenure, false);
	else if (until_ns == 0)
		tenure->suspended = false; /* given up: the next one is another */
}

/* @return when to look again */
static uint64_t lease_tick(struct weir_tenure *tenure)
{
	if (tenure->lease_until_ns == 0 || tenure->suspended)
		return NEVER;
	if (tenure->now_ns < tenure->lease_until_ns)
		return tenure->lease_until_ns;
	lease_event(tenure, true);
	return NEVER;
}

static void quiet(struct weir_tenure *tenure)
{
	tenure->quiet_until_ns = tenure->now_ns + tenure->lease_ns;
}

static void refuse(struct weir_tenure *tenure, const char *sentence)
{
	NOTE(ERR, "%s", sentence);
	if (tenure->state == MEMBER_YES) {
		struct weir_coord_request request = {.kind = WEIR_COORD_LEAVE};

		weir_tenure_ask(tenure, &request);
	}
	tenure->state = MEMBER_OUT;
	tenure->ops.refused(tenure->ctx, sentence);
}

static void out(struct weir_tenure *tenure)
{
	tenure->state = MEMBER_OUT;
	tenure->ops.left(tenure->ctx);
}

/* -------------------------------------------------------------------------------- peers --- */

unsigned weir_tenure_peer_find(const struct weir_tenure *tenure, const char *node)
{
	for (unsigned i = 0; i < tenure->nodes_count; i++)
		if (strcmp(tenure->nodes[i].id, node) == 0)
			return i;
	return WEIR_NO_PEER;
}

unsigned weir_tenure_peer_get(struct weir_tenure *tenure, const char *node)
{
	unsigned peer = weir_tenure_peer_find(tenure, node);

	if (peer != WEIR_NO_PEER || node[0] == '\0')
		return peer;
	peer = tenure->nodes_count < WEIR_NODES_MAX ? tenure->nodes_count++
						    : weir_tenure_peer_free(tenure);
	if (peer == WEIR_NO_PEER) {
		if (!tenure->told_full)
			NOTE(ERR,
				"node %s is passed over: there are %d nodes "
				"already; " HOW_TO_FORGET,
				node, WEIR_NODES_MAX);
		tenure->told_full = true;
		return WEIR_NO_PEER;
	}
	tenure->told_full = false;
	memset(&tenure->nodes[peer], 0, sizeof(tenure->nodes[peer]));
	strcpy(tenure->nodes[peer].id, node);
	return peer;
}

static bool was_mine(const struct weir_tenure *tenure, uint64_t incarnation)
{
	unsigned count = tenure->lives_count < WEIR_TENURE_LIVES_MAX ? tenure->lives_count
								     : WEIR_TENURE_LIVES_MAX;

	for (unsigned i = 0; i < count; i++)
		if (tenure->lives[i] == incarnation)
			return true;
	return false;
}

bool weir_tenure_copy_lives(const struct weir_tenure *tenure, unsigned peer, uint64_t incarnation)
{
	if (peer == WEIR_NO_PEER)
		return false;
	if (peer == 0)
		return was_mine(tenure, incarnation);
	return tenure->nodes[peer].live &&
	       (tenure->nodes[peer].incarnation == incarnation || WEIR_DEFECT(INCARNATION_OF_COPY));
}

static bool address_equal(const struct weir_node *a, const struct weir_node *b)
{
	return memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 && a->ipv4 == b->ipv4 &&
	       a->udp_port == b->udp_port && a->workers_count == b->workers_count &&
	       strcmp(a->socket, b->socket) == 0;
}

static void node_event(
	struct weir_tenure *tenure, enum weir_tenure_event_kind kind, const struct weir_node *node)
{
	const struct weir_tenure_event event = {.kind = kind, .node = node};

	NOTE(NOTICE, "node %s (incarnation %llu) is %s", node->id,
		(unsigned long long)node->incarnation, kind == WEIR_EVENT_NODE_UP ? "up" : "down");
	weir_tenure_event_tell(tenure, &event);
}

/* @return whether something has changed that devices depend on */
static bool node_learn(struct weir_tenure *tenure, const struct weir_node *seen)
{
	unsigned peer = weir_tenure_peer_get(tenure, seen->id);
	struct weir_node old;
	struct weir_node *node;
	bool reborn;

	if (peer == WEIR_NO_PEER || peer == 0)
		return false;
	node = &tenure->nodes[peer];
	old = *node;
	*node = *seen;
	reborn = old.incarnation != seen->incarnation;
	if (reborn || !seen->live)
		tenure->fresh_peers |= 1U << peer;
	if (!old.live && !seen->live)
		return reborn;
	if (old.live && seen->live && !reborn && address_equal(&old, seen))
		return false;
	tenure->ops.peer(tenure->ctx, peer, seen->live ? node : NULL);
	if (old.live && (!seen->live || reborn)) {
		old.live = false;
		node_event(tenure, WEIR_EVENT_NODE_DOWN, &old);
	}
	if (seen->live && (!old.live || reborn))
		node_event(tenure, WEIR_EVENT_NODE_UP, node);
	return true;
}

static bool is_in(const struct weir_coord_answer *answer, const char *node)
{
	for (unsigned i = 0; i < answer->nodes_count; i++)
		if (strcmp(answer->nodes[i].id, node) == 0)
			return true;
	return false;
}

static bool nodes_learn(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	bool changed = false;

	for (unsigned i = 1; i < tenure->nodes_count; i++)
		tenure->nodes[i].forgotten = !is_in(answer, tenure->nodes[i].id);
	for (unsigned i = 0; i < answer->nodes_count; i++)
		changed |= node_learn(tenure, &answer->nodes[i]);
	for (unsigned i = 1; i < tenure->nodes_count; i++) {
		struct weir_node gone = tenure->nodes[i];

		gone.live = false;
		gone.forgotten = true;
		if (tenure->nodes[i].live && !is_in(answer, gone.id))
			changed |= node_learn(tenure, &gone);
	}
	return changed;
}

/* ------------------------------------------------------------------------------ register --- */

static void register_ask(struct weir_tenure *tenure)
{
	struct weir_coord_request request = {
		.kind = WEIR_COORD_REGISTER,
		.seen_incarnation = tenure->seen_incarnation,
		.self = &tenure->nodes[0],
	};

	tenure->joining.asked = true;
	tenure->joining.sent_ns = tenure->now_ns;
	weir_tenure_ask(tenure, &request);
	tenure->joining.ticket = request.ticket;
}

static void register_again(struct weir_tenure *tenure)
{
	uint32_t least = tenure->conf.lease_ms / 8;
	uint32_t *backoff = &tenure->joining.backoff_ms;

	*backoff = *backoff == 0 ? least : *backoff * 2;
	if (*backoff > tenure->conf.lease_ms)
		*backoff = tenure->conf.lease_ms;
	tenure->joining.due_ns = tenure->now_ns + *backoff * WEIR_NS_PER_MS;
	/* A request of our own may be carried out yet: its lease would look like another's. */
	tenure->joining.other_end_ns = 0;
	tenure->joining.renewals = 0;
}

/*
 * Another process, or our own earlier life, has the lease. Only a process that lives renews it:
 * a rest that reaches beyond what an earlier answer allowed shows a renewal.
 */
static void register_occupied(struct weir_tenure *tenure, uint32_t rest_ms)
{
	uint64_t rest_ns = (rest_ms + WEIR_TENURE_REST_EXTRA_MS) * WEIR_NS_PER_MS;
	uint64_t least_end_ns = tenure->joining.sent_ns + rest_ms * WEIR_NS_PER_MS;
	uint64_t wait_ns = rest_ns < tenure->lease_ns / 4 ? rest_ns : tenure->lease_ns / 4;
	char sentence[128];

	if (tenure->joining.other_end_ns != 0 && least_end_ns > tenure->joining.other_end_ns)
		tenure->joining.renewals++;
	if (tenure->joining.renewals >= WEIR_TENURE_RENEWALS_SEEN) {
		snprintf(sentence, sizeof(sentence),
			"node %s is running already: another process renews its lease",
			tenure->nodes[0].id);
		refuse(tenure, sentence);
		return;
	}
	tenure->joining.other_end_ns = tenure->now_ns + rest_ns;
	tenure->joining.due_ns = tenure->now_ns + wait_ns;
}

static void register_done(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	memset(&tenure->joining, 0, sizeof(tenure->joining));
	tenure->state = MEMBER_YES;
	tenure->incarnation = answer->incarnation;
	tenure->seen_incarnation = answer->incarnation;
	tenure->lives[tenure->lives_count++ % WEIR_TENURE_LIVES_MAX] = answer->incarnation;
	tenure->nodes[0].incarnation = answer->incarnation;
	tenure->nodes[0].live = true;
	NOTE(NOTICE, "node %s is registered (incarnation %llu)", tenure->nodes[0].id,
		(unsigned long long)answer->incarnation);
	weir_tenure_pull_all(tenure);
}

void weir_tenure_registered(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	if (!tenure->joining.asked || tenure->joining.ticket != answer->ticket ||
		tenure->state != MEMBER_NOT)
		return;
	tenure->joining.asked = false;
	if (answer->err == 0)
		register_done(tenure, answer);
	else if (answer->err == WEIR_EXISTS)
		register_occupied(tenure, answer->rest_ms);
	else
		register_again(tenure);
	if (answer->err == WEIR_BUSY && !tenure->joining.told_full) {
		tenure->joining.told_full = true;
		NOTE(ERR, "node %s waits: the cluster has %d nodes already; " HOW_TO_FORGET,
			tenure->nodes[0].id, WEIR_NODES_MAX);
	}
}

static void view_refresh(struct weir_tenure *tenure, struct device *device)
{
	weir_tenure_refresh(tenure, device);
	weir_tenure_work_add(tenure, device);
}

static void requests_refuse(struct weir_tenure *tenure, struct device *device)
{
	weir_tenure_requests_fail(tenure, device, WEIR_FENCED);
}

void weir_tenure_fenced(struct weir_tenure *tenure)
{
	NOTE(WARNING, "node %s is fenced: the coordinator knows another incarnation than %llu",
		tenure->nodes[0].id, (unsigned long long)tenure->incarnation);
	tenure->stats.fenced++;
	lease_set(tenure, 0);
	tenure->state = MEMBER_NOT;
	tenure->incarnation = 0;
	tenure->nodes[0].live = false;
	tenure->joined = false;
	tenure->renewal.asked = false;
	tenure->renewal.again = false;
	tenure->joining.due_ns = tenure->now_ns;
	quiet(tenure);
	weir_tenure_devices_each(tenure, view_refresh);
	weir_tenure_devices_each(tenure, requests_refuse);
	weir_tenure_forget_fail(tenure, WEIR_FENCED);
	if (tenure->leaving)
		out(tenure);
}

/* --------------------------------------------------------------------------------- renew --- */

void weir_tenure_pull_all(struct weir_tenure *tenure)
{
	tenure->full = true;
	tenure->full_first = 0;
	tenure->pulls++;
	tenure->since = 0;
	tenure->renewal.due_ns = tenure->now_ns;
}

static void renew_ask(struct weir_tenure *tenure)
{
	struct weir_coord_request request = {
		.kind = WEIR_COORD_RENEW,
		.since = tenure->since,
	};

	tenure->renewal.asked = true;
	tenure->renewal.again = false;
	tenure->renewal.number++;
	tenure->renewal.sent_ns = tenure->now_ns;
	tenure->renewal.due_ns = tenure->now_ns + renewal_period(tenure);
	tenure->renewal.since = tenure->since;
	tenure->renewal.top = tenure->top;
	if (tenure->full && tenure->full_first == 0)
		tenure->full_first = tenure->renewal.number;
	weir_tenure_ask(tenure, &request);
	tenure->renewal.ticket = request.ticket;
}

/* Whether the coordinator may have forgotten something since it was last asked. */
static bool went_back(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	bool other_run = tenure->run != 0 && answer->run != tenure->run;

	tenure->run = answer->run;
	if (other_run) {
		NOTE(WARNING, "the coordinator is another one: nothing is taken over for %u ms",
			tenure->conf.lease_ms);
		if (!WEIR_DEFECT(QUIET_SKIPPED))
			quiet(tenure);
		return true;
	}
	if (tenure->full || answer->revision >= tenure->renewal.top)
		return false;
	NOTE(WARNING, "the coordinator has lost changes: revision %llu, after %llu",
		(unsigned long long)answer->revision, (unsigned long long)tenure->renewal.top);
	return true;
}

static bool settings_differ(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	const struct weir_node *self = &tenure->nodes[0];
	char sentence[256];

	for (unsigned i = 0; i < answer->nodes_count; i++) {
		const struct weir_node *node = &answer->nodes[i];

		if (!node->live || strcmp(node->id, self->id) == 0)
			continue;
		if (node->buckets_count == self->buckets_count && node->protocol == self->protocol)
			continue;
		snprintf(sentence, sizeof(sentence),
			"the settings of node %s are not the cluster's: %u buckets and protocol %u "
			"here, %u and %u on %s",
			self->id, self->buckets_count, self->protocol, node->buckets_count,
			node->protocol, node->id);
		refuse(tenure, sentence);
		return true;
	}
	return false;
}

static void missing_check(struct weir_tenure *tenure, struct device *device)
{
	if (device->record->revision != 0 && device->pulled != tenure->pulls &&
		device->learned < tenure->full_first)
		weir_tenure_regress(tenure, device, NULL);
}

static void lease_extend(struct weir_tenure *tenure)
{
	uint64_t margin_ns = tenure->lease_ns / 10;
	uint64_t from_ns = WEIR_DEFECT(LEASE_LONG) ? tenure->now_ns : tenure->renewal.sent_ns;
	uint64_t until_ns = from_ns + tenure->lease_ns - margin_ns;

	if (tenure->lease_until_ns != 0 && tenure->now_ns >= tenure->lease_until_ns) {
		/* Others may have been cut off too, and look dead only until they have renewed. */
		quiet(tenure);
		weir_tenure_devices_each(tenure, weir_tenure_work_add);
	}
	if (tenure->regressed_mine == 0 && until_ns > tenure->lease_until_ns)
		lease_set(tenure, until_ns);
}

/* All that the coordinator knew when the last RENEW was carried out is known here now. */
static void pull_done(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	tenure->since = answer->revision;
	if (tenure->full) {
		tenure->full = false;
		weir_tenure_devices_each(tenure, missing_check);
		tenure->top = answer->revision;
	}
	if (answer->revision > tenure->top)
		tenure->top = answer->revision;
	tenure->joined = true;
	weir_tenure_sure(tenure, tenure->renewal.number);
	weir_tenure_forget_go(tenure);
	lease_extend(tenure);
}

/* A full pull was begun while this RENEW was on its way: it is not part of it. */
static bool is_before_full(const struct weir_tenure *tenure)
{
	return tenure->full &&
	       (tenure->full_first == 0 || tenure->renewal.number < tenure->full_first);
}

static void records_learn(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	for (unsigned i = 0; i < answer->records_count; i++) {
		const struct weir_record *record = &answer->records[i];

		weir_tenure_learn(tenure, record, tenure->renewal.number);
		if (record->revision > tenure->since && !is_before_full(tenure))
			tenure->since = record->revision;
	}
}

/* Who does not renew is dead at the end of his lease: that is asked then, not a period later. */
static void expiry_heed(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	uint64_t end_ns =
		tenure->now_ns + (answer->expiry_ms + WEIR_TENURE_REST_EXTRA_MS) * WEIR_NS_PER_MS;

	if (answer->expiry_ms != 0 && end_ns < tenure->renewal.due_ns)
		tenure->renewal.due_ns = end_ns;
}

void weir_tenure_renewed(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	bool nodes_changed;

	if (!tenure->renewal.asked || tenure->renewal.ticket != answer->ticket)
		return;
	tenure->renewal.asked = false;
	if (tenure->state != MEMBER_YES)
		return;
	tenure->stats.renewals += answer->err == 0;
	tenure->stats.renewals_failed += answer->err != 0;
	tenure->stats.renewal_ns = tenure->now_ns - tenure->renewal.sent_ns;
	if (answer->err == WEIR_FENCED) {
		weir_tenure_fenced(tenure);
		return;
	}
	if (answer->err != 0 && !tenure->forgetting.asked)
		weir_tenure_forget_fail(tenure, WEIR_UNREACHABLE);
	if (answer->err != 0) {
		tenure->renewal.due_ns = tenure->now_ns + renewal_period(tenure);
		return;
	}
	if (!tenure->joined && settings_differ(tenure, answer))
		return;
	if (went_back(tenure, answer)) {
		weir_tenure_pull_all(tenure);
		return;
	}
	expiry_heed(tenure, answer);
	nodes_changed = nodes_learn(tenure, answer);
	records_learn(tenure, answer);
	if (nodes_changed)
		weir_tenure_devices_each(tenure, view_refresh);
	tenure->fresh_peers = 0;
	if (!answer->more && !is_before_full(tenure))
		pull_done(tenure, answer);
	if (answer->more || tenure->renewal.again || is_before_full(tenure))
		tenure->renewal.due_ns = tenure->now_ns;
}

/* --------------------------------------------------------------------------------- leave --- */

static void leave_ask(struct weir_tenure *tenure)
{
	struct weir_coord_request request = {.kind = WEIR_COORD_LEAVE};

	weir_tenure_ask(tenure, &request);
	tenure->goodbye_ticket = request.ticket;
}

static void part(struct weir_tenure *tenure)
{
	tenure->state = MEMBER_PARTING;
	tenure->leave_by_ns = tenure->now_ns + WEIR_TENURE_GOODBYE_MS * WEIR_NS_PER_MS;
	lease_set(tenure, 0);
	weir_tenure_devices_each(tenure, requests_refuse);
	weir_tenure_forget_fail(tenure, WEIR_FENCED);
}

void weir_tenure_parted(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	if (tenure->state == MEMBER_PARTING && tenure->goodbye_ticket == answer->ticket)
		out(tenure);
}

static uint64_t leave_tick(struct weir_tenure *tenure)
{
	/* A RENEW that is on its way must not be overtaken: it would give the lease back. */
	if (tenure->goodbye_ticket == 0 && !tenure->renewal.asked)
		leave_ask(tenure);
	if (tenure->now_ns < tenure->leave_by_ns)
		return tenure->leave_by_ns;
	out(tenure);
	return NEVER;
}

/* ---------------------------------------------------------------------------------- tick --- */

static uint64_t join_tick(struct weir_tenure *tenure)
{
	if (tenure->joining.asked)
		return NEVER;
	if (tenure->now_ns < tenure->joining.due_ns)
		return tenure->joining.due_ns;
	register_ask(tenure);
	return NEVER;
}

static uint64_t renew_tick(struct weir_tenure *tenure)
{
	if (!tenure->renewal.asked && tenure->now_ns >= tenure->renewal.due_ns)
		renew_ask(tenure);
	return tenure->renewal.asked ? NEVER : tenure->renewal.due_ns;
}

uint64_t weir_tenure_member_tick(struct weir_tenure *tenure)
{
	uint64_t next = NEVER, lease_ns;

	if (tenure->state == MEMBER_NOT)
		return join_tick(tenure);
	if (tenure->state == MEMBER_YES) {
		if (tenure->leaving &&
			(tenure->handing == 0 || tenure->now_ns >= tenure->leave_by_ns))
			part(tenure);
		else
			next = renew_tick(tenure);
	}
	if (tenure->state == MEMBER_PARTING)
		return leave_tick(tenure);
	lease_ns = lease_tick(tenure);
	if (lease_ns < next)
		next = lease_ns;
	if (tenure->leaving && tenure->leave_by_ns < next)
		next = tenure->leave_by_ns;
	return next;
}
