/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "weirctl.h"

/* Flows asked for at once. */
#define SCAN_COUNT "5000"

int ctl_check(struct ctl *ctl, const redisReply *reply)
{
	if (reply == NULL) {
		fprintf(stderr, "weirctl: no answer: %s\n", weir_client_error(ctl->session));
		return CTL_NO_ANSWER;
	}
	if (reply->type != REDIS_REPLY_ERROR)
		return CTL_FINE;
	fprintf(stderr, "weirctl: %s\n", reply->str);
	return CTL_REFUSED;
}

const redisReply *ctl_field(const redisReply *reply, const char *name)
{
	if (reply == NULL || reply->type != REDIS_REPLY_ARRAY)
		return NULL;
	for (size_t i = 0; i + 1 < reply->elements; i += 2)
		if (reply->element[i]->type == REDIS_REPLY_STRING &&
			strcmp(reply->element[i]->str, name) == 0)
			return reply->element[i + 1];
	return NULL;
}

const char *ctl_text(const redisReply *reply, const char *name)
{
	const redisReply *field = ctl_field(reply, name);

	return field != NULL && field->type == REDIS_REPLY_STRING ? field->str : "";
}

long long ctl_number(const redisReply *reply, const char *name)
{
	const redisReply *field = ctl_field(reply, name);

	return field != NULL && field->type == REDIS_REPLY_INTEGER ? field->integer : 0;
}

void ctl_json_text(FILE *to, const char *text)
{
	putc('"', to);
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(to, "\\%c", *c);
		else if ((unsigned char)*c < ' ')
			fprintf(to, "\\u%04x", (unsigned char)*c);
		else
			putc(*c, to);
	}
	putc('"', to);
}

/* Whether an answer is [cursor, [elements]]. */
static bool is_page(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
	       reply->element[0]->type == REDIS_REPLY_STRING &&
	       reply->element[1]->type == REDIS_REPLY_ARRAY;
}

static int page_bad(void)
{
	fprintf(stderr, "weirctl: the node's answer is not a list\n");
	return CTL_REFUSED;
}

int ctl_each_device(
	struct ctl *ctl, int (*visit)(struct ctl *ctl, const char *device, void *ctx), void *ctx)
{
	char cursor[WEIR_DEVICE_ID_MAX + 2] = "0";
	int status = CTL_FINE;

	do {
		const char *const argv[] = {"DEVICE.LIST", "CURSOR", cursor, "COUNT", "1000"};
		redisReply *reply = weir_client_call(ctl->session, 5, argv, NULL);

		status = ctl_check(ctl, reply);
		if (status == CTL_FINE && !is_page(reply))
			status = page_bad();
		if (status == CTL_FINE) {
			const redisReply *names = reply->element[1];

			snprintf(cursor, sizeof(cursor), "%s", reply->element[0]->str);
			for (size_t i = 0; i < names->elements && status == CTL_FINE; i++)
				status = visit(ctl, names->element[i]->str, ctx);
		}
		if (reply != NULL)
			freeReplyObject(reply);
	} while (status == CTL_FINE && strcmp(cursor, "0") != 0);
	return status;
}

/* ---------------------------------------------------------------------------------- scans --- */

/* Texts are kept in chunks, which takes a fifth of the memory of the answers they came in. */
#define CHUNK_BYTES (1U << 20)

struct chunk {
	struct chunk *next;
	size_t used;
	char bytes[CHUNK_BYTES];
};

/* Flows gathered. */
struct rows {
	struct ctl_flow *rows;
	size_t count, room;
	struct chunk *chunks;
};

static void rows_clear(struct rows *rows)
{
	struct chunk *chunk;

	while ((chunk = rows->chunks) != NULL) {
		rows->chunks = chunk->next;
		free(chunk);
	}
	rows->count = 0;
}

