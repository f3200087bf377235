/* SPDX-License-Identifier: BSD-3-Clause */
#include "tenure/internal.h"

#define NOTE(level, ...) weir_log(WEIR_ROOM_TENURE, WEIR_LOG_##level, __VA_ARGS__)

/* ------------------------------------------------------------------------------- changes --- */

static struct change *change_free(struct weir_tenure *tenure)
{
	for (unsigned i = 0; i < WEIR_TENURE_CHANGES_MAX; i++)
		if (!tenure->changes[i].used)
			return &tenure->changes[i];
	return NULL;
}

static struct change *change_find(struct weir_tenure *tenure, uint64_t ticket)
{
	for (unsigned i = 0; i < WEIR_TENURE_CHANGES_MAX; i++)
		if (tenure->changes[i].used && tenure->changes[i].ticket == ticket)
			return &tenure->changes[i];
	return NULL;
}

/* From now on these mates may be in the in-sync set, whatever becomes of the answer. */
static void mates_offer(
	struct weir_tenure *tenure, struct device *device, const struct weir_record *want)
{
	for (unsigned i = 0; i < device->mates_count; i++) {
		struct mate *mate = &device->mates[i];
		const char *id = tenure->nodes[mate->peer].id;

		if (want->active == want->term && weir_record_insync_idx(want, id) >= 0)
			mate->offered = true;
	}
}

static void change_ask(struct weir_tenure *tenure, struct device *device,
	const struct weir_record *want, bool new_term, struct request *request)
{
	struct change *change = change_free(tenure);
	struct weir_coord_request ask = {
		.kind = WEIR_COORD_CHANGE,
		.record = want,
		.expected_revision = device->stored_revision,
		.seen_term = WEIR_DEFECT(TERM_NO_MAXIMUM) ? 0 : device->seen_term,
		.new_term = new_term,
	};

	weir_assert(change != NULL && !device->changing);
	if (!new_term)
		mates_offer(tenure, device, want);
	*change = (struct change){
		.used = true,
		.incarnation = tenure->incarnation,
		.expected_revision = device->stored_revision,
		.term = device->record->term,
		.device = device,
		.request = request,
	};
	if (request != NULL)
		request->in_flight = true;
	device->changing = true;
	tenure->changes_count++;
	weir_tenure_ask(tenure, &ask);
	change->ticket = ask.ticket;
}

/* ------------------------------------------------------------------------------- rosters --- */

static bool can_hold(const struct weir_tenure *tenure, unsigned peer)
{
	return peer == 0 ? !tenure->leaving : tenure->nodes[peer].live;
}

/* The live node that the device likes best among those that have no part in it. */
static const char *newcomer(const struct weir_tenure *tenure, const struct device *device,
	const struct weir_record *want)
{
	const char *best = NULL;
	uint64_t best_liking = 0;

	for (unsigned i = 0; i < tenure->nodes_count; i++) {
		const char *id = tenure->nodes[i].id;
		uint64_t liking = weir_record_liking(device->key, id);

		if (!can_hold(tenure, i) || (device->shunned & 1U << i) != 0 ||
			strcmp(id, want->master.node) == 0 || weir_record_backup_idx(want, id) >= 0)
			continue;
		if (best != NULL && liking <= best_liking)
			continue;
		best = id;
		best_liking = liking;
	}
	return best;
}

/* Dead backups give way to live nodes; the list is filled up to backup_count. */
static void backups_fill(
	const struct weir_tenure *tenure, const struct device *device, struct weir_record *want)
{
	const char *node;

	for (unsigned i = want->backups_count; i-- > 0;) {
		unsigned peer = weir_tenure_peer_find(tenure, want->backups[i]);

		if (peer != WEIR_NO_PEER && can_hold(tenure, peer))
			continue;
		node = newcomer(tenure, device, want);
		if (node == NULL)
			break;
		weir_record_backup_drop(want, want->backups[i]);
		weir_record_backup_insert(want, want->backups_count, node);
	}
	while (want->backups_count < tenure->conf.backup_count &&
		(node = newcomer(tenure, device, want)) != NULL)
		weir_record_backup_insert(want, want->backups_count, node);
}

/* This process may have been named under an earlier incarnation; its copy is the same. */
static void insync_rename(const struct weir_tenure *tenure, struct weir_record *want)
{
	int self = weir_record_insync_idx(want, tenure->nodes[0].id);

	if (self >= 0 && weir_tenure_copy_lives(tenure, 0, want->insync[self].incarnation))
		want->insync[self].incarnation = tenure->incarnation;
}

