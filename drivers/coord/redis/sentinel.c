/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/err.h"
#include "coord/redis/dial.h"
#include "coord/redis/sentinel.h"
#include "coord/request.h"

#define LIST_MAX     (WEIR_COORD_SENTINELS_MAX * WEIR_COORD_ADDRESS_MAX)
#define SENTENCE_MAX 512

struct weir_coord_sentinels {
	struct event_base *base;
	weir_coord_found_fn *found;
	void *ctx;
	char master[WEIR_COORD_SENTINEL_MASTER_MAX];
	uint32_t each_ms;
	unsigned count;
	unsigned at;   /* who is asked, or was last */
	unsigned left; /* how many may be asked yet in this round */
	redisAsyncContext *asking;
	struct event *due;
	char sentence[SENTENCE_MAX]; /* of who was asked last */
	struct weir_coord_address addresses[WEIR_COORD_SENTINELS_MAX];
};

static void on_answer(redisAsyncContext *ac, void *answered, void *ctx);

static void failed(struct weir_coord_sentinels *sentinels, const char *why)
{
	snprintf(sentinels->sentence, sizeof(sentinels->sentence),
		"the Sentinel at %s does not say where '%s' is: %s",
		sentinels->addresses[sentinels->at].text, sentinels->master, why);
}

static void ask_next(struct weir_coord_sentinels *sentinels)
{
	char text[SENTENCE_MAX / 4];

	while (sentinels->left > 0) {
		sentinels->left--;
		sentinels->at = (sentinels->at + 1) % sentinels->count;
		sentinels->asking = weir_coord_dial(&sentinels->addresses[sentinels->at],
			sentinels->base, sentinels, text, sizeof(text));
		if (sentinels->asking == NULL) {
			failed(sentinels, text);
			continue;
		}
		redisAsyncCommand(sentinels->asking, on_answer, NULL,
			"SENTINEL get-master-addr-by-name %s", sentinels->master);
		weir_coord_timer_set(sentinels->due, sentinels->each_ms * WEIR_NS_PER_MS);
		return;
	}
	sentinels->found(sentinels->ctx, NULL, sentinels->sentence);
}

/* What is wrong with an answer; NULL: nothing, it is an address. */
static const char *answer_read(const redisReply *reply, struct weir_coord_address *address)
{
	if (reply->type == REDIS_REPLY_NIL)
		return "it does not know it";
	if (reply->type == REDIS_REPLY_ERROR)
		return reply->str;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
		reply->element[0]->type != REDIS_REPLY_STRING ||
		reply->element[1]->type != REDIS_REPLY_STRING)
		return "its answer is none";
	return weir_coord_address_join(address, reply->element[0]->str, reply->element[1]->str);
}

static void on_answer(redisAsyncContext *ac, void *answered, void *ctx)
{
	struct weir_coord_sentinels *sentinels = ac->data;
	struct weir_coord_address address;
	char text[SENTENCE_MAX / 4];
	const char *wrong;

	if (sentinels->asking != ac)
		return;
	event_del(sentinels->due);
	if (answered == NULL) { /* hiredis has ended the connection and frees it */
		weir_coord_trouble(ac, text, sizeof(text));
		wrong = text;
		sentinels->asking = NULL;
	} else {
		wrong = answer_read(answered, &address);
		weir_coord_hang_up(&sentinels->asking);
	}
	if (wrong == NULL) {
		sentinels->found(sentinels->ctx, &address, NULL);
		return;
	}
	failed(sentinels, wrong);
	ask_next(sentinels);
}

static void on_due(evutil_socket_t fd, short what, void *ctx)
{
	struct weir_coord_sentinels *sentinels = ctx;
	char text[64];

	weir_coord_hang_up(&sentinels->asking);
	snprintf(text, sizeof(text), "no answer within %u ms", sentinels->each_ms);
	failed(sentinels, text);
	ask_next(sentinels);
}

void weir_coord_sentinels_ask(struct weir_coord_sentinels *sentinels)
{
	weir_assert(sentinels->asking == NULL);
	sentinels->left = sentinels->count;
	ask_next(sentinels);
}

static const char *list_read(struct weir_coord_sentinels *sentinels, const char *list)
{
	char copy[LIST_MAX], *rest = copy, *item;
	const char *wrong;

	if (strlen(list) >= sizeof(copy))
		return "the list of Sentinels is too long";
	strcpy(copy, list);
	while ((item = strsep(&rest, ",")) != NULL) {
		item += strspn(item, " ");
		if (sentinels->count == WEIR_COORD_SENTINELS_MAX)
			return "there are too many Sentinels";
		wrong = weir_coord_address_read(
			&sentinels->addresses[sentinels->count++], item, WEIR_COORD_SENTINEL_PORT);
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

static const char *master_read(struct weir_coord_sentinels *sentinels, const char *master)
{
	if (master == NULL || master[0] == '\0')
		return "what the Sentinels call the primary has to be said";
	if (weir_coord_name_check(master, sizeof(sentinels->master)) != NULL)
		return "what the Sentinels call the primary is no name";
	strcpy(sentinels->master, master);
	return NULL;
}

struct weir_coord_sentinels *weir_coord_sentinels_create(const char *list, const char *master,
	uint32_t round_ms, struct event_base *base, weir_coord_found_fn *found, void *ctx,
	const char **wrong)
{
	struct weir_coord_sentinels *sentinels = calloc(1, sizeof(*sentinels));

	weir_assert(sentinels != NULL);
	*wrong = list_read(sentinels, list);
	if (*wrong == NULL)
		*wrong = master_read(sentinels, master);
	if (*wrong != NULL) {
		free(sentinels);
		return NULL;
	}
	sentinels->base = base;
	sentinels->found = found;
	sentinels->ctx = ctx;
	sentinels->at = sentinels->count - 1;
	sentinels->each_ms = round_ms / sentinels->count > 0 ? round_ms / sentinels->count : 1;
	sentinels->due = event_new(base, -1, 0, on_due, sentinels);
	weir_assert(sentinels->due != NULL);
	return sentinels;
}

void weir_coord_sentinels_destroy(struct weir_coord_sentinels *sentinels)
{
	if (sentinels == NULL)
		return;
	weir_coord_hang_up(&sentinels->asking);
	event_free(sentinels->due);
	free(sentinels);
}
