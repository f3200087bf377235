/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include <event2/event.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "coord/redis/address.h"
#include "coord/redis/dial.h"
#include "coord/redis/redis.h"
#include "coord/redis/sentinel.h"
#include "coord/redis/text.h"
#include "coord/request.h"

#define SENTENCE_MAX 512
#define RUN_ID_MAX   64

struct redis;

struct asked {
	TAILQ_ENTRY(asked) next;
	struct redis *redis;
	enum weir_coord_kind kind;
	uint64_t ticket;
	uint64_t deadline_ns;
	int err;       /* why it was not even sent */
	uint64_t wait; /* number of the WAIT behind it */
	bool carried_out;
	struct weir_coord_answer answer; /* held back until replicas have confirmed */
	struct weir_coord_args args;
};

TAILQ_HEAD(asked_list, asked);

struct redis {
	struct weir_coord coord; /* first */
	struct weir_coord_events events;
	void *ctx;
	struct event_base *base;

	struct weir_coord_sentinels *sentinels; /* NULL: the address is the configured one */
	struct weir_coord_address address;      /* of the last attempt */
	char user[WEIR_COORD_REDIS_CREDENTIAL_MAX];
	char password[WEIR_COORD_REDIS_CREDENTIAL_MAX];
	unsigned db;
	char cluster[WEIR_CLUSTER_ID_MAX];
	uint32_t timeout_ms;
	unsigned min_replicas;
	uint32_t wait_ms; /* for them; the answer to WAIT is to come before timeout_ms */

	redisAsyncContext *commands;  /* NULL: between two attempts */
	bool ready;                   /* the commands' connection has been greeted */
	uint64_t ready_deadline_ns;   /* of the greeting */
	struct event *commands_again; /* the next attempt */
	uint32_t commands_pause_ms;   /* before it */
	redisAsyncContext *hints;     /* as above, of the second connection */
	struct event *hints_again;
	uint32_t hints_pause_ms;
	struct event
		*hint_due;  /* pending: a hint was given less than WEIR_COORD_REDIS_HINT_MS ago */
	bool hint_gathered; /* ... and there is more to tell since */

	struct asked_list sent;    /* in the order of their deadlines */
	struct asked_list refused; /* answered in the next turn of the loop */
	unsigned asked_count;
	struct event *due; /* the first deadline */
	struct event *refused_due;
	struct event *wait_due; /* behind the requests of one turn of the loop */
	uint64_t wait;          /* number of the next WAIT */

	char run_id[RUN_ID_MAX];
	char version[RUN_ID_MAX];
	uint64_t run;     /* of the last answer; 0: none yet */
	uint64_t dataset; /* the name that the last request would have given */
	int reachable;    /* what was said last; -1: nothing yet */
	char sentence[SENTENCE_MAX];
	char complaint[SENTENCE_MAX]; /* what was logged last */
	struct weir_coord_room room;
};

static void commands_connect(struct redis *redis);
static void hints_connect(struct redis *redis);

/* -------------------------------------------------------------------------- what is said --- */

__attribute__((format(printf, 3, 4))) static void reach_say(
	struct redis *redis, bool reachable, const char *format, ...)
{
	char sentence[SENTENCE_MAX];
	va_list list;

	va_start(list, format);
	vsnprintf(sentence, sizeof(sentence), format, list);
	va_end(list);
	if (redis->reachable == reachable && strcmp(redis->sentence, sentence) == 0)
		return;
	redis->reachable = reachable;
	strcpy(redis->sentence, sentence);
	redis->events.reach(redis->ctx, reachable, sentence);
}

/* A defect that may come back with each request is said once. */
static void complain(struct redis *redis, const char *what, const char *text)
{
	char complaint[SENTENCE_MAX];

	snprintf(complaint, sizeof(complaint), "Redis at %s: %s: %s", redis->address.text, what,
		text);
	if (strcmp(redis->complaint, complaint) == 0)
		return;
	strcpy(redis->complaint, complaint);
	weir_log(WEIR_ROOM_COORD, WEIR_LOG_WARNING, "%s", complaint);
}

