/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define CHECK_NS     SIM_MS(20)
#define START_NS     SIM_MS(1000)
#define COPIES_EVERY 4           /**< checks, of which one looks into the copies */
#define TAIL_NS      SIM_MS(300) /**< clients go on so long after the last fault */
#define SHOW_LAST    48

/* ------------------------------------------------------------------------------- chance --- */

/* SplitMix64 (Steele, Lea and Flood, 2014). */
uint64_t sim_random(struct sim *sim)
{
	uint64_t z = sim->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

uint64_t sim_below(struct sim *sim, uint64_t limit)
{
	return (uint64_t)((unsigned __int128)sim_random(sim) * limit >> 64);
}

/** From `from` to `to`, both included; `from` where `to` is smaller. */
uint64_t sim_between(struct sim *sim, uint64_t from, uint64_t to)
{
	return to <= from ? from : from + sim_below(sim, to - from + 1);
}

bool sim_chance(struct sim *sim, uint32_t ppm)
{
	return ppm != 0 && sim_below(sim, 1000000) < ppm;
}

/* -------------------------------------------------------------------------------- trace --- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void line_print(const struct sim_trace_line *line)
{
	const uint64_t *a = line->args;

	printf("%8" PRIu64 " %11.3f ms  ", line->event, (double)line->at_ns / 1e6);
	printf(line->format, line->word, a[0], a[1], a[2], a[3], a[4], a[5]);
	putchar('\n');
}
#pragma GCC diagnostic pop

/** Remembers a line: `format` takes the word first, then as many numbers (%lu) as it names. */
void sim_note(struct sim *sim, const char *format, const char *word, uint64_t a, uint64_t b,
	uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	struct sim_trace_line *line = &sim->trace[sim->trace_count++ % SIM_TRACE];

	*line = (struct sim_trace_line){
		sim->event_number, sim->now_ns, format, word, {a, b, c, d, e, f}};
	if (sim->options->trace)
		line_print(line);
}

void sim_trace_print(const struct sim *sim)
{
	uint64_t from = sim->trace_count > SHOW_LAST ? sim->trace_count - SHOW_LAST : 0;

	if (sim->options->trace)
		return;
	for (uint64_t i = from; i < sim->trace_count; i++)
		line_print(&sim->trace[i % SIM_TRACE]);
}

static void plan_print(const struct sim *sim)
{
	const struct sim_plan *plan = &sim->plan;

	printf("seed %" PRIu64 ": %s%s, %u nodes with %u", sim->seed, plan->mood,
		plan->lossy ? " with loss" : "", plan->nodes, plan->workers[0]);
	for (unsigned i = 1; i < plan->nodes; i++)
		printf("/%u", plan->workers[i]);
	printf(" workers, %u devices, %u rules, %u clients, backup_count %u, lease %u ms\n",
		plan->devices, plan->rules, plan->clients, plan->backup_count, plan->lease_ms);
}

_Noreturn void sim_fail(struct sim *sim, const char *format, ...)
{
	va_list args;

	plan_print(sim);
	sim_trace_print(sim);
	printf("VIOLATION seed %" PRIu64 " event %" PRIu64 " at %.3f ms: ", sim->seed,
		sim->event_number, (double)sim->now_ns / 1e6);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	if (sim->options->verdict != NULL) {
		va_start(args, format);
		vsnprintf(sim->options->verdict, SIM_VERDICT, format, args);
		va_end(args);
	}
	printf("\n");
	fflush(stdout);
	_Exit(1);
}

/* ------------------------------------------------------------------------------- events --- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

/** @return the event's number, by which its owner knows it again */
uint64_t sim_push(struct sim *sim, enum sim_event_kind kind, uint64_t at_ns, unsigned node,
	unsigned worker, void *what)
{
	struct sim_event event = {.at_ns = at_ns,
		.seq = ++sim->seq,
		.kind = (uint8_t)kind,
		.node = (uint8_t)node,
		.worker = (uint8_t)worker,
		.life = node < SIM_PROCESSES ? sim->nodes[node].life : 0,
		.what = what};
	unsigned at;

	if (sim->heap_count + 1 >= sim->heap_room) {
		sim->heap_room = sim->heap_room == 0 ? 1024 : 2 * sim->heap_room;
		sim->heap = realloc(sim->heap, sim->heap_room * sizeof(sim->heap[0]));
		weir_assert(sim->heap != NULL);
	}
	at = ++sim->heap_count;
	while (at > 1 && before(&event, &sim->heap[at / 2])) {
		sim->heap[at] = sim->heap[at / 2];
		at /= 2;
	}
	sim->heap[at] = event;
	return event.seq;
}

static struct sim_event pop(struct sim *sim)
{
	struct sim_event first = sim->heap[1];
	struct sim_event last = sim->heap[sim->heap_count--];
	unsigned at = 1;

	for (unsigned child = 2; child <= sim->heap_count; child = 2 * at) {
		if (child < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!before(&sim->heap[child], &last))
			break;
		sim->heap[at] = sim->heap[child];
		at = child;
	}
	sim->heap[at] = last;
	return first;
}

/* ---------------------------------------------------------------------------- the whole --- */

int sim_device_number(const struct sim *sim, const char *name)
{
	for (unsigned i = 0; i < sim->plan.devices; i++)
		if (strcmp(sim->devices[i].name, name) == 0)
			return (int)i;
	return -1;
}

int sim_device_by_key(const struct sim *sim, uint64_t key)
{
	for (unsigned i = 0; i < sim->plan.devices; i++)
		if (sim->devices[i].key == key)
			return (int)i;
	return -1;
}

/** "n1" is 0; -1: nobody. */
int sim_node_number(const char *id)
{
	return id[0] == 'n' ? id[1] - '1' : -1;
}

static struct weir_rule *rule_make(unsigned number)
{
	struct weir_rule *rule = calloc(1, sizeof(*rule) + 16);

	weir_assert(rule != NULL);
	rule->priority = 100;
	rule->match_len = 8;
	rule->instr_len = 8;
	memcpy(rule->data, &number, sizeof(number));
	rule->flow_id = weir_rule_flow_id(rule, 0);
	return rule;
}

/* Any rules, or such as share a few buckets. */
static void rules_make(struct sim *sim, struct sim_device *device)
{
	unsigned bucket, number;

	if (sim->plan.bulky) {
		sim_bulk_rules(sim, device);
		sim_sundry_rules(sim, device);
		return;
	}
	bucket = (unsigned)sim_below(sim, WEIR_BUCKETS);
	number = (unsigned)sim_below(sim, 1000);

	for (unsigned i = 0; i < sim->plan.rules; i++) {
		struct weir_rule *rule = rule_make(number++);

		while (sim->plan.crowded &&
			(weir_flow_bucket(rule->flow_id) ^ bucket) % WEIR_BUCKETS > 3) {
			free(rule);
			rule = rule_make(number++);
		}
		device->rules[i] = rule;
	}
	sim_sundry_rules(sim, device);
}

static void begin(struct sim *sim)
{
	sim_plan_make(sim);
	sim_extra_make(sim);
	for (unsigned i = 0; i < sim->plan.devices; i++) {
		struct sim_device *device = &sim->devices[i];

		snprintf(device->name, sizeof(device->name), "d%u", i);
		device->key = weir_device_key(device->name);
		rules_make(sim, device);
	}
	sim->now_ns = START_NS;
	sim_node_begin(sim);
	sim_net_begin(sim);
	sim_coord_begin(sim);
	sim_model_begin(sim);
	for (unsigned i = 0; i < sim->plan.nodes; i++)
		sim_push(sim, SIM_BIRTH, sim->now_ns + sim_below(sim, SIM_MS(20)), i, 0, NULL);
	sim_client_begin(sim);
	sim_push(sim, SIM_CHECK, sim->now_ns + SIM_MS(50), 0, 0, NULL);
	sim_push(sim, SIM_FAULT, sim->now_ns + SIM_MS(sim->plan.lease_ms), 0, 0, NULL);
	sim_push(sim, SIM_CALM, sim->now_ns + sim->plan.length_ns, 0, 0, NULL);
	sim_twins_begin(sim);
}

static void end(struct sim *sim)
{
	sim->at_rest = true;
	for (unsigned i = 0; i < sim->plan.processes; i++) {
		sim_node_death(&sim->nodes[i]);
		free(sim->nodes[i].reports);
	}
	while (sim->heap_count > 0) {
		struct sim_event event = pop(sim);

		if (event.kind == SIM_ANSWER || event.kind == SIM_REQUEST ||
			event.kind == SIM_CONFIRM || event.kind == SIM_OVERDUE)
			sim_coord_unref(event.what);
	}
	sim_rcu_pass();
	sim_coord_end(sim);
	sim_net_end(sim);
	sim_model_end(sim);
	for (unsigned i = 0; i < sim->plan.devices; i++)
		for (unsigned j = 0; j < sim->plan.rules; j++)
			free(sim->devices[i].rules[j]);
	free(sim->heap);
}

/*
 * The operator adds the devices until he sees them, but not again where a coordinator has come
 * back empty: whoever knows them tells it.
 */
static void devices_add(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.devices; i++) {
		struct sim_node *node = &sim->nodes[sim_below(sim, sim->plan.nodes)];

		sim->devices[i].known |= sim_coord_record(sim, i) != NULL;
		if (sim->devices[i].known || !node->alive || sim_node_paused(node) != 0)
			continue;
		node->operators++;
		weir_tenure_device_add(
			node->tenure, ++sim->tickets, sim->devices[i].name, sim->now_ns);
		sim_node_control_wake(node, sim->now_ns);
	}
}

