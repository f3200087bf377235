/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs about flows, one by one or listed. */
#include <string.h>
#include <strings.h>

#include "weirctl.h"

/* ---------------------------------------------------------------------------------- flows --- */

struct listing {
	const struct ctl *ctl;
	const char *state;
	unsigned devices;
	uint64_t flows;
};

static void flow_print(void *ctx, const struct ctl_flow *flow)
{
	struct listing *listing = ctx;

	if (listing->ctl->json) {
		printf("%s\n{\"id\":\"%s\",\"state\":\"%s\",\"packets\":%lld,\"bytes\":%lld,"
		       "\"life_s\":%lld,\"flow\":",
			listing->flows++ > 0 ? "," : "", flow->id, flow->state, flow->packets,
			flow->bytes, flow->life_s);
		ctl_json_text(stdout, flow->text);
		putchar('}');
		return;
	}
	listing->flows++;
	if (listing->ctl->brief)
		printf("    %s\n", flow->text);
	else
		printf("    id=%s, state=%s, duration=%llds, n_packets=%lld, n_bytes=%lld, %s\n",
			flow->id, flow->state, flow->life_s, flow->packets, flow->bytes,
			flow->text);
}

static int count_print(struct ctl *ctl, const char *device, struct listing *listing)
{
	const char *argv[5] = {"FLOW.COUNT", device};
	int words = 2;
	redisReply *reply;
	int status;

	if (listing->state != NULL) {
		argv[words++] = "STATE";
		argv[words++] = listing->state;
	}
	if (ctl->local)
		argv[words++] = "LOCAL";
	reply = ctl->local ? weir_client_call(ctl->session, words, argv, NULL)
			   : weir_client_call_master(ctl->session, device, words, argv, NULL);
	status = ctl_check(ctl, reply);
	if (status == CTL_FINE && ctl->json)
		printf("%lld", reply->integer);
	else if (status == CTL_FINE)
		printf("%s: %lld flows\n", device, reply->integer);
	if (reply != NULL)
		freeReplyObject(reply);
	return status;
}

static int device_flows(struct ctl *ctl, const char *device, void *ctx)
{
	struct listing *listing = ctx;
	int status;

	if (ctl->json) {
		printf("%s{\"device\":", listing->devices > 0 ? ",\n" : "");
		ctl_json_text(stdout, device);
		printf(ctl->counts ? ",\"count\":" : ",\"flows\":[");
	} else if (!ctl->counts && !ctl->bare) {
		printf("%s:\n", device);
	}
	listing->devices++;
	listing->flows = 0;
	status = ctl->counts ? count_print(ctl, device, listing)
			     : ctl_scan(ctl, device, listing->state, flow_print, listing);
	if (ctl->json)
		printf(ctl->counts ? "%s}" : "%s]}",
			status != CTL_FINE && ctl->counts ? "null" : "");
	return status;
}

static bool is_state(const char *word)
{
	static const char *const names[] = {"PENDING_ADD", "ADDED", "PENDING_REMOVE", "FAILED"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(word, names[i]) == 0)
			return true;
	return false;
}

int ctl_flows(struct ctl *ctl)
{
	struct listing listing = {.ctl = ctl};
	const char *device = NULL;
	int status;

	for (int i = 0; i < ctl->argc; i++) {
		if (strcasecmp(ctl->argv[i], "any") == 0)
			continue;
		if (is_state(ctl->argv[i])) {
			listing.state = ctl->argv[i];
			continue;
		}
		if (device != NULL) {
			fprintf(stderr,
				"weirctl: one device at most, and no state is named %s or %s\n",
				device, ctl->argv[i]);
			return CTL_USAGE;
		}
		device = ctl->argv[i];
	}
	if (ctl->json)
		printf("[");
	status = device != NULL ? device_flows(ctl, device, &listing)
				: ctl_each_device(ctl, device_flows, &listing);
	if (ctl->json)
		puts("]");
	return status;
}

/* ----------------------------------------------------------------------------- dump-flows --- */

/* The key `app=` is Weir's own: Open vSwitch knows nothing of it. */
static void dump_print(void *ctx, const struct ctl_flow *flow)
{
	const char *app =
		strncmp(flow->text, "app=", 4) == 0 ? flow->text : strstr(flow->text, ",app=");
	const char *rest;

	if (app == NULL) {
		puts(flow->text);
		return;
	}
	if (app != flow->text)
		app++;
	rest = strchr(app, ',');
	printf("%.*s%s\n", (int)(app - flow->text), flow->text, rest != NULL ? rest + 1 : "");
}

int ctl_dump_flows(struct ctl *ctl)
{
	struct listing listing = {.ctl = ctl};

	if (!ctl->json)
		return ctl_scan(ctl, ctl->argv[0], NULL, dump_print, NULL);
	ctl->counts = false;
	printf("[");
	int status = ctl_scan(ctl, ctl->argv[0], NULL, flow_print, &listing);
	puts("]");
	return status;
}

/* -------------------------------------------------------------------- add-flow, del-flow --- */

static int flow_write(struct ctl *ctl, const char *command)
{
	const char *const argv[] = {command, ctl->argv[0], ctl->argv[1]};
	redisReply *reply = weir_client_call_master(ctl->session, ctl->argv[0], 3, argv, NULL);
	int status = ctl_check(ctl, reply);

	if (status == CTL_FINE)
		printf(ctl->json ? "{\"id\":\"%s\"}\n" : "%s\n",
			reply->str != NULL ? reply->str : "");
	if (reply != NULL)
		freeReplyObject(reply);
	return status;
}

int ctl_add_flow(struct ctl *ctl)
{
	return flow_write(ctl, "FLOW.ADD");
}

int ctl_del_flow(struct ctl *ctl)
{
	return flow_write(ctl, "FLOW.DEL");
}

/* ------------------------------------------------------------------------------- purge --- */

int ctl_purge(struct ctl *ctl)
{
	const char *const argv[] = {"FLOW.PURGE", ctl->argv[0], "APP", ctl->argv[1]};
	redisReply *reply = weir_client_call_master(
		ctl->session, ctl->argv[0], ctl->argc == 2 ? 4 : 2, argv, NULL);
	int status = ctl_check(ctl, reply);

	if (status == CTL_FINE)
		printf(ctl->json ? "{\"removed\":%lld}\n" : "%lld\n", reply->integer);
	if (reply != NULL)
		freeReplyObject(reply);
	return status;
}
