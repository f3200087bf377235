/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The coordinator as a pair: the first carries requests out, the second follows it, and an
 * answer leaves when the second has what it speaks of. So a failover loses nothing that was
 * answered: that is the assumption under which no acknowledged write may be lost. Where the plan
 * is hasty it does not wait, and a failover loses what was answered.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static const char *const kinds[] = {"REGISTER", "RENEW", "CHANGE", "LEAVE"};

void sim_coord_begin(struct sim *sim)
{
	sim->coord.run = 1;
	sim->coord.first = weir_coord_rules_create(1);
	sim->coord.second = weir_coord_rules_create(1);
}

static void list_leave(struct sim_request *request)
{
	if (request->prev == NULL)
		return;
	*request->prev = request->next;
	if (request->next != NULL)
		request->next->prev = request->prev;
	request->prev = NULL;
}

void sim_coord_unref(struct sim_request *request)
{
	if (--request->refs > 0)
		return;
	list_leave(request);
	free(request->nodes);
	free(request->records);
	free(request);
}

void sim_coord_end(struct sim *sim)
{
	weir_coord_rules_destroy(sim->coord.first);
	weir_coord_rules_destroy(sim->coord.second);
}

const struct weir_record *sim_coord_record(const struct sim *sim, unsigned device)
{
	return weir_coord_rules_record(sim->coord.second, sim->devices[device].name);
}

static uint64_t way(struct sim *sim)
{
	const struct sim_plan *plan = &sim->plan;

	if (!sim->calm && sim_chance(sim, plan->coord_tail_ppm))
		return sim_between(sim, plan->coord_ns, plan->coord_tail_ns);
	return sim_between(sim, plan->coord_ns / 2, plan->coord_ns);
}

static bool lost(struct sim *sim)
{
	return !sim->calm && sim_chance(sim, sim->plan.coord_lose_ppm);
}

/* One after another on one connection. */
static uint64_t in_line(uint64_t *last_ns, uint64_t at_ns)
{
	if (at_ns < *last_ns)
		at_ns = *last_ns;
	return *last_ns = at_ns;
}

static bool is_mine(const struct sim_node *node, const struct sim_request *request)
{
	return node->alive && node->life == request->life;
}

static void answer_send(struct sim *sim, struct sim_request *request,
	const struct weir_coord_answer *told, uint64_t at_ns)
{
	request->told = *told;
	request->answered = true;
	list_leave(request);
	request->refs++;
	sim_push(sim, SIM_ANSWER, at_ns, request->node, 0, request);
}

static void change_watch(struct sim_node *node, const struct weir_record *want)
{
	const struct sim_standing *standing =
		&node->standing[sim_device_number(node->sim, want->device)];

	if (standing->known && standing->view.active < want->term)
		sim_watch_activating(node, want);
}

/* Another asks for a term: just before it, what was late arrives. */
static void late_arrive(struct sim *sim, unsigned asker)
{
	struct sim_request *request;

	for (unsigned i = 0; i < sim->plan.processes; i++)
		if (i != asker)
			sim->coord.late_ns[i] = 0;
	for (request = sim->coord.open; request != NULL; request = request->next) {
		if (request->node == asker || !request->late || request->carried)
			continue;
		request->late = false;
		request->refs++;
		sim_push(sim, SIM_REQUEST, sim->now_ns + SIM_US(1), request->node, 0, request);
	}
}

static uint64_t arrival(struct sim_node *node, struct sim_request *request)
{
	struct sim *sim = node->sim;
	const struct weir_coord_request *asked = &request->copy.request;

	request->late = sim->coord.late_ns[node->number] > sim->now_ns;
	if (request->late)
		return sim->coord.late_ns[node->number] + way(sim);
	if (asked->kind == WEIR_COORD_CHANGE && !asked->new_term && !sim->calm &&
		sim_chance(sim, sim->plan.coord_late_ppm))
		return sim->now_ns + sim->plan.coord_timeout_ns +
		       sim_below(sim, SIM_MS(sim->plan.lease_ms));
	return in_line(&node->conn_at_ns[0], sim->now_ns + way(sim));
}

