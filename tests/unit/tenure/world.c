/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "world.h"

enum event_kind {
	EVENT_REQUEST,
	EVENT_ANSWER,
	EVENT_HINT,
	EVENT_WORK,
};

struct event {
	enum event_kind kind;
	uint64_t due_ns;
	uint64_t seq;
	unsigned node;
	uint64_t life;
	unsigned device;
	bool lost;
	struct weir_coord_request request;
	struct weir_node self;
	struct weir_record record;
	struct weir_coord_answer answer;
	struct weir_node *nodes;
	struct weir_record *records;
};

static void silent(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	if (getenv("WEIR_TEST_LOG") != NULL)
		fprintf(stderr, "  %s: %s\n", weir_log_room_name(room), line);
}

const char *node_name(unsigned i)
{
	static const char *const names[NODES] = {
		"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"};

	return names[i];
}

const char *device_name(unsigned i)
{
	static char name[32];

	snprintf(name, sizeof(name), "dev:%u", i);
	return name;
}

static unsigned node_number(const char *id)
{
	for (unsigned i = 0; i < NODES; i++)
		if (strcmp(node_name(i), id) == 0)
			return i;
	return NODES;
}

static unsigned device_number(const struct world *world, const char *device)
{
	unsigned number = (unsigned)atoi(device + strlen("dev:"));

	assert_true(number < world->devices_room);
	return number;
}

static struct event *event_add(
	struct world *world, enum event_kind kind, unsigned node, uint64_t due_ns)
{
	struct event *event;

	if (world->events_count == world->events_room) {
		world->events_room = world->events_room == 0 ? 64 : world->events_room * 2;
		world->events = realloc(world->events, world->events_room * sizeof(*world->events));
		assert_non_null(world->events);
	}
	event = &world->events[world->events_count++];
	memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->due_ns = due_ns;
	event->seq = ++world->seq;
	event->node = node;
	event->life = world->procs[node].life;
	return event;
}

/* ------------------------------------------------------------------------- tenure's effects --- */

struct home {
	struct world *world;
	unsigned node;
};

static struct home homes[NODES];

static struct proc *proc_of(void *ctx)
{
	struct home *home = ctx;

	return &home->world->procs[home->node];
}

static void op_ask(void *ctx, const struct weir_coord_request *request)
{
	struct home *home = ctx;
	struct world *world = home->world;
	struct proc *proc = proc_of(ctx);
	struct event *event =
		event_add(world, EVENT_REQUEST, home->node, world->now_ns + world->delay_ns);

	proc->asked[request->kind]++;
	if (request->kind == WEIR_COORD_CHANGE)
		proc->flying_changes++;
	if (proc->flying_changes > proc->flying_changes_top)
		proc->flying_changes_top = proc->flying_changes;
	event->request = *request;
	event->request.node = proc->id;
	if (request->self != NULL)
		event->self = *request->self;
	if (request->record != NULL)
		event->record = *request->record;
	event->lost = proc->cut;
}

static void work_later(struct world *world, unsigned node, unsigned device, uint64_t ns)
{
	event_add(world, EVENT_WORK, node, world->now_ns + ns)->device = device;
}

static void op_view(void *ctx, const struct weir_view *view, const struct weir_record *record)
{
	struct home *home = ctx;
	struct world *world = home->world;
	unsigned device = device_number(world, record->device);
	struct seen *seen = &proc_of(ctx)->seen[device];

	assert_true(view->term >= seen->view.term);
	assert_true(view->term == record->term && view->revision == record->revision);
	assert_true(view->device_key == weir_device_key(record->device));
	assert_int_not_equal(memcmp(view, &seen->view, sizeof(*view)), 0);
	seen->view = *view;
	seen->record = *record;
	seen->views++;
	/* Whoever has seen a term takes nothing of a lower one. */
	if (view->term > seen->promised)
		seen->promised = view->term;
	for (unsigned i = 0; i < NODES; i++) {
		const struct weir_member *m = member(world, home->node, device, i);

		if (m == NULL || m->attempt == 0 || m->attempt == seen->attempt_of_view[i])
			continue;
		seen->attempt_of_view[i] = m->attempt;
		seen->attempts_seen[i]++;
	}
	work_later(world, home->node, device, world->work_ns);
}