/* ------------------------------------------------------------------------------- answers --- */

static void *copy_of(const void *from, size_t bytes)
{
	void *to = NULL;

	if (bytes > 0) {
		to = malloc(bytes);
		weir_assert(to != NULL);
		memcpy(to, from, bytes);
	}
	return to;
}

/* A copy that does not stand in the room of the next answer. */
static struct weir_coord_answer answer_keep(const struct weir_coord_answer *answer)
{
	struct weir_coord_answer kept = *answer;

	kept.nodes = copy_of(answer->nodes, answer->nodes_count * sizeof(*answer->nodes));
	kept.records = copy_of(answer->records, answer->records_count * sizeof(*answer->records));
	return kept;
}

static void answer_drop(struct weir_coord_answer *answer)
{
	free((void *)(uintptr_t)answer->nodes);
	free((void *)(uintptr_t)answer->records);
}

static void asked_free(struct asked *asked)
{
	if (asked->carried_out)
		answer_drop(&asked->answer);
	free(asked);
}

static void asked_answer(
	struct asked_list *list, struct asked *asked, struct weir_coord_answer *answer)
{
	struct redis *redis = asked->redis;

	if (answer->run == 0)
		answer->run = redis->run;
	redis->run = answer->run;
	TAILQ_REMOVE(list, asked, next);
	redis->asked_count--;
	redis->events.answer(redis->ctx, answer);
	asked_free(asked);
}

static struct weir_coord_answer answer_of(const struct asked *asked, int err)
{
	return (struct weir_coord_answer){.kind = asked->kind, .ticket = asked->ticket, .err = err};
}

static void on_refused_due(evutil_socket_t fd, short what, void *ctx)
{
	struct redis *redis = ctx;
	struct asked_list list = TAILQ_HEAD_INITIALIZER(list);

	TAILQ_CONCAT(&list, &redis->refused, next);
	while (!TAILQ_EMPTY(&list)) {
		struct asked *asked = TAILQ_FIRST(&list);
		struct weir_coord_answer answer = answer_of(asked, asked->err);

		asked_answer(&list, asked, &answer);
	}
}

static void due_set(struct redis *redis)
{
	const struct asked *first = TAILQ_FIRST(&redis->sent);
	uint64_t now_ns = weir_clock_ns();
	uint64_t deadline_ns = UINT64_MAX;

	if (redis->commands != NULL && !redis->ready)
		deadline_ns = redis->ready_deadline_ns;
	if (first != NULL && first->deadline_ns < deadline_ns)
		deadline_ns = first->deadline_ns;
	if (deadline_ns == UINT64_MAX)
		event_del(redis->due);
	else
		weir_coord_timer_set(redis->due, deadline_ns > now_ns ? deadline_ns - now_ns : 0);
}

/* --------------------------------------------------------------------------- connections --- */

static void pause_begin(struct event *again, uint32_t *pause_ms)
{
	weir_coord_timer_set(again, *pause_ms * WEIR_NS_PER_MS);
	*pause_ms *= 2;
	if (*pause_ms > WEIR_COORD_REDIS_PAUSE_MS_MAX)
		*pause_ms = WEIR_COORD_REDIS_PAUSE_MS_MAX;
}

static void hints_stop(struct redis *redis)
{
	event_del(redis->hints_again);
	redis->hints_pause_ms = WEIR_COORD_REDIS_PAUSE_MS_MIN;
	weir_coord_hang_up(&redis->hints);
}

/* Both connections end; all that is under way is answered UNREACHABLE. */
static void commands_end(struct redis *redis)
{
	redis->ready = false;
	hints_stop(redis);
	weir_coord_hang_up(&redis->commands);
	pause_begin(redis->commands_again, &redis->commands_pause_ms);
	due_set(redis);
}

