/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "tenure/internal.h"

#define NOTE(level, ...) weir_log(WEIR_ROOM_TENURE, WEIR_LOG_##level, __VA_ARGS__)

bool weir_tenure_is_master(const struct weir_tenure *tenure, const struct device *device)
{
	return tenure->incarnation != 0 && device->master_peer == 0 &&
	       device->record->master == tenure->incarnation;
}

bool weir_tenure_master_lives(const struct weir_tenure *tenure, const struct device *device)
{
	if (device->master_peer == 0)
		return weir_tenure_is_master(tenure, device);
	return weir_tenure_copy_lives(tenure, device->master_peer, device->record->master);
}

struct mate *weir_tenure_mate_find(struct device *device, unsigned peer)
{
	for (unsigned i = 0; i < device->mates_count; i++)
		if (device->mates[i].peer == peer)
			return &device->mates[i];
	return NULL;
}

/* --------------------------------------------------------------------------------- mates --- */

int weir_tenure_insync_idx(const struct device *device, unsigned peer)
{
	for (int i = 0; i < device->record->insync_count; i++)
		if (device->insync_peers[i] == peer)
			return i;
	return -1;
}

bool weir_tenure_is_backup(const struct device *device, unsigned peer)
{
	for (unsigned i = 0; i < device->record->backups_count; i++)
		if (device->backup_peers[i] == peer)
			return true;
	return false;
}

static void member_add(uint8_t *peers, unsigned *count, uint8_t peer)
{
	for (unsigned i = 0; i < *count; i++)
		if (peers[i] == peer)
			return;
	if (peer != 0 && peer != WEIR_NO_PEER && *count < WEIR_COPIES_MAX)
		peers[(*count)++] = peer;
}

/* The other nodes that the record names; those that must be sealed come first. */
static unsigned members_find(const struct device *device, uint8_t peers[WEIR_COPIES_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < device->record->insync_count; i++)
		member_add(peers, &count, device->insync_peers[i]);
	member_add(peers, &count, device->master_peer);
	for (unsigned i = 0; i < device->record->backups_count; i++)
		member_add(peers, &count, device->backup_peers[i]);
	return count;
}

void weir_tenure_attempt_begin(struct weir_tenure *tenure, struct device *device, struct mate *mate)
{
	const struct weir_node *node = &tenure->nodes[mate->peer];

	mate->attempt = ++device->attempts;
	mate->begun_ns = tenure->now_ns;
	mate->incarnation = node->incarnation;
	mate->caught = 0;
	mate->lagging = !node->live;
	mate->retry_ns = 0;
}

static void mates_set(struct device *device, const struct mate *mates, unsigned count)
{
	if (count != device->mates_count) {
		free(device->mates);
		device->mates = count > 0 ? malloc(count * sizeof(mates[0])) : NULL;
		weir_assert(count == 0 || device->mates != NULL);
	}
	if (count > 0)
		memcpy(device->mates, mates, count * sizeof(mates[0]));
	device->mates_count = (uint8_t)count;
}

static void mates_update(struct weir_tenure *tenure, struct device *device)
{
	uint8_t peers[WEIR_COPIES_MAX];
	struct mate mates[WEIR_COPIES_MAX];
	unsigned count = members_find(device, peers);

	for (unsigned i = 0; i < count; i++) {
		struct mate *known = weir_tenure_mate_find(device, peers[i]);

		if (known != NULL) {
			mates[i] = *known;
			continue;
		}
		mates[i] = (struct mate){.peer = peers[i]};
		weir_tenure_attempt_begin(tenure, device, &mates[i]);
	}
	mates_set(device, mates, count);
	for (unsigned i = 0; i < count; i++) {
		struct mate *mate = &device->mates[i];

		if (tenure->nodes[mate->peer].live || mate->lagging)
			continue;
		mate->lagging = true;
		mate->caught = 0;
		mate->retry_ns = 0;
	}
}

/*
 * The record has changed within the term. A mate that counted and has been taken out begins a new
 * attempt: with it the workers release the writes that waited for it.
 */
static void mates_release(
	struct weir_tenure *tenure, struct device *device, const struct weir_record *before)
{
	for (unsigned i = 0; i < device->mates_count; i++) {
		struct mate *mate = &device->mates[i];
		const char *id = tenure->nodes[mate->peer].id;
		bool counted =
			before->active == before->term && weir_record_insync_idx(before, id) >= 0;
		bool counts = weir_tenure_insync_idx(device, mate->peer) >= 0;

		mate->offered = false;
		if (counted && !counts)
			weir_tenure_attempt_begin(tenure, device, mate);
		if (counts && !mate->lagging)
			mate->backoff_ms = 0;
	}
}

