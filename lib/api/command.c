/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/command.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "store/store.h"

#define READ    WEIR_COMMAND_READ
#define WRITE   WEIR_COMMAND_WRITE
#define CONTROL WEIR_COMMAND_CONTROL
#define SERVER  WEIR_COMMAND_SERVER

/* Most frequent ones first: they are looked for from the front. */
const struct weir_command weir_commands[] = {
	{"FLOW.ADD", -3, WRITE, "device flow [ACK local|insync]",
		"Stores a flow (ovs-ofctl syntax) as PENDING_ADD, there or not; answers its id",
		weir_run_flow_add},
	{"FLOW.MOD", -3, WRITE, "device flow [ACK local|insync]",
		"Replaces a flow that is there; answers its id, NOTFOUND or OLDER",
		weir_run_flow_mod},
	{"FLOW.DEL", -3, WRITE, "device flow [ACK local|insync]",
		"Marks a flow PENDING_REMOVE; answers its id or NOTFOUND", weir_run_flow_del},
	{"FLOW.GET", -3, READ, "device flowid|flow [LOCAL]",
		"One flow with its state and counters, by id (0x...) or by its match",
		weir_run_flow_get},
	{"FLOW.SCAN", -3, READ, "device cursor [COUNT n] [STATE s] [TABLE t] [APP a] [LOCAL]",
		"Next cursor and about n flows from this one on; 0 begins and ends",
		weir_run_flow_scan},
	{"FLOW.COUNT", -1, READ, "[device [STATE s] [LOCAL]]",
		"Flows of a device; without one, of all devices that this node is master of",
		weir_run_flow_count},
	{"FLOW.REPORT", -3, WRITE, "device flow [PACKETS n] [BYTES n] [LIFE seconds]",
		"The device holds this flow, with these counters", weir_run_flow_report},
	{"FLOW.PENDING", -3, WRITE, "device flow", "The device lost this flow: PENDING_ADD again",
		weir_run_flow_pending},
	{"FLOW.REMOVED", -3, WRITE, "device flow",
		"The device no longer holds this flow: taken out", weir_run_flow_removed},
	{"FLOW.PURGE", -2, WRITE, "device [APP a] [ACK local|insync]",
		"Takes all flows of a device, or of one app, out; answers how many",
		weir_run_flow_purge},
	{"DEVICE.ADD", 2, CONTROL, "device", "Makes a device known, with this node as its master",
		weir_run_device_add},
	{"DEVICE.LIST", -1, READ, "[MATCH glob] [CURSOR c] [COUNT n]",
		"Next cursor and names of devices, in their order; 0 begins and ends",
		weir_run_device_list},
	{"DEVICE.INFO", 2, READ, "device", "Role of this node, term, master, copies, content",
		weir_run_device_info},
	{"MASTER.GET", 2, READ, "device", "The master of a device, its socket and term",
		weir_run_master_get},
	{"MASTER.SET", 3, CONTROL, "device node", "Gives mastership of a device to a node",
		weir_run_master_set},
	{"MASTER.LIST", 1, READ, "", "The masters of all devices", weir_run_master_list},
	{"ROLE.SET", 4, CONTROL, "device node master|standby|none", "Role of a node for a device",
		weir_run_role_set},
	{"NODE.LIST", 1, READ, "", "The nodes of the cluster, this one first", weir_run_node_list},
	{"NODE.FORGET", 2, CONTROL, "node",
		"Strikes off a node that is gone and has no part in a device",
		weir_run_node_forget},
	{"PING", -1, SERVER, "[message]", "PONG, or the message", weir_run_ping},
	{"ECHO", 2, SERVER, "message", "The message", weir_run_echo},
	{"HELLO", -1, SERVER, "[2|3 [SETNAME name]]", "Chooses RESP2 or RESP3", weir_run_hello},
	{"QUIT", -1, SERVER, "", "Closes the connection", weir_run_quit},
	{"RESET", 1, SERVER, "", "RESP2 again and no name", weir_run_reset},
	{"SELECT", 2, SERVER, "0", "There is one database", weir_run_select},
	{"CLIENT", -2, SERVER, "SETNAME name|GETNAME|ID|INFO|LIST|SETINFO attribute value",
		"About client connections", weir_run_client},
	{"CONFIG", -3, SERVER, "GET glob...", "Settings of this node", weir_run_config},
	{"INFO", -1, SERVER, "[section]", "Figures of this node", weir_run_info},
	{"COMMAND", -1, SERVER, "[COUNT|LIST|DOCS [name...]|INFO name...]", "The commands",
		weir_run_command},
	{"HELP", -1, SERVER, "[name]", "Syntax and summary of commands", weir_run_help},
};