static void op_peer(void *ctx, unsigned peer, const struct weir_node *node)
{
	struct proc *proc = proc_of(ctx);
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(proc->tenure, &count);

	assert_in_range(peer, 1, count - 1);
	proc->peer_calls++;
	proc->peer_up[node_number(nodes[peer].id)] = node != NULL;
}

static void op_lease(void *ctx, uint64_t until_ns)
{
	struct proc *proc = proc_of(ctx);

	assert_true(until_ns == 0 || until_ns > proc->lease_until_ns);
	proc->lease_until_ns = until_ns;
}

static void op_reply(void *ctx, uint64_t ticket, int err, const struct weir_record *record)
{
	struct home *home = ctx;

	home->world->reply_err = err;
	home->world->reply_ticket = ticket;
	memset(&home->world->reply_record, 0, sizeof(home->world->reply_record));
	if (record != NULL)
		home->world->reply_record = *record;
}

static void op_event(void *ctx, const struct weir_tenure_event *event)
{
	proc_of(ctx)->events[event->kind]++;
	assert_true((event->record != NULL) != (event->node != NULL));
}

static void op_refused(void *ctx, const char *sentence)
{
	struct proc *proc = proc_of(ctx);

	proc->refused = true;
	snprintf(proc->sentence, sizeof(proc->sentence), "%s", sentence);
}

static void op_left(void *ctx)
{
	struct proc *proc = proc_of(ctx);

	assert_false(proc->left);
	proc->left = true;
}

static const struct weir_tenure_ops ops = {
	.ask = op_ask,
	.view = op_view,
	.peer = op_peer,
	.lease = op_lease,
	.reply = op_reply,
	.event = op_event,
	.refused = op_refused,
	.left = op_left,
};

/* ---------------------------------------------------------------------------- the players --- */

static bool within_reach(const struct world *world, unsigned node)
{
	const struct proc *proc = &world->procs[node];

	return proc->tenure != NULL && !proc->off_net && !proc->frozen;
}

static bool is_process(const struct world *world, unsigned node, const struct weir_member *m)
{
	return node < NODES && within_reach(world, node) &&
	       weir_tenure_incarnation(world->procs[node].tenure) == m->incarnation;
}

static unsigned member_node(struct world *world, unsigned node, const struct weir_member *m)
{
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(world->procs[node].tenure, &count);

	return node_number(nodes[m->peer].id);
}

void report(struct world *world, unsigned node, enum weir_report_kind kind, unsigned device,
	uint64_t term, unsigned worker, unsigned peer_node, uint32_t attempt)
{
	struct proc *proc = &world->procs[node];
	struct weir_report r = {
		.kind = (uint8_t)kind,
		.worker = (uint8_t)worker,
		.attempt = attempt,
		.device_key = weir_device_key(device_name(device)),
		.term = term,
	};
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(proc->tenure, &count);

	for (unsigned i = 0; i < count; i++)
		if (strcmp(nodes[i].id, node_name(peer_node)) == 0)
			r.peer = (uint8_t)i;
	weir_tenure_report(proc->tenure, &r, world->now_ns);
	proc->next_ns = world->now_ns;
}

/* Seals the copies; true: the share is settled. */
static bool seal(struct world *world, unsigned node, struct seen *mine, unsigned device)
{
	const struct weir_view *view = &mine->view;
	bool insync = view->self_insync || view->unclean;

	for (unsigned i = 0; i < view->members_count; i++) {
		const struct weir_member *m = &view->members[i];
		unsigned other = member_node(world, node, m);
		struct seen *theirs;

		if (!is_process(world, other, m)) {
			if (m->live && world->now_ns < view->seal_deadline_ns)
				return false;
			continue;
		}
		theirs = &world->procs[other].seen[device];
		if (theirs->promised > view->term) {
			report(world, node, WEIR_REPORT_DEPOSED, device, theirs->promised, 0, 0, 0);
			return false;
		}
		theirs->promised = view->term;
		insync |= m->insync;
	}
	return insync;
}