void sim_coord_ask(struct sim_node *node, const struct weir_coord_request *asked)
{
	struct sim *sim = node->sim;
	struct sim_request *request = calloc(1, sizeof(*request));

	weir_assert(request != NULL);
	weir_coord_request_copy(&request->copy, asked);
	request->node = node->number;
	request->life = node->life;
	request->conn = node->conn;
	request->next = sim->coord.open;
	if (request->next != NULL)
		request->next->prev = &request->next;
	request->prev = &sim->coord.open;
	sim->coord.open = request;
	if (asked->kind == WEIR_COORD_CHANGE)
		sim_note(sim,
			"%s asked by n%lu for d%lu: term %lu active %lu, revision %lu, new term "
			"%lu",
			kinds[asked->kind], node->number,
			(uint64_t)sim_device_number(sim, asked->record->device),
			asked->record->term, asked->record->active, asked->expected_revision,
			asked->new_term);
	if (asked->kind == WEIR_COORD_CHANGE && asked->new_term)
		sim_watch_term(node, asked);
	if (asked->kind == WEIR_COORD_CHANGE && !asked->new_term &&
		asked->record->active == asked->record->term && !sim->plan.lossy)
		change_watch(node, asked->record);
	request->refs = 1;
	sim_push(sim, SIM_OVERDUE, sim->now_ns + sim->plan.coord_timeout_ns, node->number, 0,
		request);
	if (asked->kind == WEIR_COORD_CHANGE && asked->new_term)
		late_arrive(sim, node->number);
	if (lost(sim) || sim->coord.cut_ns[node->number] > sim->now_ns)
		return;
	request->refs++;
	sim_push(sim, SIM_REQUEST, arrival(node, request), node->number, 0, request);
}

/* ------------------------------------------------------------------------------- effect --- */

static void *copied(const void *from, size_t bytes)
{
	void *to = malloc(bytes + 1);

	weir_assert(to != NULL);
	if (bytes > 0)
		memcpy(to, from, bytes);
	return to;
}

static void keep_answer(struct sim_request *request)
{
	struct weir_coord_answer *answer = &request->answer;

	request->nodes = copied(answer->nodes, answer->nodes_count * sizeof(*request->nodes));
	request->records =
		copied(answer->records, answer->records_count * sizeof(*request->records));
}

static void hints_send(struct sim *sim, unsigned from)
{
	for (unsigned i = 0; i < sim->plan.processes; i++)
		if (i != from && sim->nodes[i].alive && sim->coord.cut_ns[i] <= sim->now_ns &&
			!lost(sim) && sim_chance(sim, 900000) &&
			(sim->calm || !sim_chance(sim, sim->plan.hint_lose_ppm)))
			sim_push(sim, SIM_HINT, sim->now_ns + way(sim), i, 0, NULL);
}

/*
 * Somebody else is made master just when a master's change has been carried out, and is quicker
 * than the answer. @return how much later that is
 */
static uint64_t overtake(struct sim *sim, const struct sim_request *request)
{
	const struct weir_record *record = &request->records[0];
	unsigned pick = (unsigned)sim_below(sim, WEIR_COPIES_MAX);
	int node;

	if (request->answer.kind != WEIR_COORD_CHANGE || request->copy.request.new_term ||
		request->answer.err != 0 || sim->calm || !sim_chance(sim, sim->plan.overtake_ppm))
		return 0;
	if (pick >= record->insync_count)
		return 0;
	node = sim_node_number(record->insync[pick].node);
	if ((unsigned)node == request->node)
		return 0;
	sim_push(sim, SIM_OPERATE, sim->now_ns + sim_below(sim, SIM_MS(1)), (unsigned)node,
		(unsigned)sim_device_number(sim, record->device), NULL);
	return sim_between(sim, SIM_MS(5), SIM_MS(sim->plan.lease_ms / 4));
}

/* What was done counts from now on, and is answered. */
static void counts(struct sim *sim, struct sim_request *request)
{
	struct sim_coord *coord = &sim->coord;
	struct sim_node *node = &sim->nodes[request->node];
	enum weir_coord_kind kind = request->copy.request.kind;
	bool done = request->answer.err == 0;

	if ((kind == WEIR_COORD_RENEW || kind == WEIR_COORD_REGISTER) && done)
		coord->lease_end_ns[request->node] =
			request->applied_ns + SIM_MS(request->copy.request.lease_ms);
	if (kind == WEIR_COORD_REGISTER && done)
		coord->newest[node->name] = request->answer.incarnation;
	if (kind == WEIR_COORD_LEAVE && done) {
		coord->lease_end_ns[request->node] = 0;
		sim_watch_left(sim, request->node);
	}
	if (request->copy.request.new_term && done)
		sim_watch_made(sim, &request->records[0], request->applied_ns);
	if (request->activates)
		sim_check_active(sim, &request->records[0]);
	if (kind == WEIR_COORD_CHANGE && done)
		hints_send(sim, request->node);
	if (request->answered || !is_mine(node, request) || lost(sim) ||
		coord->cut_ns[request->node] > sim->now_ns || coord->down_ns > sim->now_ns)
		return;
	request->answer.nodes = request->nodes;
	request->answer.records = request->records;
	answer_send(sim, request, &request->answer,
		in_line(&node->conn_at_ns[1], sim->now_ns + way(sim) + overtake(sim, request)));
}

static uint64_t copy_way(struct sim *sim)
{
	uint64_t lag_ns = sim->plan.hasty && !sim->calm ? sim_below(sim, sim->plan.lag_ns + 1) : 0;

	return way(sim) / 4 + lag_ns;
}