/* hiredis has ended the connection and frees it. */
static void commands_lost(struct redis *redis, const redisAsyncContext *ac)
{
	char text[SENTENCE_MAX / 2];

	if (redis->commands != ac)
		return;
	weir_coord_trouble(ac, text, sizeof(text));
	redis->commands = NULL;
	commands_end(redis);
	reach_say(redis, false, "Redis at %s: %s; trying again", redis->address.text, text);
}

static void on_commands_end(const redisAsyncContext *ac, int status)
{
	commands_lost(ac->data, ac);
}

static void commands_give_up(struct redis *redis, const char *why)
{
	commands_end(redis);
	reach_say(redis, false, "Redis at %s: %s; trying again", redis->address.text, why);
}

static void on_commands_again(evutil_socket_t fd, short what, void *ctx)
{
	struct redis *redis = ctx;

	if (redis->sentinels != NULL)
		weir_coord_sentinels_ask(redis->sentinels);
	else
		commands_connect(redis);
}

static void on_found(void *ctx, const struct weir_coord_address *address, const char *sentence)
{
	struct redis *redis = ctx;

	if (address != NULL) {
		redis->address = *address;
		commands_connect(redis);
		return;
	}
	commands_end(redis);
	reach_say(redis, false, "%s; trying again", sentence);
}

static void on_due(evutil_socket_t fd, short what, void *ctx)
{
	struct redis *redis = ctx;
	const struct asked *first = TAILQ_FIRST(&redis->sent);
	uint64_t now_ns = weir_clock_ns();
	char text[64];

	if ((first != NULL && first->deadline_ns <= now_ns) ||
		(redis->commands != NULL && !redis->ready && redis->ready_deadline_ns <= now_ns)) {
		snprintf(text, sizeof(text), "no answer within %u ms", redis->timeout_ms);
		commands_give_up(redis, text);
	} else {
		due_set(redis);
	}
}

/* The answer to a greeting, or NULL where the connection has been ended over it. */
static const redisReply *greeting_read(redisAsyncContext *ac, const redisReply *reply)
{
	struct redis *redis = ac->data;
	char text[SENTENCE_MAX / 2];

	if (reply == NULL)
		commands_lost(redis, ac);
	if (reply == NULL || redis->commands != ac)
		return NULL;
	if (reply->type != REDIS_REPLY_ERROR)
		return reply;
	snprintf(text, sizeof(text), "refused: %s", reply->str);
	commands_give_up(redis, text);
	return NULL;
}

static void on_greeting(redisAsyncContext *ac, void *reply, void *ctx)
{
	greeting_read(ac, reply);
}

/* The value of a line "name:value\r\n". */
static bool info_find(const char *info, const char *name, char *value, size_t size)
{
	const char *at = strstr(info, name);
	size_t len;

	if (at == NULL)
		return false;
	at += strlen(name);
	len = strcspn(at, "\r\n");
	if (len == 0 || len >= size)
		return false;
	memcpy(value, at, len);
	value[len] = '\0';
	return true;
}

static void commands_ready(struct redis *redis)
{
	redis->ready = true;
	redis->commands_pause_ms = WEIR_COORD_REDIS_PAUSE_MS_MIN;
	redis->complaint[0] = '\0';
	due_set(redis);
	hints_connect(redis);
	reach_say(redis, true, "Redis at %s: connected, version %s", redis->address.text,
		redis->version);
}

static void on_info(redisAsyncContext *ac, void *answered, void *ctx)
{
	struct redis *redis = ac->data;
	const redisReply *reply = greeting_read(ac, answered);
	char role[RUN_ID_MAX];

	if (reply == NULL)
		return;
	if (reply->type != REDIS_REPLY_STRING ||
		!info_find(reply->str, "run_id:", redis->run_id, sizeof(redis->run_id)) ||
		!info_find(reply->str, "role:", role, sizeof(role))) {
		commands_give_up(redis, "it does not tell its run_id and role");
		return;
	}
	if (strcmp(role, "master") != 0) {
		commands_give_up(redis, "it is a replica");
		return;
	}
	strcpy(redis->version, "unknown");
	info_find(reply->str, "redis_version:", redis->version, sizeof(redis->version));
	if (redis->min_replicas == 0)
		commands_ready(redis);
}