/* Backups for a new master. Who was in sync stays so until the new term is active. */
static void roster(const struct weir_tenure *tenure, const struct device *device,
	struct weir_record *want, unsigned master, bool keep_old)
{
	const struct weir_node *node = &tenure->nodes[master];
	unsigned old = device->master_peer;
	unsigned room = tenure->conf.backup_count;
	bool old_other = old != WEIR_NO_PEER && old != master;

	weir_record_of(device->record, want);
	if (WEIR_DEFECT(B22) && want->active < want->term) {
		want->insync_count = 1;
		want->insync[0] = want->master;
	}
	/* A term that the coordinator lost may have been followed there by one that became active.
	 */
	if (device->regressed && device->stored_active > want->active)
		want->active = device->stored_active;
	memset(&want->master, 0, sizeof(want->master));
	strcpy(want->master.node, node->id);
	want->master.incarnation = node->incarnation;
	insync_rename(tenure, want);
	if (want->backups_count > room)
		room = want->backups_count;
	weir_record_backup_drop(want, node->id);
	if (keep_old && old_other && can_hold(tenure, old))
		weir_record_backup_insert(want, 0, tenure->nodes[old].id);
	while (want->backups_count > room)
		weir_record_backup_drop(want, want->backups[want->backups_count - 1]);
	backups_fill(tenure, device, want);
	if (old_other && old != 0 && !can_hold(tenure, old) &&
		want->backups_count < tenure->conf.backup_count)
		weir_record_backup_insert(want, want->backups_count, tenure->nodes[old].id);
}

static void term_ask(struct weir_tenure *tenure, struct device *device, unsigned master,
	bool keep_old, struct request *request)
{
	struct weir_record want;

	roster(tenure, device, &want, master, keep_old);
	NOTE(INFO, "device %s: asks for a term above %llu with %s as master", want.device,
		(unsigned long long)device->seen_term, want.master.node);
	change_ask(tenure, device, &want, true, request);
}

/* ------------------------------------------------------------------------------ takeover --- */

static bool insync_lives(
	const struct weir_tenure *tenure, const struct device *device, unsigned peer)
{
	const struct weir_record_kept *record = device->record;

	for (unsigned i = 0; i < record->insync_count; i++)
		if (device->insync_peers[i] == peer)
			return weir_tenure_copy_lives(tenure, peer, record->insync[i]);
	return false;
}

/* The live in-sync copy that comes first in the order of backups; `not` does not count. */
static unsigned candidate(
	const struct weir_tenure *tenure, const struct device *device, unsigned not )
{
	const struct weir_record_kept *record = device->record;

	for (unsigned i = 0; i < record->backups_count; i++)
		if (device->backup_peers[i] !=
			not &&insync_lives(tenure, device, device->backup_peers[i]))
			return device->backup_peers[i];
	for (unsigned i = 0; i < record->insync_count; i++)
		if (device->insync_peers[i] !=
			not &&insync_lives(tenure, device, device->insync_peers[i]))
			return device->insync_peers[i];
	return WEIR_NO_PEER;
}

unsigned weir_tenure_heir(const struct weir_tenure *tenure, const struct device *device)
{
	return candidate(tenure, device, 0);
}

/* Who takes over where no in-sync copy lives: the first live backup, else the first name. */
static unsigned unclean_candidate(const struct weir_tenure *tenure, const struct device *device)
{
	unsigned first = 0;

	for (unsigned i = 0; i < device->record->backups_count; i++)
		if (device->backup_peers[i] != WEIR_NO_PEER &&
			can_hold(tenure, device->backup_peers[i]))
			return device->backup_peers[i];
	for (unsigned i = 1; i < tenure->nodes_count; i++)
		if (can_hold(tenure, i) && strcmp(tenure->nodes[i].id, tenure->nodes[first].id) < 0)
			first = i;
	return first;
}

/* Who may take over without an in-sync copy; WEIR_NO_PEER: nobody, or not yet. */
static unsigned unclean_taker(struct weir_tenure *tenure, struct device *device)
{
	uint64_t due_ns = device->hopeless_ns + tenure->lease_ns;

	if (!tenure->conf.unclean_takeover && !WEIR_DEFECT(UNCLEAN_TAKER)) {
		if (!device->told_stuck)
			NOTE(WARNING,
				"device %s waits: no in-sync copy lives and unclean_takeover is "
				"not set",
				weir_record_device(device->record));
		device->told_stuck = true;
		return WEIR_NO_PEER;
	}
	if (tenure->now_ns >= due_ns)
		return unclean_candidate(tenure, device);
	weir_tenure_wake_at(tenure, device, due_ns);
	return WEIR_NO_PEER;
}

