/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#include "flows.h"
#include "redis.h"

#define PIPELINE     512 /* commands a write */
#define VALUE_MAX    1024
#define OK_BYTES     5 /* "+OK\r\n" */
#define START_MS     5000
#define EXEC_FAILURE 127

static void serve(const struct redis *redis, unsigned cpu)
{
	int null = open("/dev/null", O_WRONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_pin(redis->bench, cpu);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", redis->socket,
		"--save", "", "--appendonly", "no", "--dir", redis->bench->folder, (char *)NULL);
	_exit(EXEC_FAILURE);
}

static int join(const struct redis *redis)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", redis->socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool redis_open(struct redis *redis, const struct bench *bench, unsigned cpu)
{
	*redis = (struct redis){.bench = bench};
	snprintf(redis->socket, sizeof(redis->socket), "%s/redis.sock", bench->folder);
	redis->pid = fork();
	bench_check(bench, redis->pid >= 0);
	if (redis->pid == 0)
		serve(redis, cpu);
	for (unsigned ms = 0; ms < START_MS; ms++) {
		int fd = join(redis);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		if (waitpid(redis->pid, NULL, WNOHANG) == redis->pid)
			break;
		usleep(1000);
	}
	return false;
}

void redis_close(struct redis *redis)
{
	kill(redis->pid, SIGTERM);
	waitpid(redis->pid, NULL, 0);
	unlink(redis->socket);
}

static size_t set_append(char *at, uint64_t number, unsigned value_bytes)
{
	static const char value[VALUE_MAX];
	int head = sprintf(at, "*3\r\n$3\r\nSET\r\n$16\r\n%016llx\r\n$%u\r\n",
		(unsigned long long)flow_spread(number), value_bytes);

	memcpy(at + head, value, value_bytes);
	memcpy(at + head + value_bytes, "\r\n", 2);
	return (size_t)head + value_bytes + 2;
}

static void write_all(struct redis *redis, int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t written = write(fd, bytes, len);

		bench_check(redis->bench, written > 0);
		bytes += written;
		len -= (size_t)written;
	}
}

static void oks_read(struct redis *redis, int fd, unsigned count)
{
	static const char ok[] = "+OK\r\n";
	char answer[PIPELINE * OK_BYTES];
	size_t len = 0;

	while (len < count * OK_BYTES) {
		ssize_t got = read(fd, answer + len, count * OK_BYTES - len);

		bench_check(redis->bench, got > 0);
		len += (size_t)got;
	}
	for (unsigned i = 0; i < count; i++)
		bench_check(redis->bench, memcmp(answer + i * OK_BYTES, ok, OK_BYTES) == 0);
}

double redis_set_rate(struct redis *redis, uint64_t count, unsigned value_bytes)
{
	char *commands = malloc((size_t)PIPELINE * (value_bytes + 64));
	uint64_t begin_ns = weir_clock_ns();
	unsigned waiting = 0;
	int fd = join(redis);

	bench_check(redis->bench, fd >= 0 && commands != NULL && value_bytes <= VALUE_MAX);
	/* Two batches are under way, so that the server need not wait for the client. */
	for (uint64_t sent = 0; sent < count;) {
		unsigned batch = count - sent < PIPELINE ? (unsigned)(count - sent) : PIPELINE;
		size_t len = 0;

		for (unsigned i = 0; i < batch; i++)
			len += set_append(commands + len, sent++, value_bytes);
		write_all(redis, fd, commands, len);
		oks_read(redis, fd, waiting);
		waiting = batch;
	}
	oks_read(redis, fd, waiting);
	close(fd);
	free(commands);
	return (double)count * 1e3 / (double)(weir_clock_ns() - begin_ns);
}
