/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * top: what the nodes do now. It looks at INFO of each node once a period and shows by how much the
 * counters have grown. Time is a worker's own (run_ns): a late answer makes no rate wrong.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "weirctl.h"

/* A node is waited for no longer, unless --timeout says so. */
#define NODE_TIMEOUT_MS 500

#define PERIOD_MIN_S 0.1
#define PERIOD_MAX_S 3600.0
#define ROUNDS_MAX   1000000000L

/* A worker's figures that are shown, under the names that INFO gives them. */
enum figure {
	OPERATIONS,
	ANSWERS_OK,
	ANSWERS_ERR,
	ANSWERS_UNKNOWN,
	TX_BYTES,
	RX_BYTES,
	COUNTERS, /* shown by how much they grow a second: those before */
	TASKS_WAITING = COUNTERS,
	TASKS_QUEUED,
	WRITES_PENDING,
	MEMORY_USED_BYTES,
	LEVELS, /* shown as they are: those before */
	RUN_NS = LEVELS,
	BUSY_NS,
	FIGURES,
};

static const struct {
	const char *name;
	const char *line; /* behind "worker0" */
} figures[FIGURES] = {
	[OPERATIONS] = {"operations", ""},
	[ANSWERS_OK] = {"answers_ok", ""},
	[ANSWERS_ERR] = {"answers_err", ""},
	[ANSWERS_UNKNOWN] = {"answers_unknown", ""},
	[TX_BYTES] = {"tx_bytes", "_link"},
	[RX_BYTES] = {"rx_bytes", "_link"},
	[TASKS_WAITING] = {"tasks_waiting", ""},
	[TASKS_QUEUED] = {"tasks_queued", ""},
	[WRITES_PENDING] = {"writes_pending", ""},
	[MEMORY_USED_BYTES] = {"memory_used_bytes", ""},
	[RUN_NS] = {"run_ns", ""},
	[BUSY_NS] = {"busy_ns", ""},
};

/* A node's own figures. */
enum node_figure {
	DEVICES_MASTER,
	DEVICES_STANDBY,
	FLOWS,
	LEASE_LEFT_MS,
	TSC_HZ,
	NODE_FIGURES
};

static const char *const node_figures[NODE_FIGURES] = {
	[DEVICES_MASTER] = "devices_master",
	[DEVICES_STANDBY] = "devices_standby",
	[FLOWS] = "flows",
	[LEASE_LEFT_MS] = "lease_left_ms",
	[TSC_HZ] = "tsc_hz",
};

/* A node at one moment. */
struct look {
	bool answers;
	char node[WEIR_NODE_ID_MAX];
	uint64_t figures[NODE_FIGURES];
	unsigned workers_count;
	uint64_t workers[WEIR_WORKERS_MAX][FIGURES];
};

struct watched {
	char *socket;
	struct weir_session *session;
	struct look before, now;
	char error[256]; /* why it does not answer */
};

struct top {
	struct ctl *ctl;
	struct watched *nodes;
	unsigned count;
	uint64_t period_ns;
	bool screen; /* standard output is a terminal to be drawn on */
	bool keys;   /* standard input is one to be read from */
	struct termios terminal;
	sigset_t signals; /* those that may come while it waits */
};

/* What one worker, or all of a node, did between two looks. */
struct work {
	uint64_t grown[FIGURES], now[FIGURES];
	double per_s[FIGURES];
};

/* -------------------------------------------------------------------------------- looking --- */

/* What stands behind "name:" in a line of INFO, or NULL. */
static const char *line_find(const char *info, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = info; at != NULL; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, name, len) == 0 && at[len] == ':')
			return at + len + 1;
	}
	return NULL;
}

/* The number behind "name=" in a line of pairs; 0: it is not there. */
static uint64_t pair_number(const char *line, const char *name)
{
	size_t len = strlen(name);

	while (line != NULL && *line != '\0') {
		if (strncmp(line, name, len) == 0 && line[len] == '=')
			return strtoull(line + len + 1, NULL, 10);
		line += strcspn(line, ",\r\n");
		if (*line++ != ',')
			break;
	}
	return 0;
}