/* Whether enough replicas have all that the answers before this one are made of. */
static bool confirmed(struct redis *redis, const redisReply *reply)
{
	char text[SENTENCE_MAX / 2];

	if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= redis->min_replicas)
		return true;
	if (reply->type == REDIS_REPLY_INTEGER)
		snprintf(text, sizeof(text), "%lld of %u replicas have confirmed within %u ms",
			reply->integer, redis->min_replicas, redis->wait_ms);
	else
		snprintf(text, sizeof(text), "refused: %s",
			reply->type == REDIS_REPLY_ERROR ? reply->str : "WAIT");
	commands_give_up(redis, text);
	return false;
}

static void on_greeting_wait(redisAsyncContext *ac, void *answered, void *ctx)
{
	struct redis *redis = ac->data;
	const redisReply *reply = greeting_read(ac, answered);

	if (reply != NULL && confirmed(redis, reply))
		commands_ready(redis);
}

static void wait_send(struct redis *redis, redisCallbackFn *callback, uint64_t number)
{
	redisAsyncCommand(redis->commands, callback, (void *)(uintptr_t)number, "WAIT %u %u",
		redis->min_replicas, redis->wait_ms);
}

static void auth_send(struct redis *redis, redisAsyncContext *ac, redisCallbackFn *callback)
{
	if (redis->password[0] == '\0')
		return;
	if (redis->user[0] != '\0')
		redisAsyncCommand(ac, callback, NULL, "AUTH %s %s", redis->user, redis->password);
	else
		redisAsyncCommand(ac, callback, NULL, "AUTH %s", redis->password);
}

static void commands_connect(struct redis *redis)
{
	char text[SENTENCE_MAX / 2];
	redisAsyncContext *ac =
		weir_coord_dial(&redis->address, redis->base, redis, text, sizeof(text));

	if (ac == NULL) {
		commands_give_up(redis, text);
		return;
	}
	redis->commands = ac;
	redis->ready_deadline_ns = weir_clock_ns() + redis->timeout_ms * WEIR_NS_PER_MS;
	redisAsyncSetDisconnectCallback(ac, on_commands_end);
	auth_send(redis, ac, on_greeting);
	if (redis->db != 0)
		redisAsyncCommand(ac, on_greeting, NULL, "SELECT %u", redis->db);
	redisAsyncCommand(ac, on_info, NULL, "INFO server replication");
	if (redis->min_replicas > 0)
		wait_send(redis, on_greeting_wait, 0);
	due_set(redis);
}

/* --------------------------------------------------------------------------------- hints --- */

/* The first of several messages is passed on at once; what follows it soon is gathered. */
static void hint(struct redis *redis)
{
	if (event_pending(redis->hint_due, EV_TIMEOUT, NULL)) {
		redis->hint_gathered = true;
		return;
	}
	weir_coord_timer_set(redis->hint_due, WEIR_COORD_REDIS_HINT_MS * WEIR_NS_PER_MS);
	redis->events.hint(redis->ctx);
}

static void on_hint_due(evutil_socket_t fd, short what, void *ctx)
{
	struct redis *redis = ctx;
	bool gathered = redis->hint_gathered;

	redis->hint_gathered = false;
	if (gathered)
		hint(redis);
}

static void hints_lost(struct redis *redis, const redisAsyncContext *ac)
{
	char text[SENTENCE_MAX / 2];

	if (redis->hints != ac)
		return;
	redis->hints = NULL;
	weir_coord_trouble(ac, text, sizeof(text));
	complain(redis, "no hints of changes", text);
	pause_begin(redis->hints_again, &redis->hints_pause_ms);
}

static void on_hints_end(const redisAsyncContext *ac, int status)
{
	hints_lost(ac->data, ac);
}

static void on_hints_again(evutil_socket_t fd, short what, void *ctx)
{
	hints_connect(ctx);
}

