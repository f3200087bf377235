/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "replica/state.h"

uint64_t weir_device_key(const char *device)
{
	return XXH3_64bits(device, strlen(device));
}

const char *weir_role_name(enum weir_role role)
{
	static const char *const names[] = {
		[WEIR_ROLE_NONE] = "none",
		[WEIR_ROLE_BACKUP] = "standby",
		[WEIR_ROLE_MASTER] = "master",
	};

	return role <= WEIR_ROLE_MASTER ? names[role] : "?";
}

/* -------------------------------------------------------------------------- life --- */

static uint32_t own_shards(unsigned worker, unsigned workers_count)
{
	uint32_t shards = 0;

	for (unsigned shard = worker; shard < WEIR_SHARDS; shard += workers_count)
		shards |= 1U << shard;
	return shards;
}

struct weir_replica *weir_replica_create(
	const struct weir_replica_conf *conf, const struct weir_replica_ops *ops, void *ctx)
{
	struct weir_replica *r = calloc(1, sizeof(*r));
	uint32_t pending_max = conf->pending_max == 0 ? WEIR_TASK_PENDING_MAX : conf->pending_max;

	weir_assert(pending_max <= WEIR_TASK_PENDING_MAX);
	weir_assert(conf->workers_count > 0 && conf->workers_count <= WEIR_WORKERS_MAX &&
		    (conf->workers_count & (conf->workers_count - 1)) == 0 &&
		    conf->worker < conf->workers_count);
	if (r == NULL)
		return NULL;
	r->pool = calloc(pending_max, sizeof(*r->pool));
	if (r->pool == NULL) {
		free(r);
		return NULL;
	}
	r->conf = *conf;
	r->ops = *ops;
	r->ctx = ctx;
	r->own = own_shards(conf->worker, conf->workers_count);
	LIST_INIT(&r->channels);
	TAILQ_INIT(&r->work);
	TAILQ_INIT(&r->waits);
	TAILQ_INIT(&r->reported);
	TAILQ_INIT(&r->due);
	TAILQ_INIT(&r->pool_free);
	for (unsigned i = 0; i < pending_max; i++)
		TAILQ_INSERT_TAIL(&r->pool_free, &r->pool[i], link);
	return r;
}

void weir_replica_destroy(struct weir_replica *r)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; i < r->slots_count; i++)
		if (r->slots[i] != NULL) {
			weir_master_queue_fail(r, r->slots[i], WEIR_UNKNOWN);
			weir_share_step_down(r, r->slots[i]);
		}
	while (!LIST_EMPTY(&r->channels))
		weir_channel_close(r, LIST_FIRST(&r->channels));
	for (unsigned i = 0; i < r->slots_count; i++)
		if (r->slots[i] != NULL)
			weir_share_free(r, r->slots[i]);
	free(r->slots);
	free(r->pool);
	free(r);
}

void weir_replica_time(struct weir_replica *r, uint64_t now_ns, uint64_t wall_ns)
{
	weir_assert(now_ns >= r->now_ns);
	if (wall_ns < r->wall_ns)
		r->wall_back_ns = now_ns;
	r->now_ns = now_ns;
	r->wall_ns = wall_ns;
}

bool weir_replica_lease_counts(const struct weir_replica *r, uint64_t until_ns, bool views_wait)
{
	return until_ns < r->lease_until_ns || !views_wait || WEIR_DEFECT(LEASE_BEFORE_VIEWS);
}

uint64_t weir_replica_lease(struct weir_replica *r, uint64_t until_ns, bool views_wait)
{
	if (weir_replica_lease_counts(r, until_ns, views_wait))
		r->lease_until_ns = until_ns;
	return r->lease_until_ns;
}

void weir_replica_stats(const struct weir_replica *r, struct weir_replica_stats *stats)
{
	*stats = r->stats;
}

/* ------------------------------------------------------------------------- views --- */

static void lead(struct weir_replica *r, struct share *share)
{
	uint64_t term = share->view.term;

	if (term <= share->overtaken)
		return;
	if (term < share->promised ||
		(term == share->promised && share->promised_peer != SELF_PEER)) {
		weir_share_deposed(r, share, share->promised);
		return;
	}
	weir_share_step_down(r, share);
	weir_share_promise(r, share, term, SELF_PEER);
	weir_settle_begin(r, share);
}

static void lead_on(struct weir_replica *r, struct share *share)
{
	if (share->settle != NULL)
		weir_settle_members(r, share);
	if (share->phase == PHASE_SETTLED && share->view.active == share->view.term) {
		share->phase = PHASE_ACTIVE;
		weir_share_synced_set(r, share, r->own, share->view.term);
	}
	if (share->phase == PHASE_SETTLED || share->phase == PHASE_ACTIVE)
		weir_joins_update(r, share);
	weir_share_work(r, share);
}

