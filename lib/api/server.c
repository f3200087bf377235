/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands about the connection, and what Redis clients ask of any server. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/command.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/store.h"

WEIR_RUN(ping)
{
	if (call->words->count > 2)
		return weir_call_syntax(call);
	if (call->words->count == 2)
		weir_reply_bulk(call->reply, call->words->word[1].at, call->words->word[1].len);
	else
		weir_reply_simple(call->reply, "PONG");
	return WEIR_CALL_ANSWERED;
}

WEIR_RUN(echo)
{
	weir_reply_bulk(call->reply, call->words->word[1].at, call->words->word[1].len);
	return WEIR_CALL_ANSWERED;
}

WEIR_RUN(quit)
{
	weir_reply_simple(call->reply, "OK");
	call->conn->closing = true;
	return WEIR_CALL_ANSWERED;
}

WEIR_RUN(reset)
{
	call->conn->out.protocol = 2;
	call->conn->name[0] = '\0';
	weir_reply_simple(call->reply, "RESET");
	return WEIR_CALL_ANSWERED;
}

WEIR_RUN(select)
{
	if (weir_word_is(&call->words->word[1], "0"))
		weir_reply_simple(call->reply, "OK");
	else
		weir_reply_error(
			call->reply, WEIR_ERR, "DB index is out of range, there is only 0");
	return WEIR_CALL_ANSWERED;
}

/* Names stand in lines of CLIENT LIST: printable, no blanks. */
static bool name_set(const struct weir_call *call, const struct weir_word *word)
{
	for (size_t i = 0; i < word->len; i++)
		if (word->at[i] < '!' || word->at[i] > '~')
			return false;
	return weir_word_copy(word, call->conn->name, sizeof(call->conn->name));
}

static enum weir_call_result name_refused(const struct weir_call *call)
{
	weir_reply_error(call->reply, WEIR_ERR,
		"a client's name has at most %d characters, none of them blank",
		WEIR_API_NAME_MAX - 1);
	return WEIR_CALL_ANSWERED;
}

/* ----------------------------------------------------------------------------------- HELLO --- */

static void hello_put(const struct weir_call *call)
{
	struct weir_reply *reply = call->reply;

	weir_reply_map(reply, 7);
	weir_reply_text(reply, "server");
	weir_reply_text(reply, "weir");
	weir_reply_text(reply, "version");
	weir_reply_text(reply, WEIR_VERSION);
	weir_reply_text(reply, "proto");
	weir_reply_number(reply, reply->protocol);
	weir_reply_text(reply, "id");
	weir_reply_number(reply, call->conn->id);
	weir_reply_text(reply, "mode");
	weir_reply_text(reply, "standalone");
	weir_reply_text(reply, "role");
	weir_reply_text(reply, "master");
	weir_reply_text(reply, "modules");
	weir_reply_array(reply, 0);
}

WEIR_RUN(hello)
{
	const struct weir_words *words = call->words;
	uint64_t protocol = call->reply->protocol;

	if (words->count > 1 &&
		(!weir_word_number(&words->word[1], 3, &protocol) || protocol < 2)) {
		weir_reply_raw(call->reply, "-NOPROTO unsupported protocol version\r\n", 39);
		return WEIR_CALL_ANSWERED;
	}
	if (words->count > 2 && (words->count != 4 || !weir_word_is(&words->word[2], "SETNAME")))
		return weir_call_syntax(call);
	if (words->count == 4 && !name_set(call, &words->word[3]))
		return name_refused(call);
	call->conn->out.protocol = call->reply->protocol = (uint8_t)protocol;
	hello_put(call);
	return WEIR_CALL_ANSWERED;
}

/* ---------------------------------------------------------------------------------- CLIENT --- */

static void client_put(struct weir_reply *reply, const struct weir_conn *conn)
{
	char line[256];
	int len = snprintf(line, sizeof(line),
		"id=%" PRIu64 " name=%s age=%" PRIu64 " resp=%u under-way=%" PRIu64
		" input=%zu output=%zu gateway=%u\n",
		conn->id, conn->name,
		(uint64_t)((weir_clock_ns() - conn->since_ns) / WEIR_NS_PER_S), conn->out.protocol,
		conn->tail - conn->head, conn->in_len - conn->in_start, weir_reply_left(&conn->out),
		conn->gateway->number);

	weir_reply_raw(reply, line, (size_t)len);
}

/* The clients of this gateway, the one that asks among them. */
static void clients_put(const struct weir_call *call, bool all)
{
	struct weir_reply *build = &call->gateway->build;
	const struct weir_conn *conn;

	weir_reply_clear(build);
	LIST_FOREACH (conn, &call->gateway->conns, all)
		if (all || conn == call->conn)
			client_put(build, conn);
	weir_reply_bulk(call->reply, build->bytes, weir_reply_left(build));
}

