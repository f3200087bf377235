/* SPDX-License-Identifier: BSD-3-Clause */
#include <unistd.h>

#include "store/internal.h"

/* --------------------------------------------------------------------------------- piles --- */

void weir_pile_push(struct weir_pile *pile, struct weir_request *request)
{
	struct weir_request *top = atomic_load_explicit(&pile->top, memory_order_relaxed);

	do {
		request->next = top;
	} while (!atomic_compare_exchange_weak(&pile->top, &top, request));
}

struct weir_request *weir_pile_take(struct weir_pile *pile)
{
	struct weir_request *newest = atomic_exchange(&pile->top, NULL), *oldest = NULL;

	while (newest != NULL) {
		struct weir_request *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}

/* ----------------------------------------------------------------------------- at the gate --- */

static void answer_all(struct weir_request *request, int err)
{
	while (request != NULL) {
		struct weir_request *next = request->next;

		weir_gate_reply(request, err);
		request = next;
	}
}

void weir_gate_request(struct weir_gate *gate, struct weir_request *request)
{
	struct weir_control *control = &gate->store->control;

	request->gate = gate;
	weir_pile_push(&control->requests, request);
	/* As in the gate's pass_on: either we see that it is closed, or its last take sees us. */
	if (atomic_load(&control->closed))
		answer_all(weir_pile_take(&control->requests), WEIR_UNREACHABLE);
	else
		weir_wake(gate->store->wake_fd);
}

void weir_gate_reply(struct weir_request *request, int err)
{
	struct weir_gate *gate = request->gate;
	struct weir_store *store = gate->store;

	request->err = err;
	/* The gate may close as soon as it has the request, but not before it has been woken. */
	pthread_mutex_lock(&store->gates_lock);
	weir_pile_push(&gate->replies, request);
	weir_wake(gate->wake_fd);
	pthread_mutex_unlock(&store->gates_lock);
}

struct weir_request *weir_gate_request_poll(struct weir_gate *gate)
{
	struct weir_request *request = gate->replies_taken;
	uint64_t wakes;

	if (request == NULL) {
		/* First the eventfd, then the pile: a reply after our look wakes us again. */
		if (read(gate->wake_fd, &wakes, sizeof(wakes)) < 0)
			wakes = 0;
		request = weir_pile_take(&gate->replies);
	}
	if (request != NULL)
		gate->replies_taken = request->next;
	return request;
}

/* ---------------------------------------------------------------------- on the control core --- */

/* A ticket says which slot, and which of the requests that stood in it one after another. */
static uint64_t ticket_of(const struct weir_control *control, unsigned slot)
{
	return (uint64_t)control->slots[slot].generation << 32 | slot;
}

static void slot_answer(struct weir_control *control, unsigned slot, int err)
{
	struct weir_request *request = control->slots[slot].request;

	control->slots[slot].request = NULL;
	control->slots[slot].generation++;
	control->slots_used--;
	weir_gate_reply(request, err);
}

static unsigned slot_free(const struct weir_control *control)
{
	unsigned slot = 0;

	while (slot < WEIR_REQUESTS_MAX && control->slots[slot].request != NULL)
		slot++;
	return slot;
}

static void request_begin(
	struct weir_control *control, struct weir_request *request, uint64_t now_ns)
{
	unsigned slot = slot_free(control);
	uint64_t ticket;

	if (slot == WEIR_REQUESTS_MAX) {
		weir_gate_reply(request, WEIR_BUSY);
		return;
	}
	control->slots[slot].request = request;
	control->slots_used++;
	ticket = ticket_of(control, slot);
	switch (request->kind) {
	case WEIR_REQUEST_DEVICE_ADD:
		weir_tenure_device_add(control->tenure, ticket, request->device, now_ns);
		return;
	case WEIR_REQUEST_MASTER_SET:
		weir_tenure_master_set(
			control->tenure, ticket, request->device, request->node, now_ns);
		return;
	case WEIR_REQUEST_ROLE_SET:
		weir_tenure_role_set(control->tenure, ticket, request->device, request->node,
			request->role, now_ns);
		return;
	case WEIR_REQUEST_NODE_FORGET:
		weir_tenure_node_forget(control->tenure, ticket, request->node, now_ns);
		return;
	}
	slot_answer(control, slot, WEIR_ERR);
}

void weir_requests_take(struct weir_store *store, uint64_t now_ns)
{
	struct weir_request *request = weir_pile_take(&store->control.requests);

	while (request != NULL) {
		struct weir_request *next = request->next;

		request_begin(&store->control, request, now_ns);
		request = next;
	}
}

void weir_requests_reply(struct weir_control *control, uint64_t ticket, int err)
{
	unsigned slot = (unsigned)(ticket & 0xffffffff);

	/* A late reply finds its slot empty, or with another request in it. */
	if (slot < WEIR_REQUESTS_MAX && control->slots[slot].request != NULL &&
		ticket_of(control, slot) == ticket)
		slot_answer(control, slot, err);
}

uint64_t weir_requests_expire(struct weir_control *control, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	for (unsigned slot = 0; slot < WEIR_REQUESTS_MAX && control->slots_used > 0; slot++) {
		const struct weir_request *request = control->slots[slot].request;

		if (request == NULL)
			continue;
		if (request->deadline_ns <= now_ns)
			slot_answer(control, slot, WEIR_UNKNOWN);
		else if (request->deadline_ns < next_ns)
			next_ns = request->deadline_ns;
	}
	return next_ns;
}

void weir_requests_close(struct weir_store *store)
{
	struct weir_control *control = &store->control;

	atomic_store(&control->closed, true);
	for (unsigned slot = 0; slot < WEIR_REQUESTS_MAX; slot++)
		if (control->slots[slot].request != NULL)
			slot_answer(control, slot, WEIR_UNKNOWN);
	answer_all(weir_pile_take(&control->requests), WEIR_UNREACHABLE);
}
