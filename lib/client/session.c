/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/session.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"

#define TIMEOUT_MS         5000
#define CONNECT_TIMEOUT_MS 1000
#define PIPELINE           2048

/* ------------------------------------------------------------------------ opening, closing --- */

void weir_session_say(struct weir_session *session, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(session->error, sizeof(session->error), format, args);
	va_end(args);
}

int weir_session_node(struct weir_session *session, const char *socket, size_t len)
{
	if (len == 0 || len >= WEIR_SOCKET_PATH_MAX)
		return -1;
	for (unsigned i = 0; i < session->nodes_count; i++)
		if (strlen(session->nodes[i].socket) == len &&
			memcmp(session->nodes[i].socket, socket, len) == 0)
			return (int)i;
	if (session->nodes_count == WEIR_CLIENT_NODES_MAX)
		return -1;
	memcpy(session->nodes[session->nodes_count].socket, socket, len);
	return (int)session->nodes_count++;
}

struct weir_session *weir_client_open(const struct weir_client_conf *conf)
{
	struct weir_session *session = calloc(1, sizeof(*session));
	const char *at = conf->sockets != NULL ? conf->sockets : "";

	if (session == NULL)
		return NULL;
	session->pipeline_max = conf->pipeline > 0 ? conf->pipeline : PIPELINE;
	if (session->pipeline_max > WEIR_CLIENT_PIPELINE_MAX)
		session->pipeline_max = WEIR_CLIENT_PIPELINE_MAX;
	session->timeout_ns =
		(conf->timeout_ms > 0 ? conf->timeout_ms : TIMEOUT_MS) * WEIR_NS_PER_MS;
	session->connect_timeout_ms =
		conf->connect_timeout_ms > 0 ? conf->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	while (*at != '\0') {
		size_t len = strcspn(at, ",");

		weir_session_node(session, at, len);
		at += len + (at[len] == ',');
	}
	weir_session_say(
		session, session->nodes_count > 0 ? "nothing was asked yet" : "no socket is named");
	return session;
}

void weir_client_close(struct weir_session *session)
{
	if (session == NULL)
		return;
	weir_pipeline_close(session->pipeline);
	for (unsigned i = 0; i < session->nodes_count; i++)
		if (session->nodes[i].context != NULL)
			redisFree(session->nodes[i].context);
	free(session);
}

const char *weir_client_error(const struct weir_session *session)
{
	return session->error;
}

void weir_client_stats(const struct weir_session *session, struct weir_client_stats *stats)
{
	*stats = session->stats;
}

/* -------------------------------------------------------------------------------- one node --- */