/* Who is to take over from a dead master; WEIR_NO_PEER: nobody, or not yet. */
static unsigned taker(struct weir_tenure *tenure, struct device *device)
{
	unsigned peer;

	if (tenure->now_ns < tenure->quiet_until_ns) {
		weir_tenure_wake_at(tenure, device, tenure->quiet_until_ns);
		return WEIR_NO_PEER;
	}
	/* Who lives is not known here; every device is looked at again when the lease is back. */
	if (tenure->now_ns >= tenure->lease_until_ns)
		return WEIR_NO_PEER;
	peer = candidate(tenure, device, WEIR_NO_PEER);
	return peer != WEIR_NO_PEER ? peer : unclean_taker(tenure, device);
}

static unsigned place_among_the_living(const struct weir_tenure *tenure)
{
	unsigned place = 0;

	for (unsigned i = 1; i < tenure->nodes_count; i++)
		place += tenure->nodes[i].live &&
			 strcmp(tenure->nodes[i].id, tenure->nodes[0].id) < 0;
	return place;
}

/*
 * An heir that lives may know another record of the same term, one that the coordinator has lost,
 * in which it is no heir. It only follows a term above both: the others ask for one in its place,
 * one after another.
 */
static bool stands_in(struct weir_tenure *tenure, struct device *device)
{
	uint64_t leases = WEIR_TENURE_HEIR_LEASES + place_among_the_living(tenure);
	uint64_t due_ns;

	if (device->heir_ns == 0)
		device->heir_ns = tenure->now_ns;
	due_ns = device->heir_ns + leases * tenure->lease_ns;
	if (tenure->now_ns >= due_ns)
		return true;
	weir_tenure_wake_at(tenure, device, due_ns);
	return false;
}

static void takeover(struct weir_tenure *tenure, struct device *device)
{
	unsigned peer = WEIR_NO_PEER;

	if (!weir_tenure_master_lives(tenure, device) && !tenure->leaving)
		peer = taker(tenure, device);
	if (peer == 0 || peer == WEIR_NO_PEER)
		device->heir_ns = 0;
	if (peer == WEIR_NO_PEER || (peer != 0 && !stands_in(tenure, device)))
		return;
	tenure->stats.takeovers += peer == 0;
	term_ask(tenure, device, peer, false, NULL);
}

/*
 * The coordinator has lost the record. Its master knows best what it was, and asks at once if it
 * noticed under a valid lease: one that had been cut off for longer may have had a successor, and
 * waits a lease's time. But master or heir may never have heard of it: somewhat later, whoever
 * knows of it asks in their place.
 */
static void recreate(struct weir_tenure *tenure, struct device *device)
{
	unsigned master = device->master_peer;
	bool mine = master == 0 && weir_tenure_copy_lives(tenure, 0, device->record->master);
	uint64_t from_ns = device->regressed_ns;

	if (!mine)
		from_ns += tenure->lease_ns + tenure->lease_ns / 2;
	else if (!device->regressed_held)
		from_ns += tenure->lease_ns;
	if (tenure->now_ns < from_ns) {
		weir_tenure_wake_at(tenure, device, from_ns);
		return;
	}
	if (!mine && !weir_tenure_master_lives(tenure, device))
		master = taker(tenure, device);
	if (master != WEIR_NO_PEER)
		term_ask(tenure, device, master, false, NULL);
}

/* ------------------------------------------------------------------------------- mastery --- */

static bool mate_is_backup(
	const struct weir_tenure *tenure, const struct device *device, const struct mate *mate)
{
	return weir_tenure_is_backup(device, mate->peer);
}

static bool mate_is_equal(
	const struct weir_tenure *tenure, const struct device *device, const struct mate *mate)
{
	const struct weir_node *node = &tenure->nodes[mate->peer];

	return node->live && node->incarnation == mate->incarnation && !mate->lagging &&
	       (mate->caught == tenure->all_workers ||
		       (WEIR_DEFECT(CAUGHT_UP_ANY) && mate->caught != 0)) &&
	       mate_is_backup(tenure, device, mate);
}