static void worker_read(const char *info, unsigned worker, uint64_t *to)
{
	for (unsigned i = 0; i < FIGURES; i++) {
		char line[32];

		snprintf(line, sizeof(line), "worker%u%s", worker, figures[i].line);
		to[i] = pair_number(line_find(info, line), figures[i].name);
	}
}

static void look_read(const char *info, struct look *look)
{
	const char *node = line_find(info, "node"), *workers = line_find(info, "workers");

	snprintf(look->node, sizeof(look->node), "%.*s", node ? (int)strcspn(node, "\r\n") : 1,
		node ? node : "?");
	for (unsigned i = 0; i < NODE_FIGURES; i++) {
		const char *value = line_find(info, node_figures[i]);

		look->figures[i] = value != NULL ? strtoull(value, NULL, 10) : 0;
	}
	look->workers_count = workers != NULL ? (unsigned)strtoul(workers, NULL, 10) : 0;
	if (look->workers_count > WEIR_WORKERS_MAX)
		look->workers_count = WEIR_WORKERS_MAX;
	for (unsigned i = 0; i < look->workers_count; i++)
		worker_read(info, i, look->workers[i]);
}

static void look_at(struct watched *watched)
{
	static const char *const argv[] = {"INFO", "server", "node", "workers"};
	redisReply *reply = weir_client_call(watched->session, 4, argv, NULL);

	/* Across a look that failed the counters go on from the last that did not. */
	if (watched->now.answers)
		watched->before = watched->now;
	watched->now = (struct look){.answers = reply != NULL && reply->type == REDIS_REPLY_STRING};
	if (watched->now.answers)
		look_read(reply->str, &watched->now);
	else
		snprintf(watched->error, sizeof(watched->error), "%s",
			reply == NULL                      ? weir_client_error(watched->session)
			: reply->type == REDIS_REPLY_ERROR ? reply->str
							   : "what it says is no INFO");
	if (reply != NULL)
		freeReplyObject(reply);
}

static unsigned look_at_all(struct top *top)
{
	unsigned answers = 0;

	for (unsigned i = 0; i < top->count; i++) {
		look_at(&top->nodes[i]);
		answers += top->nodes[i].now.answers;
	}
	return answers;
}

/* ------------------------------------------------------------------------------ comparing --- */

/*
 * Of one worker. A node that has begun anew counts from nothing; of one that was not seen before
 * nobody knows when it did what.
 */
static struct work work_of(const struct watched *watched, unsigned worker)
{
	const uint64_t *now = watched->now.workers[worker];
	const uint64_t *before = watched->before.answers ? watched->before.workers[worker] : now;
	bool anew = now[RUN_NS] < before[RUN_NS];
	struct work work;

	for (unsigned i = 0; i < FIGURES; i++) {
		work.now[i] = now[i];
		work.grown[i] = anew || now[i] < before[i] ? now[i] : now[i] - before[i];
	}
	for (unsigned i = 0; i < FIGURES; i++)
		work.per_s[i] = work.grown[RUN_NS] > 0 ? (double)work.grown[i] * WEIR_NS_PER_S /
								 (double)work.grown[RUN_NS]
						       : 0;
	return work;
}

static struct work work_of_all(const struct watched *watched)
{
	struct work sum = {0};

	for (unsigned worker = 0; worker < watched->now.workers_count; worker++) {
		struct work work = work_of(watched, worker);

		for (unsigned i = 0; i < FIGURES; i++) {
			sum.grown[i] += work.grown[i];
			sum.now[i] += work.now[i];
			sum.per_s[i] += work.per_s[i];
		}
	}
	return sum;
}

static double busy_share(const struct work *work)
{
	double run = (double)work->grown[RUN_NS], busy = (double)work->grown[BUSY_NS];

	return run > 0 ? (busy < run ? busy / run : 1) : 0;
}

/* < 0: there were no operations. */
static double operation_ns(const struct work *work)
{
	return work->grown[OPERATIONS] > 0
		       ? (double)work->grown[BUSY_NS] / (double)work->grown[OPERATIONS]
		       : -1;
}

