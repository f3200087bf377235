/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cfgfile.h>

#include "store/store.h"

#include "complain.h"
#include "settings.h"

/* A reading under way. */
struct reading {
	struct weir_settings *settings;
	const char *source; /* where the value at hand comes from */
	bool *given;        /* a flag a key */
	unsigned faults;
};

static void fault(
	struct reading *reading, const char *section, const char *key, const char *sentence)
{
	weir_complain("%s: [%s] %s: %s", reading->source, section, key, sentence);
	reading->faults++;
}

static void key_fault(struct reading *reading, const struct weir_key *key, const char *value,
	const char *expected)
{
	char sentence[2 * WEIR_SETTING_TEXT_MAX];

	snprintf(sentence, sizeof(sentence), "'%s' is not %s", value, expected);
	fault(reading, key->section, key->key, sentence);
}

/* ---------------------------------------------------------------------------- one value --- */

static void *member(struct weir_settings *settings, const struct weir_key *key)
{
	return (char *)settings + key->offset;
}

static void set_number(struct reading *reading, const struct weir_key *key, const char *value)
{
	int base = key->type == WEIR_KEY_MODE ? 8 : 10;
	const char *format =
		base == 8 ? "an octal number from %#o to %#o%s%s" : "a number from %u to %u%s%s";
	char expected[96], *end;
	unsigned long number;

	errno = 0;
	number = strtoul(value, &end, base);
	if (isdigit((unsigned char)value[0]) && *end == '\0' && errno == 0 && number >= key->min &&
		number <= key->max) {
		*(uint32_t *)member(reading->settings, key) = (uint32_t)number;
		return;
	}
	/* NOLINTNEXTLINE: both formats take the same arguments */
	snprintf(expected, sizeof(expected), format, key->min, key->max,
		key->unit[0] != '\0' ? " " : "", key->unit);
	key_fault(reading, key, value, expected);
}

static bool is_name(const char *value)
{
	for (const char *at = value; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && strchr("._-", *at) == NULL)
			return false;
	return value[0] != '\0';
}

static void set_text(struct reading *reading, const struct weir_key *key, const char *value)
{
	char expected[64];

	if (key->type == WEIR_KEY_NAME && !is_name(value)) {
		key_fault(reading, key, value, "a name of letters, digits, '.', '_' and '-'");
	} else if (key->type == WEIR_KEY_PATH && value[0] != '\0' && value[0] != '/') {
		key_fault(reading, key, value, "an absolute path");
	} else if (strlen(value) >= key->size) {
		snprintf(expected, sizeof(expected), "short enough: %zu bytes at most",
			key->size - 1);
		key_fault(reading, key, value, expected);
	} else {
		strcpy(member(reading->settings, key), value);
	}
}

/* One of several words, which stand for 0, 1, ... */
static void set_word(struct reading *reading, const struct weir_key *key, const char *value,
	const char *const *words, unsigned count, const char *expected)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(value, words[i]) == 0) {
			*(uint32_t *)member(reading->settings, key) = i;
			return;
		}
	}
	key_fault(reading, key, value, expected);
}

static void set_ipv4(struct reading *reading, const struct weir_key *key, const char *value)
{
	uint32_t *ipv4 = member(reading->settings, key);
	struct in_addr address;

	if (value[0] == '\0')
		*ipv4 = 0;
	else if (inet_pton(AF_INET, value, &address) == 1 && address.s_addr != 0)
		*ipv4 = ntohl(address.s_addr);
	else
		key_fault(reading, key, value, "an IPv4 address such as 192.0.2.1");
}

static void set(struct reading *reading, const struct weir_key *key, const char *value)
{
	static const char *const yesno[] = {"no", "yes"};
	static const char *const idle[] = {[WEIR_IDLE_POLL] = "poll",
		[WEIR_IDLE_PAUSE] = "pause",
		[WEIR_IDLE_SLEEP] = "sleep"};

	switch (key->type) {
	case WEIR_KEY_TEXT:
	case WEIR_KEY_NAME:
	case WEIR_KEY_PATH:
		set_text(reading, key, value);
		return;
	case WEIR_KEY_NUMBER:
	case WEIR_KEY_MODE:
		set_number(reading, key, value);
		return;
	case WEIR_KEY_YESNO:
		set_word(reading, key, value, yesno, 2, "yes or no");
		return;
	case WEIR_KEY_IDLE:
		set_word(reading, key, value, idle, 3, "poll, pause or sleep");
		return;
	case WEIR_KEY_IPV4:
		set_ipv4(reading, key, value);
		return;
	}
}

