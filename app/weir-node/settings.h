/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The configuration: one table of keys, from which all else follows: what is accepted, the
 * defaults, what is said about a bad value, and what config/weir.conf has to document.
 */
#ifndef WEIR_NODE_SETTINGS_H
#define WEIR_NODE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

#define WEIR_SETTING_TEXT_MAX 256 /**< bytes of a value, its final NUL counted */

struct weir_settings {
	char node_id[WEIR_NODE_ID_MAX];
	uint32_t lease_ms;
	uint32_t leave_timeout_ms;

	char cluster[WEIR_CLUSTER_ID_MAX];
	uint32_t backup_count;
	uint32_t unclean_takeover;
	uint32_t join_grace_ms;

	char redis_socket[WEIR_SOCKET_PATH_MAX];
	char redis_host[WEIR_SETTING_TEXT_MAX];
	uint32_t redis_port;
	char redis_user[WEIR_SETTING_TEXT_MAX];
	char redis_password[WEIR_SETTING_TEXT_MAX];
	uint32_t redis_db;
	char redis_sentinels[WEIR_SETTING_TEXT_MAX];
	char redis_sentinel_master[WEIR_SETTING_TEXT_MAX];
	uint32_t redis_timeout_ms;
	uint32_t redis_min_replicas;

	uint32_t insync_timeout_ms;
	uint32_t anti_entropy_period_ms;
	uint32_t backup_period_ms;
	uint32_t request_timeout_ms;

	char port_device[64];
	uint32_t port_ipv4; /**< host byte order; 0: not set */
	uint32_t port_udp_port;
	uint32_t port_mtu;

	char api_socket[WEIR_SOCKET_PATH_MAX];
	uint32_t api_socket_mode;
	uint32_t api_gateways;

	uint32_t idle_policy; /**< enum weir_idle */
	uint32_t idle_sleep_max_us;

	uint32_t per_worker_mb;
};

enum weir_key_type {
	WEIR_KEY_TEXT,   /**< any text of fitting length */
	WEIR_KEY_NAME,   /**< letters, digits, '.', '_', '-' */
	WEIR_KEY_PATH,   /**< an absolute path */
	WEIR_KEY_NUMBER, /**< decimal, within a range */
	WEIR_KEY_MODE,   /**< octal, within a range */
	WEIR_KEY_YESNO,
	WEIR_KEY_IPV4,
	WEIR_KEY_IDLE, /**< poll, pause, sleep */
};

/** One row of the table. */
struct weir_key {
	const char *section, *key;
	enum weir_key_type type;
	const char *fallback; /**< the default as text; "": not set; NULL: has to be set */
	size_t offset, size;  /**< in struct weir_settings */
	uint32_t min, max;    /**< WEIR_KEY_NUMBER, WEIR_KEY_MODE */
	const char *unit;     /**< WEIR_KEY_NUMBER; "" where it has none */
	bool running;         /**< a change takes effect while running (SIGHUP) */
	const char *meaning;  /**< a sentence without its stop */
};

extern const struct weir_key weir_keys[];
extern const unsigned weir_keys_count;

/**
 * Reads the file, then the overrides ("section.key=value"), which go before it, then what has to
 * agree with each other. All faults are said on standard error.
 * @return how many faults
 */
unsigned weir_settings_read(struct weir_settings *settings, const char *file,
	const char *const *overrides, unsigned overrides_count);

/** Whether a coordinator is configured; else the node is alone. */
bool weir_settings_shared(const struct weir_settings *settings);

/** Whether both have the same value for the key. */
bool weir_settings_same(
	const struct weir_key *key, const struct weir_settings *a, const struct weir_settings *b);

#endif
