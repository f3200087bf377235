/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault-switch SEED PORT...: a switch between network interfaces that does harm when it is told to.
 *
 * Frames go to the port whose station they name; where it is not known, and for broadcast, to all
 * others. Between each two ports, one way, frames can be lost, duplicated, delayed (each by
 * another time, so that they overtake each other), corrupted by one bit behind the Ethernet
 * header, or blocked. What is decided for a frame comes from SEED alone.
 *
 * It is told by lines on standard input, and answers each with `OK ...` or `ERR sentence`:
 *
 *   set FROM TO [loss=N] [duplicate=N] [corrupt=N] [delay=MIN-MAX] [block=0|1]
 *       FROM, TO: a port or *. N: of 1000 frames. MIN, MAX: microseconds.
 *   clear       from now on all frames pass again
 *   counts      what was done to how many frames so far
 *
 * It ends with its standard input. Interfaces may go down and come back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX    32
#define STATIONS_MAX 64
#define FRAME_MAX    2048
#define QUEUE_MAX    16384 /* frames under way; what comes more is lost */
#define LINE_MAX_LEN 512
#define BURST        64 /* frames of one port before the next has its turn */
#define SOCKET_BYTES (4 << 20)
#define DELAY_MAX_US 10000000
#define PER_MILLE    1000
#define MAC_LEN      6

struct harm {
	unsigned loss, duplicate, corrupt; /* of 1000 frames */
	unsigned delay_min_us, delay_max_us;
	bool block;
};

struct frame {
	uint64_t due_ns;
	uint64_t order; /* of its arrival: decides where the time is the same */
	unsigned to;
	size_t len;
	uint8_t bytes[FRAME_MAX];
};

struct counts {
	uint64_t received, sent, lost, duplicated, corrupted, delayed, blocked;
	uint64_t overflow, unsent, oversize;
};

static struct {
	uint64_t random;
	uint64_t arrivals;
	unsigned ports_count;
	const char *names[PORTS_MAX];
	int sockets[PORTS_MAX];
	struct harm harm[PORTS_MAX][PORTS_MAX];
	struct {
		uint8_t mac[MAC_LEN];
		unsigned port;
	} stations[STATIONS_MAX];
	unsigned stations_count;
	struct frame frames[QUEUE_MAX];
	struct frame *free[QUEUE_MAX];
	unsigned free_count;
	struct frame *heap[QUEUE_MAX]; /* the earliest on top */
	unsigned heap_count;
	struct counts counts;
	char line[LINE_MAX_LEN];
	size_t line_len;
} sw;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t draw(uint64_t below)
{
	uint64_t z = sw.random += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % below;
}

static bool happens(unsigned of_1000)
{
	return of_1000 > 0 && draw(PER_MILLE) < of_1000;
}

/* --------------------------------------------------------------------------- under way --- */