static void settle(struct world *world, unsigned node, unsigned device)
{
	struct seen *mine = &world->procs[node].seen[device];
	uint64_t term = mine->view.term;

	if (!seal(world, node, mine, device)) {
		work_later(world, node, device, MS(20));
		return;
	}
	mine->settled = term;
	if (!world->manual_settle)
		for (unsigned i = 0; i < WORKERS; i++)
			report(world, node, WEIR_REPORT_SETTLED, device, term, i, 0, 0);
}

static void join(struct world *world, unsigned node, unsigned device)
{
	struct seen *mine = &world->procs[node].seen[device];
	const struct weir_view view = mine->view;

	for (unsigned i = 0; i < view.members_count; i++) {
		const struct weir_member *m = &view.members[i];
		unsigned other = member_node(world, node, m);

		if (mine->failed[other] == m->attempt || !m->live || !m->backup)
			continue;
		if (!is_process(world, other, m)) {
			mine->joined[other] = 0;
			mine->failed[other] = m->attempt;
			report(world, node, WEIR_REPORT_LAGGING, device, view.term, 0, other,
				m->attempt);
			continue;
		}
		if (world->procs[other].seen[device].promised > view.term) {
			report(world, node, WEIR_REPORT_DEPOSED, device,
				world->procs[other].seen[device].promised, 0, 0, 0);
			return;
		}
		if (mine->tried[other] == m->attempt)
			continue;
		mine->tried[other] = m->attempt;
		mine->joined[other] = m->attempt;
		for (unsigned w = 0; w < WORKERS; w++)
			report(world, node, WEIR_REPORT_CAUGHT_UP, device, view.term, w, other,
				m->attempt);
	}
}

static void work(struct world *world, unsigned node, unsigned device)
{
	struct proc *proc = &world->procs[node];
	struct seen *mine = &proc->seen[device];

	if (proc->frozen || mine->view.role != WEIR_ROLE_MASTER)
		return;
	if (mine->promised > mine->view.term) {
		report(world, node, WEIR_REPORT_DEPOSED, device, mine->promised, 0, 0, 0);
		return;
	}
	if (mine->view.active < mine->view.term && mine->settled != mine->view.term)
		settle(world, node, device);
	if (mine->settled == mine->view.term && !world->manual_join)
		join(world, node, device);
}

/* ------------------------------------------------------------------------- the coordinator --- */

static void hints_send(struct world *world, unsigned from)
{
	for (unsigned i = 0; i < NODES; i++)
		if (i != from && world->procs[i].tenure != NULL && !world->procs[i].no_hints &&
			!world->procs[i].cut)
			event_add(world, EVENT_HINT, i, world->now_ns + world->delay_ns);
}

static void *copied(const void *from, size_t bytes)
{
	void *to = malloc(bytes + 1);

	assert_non_null(to);
	if (bytes > 0)
		memcpy(to, from, bytes);
	return to;
}

static void unreachable(struct world *world, const struct event *asked)
{
	struct event *event =
		event_add(world, EVENT_ANSWER, asked->node, asked->due_ns + world->timeout_ns);

	event->life = asked->life;
	event->answer = (struct weir_coord_answer){
		.kind = asked->request.kind,
		.ticket = asked->request.ticket,
		.err = WEIR_UNREACHABLE,
	};
}

static void carry_out(struct world *world, struct event *asked)
{
	struct proc *proc = &world->procs[asked->node];
	struct weir_coord_answer answer;
	struct event *event;

	asked->request.self = &asked->self;
	asked->request.record = &asked->record;
	if (asked->lost ||
		(world->filter != NULL && world->filter(world, asked->node, &asked->request))) {
		unreachable(world, asked);
		return;
	}
	weir_coord_rules_apply(world->rules, &asked->request, world->now_ns, &answer);
	if (world->no_expiry)
		answer.expiry_ms = 0;
	if (answer.kind == WEIR_COORD_CHANGE && answer.err == 0)
		hints_send(world, asked->node);
	if (proc->deaf || proc->cut) {
		unreachable(world, asked);
		return;
	}
	event = event_add(world, EVENT_ANSWER, asked->node, world->now_ns + world->delay_ns);
	if (answer.kind == WEIR_COORD_RENEW)
		event->due_ns += world->renew_delay_ns;
	event->life = asked->life;
	event->answer = answer;
	event->nodes = copied(answer.nodes, answer.nodes_count * sizeof(*answer.nodes));
	event->records = copied(answer.records, answer.records_count * sizeof(*answer.records));
}

