/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "store/internal.h"

/* Leaving that has not ended so long after tenure's own limit is given up. */
#define LEAVE_EXTRA_MS 100

/* The loop comes by at least so often, whatever tenure says. */
#define TICK_MAX_NS WEIR_NS_PER_S

#define REPORT_BURST 64

/* Coming later than this is told: leases hang on it. */
#define LATE_NS (250 * WEIR_NS_PER_MS)

/* ------------------------------------------------------------------------------ its life --- */

static void finish(struct weir_store *store, int result)
{
	store->control.result = result;
	event_base_loopbreak(store->control.base);
}

static uint64_t cpu_used_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * WEIR_NS_PER_S + (uint64_t)used.tv_nsec;
}

/* Calls tenure's timer, and has itself called when that is due again. */
static void tick_now(struct weir_store *store)
{
	struct weir_control *control = &store->control;
	uint64_t now_ns = weir_clock_ns(), next_ns, request_ns;
	struct timeval delay;

	next_ns = weir_tenure_tick(control->tenure, now_ns);
	request_ns = weir_requests_expire(control, now_ns);
	next_ns = request_ns < next_ns ? request_ns : next_ns;
	if (control->leave_by_ns != 0) {
		if (now_ns >= control->leave_by_ns) {
			weir_log(WEIR_ROOM_STORE, WEIR_LOG_WARNING,
				"leaving took too long: the node stops without");
			finish(store, 0);
			return;
		}
		next_ns = control->leave_by_ns < next_ns ? control->leave_by_ns : next_ns;
	}
	next_ns = next_ns < now_ns + TICK_MAX_NS ? next_ns : now_ns + TICK_MAX_NS;
	next_ns = next_ns > now_ns ? next_ns - now_ns : 0;
	delay.tv_sec = (time_t)(next_ns / WEIR_NS_PER_S);
	delay.tv_usec = (suseconds_t)((next_ns % WEIR_NS_PER_S + 999) / WEIR_NS_PER_US);
	evtimer_add(control->tick, &delay);
	control->due_ns = now_ns + next_ns;
	control->cpu_ns = cpu_used_ns();
}

/* A loop that is not run in time loses the lease in the end: it says so, and what held it up. */
static void lateness_tell(const struct weir_control *control)
{
	uint64_t now_ns = weir_clock_ns(), cpu_ns;

	if (control->due_ns == 0 || now_ns < control->due_ns + LATE_NS)
		return;
	cpu_ns = cpu_used_ns() - control->cpu_ns;
	weir_log(WEIR_ROOM_STORE, WEIR_LOG_WARNING,
		"the control core comes %llu ms late and has used %llu ms of CPU meanwhile: %s",
		(unsigned long long)((now_ns - control->due_ns) / WEIR_NS_PER_MS),
		(unsigned long long)(cpu_ns / WEIR_NS_PER_MS),
		cpu_ns > LATE_NS / 2 ? "its own work took so long"
				     : "it was stopped, or its CPU was given to others");
}

/* Around all that happens on the control core: RCU within, and tenure's timer afterwards. */
static void enter(struct weir_store *store)
{
	lateness_tell(&store->control);
	weir_rcu_online();
}

static void exit_with_tick(struct weir_store *store)
{
	if (weir_store_stopping(store))
		event_base_loopbreak(store->control.base);
	else
		tick_now(store);
	weir_tenure_show(store);
	weir_rcu_offline();
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	enter(ctx);
	weir_reclaim_watch(ctx, weir_clock_ns());
	exit_with_tick(ctx);
}

/* -------------------------------------------------------------------------- from tenure --- */

static void tenure_ask(void *ctx, const struct weir_coord_request *request)
{
	struct weir_store *store = ctx;

	store->control.coord->driver->ask(store->control.coord, request);
}

static void tell_workers(struct weir_store *store, struct weir_device *device)
{
	for (unsigned i = 0; i < store->conf.workers_count; i++) {
		uint32_t mark = 1U << i;

		if (atomic_fetch_or(&device->told, mark) & mark)
			continue;
		/* Each device stands there once at most, and there is room for all. */
		weir_assert(rte_ring_enqueue(store->workers[i].devices, device) == 0);
	}
}

static void tenure_view(void *ctx, const struct weir_view *view, const struct weir_record *record)
{
	struct weir_store *store = ctx;
	struct weir_device *device = weir_registry_name(&store->registry, record->device);

	if (device == NULL)
		return;
	/* A worker that never learns of a term would serve an older one: rather none at all. */
	weir_assert(weir_device_stand(device, view, record) == 0);
	tell_workers(store, device);
}