/* --------------------------------------------------------------------------------- views --- */

static void hope_update(struct weir_tenure *tenure, struct device *device)
{
	const struct weir_record_kept *record = device->record;

	for (unsigned i = 0; i < record->insync_count; i++) {
		if (!weir_tenure_copy_lives(tenure, device->insync_peers[i], record->insync[i]))
			continue;
		device->hopeless_ns = 0;
		device->told_stuck = false;
		return;
	}
	if (device->hopeless_ns == 0)
		device->hopeless_ns = tenure->now_ns;
}

static void member_view(const struct weir_tenure *tenure, struct device *device, unsigned peer,
	struct weir_member *member)
{
	const struct weir_record_kept *record = device->record;
	const struct weir_node *node = &tenure->nodes[peer];
	struct mate *mate = weir_tenure_mate_find(device, peer);
	int insync = weir_tenure_insync_idx(device, peer);

	member->peer = (uint8_t)peer;
	member->live = node->live || (device->term_fresh && !WEIR_DEFECT(REVIVED_IGNORED));
	member->backup = weir_tenure_is_backup(device, peer);
	member->attempt = mate != NULL ? mate->attempt : 0;
	member->incarnation = node->incarnation;
	if (!node->live && device->master_peer == peer)
		member->incarnation = record->master;
	/* Of a process that is younger than the list of nodes the record may be the first to tell.
	 */
	if (insync >= 0 && (!node->live || record->insync[insync] > member->incarnation))
		member->incarnation = record->insync[insync];
	member->insync = insync >= 0 && (record->insync[insync] == member->incarnation ||
						WEIR_DEFECT(INCARNATION_IN_VIEW));
}

static bool backups_whole(const struct weir_tenure *tenure, const struct device *device)
{
	for (unsigned i = 0; i < device->record->backups_count; i++) {
		unsigned peer = device->backup_peers[i];
		int insync = weir_tenure_insync_idx(device, peer);

		if (peer == WEIR_NO_PEER || !tenure->nodes[peer].live)
			continue;
		if (insync < 0 || device->record->insync[insync] != tenure->nodes[peer].incarnation)
			return false;
	}
	return true;
}

static bool may_let_go(const struct weir_tenure *tenure, const struct device *device)
{
	if (WEIR_DEFECT(B9))
		return device->master_peer != 0 && !weir_tenure_is_backup(device, 0);
	if (WEIR_DEFECT(LET_GO_EARLY))
		return device->master_peer != 0 && !weir_tenure_is_backup(device, 0) &&
		       weir_tenure_insync_idx(device, 0) < 0;
	return device->record->active == device->record->term && device->master_peer != 0 &&
	       !weir_tenure_is_backup(device, 0) && weir_tenure_insync_idx(device, 0) < 0 &&
	       backups_whole(tenure, device);
}

static bool is_unclean(const struct weir_tenure *tenure, const struct device *device)
{
	return (tenure->conf.unclean_takeover || WEIR_DEFECT(UNCLEAN_TAKER)) &&
	       weir_tenure_is_master(tenure, device) &&
	       device->record->active < device->record->term && device->hopeless_ns != 0 &&
	       tenure->now_ns >= device->hopeless_ns + tenure->lease_ns;
}

static void view_make(
	const struct weir_tenure *tenure, struct device *device, struct weir_view *view)
{
	const struct weir_record_kept *record = device->record;
	uint8_t peers[WEIR_COPIES_MAX];
	int self = weir_tenure_insync_idx(device, 0);

	/* Padding counts: views are compared as bytes. */
	memset(view, 0, sizeof(*view));
	view->device_key = device->key;
	view->term = record->term;
	view->active = record->active;
	view->revision = record->revision;
	view->seal_deadline_ns = device->term_seen_ns + tenure->lease_ns;
	view->role = weir_tenure_is_master(tenure, device) ? WEIR_ROLE_MASTER
		     : weir_tenure_is_backup(device, 0)    ? WEIR_ROLE_BACKUP
							   : WEIR_ROLE_NONE;
	view->master_peer = WEIR_NO_PEER;
	if (device->master_peer != 0 && device->master_peer != WEIR_NO_PEER &&
		tenure->nodes[device->master_peer].incarnation == record->master)
		view->master_peer = device->master_peer;
	view->self_insync = self >= 0 && weir_tenure_copy_lives(tenure, 0, record->insync[self]);
	view->unclean = is_unclean(tenure, device);
	view->let_go = may_let_go(tenure, device);
	view->members_count = (uint8_t)members_find(device, peers);
	for (unsigned i = 0; i < view->members_count; i++)
		member_view(tenure, device, peers[i], &view->members[i]);
}