/* Keeps a text; an empty one where memory is short, and *fine is false then. */
static const char *text_keep(struct rows *rows, const char *text, bool *fine)
{
	size_t len = strlen(text) + 1;
	struct chunk *chunk = rows->chunks;
	char *kept;

	if (chunk == NULL || len > CHUNK_BYTES - chunk->used) {
		chunk = len <= CHUNK_BYTES ? malloc(sizeof(*chunk)) : NULL;
		if (chunk == NULL) {
			*fine = false;
			return "";
		}
		chunk->used = 0;
		chunk->next = rows->chunks;
		rows->chunks = chunk;
	}
	kept = chunk->bytes + chunk->used;
	memcpy(kept, text, len);
	chunk->used += len;
	return kept;
}

static bool row_add(struct rows *rows, const redisReply *flow)
{
	bool fine = true;

	if (rows->count == rows->room) {
		size_t room = rows->room > 0 ? 2 * rows->room : 4096;
		struct ctl_flow *grown = realloc(rows->rows, room * sizeof(*grown));

		if (grown == NULL)
			return false;
		rows->rows = grown;
		rows->room = room;
	}
	rows->rows[rows->count++] = (struct ctl_flow){
		.text = text_keep(rows, ctl_text(flow, "flow"), &fine),
		.id = text_keep(rows, ctl_text(flow, "id"), &fine),
		.state = text_keep(rows, ctl_text(flow, "state"), &fine),
		.packets = ctl_number(flow, "packets"),
		.bytes = ctl_number(flow, "bytes"),
		.life_s = ctl_number(flow, "life_s"),
	};
	return fine;
}

static redisReply *page_ask(
	struct ctl *ctl, const char *device, const char *state, const char *cursor)
{
	const char *argv[8] = {"FLOW.SCAN", device, cursor, "COUNT", SCAN_COUNT};
	int words = 5;

	if (state != NULL) {
		argv[words++] = "STATE";
		argv[words++] = state;
	}
	if (ctl->local)
		argv[words++] = "LOCAL";
	return ctl->local ? weir_client_call(ctl->session, words, argv, NULL)
			  : weir_client_call_master(ctl->session, device, words, argv, NULL);
}

/* Takes one answer over. Returns an exit status. */
static int page_take(
	struct ctl *ctl, struct rows *rows, const redisReply *page, char *cursor, size_t room)
{
	int status = ctl_check(ctl, page);

	if (status != CTL_FINE)
		return status;
	if (!is_page(page))
		return page_bad();
	snprintf(cursor, room, "%s", page->element[0]->str);
	for (size_t i = 0; i < page->element[1]->elements; i++) {
		if (!row_add(rows, page->element[1]->element[i])) {
			fprintf(stderr, "weirctl: memory is short\n");
			return CTL_REFUSED;
		}
	}
	return CTL_FINE;
}

static uint64_t failovers(const struct ctl *ctl)
{
	struct weir_client_stats stats;

	weir_client_stats(ctl->session, &stats);
	return stats.failovers;
}

static int rows_gather(struct ctl *ctl, const char *device, const char *state, struct rows *rows)
{
	uint64_t changes = failovers(ctl);
	char cursor[32] = "0";
	bool complete;
	int status;

	do {
		redisReply *page = page_ask(ctl, device, state, cursor);

		status = page_take(ctl, rows, page, cursor, sizeof(cursor));
		if (page != NULL)
			freeReplyObject(page);
		if (status != CTL_FINE)
			return status;
		complete = strcmp(cursor, "0") == 0;
		if (failovers(ctl) != changes) {
			/* A cursor is good on its own node only. */
			changes = failovers(ctl);
			rows_clear(rows);
			strcpy(cursor, "0");
			complete = false;
		}
	} while (!complete);
	return CTL_FINE;
}

int ctl_scan(struct ctl *ctl, const char *device, const char *state,
	void (*visit)(void *ctx, const struct ctl_flow *flow), void *ctx)
{
	struct rows rows = {0};
	int status = rows_gather(ctl, device, state, &rows);

	for (size_t i = 0; status == CTL_FINE && i < rows.count; i++)
		visit(ctx, &rows.rows[i]);
	rows_clear(&rows);
	free(rows.rows);
	return status;
}
