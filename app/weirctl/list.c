/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs about nodes, devices, masters and roles. */
#include <string.h>

#include "weirctl.h"

static void json_pair(const redisReply *reply, const char *name, const char *label)
{
	ctl_json_text(stdout, label);
	putchar(':');
	ctl_json_text(stdout, ctl_text(reply, name));
}

/* A list of names as "a,b", or as a JSON array. */
static void names_print(const redisReply *names, bool json)
{
	if (json)
		putchar('[');
	for (size_t i = 0; names != NULL && i < names->elements; i++) {
		if (i > 0)
			putchar(',');
		if (json)
			ctl_json_text(stdout, names->element[i]->str);
		else
			fputs(names->element[i]->str, stdout);
	}
	if (json)
		putchar(']');
	else if (names == NULL || names->elements == 0)
		putchar('-');
}

static bool names_have(const redisReply *names, const char *name)
{
	for (size_t i = 0; names != NULL && i < names->elements; i++)
		if (strcmp(names->element[i]->str, name) == 0)
			return true;
	return false;
}

static const char *text_or_dash(const redisReply *reply, const char *name)
{
	const char *text = ctl_text(reply, name);

	return text[0] != '\0' ? text : "-";
}

static redisReply *ask(struct ctl *ctl, const char *command)
{
	const char *const argv[] = {command};

	return weir_client_call(ctl->session, 1, argv, NULL);
}

/* Asks for a list and prints each element. */
static int list_print(struct ctl *ctl, const char *command, const char *header,
	void (*print)(const struct ctl *ctl, const redisReply *element))
{
	redisReply *reply = ask(ctl, command);
	int status = ctl_check(ctl, reply);

	if (status == CTL_FINE && reply->type == REDIS_REPLY_ARRAY) {
		puts(ctl->json ? "[" : header);
		for (size_t i = 0; i < reply->elements; i++) {
			print(ctl, reply->element[i]);
			puts(ctl->json && i + 1 < reply->elements ? "," : "");
		}
		if (ctl->json)
			puts("]");
	}
	if (reply != NULL)
		freeReplyObject(reply);
	return status;
}

static void node_print(const struct ctl *ctl, const redisReply *node)
{
	bool live = ctl_number(node, "live") != 0;

	if (ctl->json) {
		printf("{");
		json_pair(node, "node", "node");
		printf(",\"live\":%s,\"incarnation\":%lld,\"workers\":%lld,",
			live ? "true" : "false", ctl_number(node, "incarnation"),
			ctl_number(node, "workers"));
		json_pair(node, "address", "address");
		putchar(',');
		json_pair(node, "socket", "socket");
		printf("}");
		return;
	}
	printf("%-12s %-5s %11lld %7lld  %-21s %s", ctl_text(node, "node"), live ? "live" : "dead",
		ctl_number(node, "incarnation"), ctl_number(node, "workers"),
		text_or_dash(node, "address"), text_or_dash(node, "socket"));
}

int ctl_nodes(struct ctl *ctl)
{
	return list_print(ctl, "NODE.LIST",
		"NODE         STATE INCARNATION WORKERS  ADDRESS               SOCKET", node_print);
}

static void master_print(const struct ctl *ctl, const redisReply *master)
{
	if (ctl->json) {
		printf("{");
		json_pair(master, "device", "device");
		putchar(',');
		json_pair(master, "master", "master");
		printf(",\"term\":%lld,\"active\":%lld,\"backups\":", ctl_number(master, "term"),
			ctl_number(master, "active"));
		names_print(ctl_field(master, "backups"), true);
		printf(",\"insync\":");
		names_print(ctl_field(master, "insync"), true);
		printf("}");
		return;
	}
	printf("%-24s %-12s %6lld %6lld  ", ctl_text(master, "device"),
		text_or_dash(master, "master"), ctl_number(master, "term"),
		ctl_number(master, "active"));
	names_print(ctl_field(master, "backups"), false);
	printf("  ");
	names_print(ctl_field(master, "insync"), false);
}

int ctl_masters(struct ctl *ctl)
{
	return list_print(ctl, "MASTER.LIST",
		"DEVICE                   MASTER         TERM ACTIVE  BACKUPS  INSYNC",
		master_print);
}

/* ------------------------------------------------------------------------ devices, roles --- */