/* ----------------------------------------------------------------------------------- text --- */

/* In cycles; in ns where the node does not know how many cycles a second has. */
static void cost_print(FILE *to, const struct work *work, uint64_t tsc_hz)
{
	double ns = operation_ns(work);

	if (ns < 0)
		fprintf(to, " %9s", "-");
	else if (tsc_hz > 0)
		fprintf(to, " %9.0f", ns * (double)tsc_hz / WEIR_NS_PER_S);
	else
		fprintf(to, " %6.0f ns", ns);
}

static void row_print(FILE *to, const char *name, const struct work *work, const struct look *look)
{
	fprintf(to, "  %-9s %5.1f %9.0f %9.0f %7.0f %7.0f %6" PRIu64 " %7" PRIu64, name,
		100 * busy_share(work), work->per_s[OPERATIONS], work->per_s[ANSWERS_OK],
		work->per_s[ANSWERS_ERR], work->per_s[ANSWERS_UNKNOWN],
		work->now[TASKS_WAITING] + work->now[TASKS_QUEUED], work->now[WRITES_PENDING]);
	cost_print(to, work, look->figures[TSC_HZ]);
	fprintf(to, " %7.2f %7.2f %6.0f\n", work->per_s[TX_BYTES] / 1e6,
		work->per_s[RX_BYTES] / 1e6, (double)work->now[MEMORY_USED_BYTES] / 1e6);
}

static void node_print(FILE *to, const struct watched *watched)
{
	const struct look *look = &watched->now;
	struct work all = work_of_all(watched);

	if (!look->answers) {
		fprintf(to, "%s: no answer: %s\n",
			watched->before.node[0] != '\0' ? watched->before.node : watched->socket,
			watched->error);
		return;
	}
	fprintf(to,
		"%s: master of %" PRIu64 ", standby of %" PRIu64 ", flows %" PRIu64
		", lease %.1f s\n",
		look->node, look->figures[DEVICES_MASTER], look->figures[DEVICES_STANDBY],
		look->figures[FLOWS], (double)look->figures[LEASE_LEFT_MS] / 1000);
	for (unsigned i = 0; i < look->workers_count; i++) {
		struct work work = work_of(watched, i);
		char name[24];

		snprintf(name, sizeof(name), "worker %u", i);
		row_print(to, name, &work, look);
	}
	if (look->workers_count > 1)
		row_print(to, "all", &all, look);
}

static void block_print(FILE *to, const struct top *top, unsigned answers)
{
	char clock[32];
	time_t now = time(NULL);
	struct tm local;

	strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &local));
	fprintf(to, "weirctl top, %s, every %g s: %u of %u nodes answer\n\n", clock,
		(double)top->period_ns / WEIR_NS_PER_S, answers, top->count);
	fprintf(to, "  %-9s %5s %9s %9s %7s %7s %6s %7s %9s %7s %7s %6s\n", "", "BUSY%", "OPS/s",
		"OK/s", "ERR/s", "UNKN/s", "QUEUE", "PENDING", "CYCLES/OP", "TX MB/s", "RX MB/s",
		"MEM MB");
	for (unsigned i = 0; i < top->count; i++)
		node_print(to, &top->nodes[i]);
}

/* Draws over what was drawn before, as much of it as the terminal has room for. */
static void screen_draw(const char *text)
{
	struct winsize size = {0};
	unsigned rows, columns;

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	rows = size.ws_row > 1 ? size.ws_row - 1u : 23;
	columns = size.ws_col > 0 ? size.ws_col : 80;
	fputs("\033[H", stdout);
	for (; *text != '\0' && rows > 0; rows--) {
		unsigned len = (unsigned)strcspn(text, "\n");

		printf("%.*s\033[K\n", (int)(len < columns ? len : columns), text);
		text += len + (text[len] == '\n');
	}
	fputs("\033[J", stdout);
}

/* ----------------------------------------------------------------------------------- JSON --- */