static void on_hints_greeting(redisAsyncContext *ac, void *answered, void *ctx)
{
	struct redis *redis = ac->data;
	const redisReply *reply = answered;

	if (reply == NULL) {
		hints_lost(redis, ac);
	} else if (reply->type == REDIS_REPLY_ERROR && redis->hints == ac) {
		complain(redis, "no hints of changes", reply->str);
		weir_coord_hang_up(&redis->hints);
		pause_begin(redis->hints_again, &redis->hints_pause_ms);
	}
}

static void on_message(redisAsyncContext *ac, void *answered, void *ctx)
{
	struct redis *redis = ac->data;

	if (answered == NULL) {
		hints_lost(redis, ac);
		return;
	}
	if (redis->hints != ac)
		return;
	redis->hints_pause_ms = WEIR_COORD_REDIS_PAUSE_MS_MIN;
	hint(redis);
}

static void hints_connect(struct redis *redis)
{
	char text[SENTENCE_MAX / 2];

	redis->hints = weir_coord_dial(&redis->address, redis->base, redis, text, sizeof(text));
	if (redis->hints == NULL) {
		complain(redis, "no hints of changes", text);
		pause_begin(redis->hints_again, &redis->hints_pause_ms);
		return;
	}
	redisAsyncSetDisconnectCallback(redis->hints, on_hints_end);
	auth_send(redis, redis->hints, on_hints_greeting);
	redisAsyncCommand(
		redis->hints, on_message, NULL, "SUBSCRIBE weir:{%s}:events", redis->cluster);
}

/* ------------------------------------------------------------------------------ requests --- */

/* Errors by which Redis says that it cannot work now, not that the request is wrong. */
static bool error_passes(const char *text)
{
	return strncmp(text, "ERR", 3) != 0 && strncmp(text, "WRONGTYPE", 9) != 0;
}

static void on_reply(redisAsyncContext *ac, void *answered, void *ctx);

static bool asked_send(struct asked *asked, redisAsyncContext *ac)
{
	struct redis *redis = asked->redis;

	if (redisAsyncCommandArgv(ac, on_reply, asked, asked->args.count, asked->args.arg,
		    asked->args.len) != REDIS_OK)
		return false;
	asked->wait = redis->wait;
	if (redis->min_replicas > 0)
		event_active(redis->wait_due, EV_TIMEOUT, 0);
	return true;
}

/* All that was held back for this WAIT is answered. */
static void held_answer(struct redis *redis, uint64_t number, bool counts)
{
	for (struct asked *asked = TAILQ_FIRST(&redis->sent), *next; asked != NULL; asked = next) {
		struct weir_coord_answer answer =
			counts ? asked->answer : answer_of(asked, WEIR_UNREACHABLE);

		next = TAILQ_NEXT(asked, next);
		if (asked->carried_out && asked->wait == number)
			asked_answer(&redis->sent, asked, &answer);
	}
}

static void on_wait(redisAsyncContext *ac, void *answered, void *ctx)
{
	struct redis *redis = ac->data;
	bool counts = false;

	if (answered == NULL)
		commands_lost(redis, ac);
	else if (redis->commands == ac)
		counts = confirmed(redis, answered);
	held_answer(redis, (uintptr_t)ctx, counts);
}

static void on_wait_due(evutil_socket_t fd, short what, void *ctx)
{
	struct redis *redis = ctx;

	if (redis->commands != NULL)
		wait_send(redis, on_wait, redis->wait++);
}

static void error_answer(struct asked *asked, redisAsyncContext *ac, const char *text)
{
	struct redis *redis = asked->redis;
	struct weir_coord_answer answer;

	if (strncmp(text, "NOSCRIPT", 8) == 0) {
		weir_coord_args_whole(&asked->args);
		if (asked_send(asked, ac))
			return;
	}
	complain(redis, "refused", text);
	answer = answer_of(asked, error_passes(text) ? WEIR_UNREACHABLE : WEIR_ERR);
	asked_answer(&redis->sent, asked, &answer);
	if (strncmp(text, "READONLY", 8) == 0 && redis->commands == ac)
		commands_give_up(redis, "it is a replica");
}