/* ---------------------------------------------------------------------------- all values --- */

static bool section_known(const char *section)
{
	for (unsigned i = 0; i < weir_keys_count; i++)
		if (strcmp(weir_keys[i].section, section) == 0)
			return true;
	return false;
}

static void give(struct reading *reading, const char *section, const char *name, const char *value,
	bool once)
{
	for (unsigned i = 0; i < weir_keys_count; i++) {
		const struct weir_key *key = &weir_keys[i];

		if (strcmp(key->section, section) != 0 || strcmp(key->key, name) != 0)
			continue;
		if (once && reading->given[i])
			fault(reading, section, name, "is given twice");
		else
			set(reading, key, value);
		reading->given[i] = true;
		return;
	}
	fault(reading, section, name,
		section_known(section) ? "there is no such key in this section"
				       : "there is no such section");
}

static void give_section(struct reading *reading, struct rte_cfgfile *file, int index)
{
	char section[CFG_NAME_LEN];
	int count = rte_cfgfile_section_num_entries_by_index(file, section, index);
	struct rte_cfgfile_entry *entries;

	if (count <= 0)
		return;
	entries = calloc((size_t)count, sizeof(*entries));
	if (entries == NULL) {
		fault(reading, section, "*", "no memory");
		return;
	}
	count = rte_cfgfile_section_entries_by_index(file, index, section, entries, count);
	for (int i = 0; i < count; i++)
		give(reading, section, entries[i].name, entries[i].value, true);
	free(entries);
}

/* The text of a line without its comment and the space around it. */
static char *bare(char *line)
{
	char *end = line;

	while (*end != '\0' && (*end != '#' || (end > line && end[-1] == '\\')))
		end++;
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return line + strspn(line, " \t");
}

/* What is wrong with the form of a line, or NULL. */
static const char *line_fault(char *line, bool *in_section)
{
	const char *text = bare(line), *equals = strchr(text, '=');
	size_t len = strlen(text);

	if (len == 0)
		return NULL;
	if (text[0] == '[') {
		*in_section = true;
		return text[len - 1] == ']' && len - 2 < CFG_NAME_LEN ? NULL
								      : "a [section] is expected";
	}
	if (!*in_section)
		return "a [section] has to come first";
	if (equals == NULL || equals == text)
		return "`key = value` is expected";
	if (equals - text >= CFG_NAME_LEN || strlen(equals) > WEIR_SETTING_TEXT_MAX)
		return "a value has 255 bytes at most";
	return NULL;
}

/* rte_cfgfile passes over some lines that it does not understand: nothing may get lost so. */
static void check_form(struct reading *reading, FILE *file)
{
	char line[CFG_NAME_LEN + CFG_VALUE_LEN];
	bool in_section = false;

	for (unsigned number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
		const char *sentence = strchr(line, '\n') == NULL && !feof(file)
					       ? "a line has 318 bytes at most"
					       : line_fault(line, &in_section);

		if (sentence == NULL)
			continue;
		weir_complain("%s: line %u: %s", reading->source, number, sentence);
		reading->faults++;
		return;
	}
}

static void give_file(struct reading *reading, const char *path)
{
	const struct rte_cfgfile_parameters form = {.comment_character = '#'};
	FILE *text = fopen(path, "r");
	struct rte_cfgfile *file;

	if (text == NULL) {
		weir_complain("%s: %s", path, strerror(errno));
		reading->faults++;
		return;
	}
	check_form(reading, text);
	if (ferror(text)) {
		weir_complain("%s: %s", path, strerror(errno));
		reading->faults++;
	}
	fclose(text);
	if (reading->faults > 0)
		return;
	file = rte_cfgfile_load_with_params(path, CFG_FLAG_EMPTY_VALUES, &form);
	if (file == NULL) {
		weir_complain("%s: it cannot be read as a configuration", path);
		reading->faults++;
		return;
	}
	for (int i = 0; i < rte_cfgfile_num_sections(file, NULL, 0); i++)
		give_section(reading, file, i);
	rte_cfgfile_close(file);
}