/* It may be in the in-sync set of an active term: writes wait for it. */
static bool mate_counts(
	const struct weir_tenure *tenure, const struct device *device, const struct mate *mate)
{
	const struct weir_record_kept *record = device->record;

	return mate->offered ||
	       (record->active == record->term && weir_tenure_insync_idx(device, mate->peer) >= 0);
}

static void mates_tend(struct weir_tenure *tenure, struct device *device)
{
	for (unsigned i = 0; i < device->mates_count; i++) {
		struct mate *mate = &device->mates[i];
		const struct weir_node *node = &tenure->nodes[mate->peer];

		if (!node->live || mate_counts(tenure, device, mate))
			continue;
		if (mate->incarnation != node->incarnation ||
			(mate->lagging && tenure->now_ns >= mate->retry_ns))
			weir_tenure_attempt_begin(tenure, device, mate);
		else if (mate->lagging)
			weir_tenure_wake_at(tenure, device, mate->retry_ns);
	}
}

static void insync_want(
	const struct weir_tenure *tenure, const struct device *device, struct weir_record *want)
{
	memset(want->insync, 0, sizeof(want->insync));
	want->insync_count = 0;
	weir_record_insync_add(want, tenure->nodes[0].id, tenure->incarnation);
	for (unsigned i = 0; i < device->mates_count; i++)
		if (mate_is_equal(tenure, device, &device->mates[i]))
			weir_record_insync_add(want, tenure->nodes[device->mates[i].peer].id,
				device->mates[i].incarnation);
}

/* Whether a live backup is yet to catch up, and none has. */
static bool nobody_has_joined(const struct weir_tenure *tenure, const struct device *device)
{
	bool somebody_lives = false;

	for (unsigned i = 0; i < device->mates_count; i++) {
		const struct mate *mate = &device->mates[i];

		if (mate_is_equal(tenure, device, mate))
			return false;
		if (tenure->nodes[mate->peer].live && mate_is_backup(tenure, device, mate))
			somebody_lives = true;
	}
	return somebody_lives;
}

static void activate(struct weir_tenure *tenure, struct device *device)
{
	uint64_t grace_end_ns = device->settled_ns + tenure->conf.join_grace_ms * WEIR_NS_PER_MS;
	struct weir_record want;

	if (tenure->conf.unclean_takeover && device->hopeless_ns != 0 && !device->view.unclean)
		weir_tenure_wake_at(tenure, device, device->hopeless_ns + tenure->lease_ns);
	if (device->settled != tenure->all_workers &&
		!(WEIR_DEFECT(SETTLED_ANY) && device->settled != 0))
		return;
	if (tenure->now_ns < grace_end_ns && !WEIR_DEFECT(JOIN_GRACE_NONE) &&
		nobody_has_joined(tenure, device)) {
		weir_tenure_wake_at(tenure, device, grace_end_ns);
		return;
	}
	weir_record_of(device->record, &want);
	want.active = want.term;
	insync_want(tenure, device, &want);
	change_ask(tenure, device, &want, false, NULL);
}

/* A CHANGE that puts a mate into insync may yet be carried out, and the mate has fallen behind. */
static bool offer_stands(const struct weir_tenure *tenure, const struct device *device)
{
	for (unsigned i = 0; i < device->mates_count; i++)
		if (device->mates[i].offered && !mate_is_equal(tenure, device, &device->mates[i]))
			return true;
	return false;
}

static void tend(struct weir_tenure *tenure, struct device *device)
{
	struct weir_record have, want;

	weir_record_of(device->record, &have);
	want = have;
	insync_want(tenure, device, &want);
	backups_fill(tenure, device, &want);
	if (!weir_record_members_equal(&want, &have) || offer_stands(tenure, device))
		change_ask(tenure, device, &want, false, NULL);
}

static void rule(struct weir_tenure *tenure, struct device *device)
{
	unsigned heir;

	mates_tend(tenure, device);
	weir_tenure_refresh(tenure, device);
	heir = tenure->leaving ? weir_tenure_heir(tenure, device) : WEIR_NO_PEER;
	if (heir != WEIR_NO_PEER)
		term_ask(tenure, device, heir, false, NULL);
	else if (device->deposed || device->seen_term > device->record->term)
		term_ask(tenure, device, 0, false, NULL);
	else if (device->record->active < device->record->term)
		activate(tenure, device);
	else
		tend(tenure, device);
}

/* ------------------------------------------------------------------------------ requests --- */

static void request_done(
	struct weir_tenure *tenure, struct device *device, struct request *request, int err)
{
	bool known = device->record->revision != 0;
	struct weir_record record;