WEIR_RUN(client)
{
	const struct weir_words *words = call->words;
	const struct weir_word *part = &words->word[1];

	if (words->count == 3 && weir_word_is(part, "SETNAME")) {
		if (!name_set(call, &words->word[2]))
			return name_refused(call);
		weir_reply_simple(call->reply, "OK");
	} else if (words->count == 4 && weir_word_is(part, "SETINFO")) {
		weir_reply_simple(call->reply, "OK");
	} else if (words->count == 2 && weir_word_is(part, "GETNAME")) {
		if (call->conn->name[0] != '\0')
			weir_reply_text(call->reply, call->conn->name);
		else
			weir_reply_null(call->reply);
	} else if (words->count == 2 && weir_word_is(part, "ID")) {
		weir_reply_number(call->reply, call->conn->id);
	} else if (words->count == 2 && weir_word_is(part, "INFO")) {
		clients_put(call, false);
	} else if (words->count == 2 && weir_word_is(part, "LIST")) {
		clients_put(call, true);
	} else {
		return weir_call_syntax(call);
	}
	return WEIR_CALL_ANSWERED;
}

/* ---------------------------------------------------------------------------------- CONFIG --- */

/* A setting as text. */
struct setting {
	const char *name;
	char value[WEIR_SOCKET_PATH_MAX];
};

#define SETTINGS_MAX 24

static void setting_add(struct setting *settings, unsigned *count, const char *name,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

static void setting_add(
	struct setting *settings, unsigned *count, const char *name, const char *format, ...)
{
	va_list args;

	weir_assert(*count < SETTINGS_MAX);
	settings[*count].name = name;
	va_start(args, format);
	vsnprintf(settings[*count].value, sizeof(settings[*count].value), format, args);
	va_end(args);
	++*count;
}

static const char *idle_name(enum weir_idle idle)
{
	return idle == WEIR_IDLE_POLL ? "poll" : idle == WEIR_IDLE_PAUSE ? "pause" : "sleep";
}

static unsigned settings_list(const struct weir_api *api, struct setting *settings)
{
	const struct weir_store_conf *conf = weir_store_conf(api->store);
	unsigned count = 0;

#define ADD(...) setting_add(settings, &count, __VA_ARGS__)
	ADD("node.id", "%s", conf->tenure.self.id);
	ADD("cluster.id", "%s", conf->cluster);
	ADD("cluster.backup_count", "%u", conf->tenure.backup_count);
	ADD("cluster.lease_ms", "%u", conf->tenure.lease_ms);
	ADD("cluster.join_grace_ms", "%u", conf->tenure.join_grace_ms);
	ADD("cluster.unclean_takeover", "%s",
		__atomic_load_n(&conf->tenure.unclean_takeover, __ATOMIC_RELAXED) ? "yes" : "no");
	ADD("node.workers", "%u", conf->workers_count);
	ADD("node.memory_bytes", "%" PRIu64, conf->memory_bytes);
	ADD("replication.insync_timeout_ms", "%u", conf->insync_timeout_ms);
	ADD("replication.anti_entropy_period_ms", "%u", conf->anti_entropy_period_ms);
	ADD("api.socket", "%s", api->socket);
	ADD("api.gateways", "%u", api->gateways_count);
	ADD("api.request_timeout_ms", "%u", api->request_timeout_ms);
	ADD("idle.policy", "%s", idle_name(conf->idle));
	/* What tools written for Redis ask for: nothing is written to disk. */
	ADD("save", "%s", "");
	ADD("appendonly", "no");
	ADD("databases", "1");
	ADD("maxclients", "%d", WEIR_API_CLIENTS_MAX);
#undef ADD
	return count;
}

static bool setting_wanted(const struct weir_words *words, const char *name)
{
	for (unsigned i = 2; i < words->count; i++)
		if (weir_glob_match(words->word[i].at, words->word[i].len, name, strlen(name)))
			return true;
	return false;
}

WEIR_RUN(config)
{
	struct setting settings[SETTINGS_MAX];
	unsigned count, wanted = 0;

	if (!weir_word_is(&call->words->word[1], "GET"))
		return weir_call_syntax(call);
	count = settings_list(call->gateway->api, settings);
	for (unsigned i = 0; i < count; i++)
		wanted += setting_wanted(call->words, settings[i].name);
	weir_reply_map(call->reply, wanted);
	for (unsigned i = 0; i < count; i++) {
		if (!setting_wanted(call->words, settings[i].name))
			continue;
		weir_reply_text(call->reply, settings[i].name);
		weir_reply_text(call->reply, settings[i].value);
	}
	return WEIR_CALL_ANSWERED;
}