static void device_print(const struct ctl *ctl, const redisReply *info)
{
	if (ctl->json) {
		printf("{");
		json_pair(info, "device", "device");
		putchar(',');
		json_pair(info, "role", "role");
		putchar(',');
		json_pair(info, "master", "master");
		printf(",\"term\":%lld,\"active\":%lld,\"revision\":%lld,\"open\":%s,\"flows\":%"
		       "lld,",
			ctl_number(info, "term"), ctl_number(info, "active"),
			ctl_number(info, "revision"), ctl_number(info, "open") ? "true" : "false",
			ctl_number(info, "flows"));
		json_pair(info, "content", "content");
		printf(",\"backups\":");
		names_print(ctl_field(info, "backups"), true);
		printf(",\"insync\":");
		names_print(ctl_field(info, "insync"), true);
		printf("}");
		return;
	}
	printf("%-24s %-8s %-12s %6lld %6lld %10lld  %s  ", ctl_text(info, "device"),
		ctl_text(info, "role"), text_or_dash(info, "master"), ctl_number(info, "term"),
		ctl_number(info, "active"), ctl_number(info, "flows"), ctl_text(info, "content"));
	names_print(ctl_field(info, "insync"), false);
}

static void roles_print(const struct ctl *ctl, const redisReply *info)
{
	const redisReply *backups = ctl_field(info, "backups");
	const redisReply *insync = ctl_field(info, "insync");
	const char *master = ctl_text(info, "master");

	if (ctl->json) {
		printf("{");
		json_pair(info, "device", "device");
		putchar(',');
		json_pair(info, "master", "master");
		printf(",\"standby\":");
		names_print(backups, true);
		printf(",\"insync\":");
		names_print(insync, true);
		printf("}");
		return;
	}
	printf("%s: %s master", ctl_text(info, "device"), text_or_dash(info, "master"));
	if (master[0] != '\0' && names_have(insync, master))
		printf(" (in sync)");
	for (size_t i = 0; backups != NULL && i < backups->elements; i++)
		printf(", %s standby%s", backups->element[i]->str,
			names_have(insync, backups->element[i]->str) ? " (in sync)" : "");
}

struct info {
	void (*print)(const struct ctl *ctl, const redisReply *info);
	unsigned count;
};

static int info_visit(struct ctl *ctl, const char *device, void *ctx)
{
	const char *const argv[] = {"DEVICE.INFO", device};
	redisReply *reply = weir_client_call(ctl->session, 2, argv, NULL);
	int status = ctl_check(ctl, reply);
	struct info *info = ctx;

	if (status == CTL_FINE) {
		if (info->count++ > 0)
			puts(ctl->json ? "," : "");
		info->print(ctl, reply);
	}
	if (reply != NULL)
		freeReplyObject(reply);
	return status;
}

/* One device, or all. */
static int info_print(struct ctl *ctl, const char *header,
	void (*print)(const struct ctl *ctl, const redisReply *info))
{
	struct info info = {print, 0};
	int status;

	if (ctl->json || header != NULL)
		puts(ctl->json ? "[" : header);
	status = ctl->argc > 0 ? info_visit(ctl, ctl->argv[0], &info)
			       : ctl_each_device(ctl, info_visit, &info);
	if (info.count > 0)
		puts("");
	if (ctl->json)
		puts("]");
	return status;
}

int ctl_devices(struct ctl *ctl)
{
	return info_print(ctl,
		"DEVICE                   ROLE     MASTER         TERM ACTIVE      FLOWS  CONTENT"
		"             INSYNC",
		device_print);
}

int ctl_roles(struct ctl *ctl)
{
	return info_print(ctl, NULL, roles_print);
}

/* -------------------------------------------------------------------------------- changes --- */

static int change(struct ctl *ctl, int words, const char *const *argv)
{
	redisReply *reply = weir_client_call(ctl->session, words, argv, NULL);
	int status = ctl_check(ctl, reply);

	if (status == CTL_FINE && ctl->json)
		puts("{\"ok\":true}");
	if (reply != NULL)
		freeReplyObject(reply);
	return status;
}

int ctl_device_add(struct ctl *ctl)
{
	const char *const argv[] = {"DEVICE.ADD", ctl->argv[0]};

	return change(ctl, 2, argv);
}

int ctl_forget(struct ctl *ctl)
{
	const char *const argv[] = {"NODE.FORGET", ctl->argv[0]};

	return change(ctl, 2, argv);
}

int ctl_device_role(struct ctl *ctl)
{
	const char *const argv[] = {"ROLE.SET", ctl->argv[0], ctl->argv[1], ctl->argv[2]};

	return change(ctl, 4, argv);
}
