/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes in network namespaces of their own, joined by a veth pair, in real time: what the
 * fabric's virtual ports cannot show. Namespaces and interfaces have no name outside of the two
 * processes, so nothing is left behind however the test ends. Needs root.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>

#include "base/clock.h"
#include "base/err.h"
#include "link/link.h"

#define MESSAGES   200000
#define LEN_MAX    200
#define DEADLINE_S 100
#define UDP_PORT   6640

struct side {
	unsigned idx;
	pid_t pid;
	int say[2];  /**< parent to child */
	int hear[2]; /**< child to parent */
};

/** What a child reports. */
struct report {
	bool good;
	uint64_t ns;
	struct weir_link_stats stats;
};

struct run {
	struct weir_link *link;
	bool up;
	unsigned ups, downs;
	uint64_t sent, received, wrong;
	uint8_t bytes[256 + LEN_MAX];
};

/** Length and content of message n are the same for both sides. */
static size_t message_len(uint64_t n)
{
	return 1 + (n * 2654435761U >> 7) % LEN_MAX;
}

static const uint8_t *message_bytes(const struct run *run, uint64_t n)
{
	return run->bytes + (n * 40503U >> 3) % 256;
}

static void on_message(void *ctx, unsigned peer, unsigned worker, const void *bytes, size_t len)
{
	struct run *run = ctx;
	const uint64_t n = run->received++;

	run->wrong += len != message_len(n) || memcmp(bytes, message_bytes(run, n), len) != 0;
}

static void on_up(void *ctx, unsigned peer, unsigned worker, uint64_t incarnation)
{
	struct run *run = ctx;

	run->up = true;
	run->ups++;
}

static void on_down(void *ctx, unsigned peer, unsigned worker)
{
	struct run *run = ctx;

	run->up = false;
	run->downs++;
}

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static void command(const char *format, unsigned a, unsigned b, unsigned c, unsigned d)
{
	char line[256];

	snprintf(line, sizeof(line), format, a, b, c, d);
	if (system(line) != 0)
		die(line);
}

static void byte_wait(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		die("the other process is gone");
}

/** The nth CPU that this process may use, counted round. */
static unsigned cpu_nth(unsigned n)
{
	cpu_set_t cpus;
	unsigned cpu = 0;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	n %= (unsigned)CPU_COUNT(&cpus);
	for (;; cpu++) {
		if (CPU_ISSET(cpu, &cpus) && n-- == 0)
			return cpu;
	}
}

static void eal_start(unsigned idx)
{
	char lcores[32], prefix[32], vdev[128];
	const char *args[] = {"test-link-afpacket", "--no-pci", "--no-huge", "-m", "96",
		"--no-shconf", "--no-telemetry", "--log-level", "4", "--file-prefix", prefix,
		"--lcores", lcores, "--vdev", vdev};

	snprintf(lcores, sizeof(lcores), "0@%u", cpu_nth(idx));
	snprintf(prefix, sizeof(prefix), "wlnk%d", (int)getpid());
	snprintf(vdev, sizeof(vdev), "net_af_packet0,iface=wlnk%d,framecnt=4096,blocksz=65536",
		(int)getpid());
	if (rte_eal_init(RTE_DIM(args), (char **)(uintptr_t)args) < 0)
		die("EAL does not start");
}

static void port_start(uint16_t port_id, struct rte_mempool *pool)
{
	const struct rte_eth_conf conf = {0};

	if (!rte_eth_dev_is_valid_port(port_id) ||
		rte_eth_dev_configure(port_id, 1, 1, &conf) != 0 ||
		rte_eth_rx_queue_setup(port_id, 0, 512, 0, NULL, pool) != 0 ||
		rte_eth_tx_queue_setup(port_id, 0, 512, 0, NULL) != 0 ||
		rte_eth_dev_start(port_id) != 0)
		die("the port does not start");
}

static struct weir_link_end end_of(unsigned idx)
{
	return (struct weir_link_end){
		.node_key = weir_node_key(idx == 0 ? "n1" : "n2"),
		.incarnation = 1 + idx,
		.ipv4 = 0x0a000001 + idx,
		.udp_port = UDP_PORT,
		.mac = {2, 0, 0, 0, 0, (uint8_t)(1 + idx)},
		.workers_count = 1,
	};
}

