/* SPDX-License-Identifier: BSD-3-Clause */
/* add-flows and del-flows: a file of flows through the pipeline, with progress and figures. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "weirctl.h"

#define PROGRESS_NS    (100 * WEIR_NS_PER_MS)
#define PROGRESS_WIDTH 30

/* Bad lines told one by one; the rest is only counted. */
#define FAULTS_SHOWN 50

struct load {
	struct ctl *ctl;
	const char *path;
	struct ctl_lines *lines;
	FILE *acked;
	uint64_t sent, acknowledged, refused, unknown, bad_lines, faults;
	uint64_t begun_ns, shown_ns;
	bool hopeless; /* there is no such device: the rest of the file need not be tried */
};

/* The column of "BADFLOW column 17: sentence", and where the sentence begins. */
static unsigned fault_column(const char *text, size_t len, size_t *sentence)
{
	unsigned column = 0;
	int at = 0;
	char copy[512];

	snprintf(copy, sizeof(copy), "%.*s", (int)len, text);
	*sentence = 0;
	if (sscanf(copy, "BADFLOW column %u: %n", &column, &at) == 1 && at > 0)
		*sentence = (size_t)at;
	return column;
}

static bool fault_shown(struct load *load)
{
	if (load->faults++ < FAULTS_SHOWN)
		return true;
	if (load->faults == FAULTS_SHOWN + 1)
		fprintf(stderr, "weirctl: more lines at fault are only counted\n");
	return false;
}

/* The cookie is the line's number in the upper 40 bits, the column of its text in the lower 24. */
static void on_done(void *ctx, uint64_t cookie, int err, const char *text, size_t len)
{
	struct load *load = ctx;
	uint64_t number = cookie >> 24;
	size_t sentence;
	unsigned column;

	if (err == 0) {
		load->acknowledged++;
		if (load->acked != NULL)
			fprintf(load->acked, "%" PRIu64 "\n", number);
		return;
	}
	if (err == WEIR_UNKNOWN || err == WEIR_UNREACHABLE) {
		load->unknown++;
		return;
	}
	load->refused++;
	if (err == WEIR_NODEVICE) {
		load->hopeless = true;
		return;
	}
	if (!fault_shown(load))
		return;
	column = fault_column(text, len, &sentence);
	fprintf(stderr, "%s:%" PRIu64 ":%u: %.*s\n", load->path, number,
		column > 0 ? column + (unsigned)(cookie & 0xffffff) - 1
			   : (unsigned)(cookie & 0xffffff),
		(int)(len - sentence), text + sentence);
}

static double seconds(const struct load *load)
{
	return (double)(weir_clock_ns() - load->begun_ns) / 1e9;
}

static void progress_show(struct load *load, bool last)
{
	uint64_t now_ns = weir_clock_ns();
	double share = last ? 1 : ctl_lines_share(load->lines);
	double spent = seconds(load);
	int filled = share < 0 ? 0 : (int)(share * PROGRESS_WIDTH);

	if (!load->ctl->progress || (!last && now_ns - load->shown_ns < PROGRESS_NS))
		return;
	load->shown_ns = now_ns;
	fputc('\r', stderr);
	if (share >= 0)
		fprintf(stderr, "[%.*s%*s] %3d %%  ", filled, "##############################",
			PROGRESS_WIDTH - filled, "", (int)(share * 100));
	fprintf(stderr, "%" PRIu64 " flows, %" PRIu64 " acknowledged, %.0f/s ", load->sent,
		load->acknowledged, spent > 0 ? (double)load->acknowledged / spent : 0);
	if (last)
		fputc('\n', stderr);
	fflush(stderr);
}

/* Sends all lines. Returns 0 or an error. */
static int lines_send(struct load *load, const char *command)
{
	struct ctl_line line;
	int err = 0;

	while (err == 0 && !load->hopeless && ctl_lines_next(load->lines, &line)) {
		if (line.too_long) {
			load->bad_lines++;
			if (fault_shown(load))
				fprintf(stderr, "%s:%" PRIu64 ":1: the line is too long\n",
					load->path, line.number);
			continue;
		}
		err = weir_client_flow(load->ctl->session, load->ctl->argv[0], command, line.text,
			line.len, line.number << 24 | line.column, on_done, load);
		load->sent += err == 0;
		if (load->sent % 256 == 0)
			progress_show(load, false);
	}
	if (weir_client_drain(load->ctl->session) != 0 && err == 0)
		err = WEIR_UNREACHABLE;
	return err;
}

static void figures_print(const struct load *load, double spent)
{
	struct weir_client_stats stats;
	double rate = spent > 0 ? (double)load->acknowledged / spent : 0;
	double stall_ms;

	weir_client_stats(load->ctl->session, &stats);
	stall_ms = (double)stats.longest_stall_ns / 1e6;
	if (load->ctl->json) {
		printf("{\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"refused\":%" PRIu64
		       ",\"unknown\":%" PRIu64 ",\"bad_lines\":%" PRIu64 ",\"resent\":%" PRIu64
		       ",\"failovers\":%" PRIu64
		       ",\"longest_stall_ms\":%.1f,\"seconds\":%.3f,\"flows_per_second\":%.0f}\n",
			load->sent, load->acknowledged, load->refused, load->unknown,
			load->bad_lines, stats.resent, stats.failovers, stall_ms, spent, rate);
		return;
	}
	printf("sent %" PRIu64 ", acknowledged %" PRIu64 ", refused %" PRIu64 ", unknown %" PRIu64
	       ", bad lines %" PRIu64 "\n",
		load->sent, load->acknowledged, load->refused, load->unknown, load->bad_lines);
	printf("resent %" PRIu64 ", failovers %" PRIu64
	       ", longest stall %.1f ms, %.3f s, %.0f flows/s\n",
		stats.resent, stats.failovers, stall_ms, spent, rate);
}

static bool acked_close(struct load *load)
{
	if (load->acked == NULL || fclose(load->acked) == 0)
		return true;
	fprintf(stderr, "weirctl: cannot write %s: %s\n", load->ctl->acked_log, strerror(errno));
	return false;
}

static int load_run(struct ctl *ctl, const char *command)
{
	struct load load = {.ctl = ctl, .path = ctl->argv[1], .begun_ns = weir_clock_ns()};
	bool fine;
	int err;

	load.lines = ctl_lines_open(load.path);
	if (load.lines == NULL)
		return CTL_REFUSED;
	if (ctl->acked_log != NULL && (load.acked = fopen(ctl->acked_log, "w")) == NULL) {
		fprintf(stderr, "weirctl: cannot write %s: %s\n", ctl->acked_log, strerror(errno));
		ctl_lines_close(load.lines);
		return CTL_REFUSED;
	}
	err = lines_send(&load, command);
	progress_show(&load, true);
	figures_print(&load, seconds(&load));
	fine = acked_close(&load) && !ctl_lines_broken(load.lines);
	ctl_lines_close(load.lines);
	if (err == WEIR_UNREACHABLE) {
		fprintf(stderr, "weirctl: no answer: %s\n", weir_client_error(ctl->session));
		return CTL_NO_ANSWER;
	}
	if (load.hopeless)
		fprintf(stderr, "weirctl: no such device: %s\n", ctl->argv[0]);
	fine = fine && err == 0 && load.acknowledged == load.sent && load.bad_lines == 0;
	return fine ? CTL_FINE : CTL_REFUSED;
}

int ctl_add_flows(struct ctl *ctl)
{
	return load_run(ctl, "FLOW.ADD");
}

int ctl_del_flows(struct ctl *ctl)
{
	return load_run(ctl, "FLOW.DEL");
}