	weir_record_of(device->record, &record);
	STAILQ_REMOVE(&device->requests, request, request, link);
	STAILQ_INSERT_HEAD(&tenure->requests_free, request, link);
	weir_tenure_reply(tenure, request->ticket, err, known ? &record : NULL);
}

void weir_tenure_requests_fail(struct weir_tenure *tenure, struct device *device, int err)
{
	struct request *request = STAILQ_FIRST(&device->requests);

	while (request != NULL) {
		struct request *next = STAILQ_NEXT(request, link);

		if (!request->in_flight)
			request_done(tenure, device, request, err);
		request = next;
	}
}

static void add_ask(struct weir_tenure *tenure, struct device *device, struct request *request)
{
	struct weir_record want;

	roster(tenure, device, &want, 0, false);
	weir_record_insync_add(&want, tenure->nodes[0].id, tenure->incarnation);
	change_ask(tenure, device, &want, true, request);
}

/* @return 0: asked, 1: there is nothing to do, or why not */
static int master_ask(struct weir_tenure *tenure, struct device *device, struct request *request)
{
	if (!can_hold(tenure, request->peer))
		return WEIR_NOTFOUND;
	if (device->master_peer == request->peer && weir_tenure_master_lives(tenure, device))
		return 1;
	term_ask(tenure, device, request->peer, true, request);
	return 0;
}

/* The master becomes a backup or nothing: another takes its place. */
static int relinquish_ask(
	struct weir_tenure *tenure, struct device *device, struct request *request)
{
	unsigned heir = candidate(tenure, device, request->peer);
	bool stays = request->role == WEIR_ROLE_BACKUP;

	if (heir == WEIR_NO_PEER)
		return WEIR_NOTFOUND;
	if (!stays)
		device->shunned |= 1U << request->peer;
	term_ask(tenure, device, heir, stays, request);
	return 0;
}

static int standby_ask(struct weir_tenure *tenure, struct device *device, struct request *request)
{
	const char *node = tenure->nodes[request->peer].id;
	struct weir_record want;

	weir_record_of(device->record, &want);
	if (weir_record_backup_idx(&want, node) >= 0)
		return 1;
	if (want.backups_count == WEIR_BACKUPS_MAX)
		return WEIR_TOOBIG;
	weir_record_backup_insert(&want, want.backups_count, node);
	change_ask(tenure, device, &want, false, request);
	return 0;
}

static int none_ask(struct weir_tenure *tenure, struct device *device, struct request *request)
{
	const char *node = tenure->nodes[request->peer].id;
	struct weir_record want;

	if (!weir_tenure_is_backup(device, request->peer))
		return 1;
	/* From insync its master strikes it off: where that is dead, this may be the last copy. */
	weir_record_of(device->record, &want);
	weir_record_backup_drop(&want, node);
	change_ask(tenure, device, &want, false, request);
	return 0;
}

static int role_ask(struct weir_tenure *tenure, struct device *device, struct request *request)
{
	if (request->role == WEIR_ROLE_MASTER)
		return master_ask(tenure, device, request);
	if (device->master_peer == request->peer)
		return relinquish_ask(tenure, device, request);
	if (request->role == WEIR_ROLE_BACKUP)
		return standby_ask(tenure, device, request);
	return none_ask(tenure, device, request);
}

static int request_ask(struct weir_tenure *tenure, struct device *device, struct request *request)
{
	bool known = device->record->revision != 0;

	if (tenure->leaving)
		return WEIR_FENCED;
	if (request->add && known)
		return WEIR_EXISTS;
	if (request->add) {
		add_ask(tenure, device, request);
		return 0;
	}
	if (!known)
		return WEIR_NODEVICE;
	return role_ask(tenure, device, request);
}

/* Begins the requests that wait, until one has asked the coordinator. */
static void requests_run(struct weir_tenure *tenure, struct device *device)
{
	while (!device->changing && !STAILQ_EMPTY(&device->requests)) {
		struct request *request = STAILQ_FIRST(&device->requests);
		int err = request_ask(tenure, device, request);

		if (err != 0)
			request_done(tenure, device, request, err == 1 ? 0 : err);
	}
}

/* ------------------------------------------------------------------------------ deciding --- */

/* A device that a leaving master hands over is done when its next term is active. */
static void handing_check(struct weir_tenure *tenure, struct device *device)
{
	if (!device->handing)
		return;
	if (weir_tenure_is_master(tenure, device)) {
		if (device->changing || device->unsure ||
			weir_tenure_heir(tenure, device) != WEIR_NO_PEER)
			return;
	} else if (device->record->active < device->record->term) {
		return;
	}
	device->handing = false;
	tenure->handing--;
}