static void check(struct sim *sim)
{
	const char *what;

	devices_add(sim);
	sim_clients_check(sim);
	sim_corrupt_watch(sim);
	sim_twins_check(sim);
	if (++sim->checks % COPIES_EVERY == 0) {
		sim_check_copies(sim);
		sim_watch_versions(sim);
	}
	for (unsigned i = 0; i < sim->plan.devices; i++)
		sim_check_masters(sim, i);
	sim_push(sim, SIM_CHECK, sim->now_ns + CHECK_NS, 0, 0, NULL);
	if (!sim->last_call)
		return;
	what = sim_check_rest(sim);
	if (what == NULL && !sim->corrupted && sim->plan.anti_entropy_ns != 0) {
		sim->calm_ns = sim->now_ns;
		sim_check_final(sim);
		sim->corrupted = true;
		sim_fault_corrupt(sim);
	} else if (what == NULL) {
		sim_corrupt_final(sim);
		sim_check_final(sim);
		sim->at_rest = true;
	} else if (sim->now_ns > sim->calm_ns + sim->plan.rest_ns) {
		sim_fail(sim, "%.0f ms after the last fault: %s",
			(double)(sim->now_ns - sim->calm_ns) / 1e6, what);
	}
}

static void node_event(struct sim *sim, const struct sim_event *event)
{
	struct sim_node *node = &sim->nodes[event->node];
	bool same_life = node->alive && node->life == event->life;

	switch (event->kind) {
	case SIM_TURN:
		if (same_life && node->workers[event->worker].turn_seq == event->seq)
			sim_node_turn(&node->workers[event->worker]);
		break;
	case SIM_CONTROL:
		if (same_life && node->control_seq == event->seq)
			sim_node_control(node);
		break;
	case SIM_HINT:
		if (same_life)
			sim_node_hint(node);
		break;
	case SIM_BIRTH:
		sim_node_birth(node);
		break;
	case SIM_DEATH:
		if (same_life && node->doom != 0)
			sim_node_death(node);
		break;
	default:
		break;
	}
}