void sim_coord_request(struct sim *sim, struct sim_request *request)
{
	struct sim_coord *coord = &sim->coord;
	const struct weir_coord_request *asked = &request->copy.request;
	bool was_active;

	if (coord->down_ns > sim->now_ns)
		return;
	if (coord->hang_ns > sim->now_ns) {
		request->refs++;
		sim_push(sim, SIM_REQUEST, coord->hang_ns + sim_below(sim, SIM_MS(2)),
			request->node, 0, request);
		return;
	}
	if (request->carried)
		return;
	request->carried = true;
	was_active = asked->kind == WEIR_COORD_CHANGE && !asked->new_term;
	if (was_active) {
		const struct weir_record *before =
			weir_coord_rules_record(coord->first, asked->record->device);

		was_active = before != NULL && before->active < before->term;
	}
	weir_coord_rules_apply(coord->first, asked, sim->now_ns, &request->answer);
	keep_answer(request);
	request->activates = was_active && request->answer.err == 0 &&
			     request->records[0].active == request->records[0].term;
	/* Whoever has asked is dead: what is done for it may strike the last copy off. */
	if (!is_mine(&sim->nodes[request->node], request))
		sim_watch_death(sim);
	request->applied_ns = sim->now_ns;
	request->generation = coord->generation;
	if (asked->kind == WEIR_COORD_CHANGE)
		sim_note(sim, "%s for n%lu on d%lu: term %lu active %lu revision %lu insync %lu",
			request->answer.err == 0 ? "CHANGED" : weir_err_code(request->answer.err),
			request->node, (uint64_t)sim_device_number(sim, asked->record->device),
			request->answer.records_count > 0 ? request->records[0].term : 0,
			request->answer.records_count > 0 ? request->records[0].active : 0,
			request->answer.records_count > 0 ? request->records[0].revision : 0,
			request->answer.records_count > 0 ? request->records[0].insync_count : 0);
	else if (asked->kind != WEIR_COORD_RENEW || request->answer.err != 0)
		sim_note(sim, "%s of n%lu is answered %lu, incarnation %lu", kinds[asked->kind],
			request->node, (uint64_t)-request->answer.err, request->answer.incarnation,
			0, 0, 0);
	request->refs++;
	sim_push(sim, SIM_CONFIRM, in_line(&coord->confirm_ns, sim->now_ns + copy_way(sim)),
		request->node, 0, request);
	if (sim->plan.hasty)
		counts(sim, request);
}

void sim_coord_confirm(struct sim *sim, struct sim_request *request)
{
	struct sim_coord *coord = &sim->coord;
	struct weir_coord_answer again;

	if (request->generation != coord->generation) {
		sim->stats.forgotten += request->copy.request.kind == WEIR_COORD_CHANGE &&
					request->answer.err == 0 && request->answered;
		return;
	}
	weir_coord_rules_apply(coord->second, &request->copy.request, request->applied_ns, &again);
	if (again.err != request->answer.err)
		sim_fail(sim, "the coordinator's copy answers %d and not %d", again.err,
			request->answer.err);
	if (!sim->plan.hasty)
		counts(sim, request);
}

/** No answer for so long: the driver gives the connection up, and all that was asked on it. */
void sim_coord_overdue(struct sim *sim, struct sim_request *request)
{
	struct sim_node *node = &sim->nodes[request->node];
	struct sim_request *other = sim->coord.open;
	struct weir_coord_answer told = {.err = WEIR_UNREACHABLE};

	if (request->answered || !is_mine(node, request))
		return;
	while (other != NULL) {
		struct sim_request *next = other->next;

		if (other->node == request->node && other->life == request->life &&
			other->conn == request->conn) {
			/* What has been decided of it is not known to its asker. */
			told.kind = other->copy.request.kind;
			told.ticket = other->copy.request.ticket;
			answer_send(sim, other, &told, sim->now_ns);
		}
		other = next;
	}
	if (node->conn == request->conn) {
		node->conn++;
		node->conn_at_ns[0] = node->conn_at_ns[1] = 0;
	}
}

/* ---------------------------------------------------------------------------- accidents --- */

/** The first is lost with what the second has not heard of; the second takes its place. */
void sim_coord_failover(struct sim *sim)
{
	struct sim_coord *coord = &sim->coord;

	sim_note(sim, "%sthe coordinator fails over", "", 0, 0, 0, 0, 0, 0);
	coord->generation++;
	coord->run++;
	weir_coord_rules_destroy(coord->first);
	coord->first = coord->second;
	weir_coord_rules_run_set(coord->first, coord->run);
	coord->second = weir_coord_rules_clone(coord->first);
}

void sim_coord_empty(struct sim *sim)
{
	struct sim_coord *coord = &sim->coord;

	sim_note(sim, "%sthe coordinator comes back empty", "", 0, 0, 0, 0, 0, 0);
	coord->generation++;
	coord->run++;
	weir_coord_rules_forget(coord->first, coord->run);
	weir_coord_rules_forget(coord->second, coord->run);
}
