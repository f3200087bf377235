/* SPDX-License-Identifier: BSD-3-Clause */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "weirctl.h"

#define SOCKET_DEFAULT "/run/weir/weir.sock"

static const struct ctl_verb verbs[] = {
	{"nodes", 0, 0, "", "nodes of the cluster", ctl_nodes},
	{"forget", 1, 1, "NODE", "strike off a node that is gone and has no part in a device",
		ctl_forget},
	{"devices", 0, 1, "[DEVICE]", "devices, as the node that answers sees them", ctl_devices},
	{"masters", 0, 0, "", "masters and copies of all devices", ctl_masters},
	{"roles", 0, 1, "[DEVICE]", "master and standby nodes of devices", ctl_roles},
	{"device-add", 1, 1, "DEVICE", "make a device known", ctl_device_add},
	{"device-role", 3, 3, "DEVICE NODE master|standby|none", "change the role of a node",
		ctl_device_role},
	{"flows", 0, 2, "[-s|-c] [-n] [STATE] [DEVICE]",
		"flows with state and counters; -s text only, -c counts only, -n no headings",
		ctl_flows},
	{"dump-flows", 1, 1, "DEVICE", "flows as ovs-ofctl reads them", ctl_dump_flows},
	{"add-flow", 2, 2, "DEVICE FLOW", "add one flow", ctl_add_flow},
	{"del-flow", 2, 2, "DEVICE FLOW", "remove one flow", ctl_del_flow},
	{"add-flows", 2, 2, "[--pipeline N] [--progress] [--acked-log LOG] DEVICE FILE",
		"add the flows of a file (also .gz, or - for standard input)", ctl_add_flows},
	{"del-flows", 2, 2, "[--pipeline N] [--progress] [--acked-log LOG] DEVICE FILE",
		"remove the flows of a file", ctl_del_flows},
	{"purge", 1, 2, "DEVICE [APP]", "take all flows out, or those of one app", ctl_purge},
	{"verify", 2, 2, "[--acked LOG] DEVICE FILE",
		"hold the store against a file, or against its lines that LOG names", ctl_verify},
	{"top", 0, 0, "[-d SECONDS] [-n COUNT]",
		"what each node does now, every second; ends after COUNT, or on q", ctl_top},
};

#define VERBS_COUNT (sizeof(verbs) / sizeof(verbs[0]))

enum option_code {
	OPTION_JSON = 256,
	OPTION_TIMEOUT,
	OPTION_PIPELINE,
	OPTION_PROGRESS,
	OPTION_ACKED_LOG,
	OPTION_ACKED,
	OPTION_LOCAL,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_SOCKET,
};

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"json", no_argument, NULL, OPTION_JSON},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"pipeline", required_argument, NULL, OPTION_PIPELINE},
	{"progress", no_argument, NULL, OPTION_PROGRESS},
	{"acked-log", required_argument, NULL, OPTION_ACKED_LOG},
	{"acked", required_argument, NULL, OPTION_ACKED},
	{"local", no_argument, NULL, OPTION_LOCAL},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static void usage(FILE *to)
{
	fprintf(to, "usage: weirctl [-s SOCKET[,SOCKET...]] [OPTIONS] VERB ...\n\n");
	for (size_t i = 0; i < VERBS_COUNT; i++)
		fprintf(to, "  %s%s%s\n      %s\n", verbs[i].name,
			verbs[i].syntax[0] != '\0' ? " " : "", verbs[i].syntax, verbs[i].summary);
	fprintf(to, "\n"
		    "  -s, --socket SOCKETS  sockets of nodes, separated by commas\n"
		    "                        (default: $WEIR_SOCKET, else " SOCKET_DEFAULT ")\n"
		    "  --json                print JSON\n"
		    "  --local               read the copy of the node that answers\n"
		    "  --timeout MS          give up after so long without progress (5000)\n"
		    "  --pipeline N          requests under way at once (2048)\n"
		    "  --progress            show progress though standard error is no terminal\n"
		    "\n"
		    "Exit status: 0 fine, 1 refused or not found, 2 usage, 3 no answer.\n");
}

static int verb_usage(const struct ctl_verb *verb)
{
	fprintf(stderr, "usage: weirctl [OPTIONS] %s %s\n", verb->name, verb->syntax);
	return CTL_USAGE;
}

/* A number of 1 to `most`; 0: it is none (said to stderr). */
static uint32_t number_option(const char *name, const char *text, uint32_t most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end != text && *end == '\0' && value >= 1 && value <= most)
		return (uint32_t)value;
	fprintf(stderr, "weirctl: --%s is a number from 1 to %u, not %s\n", name, most, text);
	return 0;
}