/* text: section.key=value */
static void give_override(struct reading *reading, const char *text)
{
	char copy[3 * WEIR_SETTING_TEXT_MAX], *dot, *equals;

	snprintf(copy, sizeof(copy), "%s", text);
	equals = strchr(copy, '=');
	if (equals != NULL)
		*equals = '\0';
	dot = strchr(copy, '.');
	if (equals == NULL || dot == NULL || strlen(text) >= sizeof(copy)) {
		weir_complain("-o %s: this is not of the form section.key=value", text);
		reading->faults++;
		return;
	}
	*dot = '\0';
	give(reading, copy, dot + 1, equals + 1, false);
}

static void give_defaults(struct reading *reading)
{
	for (unsigned i = 0; i < weir_keys_count; i++)
		if (weir_keys[i].fallback != NULL)
			set(reading, &weir_keys[i], weir_keys[i].fallback);
}

bool weir_settings_shared(const struct weir_settings *settings)
{
	return settings->redis_socket[0] != '\0' || settings->redis_host[0] != '\0' ||
	       settings->redis_sentinels[0] != '\0';
}

static void agree_sentinels(struct reading *reading)
{
	const struct weir_settings *settings = reading->settings;
	bool has_sentinels = settings->redis_sentinels[0] != '\0';
	bool has_master = settings->redis_sentinel_master[0] != '\0';

	if (has_sentinels && (settings->redis_socket[0] != '\0' || settings->redis_host[0] != '\0'))
		fault(reading, "redis", "sentinels",
			"either socket, host or sentinels can be set, not several");
	if (has_sentinels && !has_master)
		fault(reading, "redis", "sentinel_master", "has to be set where sentinels are");
	if (has_master && !has_sentinels)
		fault(reading, "redis", "sentinel_master",
			"is only for sentinels, which are not set");
}

/* What a single value cannot show. */
static void agree(struct reading *reading)
{
	const struct weir_settings *settings = reading->settings;

	for (unsigned i = 0; i < weir_keys_count; i++)
		if (weir_keys[i].fallback == NULL && !reading->given[i])
			fault(reading, weir_keys[i].section, weir_keys[i].key, "has to be set");
	if (settings->redis_socket[0] != '\0' && settings->redis_host[0] != '\0')
		fault(reading, "redis", "host", "either socket or host can be set, not both");
	agree_sentinels(reading);
	if (weir_settings_shared(settings) && settings->port_ipv4 == 0)
		fault(reading, "port", "ipv4",
			"has to be set: a node with a Redis replicates to others");
	if (settings->api_socket[0] == '\0')
		fault(reading, "api", "socket", "has to be set");
}

unsigned weir_settings_read(struct weir_settings *settings, const char *file,
	const char *const *overrides, unsigned overrides_count)
{
	struct reading reading = {.settings = settings};

	reading.given = calloc(weir_keys_count, sizeof(reading.given[0]));
	if (reading.given == NULL) {
		weir_complain("no memory");
		return 1;
	}
	memset(settings, 0, sizeof(*settings));
	reading.source = "default";
	give_defaults(&reading);
	reading.source = file;
	give_file(&reading, file);
	reading.source = "-o";
	for (unsigned i = 0; i < overrides_count; i++)
		give_override(&reading, overrides[i]);
	reading.source = file;
	if (reading.faults == 0)
		agree(&reading);
	free(reading.given);
	return reading.faults;
}

bool weir_settings_same(
	const struct weir_key *key, const struct weir_settings *a, const struct weir_settings *b)
{
	return memcmp((const char *)a + key->offset, (const char *)b + key->offset, key->size) == 0;
}
