/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/gateway.h"
#include "api/thread.h"
#include "base/clock.h"
#include "base/log.h"

#define LISTEN_BACKLOG 512

/* Whether somebody accepts connections at that address. */
static bool socket_alive(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* EAGAIN: its backlog is full. */
	bool alive = fd >= 0 && (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
					errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return alive;
}

/* Makes way for a new socket: a stale one is removed, anything else is left alone. */
static int address_clear(const struct sockaddr_un *addr)
{
	struct stat st;

	if (lstat(addr->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (socket_alive(addr))
		return -EADDRINUSE;
	return unlink(addr->sun_path) == 0 ? 0 : -errno;
}

static int socket_bind(int fd, const struct sockaddr_un *addr, uint32_t mode)
{
	/* The mode of the descriptor limits that of the file: never open wider than asked for. */
	if (fchmod(fd, (mode_t)mode) != 0 ||
		bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0)
		return -errno;
	if (chmod(addr->sun_path, (mode_t)mode) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
		int err = -errno;

		unlink(addr->sun_path);
		return err;
	}
	return 0;
}

/* Returns the listening socket, or a negative errno. */
static int socket_listen(const char *path, uint32_t mode)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, err;

	if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	err = address_clear(&addr);
	if (err != 0)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = socket_bind(fd, &addr, mode);
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

static const char *listen_sentence(int err)
{
	if (err == -EADDRINUSE)
		return "another process listens there";
	if (err == -EEXIST)
		return "there is a file of that name that is not a socket";
	return strerror(-err);
}

/* Ends the gateways that run and frees everything. */
static void api_end(struct weir_api *api, unsigned running)
{
	uint64_t one = 1;

	unlink(api->socket);
	if (api->stop_fd >= 0 && write(api->stop_fd, &one, sizeof(one)) < 0)
		weir_log(WEIR_ROOM_API, WEIR_LOG_ERR, "cannot wake the gateways: %s",
			strerror(errno));
	for (unsigned i = 0; i < running; i++)
		weir_gateway_join(&api->gateways[i]);
	if (api->stop_fd >= 0)
		close(api->stop_fd);
	close(api->listen_fd);
	free(api);
}

struct weir_api *weir_api_start(const struct weir_api_conf *conf, struct weir_store *store)
{
	struct weir_api *api;
	int fd;

	if (conf->gateways_count < 1 || conf->gateways_count > WEIR_API_GATEWAYS_MAX) {
		weir_log(WEIR_ROOM_API, WEIR_LOG_ERR, "there may be 1 to %d gateways, not %u",
			WEIR_API_GATEWAYS_MAX, conf->gateways_count);
		return NULL;
	}
	fd = socket_listen(conf->socket, conf->socket_mode);
	if (fd < 0) {
		weir_log(WEIR_ROOM_API, WEIR_LOG_ERR, "cannot listen on %s: %s", conf->socket,
			listen_sentence(fd));
		return NULL;
	}
	api = calloc(1, sizeof(*api));
	if (api == NULL) {
		weir_log(WEIR_ROOM_API, WEIR_LOG_ERR, "memory is short");
		unlink(conf->socket);
		close(fd);
		return NULL;
	}
	api->store = store;
	api->request_timeout_ms = conf->request_timeout_ms;
	strcpy(api->socket, conf->socket);
	api->listen_fd = fd;
	api->since_ns = weir_clock_ns();
	api->gateways_count = conf->gateways_count;
	api->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned i = 0; i < conf->gateways_count; i++) {
		if (api->stop_fd < 0 || !weir_gateway_start(&api->gateways[i], api, i)) {
			api_end(api, i);
			return NULL;
		}
	}
	return api;
}

void weir_api_stop(struct weir_api *api)
{
	if (api != NULL)
		api_end(api, api->gateways_count);
}