static void tenure_peer(void *ctx, unsigned peer, const struct weir_node *node)
{
	struct weir_store *store = ctx;
	struct weir_company *company = &store->control.company;
	struct weir_link_end *end = &company->ends[peer];

	if (peer == 0)
		return;
	company->met[peer] = node != NULL;
	if (node != NULL) {
		*end = (struct weir_link_end){.node_key = weir_node_key(node->id),
			.incarnation = node->incarnation,
			.ipv4 = node->ipv4,
			.udp_port = node->udp_port,
			.workers_count = node->workers_count};
		memcpy(end->mac, node->mac, sizeof(end->mac));
	}
	weir_company_publish(store);
}

static void tenure_lease(void *ctx, uint64_t until_ns)
{
	struct weir_store *store = ctx;

	if (weir_store_stopping(store))
		until_ns = 0;
	if (until_ns == 0 && store->lease_ns != 0 && store->control.leave_by_ns == 0)
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_WARNING,
			"this node has no lease: it serves nothing");
	/* Behind the views that were learned before it: workers take those first. */
	atomic_store_explicit(&store->lease_ns, until_ns, memory_order_release);
}

static void tenure_reply(void *ctx, uint64_t ticket, int err, const struct weir_record *record)
{
	struct weir_store *store = ctx;

	/* Whoever added a device can name it as soon as he has the answer. */
	if (err == 0 && record != NULL)
		weir_registry_name(&store->registry, record->device);
	weir_requests_reply(&store->control, ticket, err);
}

static const char *master_of(const struct weir_record *record)
{
	return record->master.node[0] != '\0' ? record->master.node : "nobody";
}

static void tenure_event(void *ctx, const struct weir_tenure_event *event)
{
	const char *name = weir_tenure_event_name(event->kind);
	const struct weir_record *record = event->record;
	enum weir_log_level level = WEIR_LOG_NOTICE;

	/* Of nodes tenure speaks itself. */
	if (record == NULL)
		return;
	if (event->kind == WEIR_EVENT_UNCLEAN)
		level = WEIR_LOG_WARNING;
	else if (event->kind == WEIR_EVENT_TERM_UPDATE || event->kind == WEIR_EVENT_TERM_END)
		level = WEIR_LOG_INFO;
	weir_log(WEIR_ROOM_TENURE, level, "%s: %s, term %llu, master %s, in sync %u", name,
		record->device, (unsigned long long)record->term, master_of(record),
		record->insync_count);
}

/* Tenure has said why. */
static void tenure_refused(void *ctx, const char *sentence)
{
	finish(ctx, WEIR_EXISTS);
}

static void tenure_left(void *ctx)
{
	finish(ctx, 0);
}

static const struct weir_tenure_ops tenure_ops = {
	.ask = tenure_ask,
	.view = tenure_view,
	.peer = tenure_peer,
	.lease = tenure_lease,
	.reply = tenure_reply,
	.event = tenure_event,
	.refused = tenure_refused,
	.left = tenure_left,
};

/* ---------------------------------------------------------------------- from the driver --- */

/* This node's own life and the list of nodes, as far as they have changed. */
static void company_refresh(struct weir_store *store)
{
	struct weir_control *control = &store->control;
	struct weir_company *company = &control->company;
	uint64_t incarnation = weir_tenure_incarnation(control->tenure);
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(control->tenure, &count);

	if (incarnation != 0 && incarnation != company->incarnation)
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_NOTICE,
			"node %s of cluster %s is up, incarnation %llu", store->conf.tenure.self.id,
			store->conf.cluster, (unsigned long long)incarnation);
	if (incarnation == company->incarnation && count == company->nodes_count &&
		memcmp(nodes, company->nodes, count * sizeof(nodes[0])) == 0)
		return;
	company->incarnation = incarnation;
	company->nodes_count = count;
	memcpy(company->nodes, nodes, count * sizeof(nodes[0]));
	weir_company_publish(store);
}

static void coord_answer(void *ctx, const struct weir_coord_answer *answer)
{
	struct weir_store *store = ctx;

	if (store->control.tenure == NULL)
		return;
	enter(store);
	weir_tenure_answer(store->control.tenure, answer, weir_clock_ns());
	company_refresh(store);
	exit_with_tick(store);
}

static void coord_hint(void *ctx)
{
	struct weir_store *store = ctx;

	if (store->control.tenure == NULL)
		return;
	enter(store);
	weir_tenure_hint(store->control.tenure, weir_clock_ns());
	exit_with_tick(store);
}