/* ------------------------------------------------------------------------------- the clock --- */

static void take(struct world *world, struct event *event)
{
	struct proc *proc = &world->procs[event->node];
	bool alive = proc->tenure != NULL && proc->life == event->life;

	switch (event->kind) {
	case EVENT_REQUEST:
		carry_out(world, event);
		break;
	case EVENT_ANSWER:
		if (!alive)
			break;
		if (event->answer.kind == WEIR_COORD_CHANGE)
			proc->flying_changes--;
		event->answer.nodes = event->nodes;
		event->answer.records = event->records;
		weir_tenure_answer(proc->tenure, &event->answer, world->now_ns);
		proc->next_ns = world->now_ns;
		break;
	case EVENT_HINT:
		if (!alive)
			break;
		weir_tenure_hint(proc->tenure, world->now_ns);
		proc->next_ns = world->now_ns;
		break;
	case EVENT_WORK:
		if (alive)
			work(world, event->node, event->device);
		break;
	}
	free(event->nodes);
	free(event->records);
}

static unsigned event_next(const struct world *world)
{
	unsigned first = world->events_count;

	for (unsigned i = 0; i < world->events_count; i++) {
		const struct event *event = &world->events[i];
		const struct event *best = &world->events[first];

		if (event->kind != EVENT_REQUEST && event->kind != EVENT_WORK &&
			world->procs[event->node].frozen)
			continue;
		if (first == world->events_count || event->due_ns < best->due_ns ||
			(event->due_ns == best->due_ns && event->seq < best->seq))
			first = i;
	}
	return first;
}

static void ticks(struct world *world)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct proc *proc = &world->procs[i];

		if (proc->tenure != NULL && !proc->frozen && !world->no_ticks &&
			proc->next_ns <= world->now_ns)
			proc->next_ns = weir_tenure_tick(proc->tenure, world->now_ns);
	}
}

static bool is_open(const struct world *world, unsigned node, unsigned device)
{
	const struct proc *proc = &world->procs[node];
	const struct seen *s = &proc->seen[device];

	return proc->tenure != NULL && s->view.role == WEIR_ROLE_MASTER &&
	       s->view.active == s->view.term && s->promised <= s->view.term &&
	       world->now_ns < proc->lease_until_ns;
}

