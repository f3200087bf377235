/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "coord/request.h"
#include "coord/solo/rules.h"
#include "coord/solo/solo.h"

struct asked {
	TAILQ_ENTRY(asked) next;
	struct weir_coord_request_copy copy;
	bool sound;
};

struct solo {
	struct weir_coord coord; /* first */
	struct weir_coord_events events;
	void *ctx;
	struct weir_coord_rules *rules;
	struct weir_coord_rules *own_rules; /* NULL: they are shared */
	struct event *wake;
	TAILQ_HEAD(, asked) asked;
	unsigned asked_count;
	bool reached;
};

static struct solo *solo_of(struct weir_coord *coord)
{
	return (struct solo *)coord;
}

static void solo_ask(struct weir_coord *coord, const struct weir_coord_request *request)
{
	struct solo *solo = solo_of(coord);
	struct asked *asked = calloc(1, sizeof(*asked));
	const char *wrong = weir_coord_request_check(request);

	weir_assert(asked != NULL && solo->asked_count < WEIR_COORD_ASKED_MAX);
	if (wrong != NULL) {
		weir_log(WEIR_ROOM_COORD, WEIR_LOG_WARNING, "refused: %s", wrong);
		asked->copy.request.kind = request->kind;
		asked->copy.request.ticket = request->ticket;
	} else {
		weir_coord_request_copy(&asked->copy, request);
		asked->sound = true;
	}
	TAILQ_INSERT_TAIL(&solo->asked, asked, next);
	solo->asked_count++;
	event_active(solo->wake, EV_TIMEOUT, 0);
}

static void asked_free(struct solo *solo, struct asked *asked)
{
	TAILQ_REMOVE(&solo->asked, asked, next);
	solo->asked_count--;
	free(asked);
}

static void asked_answer(struct solo *solo, struct asked *asked)
{
	const struct weir_coord_request *request = &asked->copy.request;
	struct weir_coord_answer answer = {
		.kind = request->kind, .ticket = request->ticket, .err = WEIR_ERR};

	if (asked->sound)
		weir_coord_rules_apply(solo->rules, request, weir_clock_ns(), &answer);
	asked_free(solo, asked);
	solo->events.answer(solo->ctx, &answer);
}

/* Answers what had been asked before; what is asked meanwhile waits for the next turn. */
static void solo_wake(evutil_socket_t fd, short what, void *ctx)
{
	struct solo *solo = ctx;
	unsigned count = solo->asked_count;

	if (!solo->reached) {
		solo->reached = true;
		solo->events.reach(solo->ctx, true, "this node is its own coordinator");
	}
	while (count-- > 0)
		asked_answer(solo, TAILQ_FIRST(&solo->asked));
}

static void solo_destroy(struct weir_coord *coord)
{
	struct solo *solo = solo_of(coord);

	while (!TAILQ_EMPTY(&solo->asked))
		asked_free(solo, TAILQ_FIRST(&solo->asked));
	event_free(solo->wake);
	weir_coord_rules_destroy(solo->own_rules);
	free(solo);
}

static const struct weir_coord_driver solo_driver = {
	.name = "solo",
	.ask = solo_ask,
	.destroy = solo_destroy,
};

struct weir_coord *weir_coord_solo_create(struct event_base *base, struct weir_coord_rules *rules,
	const struct weir_coord_events *events, void *ctx)
{
	struct solo *solo = calloc(1, sizeof(*solo));

	weir_assert(solo != NULL);
	solo->coord.driver = &solo_driver;
	solo->events = *events;
	solo->ctx = ctx;
	if (rules == NULL)
		rules = solo->own_rules = weir_coord_rules_create(weir_clock_wall_ns());
	solo->rules = rules;
	TAILQ_INIT(&solo->asked);
	solo->wake = event_new(base, -1, 0, solo_wake, solo);
	weir_assert(solo->wake != NULL);
	event_active(solo->wake, EV_TIMEOUT, 0);
	return &solo->coord;
}