static struct weir_link *link_start(unsigned idx, struct run *run)
{
	static const struct weir_link_ops ops = {
		.message = on_message, .up = on_up, .down = on_down};
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create("frames", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	const struct weir_link_conf conf = {
		.cluster_key = weir_node_key("wlnk"),
		.self = end_of(idx),
		.mtu = 1500,
		.pool = pool,
	};
	const struct weir_link_end peer = end_of(1 - idx);
	struct weir_link *link;

	if (pool == NULL)
		die("no memory for frames");
	port_start(0, pool);
	link = weir_link_create(&conf, &ops, run);
	if (link == NULL || weir_link_peer_set(link, 0, &peer) != 0)
		die("no link");
	return link;
}

static void turn(struct run *run)
{
	const uint64_t now_ns = weir_clock_ns();
	unsigned work = weir_link_poll(run->link, now_ns);

	while (run->up && run->sent < MESSAGES &&
		weir_link_send(run->link, 0, 0, message_bytes(run, run->sent),
			message_len(run->sent)) == 0)
		run->sent++;
	work += weir_link_flush(run->link, now_ns);
	if (work == 0)
		sched_yield();
}

static bool run_complete(const struct run *run)
{
	return run->sent == MESSAGES && run->received == MESSAGES &&
	       weir_link_room(run->link, 0, 0) == WEIR_LINK_QUEUE_BYTES;
}

/** Sends and receives all, reports, and goes on answering the other side until it is told to end.
 */
static int child_main(struct side *side)
{
	static struct run run;
	struct report report = {0};
	uint64_t started_ns;
	char byte;

	byte_wait(side->say[0]);
	command("ip link set wlnk%1$u address 02:00:00:00:00:0%2$u up", (unsigned)getpid(),
		side->idx + 1, 0, 0);
	eal_start(side->idx);
	for (unsigned i = 0; i < sizeof(run.bytes); i++)
		run.bytes[i] = (uint8_t)(i * 151 + 7);
	run.link = link_start(side->idx, &run);
	while (!run.up)
		turn(&run);
	started_ns = weir_clock_ns();
	while (!run_complete(&run))
		turn(&run);
	report.ns = weir_clock_ns() - started_ns;
	report.good = run.wrong == 0 && run.ups == 1 && run.downs == 0;
	weir_link_stats(run.link, &report.stats);
	if (write(side->hear[1], &report, sizeof(report)) != sizeof(report))
		return 1;
	fcntl(side->say[0], F_SETFL, O_NONBLOCK);
	while (read(side->say[0], &byte, 1) != 1)
		turn(&run);
	weir_link_destroy(run.link);
	rmdir(rte_eal_get_runtime_dir());
	return 0;
}

/** The child waits in its own network namespace. */
static void child_start(struct side *side, unsigned idx)
{
	side->idx = idx;
	if (pipe(side->say) != 0 || pipe(side->hear) != 0)
		die("no pipe");
	side->pid = fork();
	if (side->pid < 0)
		die("no process");
	if (side->pid > 0) {
		byte_wait(side->hear[0]);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(DEADLINE_S);
	if (unshare(CLONE_NEWNET) != 0)
		die("no network namespace: this test needs root");
	if (write(side->hear[1], "n", 1) != 1)
		exit(1);
	exit(child_main(side));
}

static bool report_read(struct side *side)
{
	struct report report;
	const struct weir_link_stats *s = &report.stats;

	close(side->hear[1]);
	if (read(side->hear[0], &report, sizeof(report)) != sizeof(report)) {
		fprintf(stderr, "side %u: no report\n", side->idx);
		return false;
	}
	printf("side %u: %s, %.3f Mmsg/s each way, %" PRIu64 " frames sent, %" PRIu64
	       " received, %" PRIu64 " repeated, %" PRIu64 " early, %" PRIu64 " doubles\n",
		side->idx, report.good ? "good" : "WRONG", MESSAGES * 1e3 / (double)report.ns,
		s->tx_frames, s->rx_frames, s->retransmits, s->out_of_order, s->duplicates);
	return report.good;
}

static void sides_tell(const struct side *sides)
{
	for (unsigned i = 0; i < 2; i++) {
		if (write(sides[i].say[1], "g", 1) != 1)
			die("the other process is gone");
	}
}

int main(void)
{
	struct side sides[2];
	bool good;

	alarm(DEADLINE_S);
	child_start(&sides[0], 0);
	child_start(&sides[1], 1);
	command("ip link add wlnk%1$u netns %1$u type veth peer name wlnk%2$u netns %2$u",
		(unsigned)sides[0].pid, (unsigned)sides[1].pid, 0, 0);
	sides_tell(sides);
	good = report_read(&sides[0]);
	good = report_read(&sides[1]) && good;
	sides_tell(sides);
	for (unsigned i = 0; i < 2; i++) {
		int status;

		good = waitpid(sides[i].pid, &status, 0) == sides[i].pid && status == 0 && good;
	}
	return good ? 0 : 1;
}