static void event_tell(struct weir_tenure *tenure, enum weir_tenure_event_kind kind,
	const struct weir_record *record)
{
	const struct weir_tenure_event event = {.kind = kind, .record = record};

	weir_tenure_event_tell(tenure, &event);
}

static void unclean_tell(struct weir_tenure *tenure, struct device *device)
{
	struct weir_record record;

	if (device->unclean_term == device->record->term)
		return;
	device->unclean_term = device->record->term;
	NOTE(WARNING, "device %s: term %llu begins without an in-sync copy, writes may be lost",
		weir_record_device(device->record), (unsigned long long)device->record->term);
	weir_record_of(device->record, &record);
	event_tell(tenure, WEIR_EVENT_UNCLEAN, &record);
}

static void view_send(struct weir_tenure *tenure, struct device *device)
{
	struct weir_record record;
	struct weir_view view;

	view_make(tenure, device, &view);
	if (device->view_sent && memcmp(&view, &device->view, sizeof(view)) == 0)
		return;
	memcpy(&device->view, &view, sizeof(view));
	device->view_sent = true;
	if (view.unclean)
		unclean_tell(tenure, device);
	weir_record_of(device->record, &record);
	tenure->ops.view(tenure->ctx, &device->view, &record);
}

void weir_tenure_refresh(struct weir_tenure *tenure, struct device *device)
{
	if (device->record->revision == 0)
		return;
	device->shunned &= ~tenure->fresh_peers;
	hope_update(tenure, device);
	if (weir_tenure_is_master(tenure, device))
		mates_update(tenure, device);
	else
		mates_set(device, NULL, 0);
	view_send(tenure, device);
}

/* ------------------------------------------------------------------------------ learning --- */

static void peers_resolve(
	struct weir_tenure *tenure, struct device *device, const struct weir_record *record)
{
	device->master_peer = (uint8_t)weir_tenure_peer_get(tenure, record->master.node);
	for (unsigned i = 0; i < record->backups_count; i++)
		device->backup_peers[i] = (uint8_t)weir_tenure_peer_get(tenure, record->backups[i]);
	for (unsigned i = 0; i < record->insync_count; i++)
		device->insync_peers[i] =
			(uint8_t)weir_tenure_peer_get(tenure, record->insync[i].node);
}

static void events(struct weir_tenure *tenure, const struct weir_record *before,
	const struct weir_record *after)
{
	bool other_term = before->term != after->term;

	if (other_term && before->term != 0)
		event_tell(tenure, WEIR_EVENT_TERM_END, before);
	if (other_term)
		event_tell(tenure, WEIR_EVENT_TERM_START, after);
	if (after->active == after->term && (other_term || before->active != before->term))
		event_tell(tenure, WEIR_EVENT_TERM_ACTIVE, after);
	else if (!other_term && !weir_record_members_equal(before, after))
		event_tell(tenure, WEIR_EVENT_TERM_UPDATE, after);
}

static void shun(struct weir_tenure *tenure, struct device *device, const char *node)
{
	unsigned peer = weir_tenure_peer_find(tenure, node);

	if (peer != WEIR_NO_PEER && tenure->nodes[peer].live && peer != device->master_peer &&
		!weir_tenure_is_backup(device, peer))
		device->shunned |= 1U << peer;
}

/* A live node that somebody has taken out of the backups is not put back by the next master. */
static void shunned_update(
	struct weir_tenure *tenure, struct device *device, const struct weir_record *before)
{
	const struct weir_record_kept *record = device->record;

	if (before->term == record->term && record->backups_count < before->backups_count)
		for (unsigned i = 0; i < before->backups_count; i++)
			shun(tenure, device, before->backups[i]);
	if (before->term != record->term && record->backups_count < tenure->conf.backup_count)
		shun(tenure, device, before->master.node);
	for (unsigned i = 0; i < record->backups_count; i++)
		if (device->backup_peers[i] != WEIR_NO_PEER)
			device->shunned &= ~(1U << device->backup_peers[i]);
	if (device->master_peer != WEIR_NO_PEER)
		device->shunned &= ~(1U << device->master_peer);
}