static bool earlier(const struct frame *a, const struct frame *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_put(struct frame *frame)
{
	unsigned at = sw.heap_count++;

	for (; at > 0 && earlier(frame, sw.heap[(at - 1) / 2]); at = (at - 1) / 2)
		sw.heap[at] = sw.heap[(at - 1) / 2];
	sw.heap[at] = frame;
}

static struct frame *heap_take(void)
{
	struct frame *top = sw.heap[0], *last = sw.heap[--sw.heap_count];
	unsigned at = 0, child;

	while ((child = 2 * at + 1) < sw.heap_count) {
		if (child + 1 < sw.heap_count && earlier(sw.heap[child + 1], sw.heap[child]))
			child++;
		if (!earlier(sw.heap[child], last))
			break;
		sw.heap[at] = sw.heap[child];
		at = child;
	}
	sw.heap[at] = last;
	return top;
}

static void deliver(void)
{
	uint64_t now = now_ns();

	while (sw.heap_count > 0 && sw.heap[0]->due_ns <= now) {
		struct frame *frame = heap_take();

		if (send(sw.sockets[frame->to], frame->bytes, frame->len, MSG_DONTWAIT) < 0)
			sw.counts.unsent++;
		else
			sw.counts.sent++;
		sw.free[sw.free_count++] = frame;
	}
}

/* ----------------------------------------------------------------------------- frames ---- */

static void corrupt(struct frame *frame)
{
	uint64_t bit;

	if (frame->len <= ETH_HLEN)
		return;
	bit = draw((frame->len - ETH_HLEN) * 8);
	frame->bytes[ETH_HLEN + bit / 8] ^= (uint8_t)(1U << bit % 8);
	sw.counts.corrupted++;
}

static void pass_once(const struct harm *harm, unsigned to, const uint8_t *bytes, size_t len)
{
	uint64_t delay_us = harm->delay_min_us;
	struct frame *frame;

	if (sw.free_count == 0) {
		sw.counts.overflow++;
		return;
	}
	if (harm->delay_max_us > harm->delay_min_us)
		delay_us += draw(harm->delay_max_us - harm->delay_min_us + 1);
	frame = sw.free[--sw.free_count];
	frame->due_ns = now_ns() + delay_us * 1000;
	frame->order = sw.arrivals++;
	frame->to = to;
	frame->len = len;
	memcpy(frame->bytes, bytes, len);
	sw.counts.delayed += delay_us > 0;
	if (happens(harm->corrupt))
		corrupt(frame);
	heap_put(frame);
}

static void pass(unsigned from, unsigned to, const uint8_t *bytes, size_t len)
{
	const struct harm *harm = &sw.harm[from][to];

	if (harm->block) {
		sw.counts.blocked++;
	} else if (happens(harm->loss)) {
		sw.counts.lost++;
	} else {
		pass_once(harm, to, bytes, len);
		if (happens(harm->duplicate)) {
			sw.counts.duplicated++;
			pass_once(harm, to, bytes, len);
		}
	}
}

/* @return the port, or ports_count: not known */
static unsigned station_port(const uint8_t *mac)
{
	for (unsigned i = 0; i < sw.stations_count; i++)
		if (memcmp(sw.stations[i].mac, mac, MAC_LEN) == 0)
			return sw.stations[i].port;
	return sw.ports_count;
}

static void station_learn(const uint8_t *mac, unsigned port)
{
	for (unsigned i = 0; i < sw.stations_count; i++)
		if (memcmp(sw.stations[i].mac, mac, MAC_LEN) == 0) {
			sw.stations[i].port = port;
			return;
		}
	if (sw.stations_count == STATIONS_MAX || (mac[0] & 1) != 0)
		return;
	memcpy(sw.stations[sw.stations_count].mac, mac, MAC_LEN);
	sw.stations[sw.stations_count++].port = port;
}

static void forward(unsigned from, const uint8_t *bytes, size_t len)
{
	unsigned to = station_port(bytes);

	station_learn(bytes + MAC_LEN, from);
	if (to == from)
		return;
	if (to < sw.ports_count) {
		pass(from, to, bytes, len);
		return;
	}
	for (to = 0; to < sw.ports_count; to++)
		if (to != from)
			pass(from, to, bytes, len);
}

/* An interface that went down is told as an error, once; when it is up again frames come again. */
static void receive(unsigned port)
{
	static uint8_t bytes[FRAME_MAX];

	for (unsigned i = 0; i < BURST; i++) {
		ssize_t len =
			recv(sw.sockets[port], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);

		if (len < ETH_HLEN)
			return;
		sw.counts.received++;
		if ((size_t)len > sizeof(bytes))
			sw.counts.oversize++;
		else
			forward(port, bytes, (size_t)len);
	}
}

/* ------------------------------------------------------------------------------ orders --- */

static bool number_read(const char *text, unsigned most, unsigned *to, char **end)
{
	unsigned long value;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, end, 10);
	*to = (unsigned)value;
	return errno == 0 && value <= most;
}

static bool delay_read(const char *text, struct harm *harm)
{
	char *end;

	return number_read(text, DELAY_MAX_US, &harm->delay_min_us, &end) && *end == '-' &&
	       number_read(end + 1, DELAY_MAX_US, &harm->delay_max_us, &end) && *end == '\0' &&
	       harm->delay_min_us <= harm->delay_max_us;
}

static bool harm_read(const char *word, struct harm *harm)
{
	const struct {
		const char *name;
		unsigned *to;
	} shares[] = {{"loss=", &harm->loss}, {"duplicate=", &harm->duplicate},
		{"corrupt=", &harm->corrupt}};
	char *end;

	for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		if (strncmp(word, shares[i].name, strlen(shares[i].name)) == 0)
			return number_read(word + strlen(shares[i].name), PER_MILLE, shares[i].to,
				       &end) &&
			       *end == '\0';
	if (strncmp(word, "delay=", 6) == 0)
		return delay_read(word + 6, harm);
	if (strcmp(word, "block=0") != 0 && strcmp(word, "block=1") != 0)
		return false;
	harm->block = word[6] == '1';
	return true;
}

static bool names_port(const char *word, unsigned port)
{
	return strcmp(word, "*") == 0 || strcmp(word, sw.names[port]) == 0;
}

static bool is_port(const char *word)
{
	for (unsigned i = 0; i < sw.ports_count; i++)
		if (names_port(word, i))
			return true;
	return false;
}

/* All is read before anything is set: a line that is wrong changes nothing. */
static const char *set(char **rest)
{
	static struct harm next[PORTS_MAX][PORTS_MAX];
	const char *from = strtok_r(NULL, " ", rest), *to = strtok_r(NULL, " ", rest), *word;

	if (from == NULL || to == NULL || !is_port(from) || !is_port(to))
		return "ERR set FROM TO: two ports, or *";
	memcpy(next, sw.harm, sizeof(next));
	while ((word = strtok_r(NULL, " ", rest)) != NULL)
		for (unsigned i = 0; i < sw.ports_count; i++)
			for (unsigned j = 0; j < sw.ports_count; j++)
				if (names_port(from, i) && names_port(to, j) &&
					!harm_read(word, &next[i][j]))
					return "ERR set: loss, duplicate, corrupt=0..1000, "
					       "delay=MIN-MAX, block=0|1";
	memcpy(sw.harm, next, sizeof(next));
	return "OK";
}