static void request_event(struct sim *sim, const struct sim_event *event)
{
	struct sim_request *request = event->what;
	struct sim_node *node = &sim->nodes[request->node];

	switch (event->kind) {
	case SIM_ANSWER:
		if (node->alive && node->life == request->life)
			sim_node_answer(node, request);
		break;
	case SIM_REQUEST:
		sim_coord_request(sim, request);
		break;
	case SIM_CONFIRM:
		sim_coord_confirm(sim, request);
		break;
	default:
		sim_coord_overdue(sim, request);
		break;
	}
	sim_coord_unref(request);
}

static void client_event(struct sim *sim, const struct sim_event *event)
{
	struct sim_client *client = &sim->clients[event->node];

	if (client->seq == event->seq)
		sim_client_next(sim, client);
}

static void dispatch(struct sim *sim, const struct sim_event *event)
{
	switch ((enum sim_event_kind)event->kind) {
	case SIM_TURN:
	case SIM_CONTROL:
	case SIM_HINT:
	case SIM_BIRTH:
	case SIM_DEATH:
		node_event(sim, event);
		break;
	case SIM_ANSWER:
	case SIM_REQUEST:
	case SIM_CONFIRM:
	case SIM_OVERDUE:
		request_event(sim, event);
		break;
	case SIM_LINK: {
		struct sim_pair *pair = event->what;

		if (pair->look_seq == event->seq)
			sim_net_look(sim, pair);
		break;
	}
	case SIM_CLIENT:
		client_event(sim, event);
		break;
	case SIM_FAULT:
		sim_fault(sim);
		break;
	case SIM_FLUTTER:
		sim_fault_flutter(sim, event);
		break;
	case SIM_OPERATE:
		sim_fault_operate(sim, event);
		break;
	case SIM_FALL:
		sim_fault_fall(&sim->nodes[event->node]);
		break;
	case SIM_TWIN:
		sim_twins_trip(sim);
		break;
	case SIM_HEAL:
		sim_net_heal(sim, event->node, event->worker);
		break;
	case SIM_CHECK:
		check(sim);
		break;
	case SIM_ROOM:
		sim->room_bytes = SIM_ROOM_BYTES;
		break;
	case SIM_CALM:
		sim_fault_end(sim);
		sim_push(sim, SIM_LAST_CALL, sim->now_ns + TAIL_NS, 0, 0, NULL);
		break;
	case SIM_LAST_CALL:
		sim->last_call = true;
		break;
	}
}

/* Two runs with the same events, at the same times, and the same chances have the same hash. */
static void hash_event(struct sim *sim, const struct sim_event *event)
{
	uint64_t z = sim->hash ^ event->at_ns ^ sim->random ^
		     ((uint64_t)event->kind << 56 | (uint64_t)event->node << 48 |
			     (uint64_t)event->worker << 40);

	z *= 0x9e3779b97f4a7c15ULL;
	sim->hash = z ^ z >> 32;
}

void sim_run(struct sim *sim, uint64_t seed, const struct sim_options *options)
{
	memset(sim, 0, sizeof(*sim));
	sim->options = options;
	sim->seed = seed;
	sim->random = seed * 0xd1342543de82ef95ULL + 1;
	begin(sim);
	if (options->trace)
		plan_print(sim);
	while (!sim->at_rest) {
		struct sim_event event = pop(sim);

		weir_assert(event.at_ns >= sim->now_ns);
		sim->now_ns = event.at_ns;
		sim->event_number++;
		hash_event(sim, &event);
		dispatch(sim, &event);
		sim_rcu_pass();
	}
	sim->stats.events = sim->event_number;
	end(sim);
}