static void on_reply(redisAsyncContext *ac, void *answered, void *ctx)
{
	struct asked *asked = ctx;
	struct redis *redis = asked->redis;
	const redisReply *reply = answered;
	struct weir_coord_answer answer = answer_of(asked, WEIR_UNREACHABLE);

	if (reply == NULL)
		commands_lost(redis, ac);
	if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
		error_answer(asked, ac, reply->str);
		return;
	}
	if (reply != NULL)
		weir_coord_reply_read(reply, redis->run_id, &redis->room, &answer);
	if (reply != NULL && redis->room.damage[0] != '\0')
		complain(redis, "damaged and left out", redis->room.damage);
	if (reply != NULL && redis->min_replicas > 0) {
		asked->answer = answer_keep(&answer);
		asked->carried_out = true;
		return;
	}
	asked_answer(&redis->sent, asked, &answer);
}

static void asked_refuse(struct asked *asked, int err)
{
	struct redis *redis = asked->redis;

	asked->err = err;
	TAILQ_INSERT_TAIL(&redis->refused, asked, next);
	event_active(redis->refused_due, EV_TIMEOUT, 0);
}

static struct redis *redis_of(struct weir_coord *coord)
{
	return (struct redis *)coord;
}

static void redis_ask(struct weir_coord *coord, const struct weir_coord_request *request)
{
	struct redis *redis = redis_of(coord);
	struct asked *asked = malloc(sizeof(*asked));
	const char *wrong = weir_coord_request_check(request);

	weir_assert(asked != NULL && redis->asked_count < WEIR_COORD_ASKED_MAX);
	redis->asked_count++;
	asked->redis = redis;
	asked->kind = request->kind;
	asked->ticket = request->ticket;
	asked->carried_out = false;
	asked->deadline_ns = weir_clock_ns() + redis->timeout_ms * WEIR_NS_PER_MS;
	if (wrong != NULL) {
		complain(redis, "a request is refused", wrong);
		asked_refuse(asked, WEIR_ERR);
		return;
	}
	if (redis->commands == NULL || (redis->min_replicas > 0 && !redis->ready)) {
		asked_refuse(asked, WEIR_UNREACHABLE);
		return;
	}
	weir_coord_args_write(&asked->args, redis->cluster, ++redis->dataset, request);
	if (!asked_send(asked, redis->commands)) {
		asked_refuse(asked, WEIR_UNREACHABLE);
		return;
	}
	TAILQ_INSERT_TAIL(&redis->sent, asked, next);
	if (!event_pending(redis->due, EV_TIMEOUT, NULL))
		due_set(redis);
}

/* ------------------------------------------------------------------- beginning and end --- */

static void silent_answer(void *ctx, const struct weir_coord_answer *answer)
{
}

static void silent_reach(void *ctx, bool reachable, const char *sentence)
{
}

