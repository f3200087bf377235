/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/err.h"
#include "coord/request.h"
#include "coord/solo/rules.h"
#include "store/store.h"

#include "office.h"

#define PERIOD_US 500

struct office {
	pthread_mutex_t lock;
	struct weir_coord_rules *rules;
	atomic_bool silent;
	_Atomic unsigned changes; /* all that others are to hear of */
};

struct asked {
	TAILQ_ENTRY(asked) next;
	struct weir_coord_request_copy copy;
};

struct desk {
	struct weir_coord coord; /* first */
	struct office *office;
	struct weir_coord_events events;
	void *ctx;
	unsigned heard; /* of the office's changes */
	struct event *turn;
	struct weir_store *_Atomic leaving;
	TAILQ_HEAD(, asked) asked;
};

struct office *office_create(void)
{
	struct office *office = calloc(1, sizeof(*office));

	weir_assert(office != NULL);
	pthread_mutex_init(&office->lock, NULL);
	office->rules = weir_coord_rules_create(1);
	return office;
}

void office_destroy(struct office *office)
{
	weir_coord_rules_destroy(office->rules);
	pthread_mutex_destroy(&office->lock);
	free(office);
}

void office_silent(struct office *office, bool silent)
{
	office->silent = silent;
}

void office_fence(struct office *office, const char *node)
{
	/* Somebody of the same name with a later life: he is believed, and gone at once. */
	struct weir_coord_request request = {
		.kind = WEIR_COORD_RENEW, .node = node, .incarnation = 1000, .lease_ms = 1};
	struct weir_coord_answer answer;

	pthread_mutex_lock(&office->lock);
	weir_coord_rules_apply(office->rules, &request, weir_clock_ns(), &answer);
	pthread_mutex_unlock(&office->lock);
	weir_assert(answer.err == 0);
}

static void ask(struct weir_coord *coord, const struct weir_coord_request *request)
{
	struct desk *desk = (struct desk *)coord;
	struct asked *asked = calloc(1, sizeof(*asked));

	weir_assert(asked != NULL && weir_coord_request_check(request) == NULL);
	weir_coord_request_copy(&asked->copy, request);
	TAILQ_INSERT_TAIL(&desk->asked, asked, next);
}

static void answer_first(struct desk *desk)
{
	struct asked *asked = TAILQ_FIRST(&desk->asked);
	struct weir_coord_answer answer;

	TAILQ_REMOVE(&desk->asked, asked, next);
	/* What the answer points to is the rules' own: others wait until it has been read. */
	pthread_mutex_lock(&desk->office->lock);
	weir_coord_rules_apply(desk->office->rules, &asked->copy.request, weir_clock_ns(), &answer);
	if (answer.err == 0 && answer.kind != WEIR_COORD_RENEW)
		atomic_fetch_add(&desk->office->changes, 1);
	desk->events.answer(desk->ctx, &answer);
	pthread_mutex_unlock(&desk->office->lock);
	free(asked);
}

static void turn(evutil_socket_t fd, short what, void *ctx)
{
	struct desk *desk = ctx;
	struct weir_store *store = atomic_exchange(&desk->leaving, NULL);
	unsigned changes = atomic_load(&desk->office->changes);

	if (store != NULL)
		weir_store_leave(store);
	if (changes != desk->heard && !desk->office->silent)
		desk->events.hint(desk->ctx);
	desk->heard = changes;
	while (!TAILQ_EMPTY(&desk->asked) && !desk->office->silent)
		answer_first(desk);
}

static void destroy(struct weir_coord *coord)
{
	struct desk *desk = (struct desk *)coord;
	struct asked *asked;

	while ((asked = TAILQ_FIRST(&desk->asked)) != NULL) {
		TAILQ_REMOVE(&desk->asked, asked, next);
		free(asked);
	}
	event_free(desk->turn);
	free(desk);
}

void office_leave(struct weir_coord *coord, struct weir_store *store)
{
	atomic_store(&((struct desk *)coord)->leaving, store);
}

static const struct weir_coord_driver driver = {"office", ask, destroy};

struct weir_coord *office_coord(struct office *office, struct event_base *base,
	const struct weir_coord_events *events, void *ctx)
{
	struct timeval period = {.tv_usec = PERIOD_US};
	struct desk *desk = calloc(1, sizeof(*desk));

	weir_assert(desk != NULL);
	desk->coord.driver = &driver;
	desk->office = office;
	desk->events = *events;
	desk->ctx = ctx;
	TAILQ_INIT(&desk->asked);
	desk->turn = event_new(base, -1, EV_PERSIST, turn, desk);
	weir_assert(desk->turn != NULL && event_add(desk->turn, &period) == 0);
	return &desk->coord;
}