static void follow(struct weir_replica *r, struct share *share)
{
	if (weir_share_leads(share))
		weir_share_step_down(r, share);
	if (share->view.term > share->promised)
		weir_share_promise(r, share, share->view.term, share->view.master_peer);
	/* Its master may know more already: a view from before it was asked to join is old news. */
	if (!share->view.let_go ||
		(share->view.revision <= share->joined && !WEIR_DEFECT(LET_GO_STALE)))
		return;
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++)
		if (r->own & 1U << shard)
			weir_table_clear_shard(share->table, r->conf.mem, shard);
	weir_share_synced_set(r, share, r->own, 0);
}

/* Revisions grow within a term; a coordinator that has lost its data may begin a new one low. */
static bool is_older(const struct weir_view *a, const struct weir_view *b)
{
	return a->term != b->term ? a->term < b->term : a->revision < b->revision;
}

void weir_replica_view(struct weir_replica *r, const struct weir_view *view)
{
	struct share *share = weir_share_make(r, view->device_key);
	bool same_term;

	if (share == NULL || (share->viewed && is_older(view, &share->view)))
		return;
	same_term = share->viewed && view->term == share->view.term;
	if (weir_share_leads(share) && !same_term)
		weir_share_step_down(r, share);
	if (WEIR_DEFECT(B19) && same_term && view->active == share->view.active)
		return;
	share->view = *view;
	share->viewed = true;
	if (view->role != WEIR_ROLE_MASTER)
		follow(r, share);
	else if (same_term && weir_share_leads(share))
		lead_on(r, share);
	else
		lead(r, share);
}

/* ---------------------------------------------------------------------- channels --- */

static void for_each_share(struct weir_replica *r,
	void (*visit)(struct weir_replica *, struct share *, void *), void *ctx)
{
	for (unsigned i = 0; i < r->slots_count; i++)
		if (r->slots[i] != NULL)
			visit(r, r->slots[i], ctx);
}

static void wake(struct weir_replica *r, struct share *share, void *ctx)
{
	(void)ctx;
	if (weir_share_leads(share))
		weir_share_work(r, share);
}

void weir_replica_up(struct weir_replica *r, unsigned peer, unsigned worker, unsigned workers_count,
	uint64_t incarnation)
{
	weir_assert(peer < WEIR_NODES_MAX && worker < WEIR_WORKERS_MAX);
	if (r->peers[peer].channels[worker] != NULL)
		weir_replica_down(r, peer, worker);
	r->peers[peer].workers_count = (uint8_t)workers_count;
	r->peers[peer].incarnation = incarnation;
	if (weir_channel_open(r, peer, worker) == NULL)
		weir_log(WEIR_ROOM_REPLICA, WEIR_LOG_ERR, "out of memory for a channel");
	for_each_share(r, wake, NULL);
}

static void lose(struct weir_replica *r, struct share *share, void *ctx)
{
	unsigned peer = *(const unsigned *)ctx;
	struct join *join = weir_join_find(share, peer);

	if (join != NULL && join->state != JOIN_IDLE)
		weir_join_break(r, share, join);
	weir_settle_lost(r, share, peer);
}

void weir_replica_down(struct weir_replica *r, unsigned peer, unsigned worker)
{
	struct channel *channel = r->peers[peer].channels[worker];

	if (channel == NULL)
		return;
	for_each_share(r, lose, &peer);
	weir_channel_close(r, channel);
}

/* ---------------------------------------------------------------------- messages --- */

static void on_refused(struct weir_replica *r, const struct weir_wire_head *head)
{
	struct share *share = weir_share_find(r, head->device_key);

	if (share != NULL && weir_share_leads(share) && head->term > share->view.term &&
		!WEIR_DEFECT(B7))
		weir_share_deposed(r, share, head->term - 1);
}

static void on_unfit(
	struct weir_replica *r, const struct channel *channel, const struct weir_wire_head *head)
{
	struct share *share = weir_share_find(r, head->device_key);
	struct join *join;

	if (share == NULL || !weir_share_leads(share) || head->term != share->view.term)
		return;
	join = weir_join_find(share, channel->peer);
	if (join != NULL && join->state != JOIN_IDLE && !WEIR_DEFECT(UNFIT_IGNORED))
		weir_join_break(r, share, join);
}

/* Answers to a question of this term; those of an older one are dropped. */
static void on_answer(struct weir_replica *r, const struct channel *channel,
	const struct weir_wire_head *head, struct weir_in *in)
{
	struct share *share = weir_share_find(r, head->device_key);
	unsigned peer = channel->peer;
	struct weir_wire_sealed sealed;
	struct weir_wire_shards shards;
	struct weir_wire_digests digests;

	if (share == NULL || !weir_share_leads(share) ||
		(head->term != share->view.term && !WEIR_DEFECT(LATE_SEALED)))
		return;
	if (head->type == WEIR_WIRE_SEALED && weir_wire_get_sealed(in, &sealed) == 0)
		weir_settle_sealed(r, share, peer, &sealed);
	else if (head->type == WEIR_WIRE_SHARDS && weir_wire_get_shards(in, &shards) == 0)
		weir_join_shards(r, share, peer, &shards);
	else if (head->type != WEIR_WIRE_DIGESTS || weir_wire_get_digests(in, &digests) != 0)
		r->stats.bad_messages++;
	else if (share->settle != NULL)
		weir_settle_digests(r, share, peer, &digests);
	else
		weir_join_digests(r, share, peer, &digests);
}