static void redis_destroy(struct weir_coord *coord)
{
	struct redis *redis = redis_of(coord);
	struct event *const timers[] = {redis->commands_again, redis->hints_again, redis->hint_due,
		redis->due, redis->refused_due, redis->wait_due};

	redis->events.answer = silent_answer;
	redis->events.reach = silent_reach;
	weir_coord_hang_up(&redis->hints);
	weir_coord_hang_up(&redis->commands);
	weir_coord_sentinels_destroy(redis->sentinels);
	on_refused_due(-1, EV_TIMEOUT, redis);
	for (unsigned i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
		event_free(timers[i]);
	explicit_bzero(redis->password, sizeof(redis->password));
	free(redis);
}

static const struct weir_coord_driver redis_driver = {
	.name = "redis",
	.ask = redis_ask,
	.destroy = redis_destroy,
};

static const char *credential_read(char *credential, const char *text)
{
	if (text == NULL)
		return NULL;
	if (strlen(text) >= WEIR_COORD_REDIS_CREDENTIAL_MAX)
		return "the user or password is too long";
	strcpy(credential, text);
	return NULL;
}

static const char *cluster_read(char *cluster, const char *text)
{
	const char *wrong = weir_coord_name_check(text, WEIR_CLUSTER_ID_MAX);

	if (wrong != NULL)
		return wrong;
	if (strpbrk(text, "{}*?[]\\") != NULL)
		return "a cluster's name may not have any of {}*?[]\\ in it";
	strcpy(cluster, text);
	return NULL;
}

static const char *place_read(struct redis *redis, const struct weir_coord_redis_conf *conf)
{
	const char *wrong;

	if (conf->sentinels == NULL || conf->sentinels[0] == '\0')
		return weir_coord_address_read(
			&redis->address, conf->address, WEIR_COORD_REDIS_PORT);
	if (conf->address != NULL && conf->address[0] != '\0')
		return "either an address or Sentinels can be given, not both";
	strcpy(redis->address.text, "(not known yet)");
	redis->sentinels = weir_coord_sentinels_create(conf->sentinels, conf->sentinel_master,
		redis->timeout_ms, redis->base, on_found, redis, &wrong);
	return wrong;
}

static const char *conf_read(struct redis *redis, const struct weir_coord_redis_conf *conf)
{
	const char *wrong = conf->min_replicas <= WEIR_COORD_REDIS_REPLICAS_MAX
				    ? NULL
				    : "there are too many replicas to wait for";

	redis->db = conf->db;
	redis->timeout_ms = conf->timeout_ms != 0 ? conf->timeout_ms : WEIR_COORD_REDIS_TIMEOUT_MS;
	redis->min_replicas = conf->min_replicas;
	redis->wait_ms = redis->timeout_ms - redis->timeout_ms / 4;

	if (wrong == NULL)
		wrong = credential_read(redis->user, conf->user);
	if (wrong == NULL)
		wrong = credential_read(redis->password, conf->password);
	if (wrong == NULL && redis->user[0] != '\0' && redis->password[0] == '\0')
		wrong = "a user without a password";
	if (wrong == NULL)
		wrong = cluster_read(redis->cluster, conf->cluster);
	return wrong != NULL ? wrong : place_read(redis, conf);
}

static struct event *timer_new(struct redis *redis, event_callback_fn callback)
{
	struct event *timer = event_new(redis->base, -1, 0, callback, redis);

	weir_assert(timer != NULL);
	return timer;
}

static void sigpipe_ignore(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static void redis_init(struct redis *redis)
{
	redis->coord.driver = &redis_driver;
	redis->reachable = -1;
	redis->commands_pause_ms = redis->hints_pause_ms = WEIR_COORD_REDIS_PAUSE_MS_MIN;
	TAILQ_INIT(&redis->sent);
	TAILQ_INIT(&redis->refused);
	redis->commands_again = timer_new(redis, on_commands_again);
	redis->hints_again = timer_new(redis, on_hints_again);
	redis->hint_due = timer_new(redis, on_hint_due);
	redis->due = timer_new(redis, on_due);
	redis->refused_due = timer_new(redis, on_refused_due);
	redis->wait_due = timer_new(redis, on_wait_due);
	weir_assert(getrandom(&redis->dataset, sizeof(redis->dataset), 0) ==
		    (ssize_t)sizeof(redis->dataset));
}

struct weir_coord *weir_coord_redis_create(const struct weir_coord_redis_conf *conf,
	struct event_base *base, const struct weir_coord_events *events, void *ctx, char *wrong,
	size_t wrong_size)
{
	struct redis *redis = calloc(1, sizeof(*redis));
	const char *sentence;

	weir_assert(redis != NULL);
	redis->base = base;
	sentence = conf_read(redis, conf);
	if (sentence != NULL) {
		snprintf(wrong, wrong_size, "%s", sentence);
		free(redis);
		return NULL;
	}
	redis->events = *events;
	redis->ctx = ctx;
	redis_init(redis);
	sigpipe_ignore();
	event_active(redis->commands_again, EV_TIMEOUT, 0);
	return &redis->coord;
}