/* Takes one option. Returns -1 to go on, else an exit status. */
static int option_take(int code, struct ctl *ctl, struct weir_client_conf *conf)
{
	switch (code) {
	case OPTION_SOCKET:
		conf->sockets = optarg;
		return -1;
	case OPTION_JSON:
		ctl->json = true;
		return -1;
	case OPTION_TIMEOUT:
		conf->timeout_ms = number_option("timeout", optarg, 3600000);
		return conf->timeout_ms > 0 ? -1 : CTL_USAGE;
	case OPTION_PIPELINE:
		conf->pipeline = number_option("pipeline", optarg, WEIR_CLIENT_PIPELINE_MAX);
		return conf->pipeline > 0 ? -1 : CTL_USAGE;
	case OPTION_PROGRESS:
		ctl->progress = true;
		return -1;
	case OPTION_ACKED_LOG:
		ctl->acked_log = optarg;
		return -1;
	case OPTION_ACKED:
		ctl->acked = optarg;
		return -1;
	case OPTION_LOCAL:
		ctl->local = true;
		return -1;
	case OPTION_VERSION:
		puts("weirctl " WEIR_VERSION);
		return CTL_FINE;
	case OPTION_HELP:
		usage(stdout);
		return CTL_FINE;
	default:
		return CTL_USAGE;
	}
}

static const struct ctl_verb *verb_find(const char *name)
{
	for (size_t i = 0; i < VERBS_COUNT; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/* Options in front of the verb. Returns -1 to go on, else an exit status. */
static int global_options(int argc, char **argv, struct ctl *ctl, struct weir_client_conf *conf)
{
	int code, status = -1;

	while (status < 0 && (code = getopt_long(argc, argv, "+s:h", long_options, NULL)) != -1)
		status = option_take(code == 's'   ? OPTION_SOCKET
				     : code == 'h' ? OPTION_HELP
						   : code,
			ctl, conf);
	if (status == CTL_USAGE)
		fprintf(stderr, "weirctl --help says what there is\n");
	return status;
}

/* Options and arguments behind the verb. */
static int verb_options(int argc, char **argv, struct ctl *ctl, struct weir_client_conf *conf)
{
	const char *letters = ctl->verb->run == ctl_flows ? "scnh"
			      : ctl->verb->run == ctl_top ? "d:n:h"
							  : "h";
	int code, status = -1;

	optind = 0;
	while (status < 0 && (code = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
		if (code == 's')
			ctl->brief = true;
		else if (code == 'c')
			ctl->counts = true;
		else if (code == 'd')
			ctl->period = optarg;
		else if (code == 'n' && ctl->verb->run == ctl_top)
			ctl->rounds = optarg;
		else if (code == 'n')
			ctl->bare = true;
		else
			status = option_take(code == 'h' ? OPTION_HELP : code, ctl, conf);
	}
	if (status >= 0)
		return status == CTL_USAGE ? verb_usage(ctl->verb) : status;
	ctl->argc = argc - optind;
	ctl->argv = argv + optind;
	if (ctl->argc < ctl->verb->args_min || ctl->argc > ctl->verb->args_max)
		return verb_usage(ctl->verb);
	return -1;
}

/* Only the verb's own answer is wanted, not what the rooms below have to say. */
static void log_nothing(enum weir_log_room room, enum weir_log_level level, const char *line)
{
}

int main(int argc, char **argv)
{
	struct weir_client_conf conf = {.sockets = getenv("WEIR_SOCKET")};
	struct ctl ctl = {.conf = &conf, .progress = isatty(STDERR_FILENO)};
	int status;

	signal(SIGPIPE, SIG_IGN);
	weir_log_sink_set(log_nothing);
	if (conf.sockets == NULL || conf.sockets[0] == '\0')
		conf.sockets = SOCKET_DEFAULT;
	status = global_options(argc, argv, &ctl, &conf);
	if (status >= 0)
		return status;
	if (optind == argc) {
		usage(stderr);
		return CTL_USAGE;
	}
	ctl.verb = verb_find(argv[optind]);
	if (ctl.verb == NULL) {
		fprintf(stderr, "weirctl: no such verb: %s; weirctl --help lists them\n",
			argv[optind]);
		return CTL_USAGE;
	}
	status = verb_options(argc - optind, argv + optind, &ctl, &conf);
	if (status >= 0)
		return status;
	ctl.session = weir_client_open(&conf);
	if (ctl.session == NULL) {
		fprintf(stderr, "weirctl: memory is short\n");
		return CTL_NO_ANSWER;
	}
	status = ctl.verb->run(&ctl);
	weir_client_close(ctl.session);
	if (fflush(stdout) != 0 && status == CTL_FINE)
		status = CTL_REFUSED;
	return status;
}