static struct timeval timeval_ms(uint32_t ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void node_drop(struct weir_session *session, struct weir_known *node)
{
	weir_session_say(session, "%s: %s", node->socket,
		node->context != NULL ? node->context->errstr : "memory is short");
	if (node->context != NULL)
		redisFree(node->context);
	node->context = NULL;
}

static bool node_connect(struct weir_session *session, struct weir_known *node, uint32_t timeout_ms)
{
	if (node->context != NULL)
		return true;
	node->context = redisConnectUnixWithTimeout(node->socket, timeval_ms(timeout_ms));
	if (node->context != NULL && node->context->err == 0)
		return true;
	node_drop(session, node);
	return false;
}

/*
 * hiredis writes without MSG_NOSIGNAL. A program that uses this library must not die of it, nor
 * lose a SIGPIPE of its own.
 */
static redisReply *command_quiet(
	redisContext *context, int words, const char *const *argv, const size_t *lens)
{
	const struct timespec now = {0};
	sigset_t pipe_set, old, pending;
	redisReply *reply;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	reply = redisCommandArgv(context, words, (const char **)argv, lens);
	if (!sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
			continue;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return reply;
}

/*
 * One command to one node. A connection that was there before may have been closed by the other
 * side meanwhile: then once more, on a new one.
 */
static redisReply *node_call(struct weir_session *session, unsigned number, uint32_t timeout_ms,
	int words, const char *const *argv, const size_t *lens)
{
	struct weir_known *node = &session->nodes[number];
	bool old = node->context != NULL;
	redisReply *reply;

	if (timeout_ms == 0)
		timeout_ms = 1;
	if (!node_connect(session, node, timeout_ms))
		return NULL;
	redisSetTimeout(node->context, timeval_ms(timeout_ms));
	reply = command_quiet(node->context, words, argv, lens);
	if (reply != NULL)
		return reply;
	old = old && node->context->err != REDIS_ERR_IO;
	node_drop(session, node);
	return old ? node_call(session, number, timeout_ms, words, argv, lens) : NULL;
}

/* The value of a name in a flat array of names and values, or NULL. */
static const redisReply *field(const redisReply *reply, const char *name)
{
	if (reply == NULL || reply->type != REDIS_REPLY_ARRAY)
		return NULL;
	for (size_t i = 0; i + 1 < reply->elements; i += 2)
		if (reply->element[i]->type == REDIS_REPLY_STRING &&
			strcmp(reply->element[i]->str, name) == 0)
			return reply->element[i + 1];
	return NULL;
}

/* Learns the sockets of all nodes from one of them. */
static void nodes_learn(struct weir_session *session, unsigned number)
{
	static const char *const argv[] = {"NODE.LIST"};
	redisReply *reply;

	session->learned = true;
	reply = node_call(session, number, WEIR_CLIENT_ASK_MS, 1, argv, NULL);
	if (reply != NULL && reply->type == REDIS_REPLY_ARRAY) {
		for (size_t i = 0; i < reply->elements; i++) {
			const redisReply *socket = field(reply->element[i], "socket");

			if (socket != NULL && socket->type == REDIS_REPLY_STRING)
				weir_session_node(session, socket->str, socket->len);
		}
	}
	if (reply != NULL)
		freeReplyObject(reply);
}

/* --------------------------------------------------------------------------------- masters --- */

int weir_err_of_text(const char *text, size_t len)
{
	const char *blank = memchr(text, ' ', len);

	return weir_err_from_code(text, (unsigned)(blank != NULL ? blank - text : (long)len));
}

bool weir_err_passes(int err)
{
	switch (err) {
	case WEIR_NOTMASTER:
	case WEIR_FENCED:
	case WEIR_BUSY:
	case WEIR_TIMEOUT:
	case WEIR_UNKNOWN:
	case WEIR_READONLY:
	case WEIR_UNREACHABLE:
		return true;
	default:
		return false;
	}
}

int weir_session_hint(struct weir_session *session, const char *text, size_t len)
{
	const char *end = text + len;

	for (unsigned word = 0; word < 2; word++) {
		text = memchr(text, ' ', (size_t)(end - text));
		if (text == NULL)
			return -1;
		text++;
	}
	len = (size_t)(end - text);
	if (memchr(text, ' ', len) != NULL)
		len = (size_t)((const char *)memchr(text, ' ', len) - text);
	return len == 1 && text[0] == '-' ? -1 : weir_session_node(session, text, len);
}

/* What one node says of a device's master. Returns 0, or an error. */
static int master_ask(struct weir_session *session, unsigned number, const char *device,
	uint32_t timeout_ms, long long *term, int *master)
{
	const char *const argv[] = {"MASTER.GET", device};
	const redisReply *socket, *found_term;
	redisReply *reply = node_call(session, number, timeout_ms, 2, argv, NULL);
	int err = WEIR_UNREACHABLE;

	if (reply == NULL)
		return err;
	if (reply->type == REDIS_REPLY_ERROR)
		err = weir_err_of_text(reply->str, reply->len);
	socket = field(reply, "socket");
	found_term = field(reply, "term");
	if (socket != NULL && socket->type == REDIS_REPLY_STRING && found_term != NULL &&
		found_term->type == REDIS_REPLY_INTEGER) {
		err = 0;
		*term = found_term->integer;
		*master = weir_session_node(session, socket->str, socket->len);
	}
	freeReplyObject(reply);
	return err;
}

int weir_session_master(
	struct weir_session *session, const char *device, int except, uint32_t timeout_ms)
{
	unsigned unknown = 0, answered = 0;
	long long best_term = -1;
	int best = -1;

	/* nodes_count may grow on the way. */
	for (unsigned i = 0; i < session->nodes_count; i++) {
		long long term = -1;
		int master = -1, err;

		if ((int)i == except)
			continue;
		err = master_ask(session, i, device, timeout_ms, &term, &master);
		unknown += err == WEIR_NODEVICE;
		answered += err != WEIR_UNREACHABLE;
		if (err != WEIR_UNREACHABLE && !session->learned)
			nodes_learn(session, i);
		if (err == 0 && master >= 0 && term > best_term) {
			best_term = term;
			best = master;
		}
	}
	if (best < 0 && answered > 0 && unknown == answered)
		return WEIR_NODEVICE;
	return best < 0 ? -1 : best;
}

/* ----------------------------------------------------------------------------------- calls --- */

static void pause_ms(uint32_t ms)
{
	struct timespec time = {.tv_nsec = (long)(ms * WEIR_NS_PER_MS)};

	nanosleep(&time, NULL);
}

static uint32_t left_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = weir_clock_ns();

	return now_ns < deadline_ns ? (uint32_t)((deadline_ns - now_ns) / WEIR_NS_PER_MS) + 1 : 0;
}

struct redisReply *weir_client_call(
	struct weir_session *session, int words, const char *const *argv, const size_t *lens)
{
	uint64_t deadline_ns = weir_clock_ns() + session->timeout_ns;
	uint64_t connect_ns = weir_clock_ns() + session->connect_timeout_ms * WEIR_NS_PER_MS;

	session->stats.requests++;
	do {
		for (unsigned i = 0; i < session->nodes_count; i++) {
			unsigned number = (session->node_now + i) % session->nodes_count;
			redisReply *reply =
				node_call(session, number, left_ms(deadline_ns), words, argv, lens);

			if (reply == NULL)
				continue;
			session->node_now = number;
			return reply;
		}
		pause_ms(WEIR_CLIENT_BACKOFF_MAX_MS);
	} while (left_ms(deadline_ns) > 0 && left_ms(connect_ns) > 0);
	return NULL;
}

/* The node to which a call about this device goes first; -1: nobody knows. */
static int master_guess(struct weir_session *session, const char *device)
{
	if (strcmp(session->master_device, device) == 0)
		return (int)session->master_node;
	return weir_session_master(session, device, -1, WEIR_CLIENT_ASK_MS);
}

static void master_note(struct weir_session *session, const char *device, int node)
{
	bool same = strcmp(session->master_device, device) == 0;

	session->stats.failovers += same && session->master_node != (unsigned)node;
	snprintf(session->master_device, sizeof(session->master_device), "%s", device);
	session->master_node = (unsigned)node;
}

struct redisReply *weir_client_call_master(struct weir_session *session, const char *device,
	int words, const char *const *argv, const size_t *lens)
{
	uint64_t deadline_ns = weir_clock_ns() + session->timeout_ns;
	uint32_t backoff_ms = WEIR_CLIENT_BACKOFF_MIN_MS;
	int node = master_guess(session, device);
	redisReply *reply, *last = NULL;

	session->stats.requests++;
	for (;;) {
		reply = node >= 0 ? node_call(session, (unsigned)node, left_ms(deadline_ns), words,
					    argv, lens)
				  : NULL;
		if (node == WEIR_NODEVICE)
			reply = weir_client_call(session, words, argv, lens);
		if (reply != NULL) {
			if (last != NULL)
				freeReplyObject(last);
			last = reply;
			if (reply->type != REDIS_REPLY_ERROR ||
				!weir_err_passes(weir_err_of_text(reply->str, reply->len)))
				break;
		}
		if (left_ms(deadline_ns) == 0)
			return last;
		pause_ms(backoff_ms);
		backoff_ms = backoff_ms * 2 < WEIR_CLIENT_BACKOFF_MAX_MS
				     ? backoff_ms * 2
				     : WEIR_CLIENT_BACKOFF_MAX_MS;
		node = reply != NULL ? weir_session_hint(session, reply->str, reply->len) : -1;
		if (node < 0 || weir_err_of_text(reply->str, reply->len) != WEIR_NOTMASTER)
			node = weir_session_master(session, device, -1, WEIR_CLIENT_ASK_MS);
	}
	if (node >= 0)
		master_note(session, device, node);
	return last;
}