const unsigned weir_commands_count = sizeof(weir_commands) / sizeof(weir_commands[0]);

const struct weir_command *weir_command_find(const struct weir_word *name)
{
	for (unsigned i = 0; i < weir_commands_count; i++)
		if (weir_word_is(name, weir_commands[i].name))
			return &weir_commands[i];
	return NULL;
}

bool weir_command_arity_right(const struct weir_command *command, unsigned words)
{
	if (command->arity < 0)
		return words >= (unsigned)-command->arity;
	return words == (unsigned)command->arity;
}

enum weir_call_result weir_call_syntax(const struct weir_call *call)
{
	weir_reply_error(call->reply, WEIR_ERR, "syntax error, try %s %s", call->command->name,
		call->command->syntax);
	return WEIR_CALL_ANSWERED;
}

enum weir_call_result weir_call_error(const struct weir_call *call, int err)
{
	weir_reply_error(call->reply, err, "%s", weir_err_sentence(err));
	return WEIR_CALL_ANSWERED;
}

enum weir_call_result weir_call_task_missing(const struct weir_call *call)
{
	struct weir_conn *conn = call->conn;

	if (weir_gate_under_way(call->gateway->gate) == 0)
		return weir_call_error(call, WEIR_BUSY);
	if (!conn->in_waiting) {
		conn->in_waiting = true;
		TAILQ_INSERT_TAIL(&call->gateway->waiting, conn, waiting);
	}
	return WEIR_CALL_LATER;
}

void weir_reply_notmaster(
	struct weir_reply *reply, const struct weir_store *store, const struct weir_device *device)
{
	struct weir_device_status status = {0};
	const char *node = status.record.master.node;

	if (device != NULL)
		weir_device_status(store, device, &status);
	weir_reply_error(reply, WEIR_NOTMASTER, "%s %s %s", node[0] != '\0' ? node : "-",
		status.master_socket[0] != '\0' ? status.master_socket : "-",
		weir_err_sentence(WEIR_NOTMASTER));
}

const struct weir_device *weir_call_device(const struct weir_call *call)
{
	const struct weir_word *word = &call->words->word[1];
	const struct weir_device *device =
		word->len < WEIR_DEVICE_ID_MAX ? weir_store_device(call->store, word->at, word->len)
					       : NULL;

	if (device == NULL && weir_store_lease_ns(call->store) == 0)
		weir_reply_error(call->reply, WEIR_UNREACHABLE,
			"this node is not in its cluster now and does not know of the device");
	else if (device == NULL)
		weir_reply_error(call->reply, WEIR_NODEVICE, "no such device: %.*s",
			(int)(word->len < WEIR_DEVICE_ID_MAX ? word->len : WEIR_DEVICE_ID_MAX),
			word->at);
	return device;
}