static const char *counts_text(void)
{
	static char text[LINE_MAX_LEN];
	const struct counts *c = &sw.counts;
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {{"received", c->received}, {"sent", c->sent}, {"lost", c->lost},
		{"duplicated", c->duplicated}, {"corrupted", c->corrupted}, {"delayed", c->delayed},
		{"blocked", c->blocked}, {"overflow", c->overflow}, {"unsent", c->unsent},
		{"oversize", c->oversize}};
	size_t len = 2;

	memcpy(text, "OK", 3);
	for (unsigned i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s=%llu", figures[i].name,
			(unsigned long long)figures[i].value);
	return text;
}

static const char *obey(char *line)
{
	char *rest, *verb = strtok_r(line, " ", &rest);

	if (verb != NULL && strcmp(verb, "set") == 0)
		return set(&rest);
	if (verb != NULL && strcmp(verb, "clear") == 0) {
		memset(sw.harm, 0, sizeof(sw.harm));
		return "OK";
	}
	if (verb != NULL && strcmp(verb, "counts") == 0)
		return counts_text();
	return "ERR the orders are set, clear, counts";
}

/* @return false: there will be no more orders */
static bool orders(void)
{
	ssize_t got = read(STDIN_FILENO, sw.line + sw.line_len, sizeof(sw.line) - sw.line_len);
	char *newline;

	if (got <= 0)
		return got < 0 && errno == EINTR;
	sw.line_len += (size_t)got;
	while ((newline = memchr(sw.line, '\n', sw.line_len)) != NULL) {
		size_t used = (size_t)(newline - sw.line) + 1;

		*newline = '\0';
		puts(obey(sw.line));
		memmove(sw.line, sw.line + used, sw.line_len - used);
		sw.line_len -= used;
	}
	if (sw.line_len == sizeof(sw.line)) {
		puts("ERR a line that long is no order");
		return false;
	}
	return true;
}

/* ------------------------------------------------------------------------------- start --- */

static int port_open(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), yes = 1, bytes = SOCKET_BYTES;

	address.sll_ifindex = (int)if_nametoindex(name);
	if (fd < 0 || address.sll_ifindex == 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) != 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return -1;
	return fd;
}

static int start(int argc, char **argv)
{
	char *end;

	if (argc < 2 || argc - 2 > PORTS_MAX) {
		fprintf(stderr, "fault-switch SEED PORT...: up to %d ports\n", PORTS_MAX);
		return -1;
	}
	sw.random = strtoull(argv[1], &end, 0);
	if (*end != '\0' || end == argv[1]) {
		fprintf(stderr, "fault-switch: the seed is a number, not %s\n", argv[1]);
		return -1;
	}
	for (; sw.free_count < QUEUE_MAX; sw.free_count++)
		sw.free[sw.free_count] = &sw.frames[sw.free_count];
	for (int i = 2; i < argc; i++) {
		int fd = port_open(argv[i]);

		if (fd < 0) {
			fprintf(stderr, "fault-switch: %s: %s\n", argv[i], strerror(errno));
			return -1;
		}
		sw.names[sw.ports_count] = argv[i];
		sw.sockets[sw.ports_count++] = fd;
	}
	return 0;
}

/* Until something comes, or the earliest frame is due. */
static int await(struct pollfd *fds)
{
	struct timespec wait = {0};
	uint64_t now = now_ns(), left = 0;

	if (sw.heap_count > 0 && sw.heap[0]->due_ns > now)
		left = sw.heap[0]->due_ns - now;
	wait.tv_sec = (time_t)(left / 1000000000);
	wait.tv_nsec = (long)(left % 1000000000);
	return ppoll(fds, 1 + sw.ports_count, sw.heap_count > 0 ? &wait : NULL, NULL);
}

int main(int argc, char **argv)
{
	struct pollfd fds[1 + PORTS_MAX] = {{.fd = STDIN_FILENO, .events = POLLIN}};

	if (start(argc, argv) != 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < sw.ports_count; i++)
		fds[1 + i] = (struct pollfd){.fd = sw.sockets[i], .events = POLLIN};
	puts("OK");
	for (;;) {
		if (await(fds) < 0 && errno != EINTR) {
			perror("fault-switch: poll");
			return 1;
		}
		for (unsigned i = 0; i < sw.ports_count; i++)
			if (fds[1 + i].revents != 0)
				receive(i);
		deliver();
		if (fds[0].revents != 0 && !orders())
			return 0;
	}
}