/*
 * A node that looked dead when this node asked for the term may have renewed its lease just before
 * the term was made, and not know of it. Until a RENEW shows that it is dead still, its copy is
 * to be sealed like that of the living.
 */
static void term_confirm(struct weir_tenure *tenure, struct device *device)
{
	device->term_fresh = true;
	weir_tenure_unsure(tenure, device);
	tenure->renewal.again = true;
	tenure->renewal.due_ns = tenure->now_ns;
}

static void term_begin(struct weir_tenure *tenure, struct device *device)
{
	device->term_fresh = false;
	device->deposed = false;
	device->term_seen_ns = tenure->now_ns;
	device->settled = 0;
	device->settled_ns = 0;
	mates_set(device, NULL, 0);
}

static void regress_end(struct weir_tenure *tenure, struct device *device)
{
	device->regressed = false;
	if (!device->regressed_mine)
		return;
	device->regressed_mine = false;
	if (--tenure->regressed_mine == 0)
		tenure->renewal.due_ns = tenure->now_ns;
}

/* Memory for the new record is needed: to go on with the old one would be to serve a past term. */
static void record_set(struct device *device, const struct weir_record *record)
{
	struct weir_record_kept *kept = weir_record_keep(record);

	weir_assert(kept != NULL);
	free(device->record);
	device->record = kept;
}

static void adopt(struct weir_tenure *tenure, struct device *device,
	const struct weir_record *before, const struct weir_record *record, uint64_t renew)
{
	weir_assert(record->term >= before->term);
	record_set(device, record);
	device->stored_revision = record->revision;
	device->heir_ns = 0;
	device->learned = tenure->renewal.number;
	if (record->term > device->seen_term)
		device->seen_term = record->term;
	regress_end(tenure, device);
	peers_resolve(tenure, device, record);
	shunned_update(tenure, device, before);
	if (before->term != record->term)
		term_begin(tenure, device);
	else
		mates_release(tenure, device, before);
	if (before->term != record->term && renew == 0 && weir_tenure_is_master(tenure, device))
		term_confirm(tenure, device);
	events(tenure, before, record);
	weir_tenure_refresh(tenure, device);
	weir_tenure_work_add(tenure, device);
}

void weir_tenure_regress(
	struct weir_tenure *tenure, struct device *device, const struct weir_record *stored)
{
	if (!device->regressed) {
		tenure->stats.regressions++;
		device->regressed_ns = tenure->now_ns;
		device->regressed_held = tenure->now_ns < tenure->held_until_ns;
		NOTE(WARNING,
			"device %s: the coordinator has another record than that of term %llu",
			weir_record_device(device->record),
			(unsigned long long)device->record->term);
	}
	device->regressed = true;
	device->stored_revision = stored != NULL ? stored->revision : 0;
	device->stored_active = stored != NULL ? stored->active : 0;
	if (!device->regressed_mine && weir_tenure_is_master(tenure, device)) {
		device->regressed_mine = true;
		tenure->regressed_mine++;
	}
	weir_tenure_work_add(tenure, device);
}

/* The same term under two masters, or the same revision twice: two histories. */
static bool is_twin(const struct weir_record *a, const struct weir_record *b)
{
	bool same_master = strcmp(a->master.node, b->master.node) == 0 &&
			   a->master.incarnation == b->master.incarnation;

	if (a->term != b->term || b->revision == 0)
		return false;
	return !same_master ||
	       (a->revision == b->revision &&
		       (a->active != b->active || !weir_record_members_equal(a, b)));
}

void weir_tenure_learn(struct weir_tenure *tenure, const struct weir_record *record, uint64_t renew)
{
	struct device *device = weir_tenure_device_get(tenure, record->device);
	struct weir_record known;
	bool twin;

	if (device == NULL) {
		NOTE(ERR, "device %s is passed over: no room for it", record->device);
		return;
	}
	device->pulled = tenure->pulls;
	if (record->revision > tenure->top)
		tenure->top = record->revision;
	if (record->revision > tenure->seen_revision)
		tenure->seen_revision = record->revision;
	weir_record_of(device->record, &known);
	twin = is_twin(record, &known);
	if (!twin && weir_record_newer(record, &known))
		adopt(tenure, device, &known, record, renew);
	else if (renew <= device->learned)
		return; /* asked before the newer one was known: old news, no regress */
	else if ((twin || weir_record_newer(&known, record)) && !WEIR_DEFECT(REGRESS_SERVES))
		weir_tenure_regress(tenure, device, record);
	else if (device->regressed)
		regress_end(tenure, device);
}