/* The name as Redis clients write it. */
static void name_put(struct weir_reply *reply, const char *name)
{
	char lower[32];
	size_t i;

	for (i = 0; name[i] != '\0' && i < sizeof(lower); i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	weir_reply_bulk(reply, lower, i);
}

static const char *group_of(const struct weir_command *command)
{
	return command->flags & SERVER ? "server" : "generic";
}

/* One element of COMMAND, in the form of Redis 7. */
static void command_put(struct weir_reply *reply, const struct weir_command *command)
{
	const char *kind = command->flags & (WRITE | CONTROL) ? "write" : "readonly";

	weir_reply_array(reply, 10);
	name_put(reply, command->name);
	if (command->arity < 0) {
		char number[16] = ":-0\r\n";

		number[2] = (char)('0' - command->arity);
		weir_reply_raw(reply, number, 5);
	} else {
		weir_reply_number(reply, (uint64_t)command->arity);
	}
	weir_reply_array(reply, 1);
	weir_reply_simple(reply, kind);
	for (unsigned i = 0; i < 3; i++)
		weir_reply_number(reply, 0); /* no keys */
	for (unsigned i = 0; i < 4; i++)
		weir_reply_array(reply, 0); /* no categories, tips, key specifications, parts */
}

static void docs_put(struct weir_reply *reply, const struct weir_command *command)
{
	name_put(reply, command->name);
	weir_reply_map(reply, 4);
	weir_reply_text(reply, "summary");
	weir_reply_text(reply, command->summary);
	weir_reply_text(reply, "since");
	weir_reply_text(reply, WEIR_VERSION);
	weir_reply_text(reply, "group");
	weir_reply_text(reply, group_of(command));
	weir_reply_text(reply, "arguments");
	weir_reply_array(reply, command->syntax[0] != '\0');
	if (command->syntax[0] == '\0')
		return;
	weir_reply_map(reply, 3);
	weir_reply_text(reply, "name");
	weir_reply_text(reply, command->syntax);
	weir_reply_text(reply, "type");
	weir_reply_text(reply, "string");
	weir_reply_text(reply, "display_text");
	weir_reply_text(reply, command->syntax);
}

/* COMMAND DOCS [name...]: unknown names are left out, as Redis does. */
static void docs_list(const struct weir_call *call)
{
	const struct weir_words *words = call->words;
	const struct weir_command *command;
	unsigned count = words->count == 2 ? weir_commands_count : 0;

	for (unsigned i = 2; i < words->count; i++)
		count += weir_command_find(&words->word[i]) != NULL;
	weir_reply_map(call->reply, count);
	for (unsigned i = 0; words->count == 2 && i < weir_commands_count; i++)
		docs_put(call->reply, &weir_commands[i]);
	for (unsigned i = 2; i < words->count; i++)
		if ((command = weir_command_find(&words->word[i])) != NULL)
			docs_put(call->reply, command);
}

static void info_list(const struct weir_call *call)
{
	weir_reply_array(call->reply, call->words->count - 2);
	for (unsigned i = 2; i < call->words->count; i++) {
		const struct weir_command *command = weir_command_find(&call->words->word[i]);

		if (command != NULL)
			command_put(call->reply, command);
		else
			weir_reply_null(call->reply);
	}
}

static void all_list(const struct weir_call *call)
{
	weir_reply_array(call->reply, weir_commands_count);
	for (unsigned i = 0; i < weir_commands_count; i++)
		command_put(call->reply, &weir_commands[i]);
}

WEIR_RUN(command)
{
	const struct weir_word *part = &call->words->word[1];

	if (call->words->count == 1) {
		all_list(call);
	} else if (weir_word_is(part, "COUNT") && call->words->count == 2) {
		weir_reply_number(call->reply, weir_commands_count);
	} else if (weir_word_is(part, "DOCS")) {
		docs_list(call);
	} else if (weir_word_is(part, "INFO")) {
		if (call->words->count == 2)
			all_list(call);
		else
			info_list(call);
	} else if (weir_word_is(part, "LIST") && call->words->count == 2) {
		weir_reply_array(call->reply, weir_commands_count);
		for (unsigned i = 0; i < weir_commands_count; i++)
			name_put(call->reply, weir_commands[i].name);
	} else {
		return weir_call_syntax(call);
	}
	return WEIR_CALL_ANSWERED;
}

static void help_put(struct weir_reply *reply, const struct weir_command *command)
{
	weir_reply_format(reply, "%s%s%s: %s.", command->name,
		command->syntax[0] != '\0' ? " " : "", command->syntax, command->summary);
}

WEIR_RUN(help)
{
	const struct weir_command *command;

	if (call->words->count > 2)
		return weir_call_syntax(call);
	if (call->words->count == 1) {
		weir_reply_array(call->reply, weir_commands_count);
		for (unsigned i = 0; i < weir_commands_count; i++)
			help_put(call->reply, &weir_commands[i]);
		return WEIR_CALL_ANSWERED;
	}
	command = weir_command_find(&call->words->word[1]);
	if (command == NULL) {
		weir_reply_error(call->reply, WEIR_ERR, "no such command, HELP lists them");
		return WEIR_CALL_ANSWERED;
	}
	weir_reply_array(call->reply, 1);
	help_put(call->reply, command);
	return WEIR_CALL_ANSWERED;
}