static void work_json(const struct work *work, uint64_t tsc_hz)
{
	double ns = operation_ns(work);

	printf("\"busy_share\":%.4f", busy_share(work));
	for (unsigned i = 0; i < COUNTERS; i++)
		printf(",\"%s_per_s\":%.1f", figures[i].name, work->per_s[i]);
	for (unsigned i = COUNTERS; i < LEVELS; i++)
		printf(",\"%s\":%" PRIu64, figures[i].name, work->now[i]);
	if (ns < 0)
		printf(",\"operation_ns\":null,\"operation_cycles\":null");
	else if (tsc_hz == 0)
		printf(",\"operation_ns\":%.1f,\"operation_cycles\":null", ns);
	else
		printf(",\"operation_ns\":%.1f,\"operation_cycles\":%.1f", ns,
			ns * (double)tsc_hz / WEIR_NS_PER_S);
}

static void node_json(const struct watched *watched)
{
	const struct look *look = &watched->now;
	struct work all = work_of_all(watched);

	printf("{\"socket\":");
	ctl_json_text(stdout, watched->socket);
	printf(",\"answers\":%s", look->answers ? "true" : "false");
	if (!look->answers) {
		printf(",\"error\":");
		ctl_json_text(stdout, watched->error);
	} else {
		printf(",\"node\":");
		ctl_json_text(stdout, look->node);
		for (unsigned i = 0; i < NODE_FIGURES; i++)
			printf(",\"%s\":%" PRIu64, node_figures[i], look->figures[i]);
		putchar(',');
		work_json(&all, look->figures[TSC_HZ]);
		printf(",\"workers\":[");
		for (unsigned i = 0; i < look->workers_count; i++) {
			struct work work = work_of(watched, i);

			printf("%s{\"worker\":%u,", i > 0 ? "," : "", i);
			work_json(&work, look->figures[TSC_HZ]);
			putchar('}');
		}
		putchar(']');
	}
	putchar('}');
}

static void block_json(const struct top *top)
{
	printf("{\"time_ms\":%" PRIu64 ",\"nodes\":[",
		(uint64_t)(weir_clock_wall_ns() / WEIR_NS_PER_MS));
	for (unsigned i = 0; i < top->count; i++) {
		if (i > 0)
			putchar(',');
		node_json(&top->nodes[i]);
	}
	puts("]}");
}

/* @return false: nobody reads it */
static bool block_show(const struct top *top, unsigned answers)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to;

	if (top->ctl->json) {
		block_json(top);
		return fflush(stdout) == 0;
	}
	to = open_memstream(&text, &len);
	if (to == NULL)
		return false;
	block_print(to, top, answers);
	if (fclose(to) != 0)
		return false;
	if (top->screen)
		screen_draw(text);
	else
		printf("%s\n", text);
	free(text);
	return fflush(stdout) == 0;
}

/* ------------------------------------------------------------------------ terminal, time --- */

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
	signalled = 1;
}

/* Signals come only while it waits: none is missed in between. */
static void terminal_begin(struct top *top)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigprocmask(SIG_BLOCK, &ours, &top->signals);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	top->screen = !top->ctl->json && isatty(STDOUT_FILENO);
	top->keys = top->screen && tcgetattr(STDIN_FILENO, &top->terminal) == 0;
	if (top->keys) {
		struct termios raw = top->terminal;

		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	if (top->screen)
		fputs("\033[2J\033[?25l", stdout);
}

static void terminal_end(struct top *top)
{
	if (top->screen)
		fputs("\033[?25h", stdout);
	/* Also where input has ended: other programs read from the same terminal. */
	if (top->screen && isatty(STDIN_FILENO))
		tcsetattr(STDIN_FILENO, TCSANOW, &top->terminal);
	fflush(stdout);
}

/* Whether a key that ends it was struck. */
static bool key_quits(struct top *top)
{
	char key;

	if (read(STDIN_FILENO, &key, 1) == 1)
		return key == 'q' || key == 'Q';
	top->keys = false;
	return false;
}