static void check(struct world *world)
{
	for (unsigned device = 0; device < world->devices_count; device++) {
		unsigned open = 0;

		for (unsigned i = 0; i < NODES; i++)
			open += is_open(world, i, device);
		if (open > 1)
			world_print(world);
		assert_in_range(open, 0, 1);
	}
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void world_step(struct world *world, uint64_t end_ns)
{
	unsigned first = event_next(world);
	uint64_t next_ns = end_ns;
	struct event event;

	if (first < world->events_count)
		next_ns = at_most(next_ns, world->events[first].due_ns);
	for (unsigned i = 0; i < NODES; i++)
		if (world->procs[i].tenure != NULL && !world->procs[i].frozen && !world->no_ticks)
			next_ns = at_most(next_ns, world->procs[i].next_ns);
	if (next_ns > world->now_ns)
		world->now_ns = next_ns;
	world->steps++;
	ticks(world);
	first = event_next(world);
	if (first < world->events_count && world->events[first].due_ns <= world->now_ns) {
		event = world->events[first];
		world->events[first] = world->events[--world->events_count];
		take(world, &event);
	}
	if (world->devices_count <= 16 && !world->has_forgotten)
		check(world);
}

void world_run(struct world *world, uint64_t ns)
{
	uint64_t end_ns = world->now_ns + ns;

	while (world->now_ns < end_ns)
		world_step(world, end_ns);
}

/* ------------------------------------------------------------------------------- the world --- */

void world_begin(struct world *world, unsigned devices_room)
{
	memset(world, 0, sizeof(*world));
	weir_log_sink_set(silent);
	world->rules = weir_coord_rules_create(1);
	world->now_ns = MS(1000);
	world->delay_ns = MS(1);
	world->timeout_ns = MS(100);
	world->work_ns = MS(1);
	world->devices_room = devices_room;
	world->conf = (struct weir_tenure_conf){
		.self = {.ipv4 = 1, .udp_port = 7000, .workers_count = WORKERS, .protocol = 1},
		.workers_count = WORKERS,
		.backup_count = 2,
		.lease_ms = LEASE_MS,
		.join_grace_ms = 2000,
		.leave_timeout_ms = 800,
	};
	for (unsigned i = 0; i < NODES; i++) {
		strcpy(world->procs[i].id, node_name(i));
		homes[i] = (struct home){world, i};
	}
}

void world_end(struct world *world)
{
	for (unsigned i = 0; i < NODES; i++)
		world_kill(world, i);
	for (unsigned i = 0; i < world->events_count; i++) {
		free(world->events[i].nodes);
		free(world->events[i].records);
	}
	free(world->events);
	weir_coord_rules_destroy(world->rules);
	weir_log_sink_set(NULL);
}

void world_start(struct world *world, unsigned node)
{
	struct proc *proc = &world->procs[node];
	uint64_t life = proc->life;

	assert_null(proc->tenure);
	memset(proc, 0, sizeof(*proc));
	strcpy(proc->id, node_name(node));
	proc->life = life + 1;
	proc->conf = world->conf;
	strcpy(proc->conf.self.id, proc->id);
	proc->seen = calloc(world->devices_room, sizeof(*proc->seen));
	proc->tenure = weir_tenure_create(&proc->conf, &ops, &homes[node], world->now_ns);
	assert_non_null(proc->tenure);
	proc->next_ns = world->now_ns;
}

void world_kill(struct world *world, unsigned node)
{
	struct proc *proc = &world->procs[node];

	if (proc->tenure == NULL)
		return;
	weir_tenure_destroy(proc->tenure);
	proc->tenure = NULL;
	free(proc->seen);
	proc->seen = NULL;
}

/* Masters notice what has joined and is out of reach now. */
static void losses_report(struct world *world)
{
	for (unsigned i = 0; i < NODES; i++) {
		if (world->procs[i].tenure == NULL)
			continue;
		for (unsigned d = 0; d < world->devices_count; d++) {
			struct seen *mine = &world->procs[i].seen[d];

			for (unsigned k = 0; k < NODES; k++)
				if (mine->view.role == WEIR_ROLE_MASTER && mine->joined[k] != 0)
					work_later(world, i, d, MS(50));
		}
	}
}

void world_net(struct world *world, unsigned node, bool up)
{
	world->procs[node].off_net = !up;
	losses_report(world);
}

void world_freeze(struct world *world, unsigned node, bool frozen)
{
	world->procs[node].frozen = frozen;
	losses_report(world);
	if (!frozen)
		for (unsigned d = 0; d < world->devices_count; d++)
			work_later(world, node, d, 1);
}

static int replied(struct world *world)
{
	world_until(world, MS(10000), world->reply_ticket == world->ticket);
	return world->reply_err;
}

int world_add(struct world *world, unsigned node, unsigned device)
{
	if (device >= world->devices_count)
		world->devices_count = device + 1;
	weir_tenure_device_add(
		world->procs[node].tenure, ++world->ticket, device_name(device), world->now_ns);
	world->procs[node].next_ns = world->now_ns;
	return replied(world);
}

int world_role(
	struct world *world, unsigned node, unsigned device, unsigned of, enum weir_role role)
{
	weir_tenure_role_set(world->procs[node].tenure, ++world->ticket, device_name(device),
		node_name(of), role, world->now_ns);
	world->procs[node].next_ns = world->now_ns;
	return replied(world);
}

int world_master(struct world *world, unsigned node, unsigned device, unsigned to)
{
	return world_role(world, node, device, to, WEIR_ROLE_MASTER);
}

/* --------------------------------------------------------------------------------- looking --- */

const struct weir_record *stored(struct world *world, unsigned device)
{
	const struct weir_record *record =
		weir_coord_rules_record(world->rules, device_name(device));
	static const struct weir_record none;

	return record != NULL ? record : &none;
}

struct seen *seen(struct world *world, unsigned node, unsigned device)
{
	return &world->procs[node].seen[device];
}

const struct weir_member *member(
	struct world *world, unsigned node, unsigned device, unsigned other)
{
	const struct weir_view *view = &world->procs[node].seen[device].view;

	for (unsigned i = 0; i < view->members_count; i++)
		if (member_node(world, node, &view->members[i]) == other)
			return &view->members[i];
	return NULL;
}

static bool is_copy(struct world *world, const struct weir_copy *copy, unsigned node)
{
	const struct proc *proc = &world->procs[node];

	return proc->tenure != NULL && strcmp(copy->node, proc->id) == 0 &&
	       copy->incarnation == weir_tenure_incarnation(proc->tenure);
}

bool is_insync(struct world *world, unsigned device, unsigned node)
{
	const struct weir_record *record = stored(world, device);

	for (unsigned i = 0; i < record->insync_count; i++)
		if (is_copy(world, &record->insync[i], node))
			return true;
	return false;
}

bool is_active_at(struct world *world, unsigned device, unsigned node)
{
	const struct weir_record *record = stored(world, device);

	return record->term != 0 && record->active == record->term &&
	       is_copy(world, &record->master, node);
}

bool serves(struct world *world, unsigned device, unsigned node)
{
	return is_active_at(world, device, node) && is_open(world, node, device) &&
	       world->procs[node].seen[device].view.term == stored(world, device)->term;
}

void world_settled(struct world *world, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		world_start(world, i);
	world_run(world, MS(50));
	assert_int_equal(world_add(world, 0, 0), 0);
	world_until(world, MS(3000), serves(world, 0, 0));
	world_until(world, MS(3000),
		stored(world, 0)->insync_count == (count < 1U + world->conf.backup_count
								  ? count
								  : 1U + world->conf.backup_count));
}

void world_print(struct world *world)
{
	for (unsigned d = 0; d < world->devices_count; d++) {
		const struct weir_record *r = stored(world, d);

		fprintf(stderr, "dev:%u term %llu active %llu revision %llu master %s/%llu:", d,
			(unsigned long long)r->term, (unsigned long long)r->active,
			(unsigned long long)r->revision, r->master.node,
			(unsigned long long)r->master.incarnation);
		for (unsigned i = 0; i < r->backups_count; i++)
			fprintf(stderr, " %s", r->backups[i]);
		fprintf(stderr, "; in sync");
		for (unsigned i = 0; i < r->insync_count; i++)
			fprintf(stderr, " %s/%llu", r->insync[i].node,
				(unsigned long long)r->insync[i].incarnation);
		fprintf(stderr, "\n");
		for (unsigned i = 0; i < NODES; i++) {
			const struct proc *proc = &world->procs[i];
			const struct seen *s = proc->tenure != NULL ? &proc->seen[d] : NULL;

			if (s == NULL)
				continue;
			fprintf(stderr,
				"  %s/%llu: %s term %llu active %llu revision %llu promised %llu "
				"settled %llu lease %lld ms%s%s%s%s\n",
				proc->id, (unsigned long long)weir_tenure_incarnation(proc->tenure),
				(const char *[]){"none", "backup", "master"}[s->view.role],
				(unsigned long long)s->view.term,
				(unsigned long long)s->view.active,
				(unsigned long long)s->view.revision,
				(unsigned long long)s->promised, (unsigned long long)s->settled,
				((long long)proc->lease_until_ns - (long long)world->now_ns) /
					(long long)WEIR_NS_PER_MS,
				proc->cut ? " cut" : "", proc->deaf ? " deaf" : "",
				proc->frozen ? " frozen" : "", proc->off_net ? " off" : "");
		}
	}
}