void weir_replica_message(
	struct weir_replica *r, unsigned peer, unsigned worker, const void *bytes, size_t len)
{
	struct channel *channel = r->peers[peer].channels[worker];
	struct weir_in in = weir_in(bytes, len);
	struct weir_wire_head head;

	if (channel == NULL)
		return;
	r->done++;
	if (weir_wire_get_head(&in, &head) != 0) {
		r->stats.bad_messages++;
		channel->received++;
		return;
	}
	if (head.type == WEIR_WIRE_ACK) {
		weir_channel_acked(r, channel, head.term);
		return;
	}
	if (WEIR_DEFECT(ACK_FIRST)) {
		channel->received++;
		weir_channel_thank(r, channel);
		channel->received--;
	}
	if (head.type == WEIR_WIRE_REFUSED)
		on_refused(r, &head);
	else if (head.type == WEIR_WIRE_UNFIT)
		on_unfit(r, channel, &head);
	else if (head.type == WEIR_WIRE_SEALED || head.type == WEIR_WIRE_SHARDS ||
		 head.type == WEIR_WIRE_DIGESTS)
		on_answer(r, channel, &head, &in);
	else
		weir_backup_message(r, channel, &head, &in);
	channel->received++;
}

/* -------------------------------------------------------------------------- turn --- */

/* @return whether the share has more to do in the next turn */
static bool step(struct weir_replica *r, struct share *share)
{
	bool more = weir_settle_step(r, share);

	more |= weir_joins_step(r, share);
	more |= weir_counters_step(r, share);
	more |= weir_gift_step(r, share);
	weir_master_drain(r, share);
	return more || (share->queue_head != NULL && share->phase == PHASE_ACTIVE);
}

static void work(struct weir_replica *r)
{
	struct share *last = TAILQ_LAST(&r->work, share_list);
	struct share *share;

	while ((share = TAILQ_FIRST(&r->work)) != NULL) {
		TAILQ_REMOVE(&r->work, share, link);
		share->working = false;
		if (step(r, share))
			weir_share_work(r, share);
		if (share == last)
			break;
	}
}

static void break_join(struct weir_replica *r, struct share *share, void *ctx)
{
	struct join *join = weir_join_find(share, *(const unsigned *)ctx);

	if (join != NULL && join->state >= JOIN_ASKED && join->state <= JOIN_EQUAL)
		weir_join_break(r, share, join);
}

static bool is_silent(const struct weir_replica *r, const struct channel *channel)
{
	return channel->acked < channel->sent &&
	       r->now_ns - channel->progress_ns >= r->conf.insync_timeout_ns;
}

static void expire(struct weir_replica *r)
{
	struct share *share = TAILQ_FIRST(&r->waits);

	while (share != NULL) {
		struct share *next = TAILQ_NEXT(share, wait_link);

		weir_master_expire(r, share);
		if (share->queue_head == NULL && TAILQ_EMPTY(&share->pending)) {
			TAILQ_REMOVE(&r->waits, share, wait_link);
			share->waiting = false;
		}
		share = next;
	}
}

static void scan_channels(struct weir_replica *r)
{
	struct channel *channel;

	LIST_FOREACH (channel, &r->channels, link) {
		unsigned peer = channel->peer;

		if (is_silent(r, channel)) {
			for_each_share(r, break_join, &peer);
			channel->progress_ns = r->now_ns;
		}
	}
}

static void scan(struct weir_replica *r)
{
	scan_channels(r);
	expire(r);
}

/* Anti-entropy: where a period is over, the backups of all shares are compared, some a turn. */
static void check_round(struct weir_replica *r)
{
	if (r->checked >= r->slots_count && r->conf.anti_entropy_ns != 0 &&
		r->now_ns - r->check_ns >= r->conf.anti_entropy_ns) {
		r->check_ns = r->now_ns;
		r->checked = 0;
	}
	for (unsigned i = 0; i < CHECK_TURN_SLOTS && r->checked < r->slots_count; i++) {
		struct share *share = r->slots[r->checked++];

		if (share != NULL && share->phase == PHASE_ACTIVE)
			weir_joins_check(r, share);
	}
}

/* What must be said has no room: both ends begin anew rather than wait for ever. */
static void channel_turn(struct weir_replica *r, struct channel *channel)
{
	if (channel->broken) {
		if (!channel->given_up)
			r->ops.reset(r->ctx, channel->peer, channel->worker);
		r->stats.resets += !channel->given_up;
		channel->given_up = true;
		return;
	}
	weir_channel_flush(r, channel);
	weir_channel_thank(r, channel);
}

unsigned weir_replica_turn(struct weir_replica *r)
{
	struct channel *channel;
	unsigned done;

	work(r);
	if (r->now_ns >= r->scan_ns) {
		scan(r);
		r->scan_ns = r->now_ns + SCAN_PERIOD_NS;
	}
	check_round(r);
	weir_counters_round(r);
	LIST_FOREACH (channel, &r->channels, link)
		channel_turn(r, channel);
	done = r->done;
	r->done = 0;
	return done;
}