/* Waits for that time. @return false: it is to end */
static bool wait_until(struct top *top, uint64_t due_ns)
{
	uint64_t now_ns;

	while ((now_ns = weir_clock_ns()) < due_ns && !signalled) {
		struct timespec left = {.tv_sec = (time_t)((due_ns - now_ns) / WEIR_NS_PER_S),
			.tv_nsec = (long)((due_ns - now_ns) % WEIR_NS_PER_S)};
		struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

		if (ppoll(&input, top->keys ? 1 : 0, &left, &top->signals) > 0 && key_quits(top))
			return false;
	}
	return !signalled;
}

/* ------------------------------------------------------------------------------- the verb --- */

/* A session for each socket, so that each node answers for itself. @return false: no memory */
static bool nodes_open(struct top *top)
{
	const char *at = top->ctl->conf->sockets;

	top->nodes = calloc(strlen(at) / 2 + 1, sizeof(*top->nodes));
	for (size_t len; top->nodes != NULL && *at != '\0'; at += len + (at[len] == ',')) {
		struct watched *watched = &top->nodes[top->count];
		struct weir_client_conf conf = *top->ctl->conf;

		len = strcspn(at, ",");
		if (len == 0)
			continue;
		watched->socket = strndup(at, len);
		conf.sockets = watched->socket;
		conf.timeout_ms = conf.timeout_ms > 0 ? conf.timeout_ms : NODE_TIMEOUT_MS;
		conf.connect_timeout_ms = 1; /* asked again in the next period anyway */
		watched->session = watched->socket != NULL ? weir_client_open(&conf) : NULL;
		if (watched->session == NULL)
			return false;
		top->count++;
	}
	return top->nodes != NULL;
}

static void nodes_close(struct top *top)
{
	for (unsigned i = 0; i < top->count; i++) {
		weir_client_close(top->nodes[i].session);
		free(top->nodes[i].socket);
	}
	free(top->nodes);
}

static int rounds_run(struct top *top, long rounds)
{
	uint64_t due_ns = weir_clock_ns();

	if (look_at_all(top) == 0) {
		fprintf(stderr, "weirctl: no answer: %s\n",
			top->count > 0 ? top->nodes[0].error : "no socket is named");
		return CTL_NO_ANSWER;
	}
	terminal_begin(top);
	for (long round = 0; rounds == 0 || round < rounds; round++) {
		uint64_t now_ns = weir_clock_ns();

		due_ns = due_ns + top->period_ns > now_ns ? due_ns + top->period_ns : now_ns;
		if (!wait_until(top, due_ns) || !block_show(top, look_at_all(top)))
			break;
	}
	terminal_end(top);
	return CTL_FINE;
}

/* -d and -n. @return whether they make sense (else said to stderr) */
static bool options_read(const struct ctl *ctl, double *period_s, long *rounds)
{
	char *end;

	if (ctl->period != NULL) {
		*period_s = strtod(ctl->period, &end);
		if (end == ctl->period || *end != '\0' ||
			!(*period_s >= PERIOD_MIN_S && *period_s <= PERIOD_MAX_S)) {
			fprintf(stderr,
				"weirctl: -d is a number of seconds from %g to %g, not %s\n",
				PERIOD_MIN_S, PERIOD_MAX_S, ctl->period);
			return false;
		}
	}
	if (ctl->rounds != NULL) {
		*rounds = strtol(ctl->rounds, &end, 10);
		if (end == ctl->rounds || *end != '\0' || *rounds < 1 || *rounds > ROUNDS_MAX) {
			fprintf(stderr, "weirctl: -n is a number from 1 to %ld, not %s\n",
				ROUNDS_MAX, ctl->rounds);
			return false;
		}
	}
	return true;
}

int ctl_top(struct ctl *ctl)
{
	struct top top = {.ctl = ctl};
	int status = CTL_NO_ANSWER;
	double period_s = 1;
	long rounds = 0;

	if (!options_read(ctl, &period_s, &rounds))
		return CTL_USAGE;
	top.period_ns = (uint64_t)(period_s * WEIR_NS_PER_S);
	if (nodes_open(&top))
		status = rounds_run(&top, rounds);
	else
		fprintf(stderr, "weirctl: memory is short\n");
	nodes_close(&top);
	return status;
}