static void decide(struct weir_tenure *tenure, struct device *device)
{
	weir_tenure_wake_not(tenure, device);
	if (device->changing || device->unsure)
		return;
	if (device->regressed) {
		weir_tenure_requests_fail(tenure, device, WEIR_BUSY);
		recreate(tenure, device);
		return;
	}
	requests_run(tenure, device);
	if (device->changing)
		return;
	if (device->record->revision == 0) {
		weir_tenure_device_drop(tenure, device);
		return;
	}
	if (weir_tenure_is_master(tenure, device))
		rule(tenure, device);
	else
		takeover(tenure, device);
	handing_check(tenure, device);
}

void weir_tenure_work_run(struct weir_tenure *tenure)
{
	if (tenure->state != MEMBER_YES || !tenure->joined)
		return;
	for (unsigned i = 0; i < WEIR_TENURE_DECIDES_MAX; i++) {
		struct device *device = TAILQ_FIRST(&tenure->work);

		if (device == NULL || tenure->changes_count == WEIR_TENURE_CHANGES_MAX)
			return;
		TAILQ_REMOVE(&tenure->work, device, work);
		device->queued = false;
		decide(tenure, device);
	}
}

/* ------------------------------------------------------------------------------- answers --- */

static void offers_end(struct device *device)
{
	for (unsigned i = 0; i < device->mates_count; i++)
		device->mates[i].offered = false;
}

/* The record was not the expected one. */
static void change_conflict(struct weir_tenure *tenure, struct device *device,
	const struct change *change, const struct weir_coord_answer *answer)
{
	bool known = change->expected_revision == device->stored_revision;
	const struct weir_record *stored = answer->records_count > 0 ? answer->records : NULL;
	uint64_t stored_revision = stored != NULL ? stored->revision : 0;

	/* A fate that was open with the same expectation is decided too: it cannot happen. */
	offers_end(device);
	if (stored != NULL)
		weir_tenure_learn(tenure, stored, 0);
	if (device->stored_revision != change->expected_revision)
		return;
	if (known && device->record->revision != 0 && stored_revision != device->stored_revision) {
		weir_tenure_regress(tenure, device, stored);
		weir_tenure_pull_all(tenure);
		return;
	}
	weir_tenure_unsure(tenure, device);
	tenure->renewal.due_ns = tenure->now_ns;
}

static void request_answer(
	struct weir_tenure *tenure, struct device *device, struct request *request, int err)
{
	request->in_flight = false;
	if (err == WEIR_CONFLICT && ++request->tries < WEIR_TENURE_TRIES_MAX)
		return;
	request_done(tenure, device, request, err);
}

void weir_tenure_changed(struct weir_tenure *tenure, const struct weir_coord_answer *answer)
{
	struct change *slot = change_find(tenure, answer->ticket);
	struct change change;
	struct device *device;

	if (slot == NULL)
		return;
	change = *slot;
	device = change.device;
	slot->used = false;
	tenure->changes_count--;
	device->changing = false;
	weir_tenure_work_add(tenure, device);
	switch (answer->err) {
	case 0:
		tenure->stats.changes++;
		if (answer->records_count > 0)
			weir_tenure_learn(tenure, &answer->records[0], 0);
		break;
	case WEIR_CONFLICT:
		tenure->stats.changes_refused++;
		change_conflict(tenure, device, &change, answer);
		break;
	case WEIR_FENCED:
		offers_end(device);
		if (change.incarnation == tenure->incarnation)
			weir_tenure_fenced(tenure);
		break;
	default:
		NOTE(INFO, "device %s: the coordinator answers %s",
			weir_record_device(device->record), weir_err_code(answer->err));
		if (WEIR_DEFECT(OFFER_FORGOTTEN))
			offers_end(device);
		tenure->stats.changes_unknown++;
		weir_tenure_unsure(tenure, device);
		break;
	}
	/* An answer from another data set than the last RENEW's: one of the two has lost it. */
	if (answer->run != 0 && answer->run != tenure->run && tenure->state == MEMBER_YES)
		weir_tenure_pull_all(tenure);
	if (change.request != NULL)
		request_answer(tenure, device, change.request, answer->err);
	if (answer->err == WEIR_UNREACHABLE)
		weir_tenure_requests_fail(tenure, device, WEIR_UNREACHABLE);
	handing_check(tenure, device);
}
