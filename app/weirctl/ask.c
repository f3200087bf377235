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

/* Answers gathered. */
struct pages {
	redisReply **pages;
	size_t count, room;
};

static void pages_clear(struct pages *pages)
{
	for (size_t i = 0; i < pages->count; i++)
		freeReplyObject(pages->pages[i]);
	pages->count = 0;
}

static bool pages_add(struct pages *pages, redisReply *page)
{
	if (pages->count == pages->room) {
		size_t room = pages->room > 0 ? 2 * pages->room : 64;
		redisReply **grown = realloc(pages->pages, room * sizeof(*grown));

		if (grown == NULL)
			return false;
		pages->pages = grown;
		pages->room = room;
	}
	pages->pages[pages->count++] = page;
	return true;
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

static uint64_t failovers(const struct ctl *ctl)
{
	struct weir_client_stats stats;

	weir_client_stats(ctl->session, &stats);
	return stats.failovers;
}

static int pages_gather(struct ctl *ctl, const char *device, const char *state, struct pages *pages)
{
	uint64_t changes = failovers(ctl);
	char cursor[32] = "0";
	int status;

	do {
		redisReply *page = page_ask(ctl, device, state, cursor);

		status = ctl_check(ctl, page);
		if (status == CTL_FINE && !is_page(page))
			status = page_bad();
		if (status != CTL_FINE || !pages_add(pages, page)) {
			if (page != NULL)
				freeReplyObject(page);
			return status != CTL_FINE ? status : CTL_NO_ANSWER;
		}
		snprintf(cursor, sizeof(cursor), "%s", page->element[0]->str);
		if (failovers(ctl) != changes) {
			changes = failovers(ctl);
			pages_clear(pages);
			strcpy(cursor, "0");
			continue;
		}
		if (strcmp(cursor, "0") == 0)
			return CTL_FINE;
	} while (true);
}

int ctl_scan(struct ctl *ctl, const char *device, const char *state,
	void (*visit)(void *ctx, const struct ctl_flow *flow), void *ctx)
{
	struct pages pages = {0};
	int status = pages_gather(ctl, device, state, &pages);

	for (size_t i = 0; status == CTL_FINE && i < pages.count; i++) {
		const redisReply *flows = pages.pages[i]->element[1];

		for (size_t k = 0; k < flows->elements; k++) {
			const redisReply *reply = flows->element[k];
			const struct ctl_flow flow = {ctl_text(reply, "flow"),
				ctl_text(reply, "id"), ctl_text(reply, "state"),
				ctl_number(reply, "packets"), ctl_number(reply, "bytes"),
				ctl_number(reply, "life_s")};

			visit(ctx, &flow);
		}
	}
	pages_clear(&pages);
	free(pages.pages);
	return status;
}
