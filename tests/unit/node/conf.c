/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * config/weir.conf says what the table of keys says. With --print this program writes the file
 * as it has to be, for when the table has changed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

#define LINE_MAX 80

static const char *path;

static const char head[] =
	"# Weir: configuration of a node.\n"
	"#\n"
	"# Every key is here with its meaning, its range and its default; what is commented out\n"
	"# has its default. A `#` begins a comment anywhere in a line: write `\\#` for the\n"
	"# character itself. `weir-node -- -c FILE --check` says what is wrong with a file.\n";

/* Writes a text as comment lines. */
static void print_comment(FILE *file, const char *text)
{
	char copy[1024], *rest = copy, *word;
	size_t column = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, " ")) != NULL) {
		if (column > 0 && column + 1 + strlen(word) > LINE_MAX) {
			fputc('\n', file);
			column = 0;
		}
		column += (size_t)fprintf(file, column == 0 ? "# %s" : " %s", word);
	}
	fputc('\n', file);
}

static void range_text(const struct weir_key *key, char *text, size_t room)
{
	text[0] = '\0';
	if (key->type == WEIR_KEY_NUMBER)
		snprintf(text, room, " From %u to %u%s%s.", key->min, key->max,
			key->unit[0] != '\0' ? " " : "", key->unit);
	else if (key->type == WEIR_KEY_YESNO)
		snprintf(text, room, " yes or no.");
}

static void print_key(FILE *file, const struct weir_key *key)
{
	char text[1024], range[64];

	range_text(key, range, sizeof(range));
	snprintf(text, sizeof(text), "%c%s.%s%s%s", toupper((unsigned char)key->meaning[0]),
		key->meaning + 1, range, key->fallback == NULL ? " Has to be set." : "",
		key->running ? " May change while running (SIGHUP)." : "");
	print_comment(file, text);
	if (key->fallback == NULL)
		fprintf(file, "%s = n1\n", key->key);
	else
		fprintf(file, "#%s =%s%s\n", key->key, key->fallback[0] != '\0' ? " " : "",
			key->fallback);
}

static void print_conf(FILE *file)
{
	const char *section = "";

	fputs(head, file);
	for (unsigned i = 0; i < weir_keys_count; i++) {
		if (strcmp(weir_keys[i].section, section) != 0)
			fprintf(file, "\n\n[%s]\n", weir_keys[i].section);
		section = weir_keys[i].section;
		fputc('\n', file);
		print_key(file, &weir_keys[i]);
	}
}

static char *content(void)
{
	char *text = calloc(1, 65536);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static void weir_conf_documents_each_key_with_its_default(void **state)
{
	char *expected, *found = content();
	size_t len;
	FILE *file = open_memstream(&expected, &len);

	assert_non_null(file);
	print_conf(file);
	fclose(file);
	assert_string_equal(found, expected);
	free(expected);
	free(found);
}

static void weir_conf_is_good_as_it_stands(void **state)
{
	struct weir_settings settings;

	assert_int_equal(weir_settings_read(&settings, path, NULL, 0), 0);
	assert_string_equal(settings.node_id, "n1");
}

/* With all comment signs before keys taken away each value has to be one that is accepted. */
static void every_default_is_a_good_value(void **state)
{
	struct weir_settings settings;
	char override[512];
	const char *overrides[] = {override};

	for (unsigned i = 0; i < weir_keys_count; i++) {
		const struct weir_key *key = &weir_keys[i];

		if (key->fallback == NULL)
			continue;
		snprintf(override, sizeof(override), "%s.%s=%s", key->section, key->key,
			key->fallback);
		assert_int_equal(weir_settings_read(&settings, path, overrides, 1), 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weir_conf_documents_each_key_with_its_default),
		cmocka_unit_test(weir_conf_is_good_as_it_stands),
		cmocka_unit_test(every_default_is_a_good_value),
	};

	path = argv[1];
	if (argc == 2 && strcmp(path, "--print") == 0) {
		print_conf(stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