/* Says each change once: a driver that goes on trying may go on telling. */
static void coord_reach(void *ctx, bool reachable, const char *sentence)
{
	struct weir_control *control = &((struct weir_store *)ctx)->control;

	if (control->reach_told && control->reachable == reachable &&
		strncmp(control->reach_sentence, sentence, sizeof(control->reach_sentence) - 1) ==
			0)
		return;
	control->reach_told = true;
	control->reachable = reachable;
	snprintf(control->reach_sentence, sizeof(control->reach_sentence), "%s", sentence);
	weir_log(WEIR_ROOM_COORD, reachable ? WEIR_LOG_NOTICE : WEIR_LOG_WARNING, "%s", sentence);
}

const struct weir_coord_events weir_store_coord_events = {
	.answer = coord_answer,
	.hint = coord_hint,
	.reach = coord_reach,
};

/* ------------------------------------------------------------------ from workers and gates --- */

static void reports_take(struct weir_store *store, unsigned worker, uint64_t now_ns)
{
	struct weir_report reports[REPORT_BURST];
	unsigned count;

	do {
		count = weir_worker_reports_take(&store->workers[worker], reports, REPORT_BURST);
		for (unsigned i = 0; i < count; i++)
			weir_tenure_report(store->control.tenure, &reports[i], now_ns);
	} while (count == REPORT_BURST);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
	struct weir_store *store = ctx;
	uint64_t wakes, now_ns = weir_clock_ns();

	/* Without a counter to take back somebody else has taken it: nothing to do then. */
	if (read(store->wake_fd, &wakes, sizeof(wakes)) < 0)
		return;
	enter(store);
	for (unsigned worker = 0; worker < store->conf.workers_count; worker++)
		reports_take(store, worker, now_ns);
	weir_requests_take(store, now_ns);
	exit_with_tick(store);
}

void weir_store_leave(struct weir_store *store)
{
	struct weir_control *control = &store->control;
	uint64_t now_ns = weir_clock_ns();

	if (control->tenure == NULL || weir_tenure_incarnation(control->tenure) == 0) {
		weir_store_stop(store);
		return;
	}
	if (control->leave_by_ns != 0)
		return;
	weir_log(WEIR_ROOM_STORE, WEIR_LOG_NOTICE, "node %s leaves", store->conf.tenure.self.id);
	control->leave_by_ns =
		now_ns + (store->conf.tenure.leave_timeout_ms + LEAVE_EXTRA_MS) * WEIR_NS_PER_MS;
	enter(store);
	weir_tenure_leave(control->tenure, now_ns);
	exit_with_tick(store);
}

void weir_store_unclean_set(struct weir_store *store, bool unclean_takeover)
{
	/* Gateways show it. */
	__atomic_store_n(&store->conf.tenure.unclean_takeover, unclean_takeover, __ATOMIC_RELAXED);
	if (store->control.tenure == NULL)
		return;
	enter(store);
	weir_tenure_unclean_set(store->control.tenure, unclean_takeover, weir_clock_ns());
	exit_with_tick(store);
}

/* -------------------------------------------------------------------------------- the loop --- */

static bool events_make(struct weir_store *store)
{
	struct weir_control *control = &store->control;

	control->tick = evtimer_new(control->base, on_tick, store);
	control->wake =
		event_new(control->base, store->wake_fd, EV_READ | EV_PERSIST, on_wake, store);
	return control->tick != NULL && control->wake != NULL &&
	       event_add(control->wake, NULL) == 0;
}

static void events_free(struct weir_control *control)
{
	if (control->tick != NULL)
		event_free(control->tick);
	if (control->wake != NULL)
		event_free(control->wake);
}

static void run(struct weir_store *store)
{
	struct weir_control *control = &store->control;

	control->tenure =
		weir_tenure_create(&store->conf.tenure, &tenure_ops, store, weir_clock_ns());
	if (control->tenure == NULL || !events_make(store)) {
		weir_log(WEIR_ROOM_STORE, WEIR_LOG_ERR, "no memory for the control core");
		control->result = WEIR_BUSY;
	} else {
		enter(store);
		exit_with_tick(store);
		while (!weir_store_stopping(store) && event_base_dispatch(control->base) == 0 &&
			!event_base_got_break(control->base))
			;
	}
	enter(store);
	weir_store_stop(store);
	weir_requests_close(store);
	weir_tenure_destroy(control->tenure);
	control->tenure = NULL;
	weir_rcu_offline();
	events_free(control);
}

int weir_store_control_run(
	struct weir_store *store, struct event_base *base, struct weir_coord *coord)
{
	struct weir_control *control = &store->control;

	control->base = base;
	control->coord = coord;
	weir_rcu_register();
	weir_rcu_offline();
	run(store);
	weir_rcu_unregister();
	return control->result;
}
