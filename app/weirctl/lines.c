/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/limits.h"
#include "weirctl.h"

#define BUFFER_BYTES (256U << 10)

struct ctl_lines {
	const char *path;
	gzFile file;
	uint64_t number;
	double size;
	bool broken;
	char line[WEIR_FLOW_TEXT_MAX + 2];
};

struct ctl_lines *ctl_lines_open(const char *path)
{
	bool standard = strcmp(path, "-") == 0;
	struct ctl_lines *lines = calloc(1, sizeof(*lines));
	struct stat st = {0};

	if (lines == NULL)
		return NULL;
	lines->path = standard ? "standard input" : path;
	lines->file = standard ? gzdopen(dup(STDIN_FILENO), "rb") : gzopen(path, "rb");
	if (lines->file == NULL || (!standard && stat(path, &st) != 0) || S_ISDIR(st.st_mode)) {
		fprintf(stderr, "weirctl: cannot read %s: %s\n", lines->path,
			strerror(S_ISDIR(st.st_mode) ? EISDIR : errno));
		ctl_lines_close(lines);
		return NULL;
	}
	gzbuffer(lines->file, BUFFER_BYTES);
	if (!standard && S_ISREG(st.st_mode))
		lines->size = (double)st.st_size;
	return lines;
}

void ctl_lines_close(struct ctl_lines *lines)
{
	if (lines == NULL)
		return;
	if (lines->file != NULL)
		gzclose_r(lines->file);
	free(lines);
}

/* Reads over the rest of a line that did not fit. */
static void rest_skip(struct ctl_lines *lines)
{
	int c;

	do {
		c = gzgetc(lines->file);
	} while (c >= 0 && c != '\n');
}

/* Says so, once, where the file does not go on because it cannot be read. */
static bool broken_look(struct ctl_lines *lines)
{
	int err;
	const char *sentence = gzerror(lines->file, &err);

	if (err == Z_OK || err == Z_STREAM_END)
		return false;
	if (!lines->broken)
		fprintf(stderr, "weirctl: cannot read %s: %s\n", lines->path, sentence);
	lines->broken = true;
	return true;
}

bool ctl_lines_next(struct ctl_lines *lines, struct ctl_line *line)
{
	while (gzgets(lines->file, lines->line, sizeof(lines->line)) != NULL) {
		size_t len = strlen(lines->line);
		size_t start = 0;

		lines->number++;
		*line = (struct ctl_line){.number = lines->number};
		if (len == sizeof(lines->line) - 1 && lines->line[len - 1] != '\n') {
			rest_skip(lines);
			line->too_long = true;
			line->column = 1;
			return true;
		}
		/* A flow that was torn may still be one, but not the one that was meant. */
		if (lines->line[len - 1] != '\n' && broken_look(lines))
			return false;
		while (len > 0 && isspace((unsigned char)lines->line[len - 1]))
			len--;
		while (start < len && isspace((unsigned char)lines->line[start]))
			start++;
		if (start == len || lines->line[start] == '#')
			continue;
		line->text = lines->line + start;
		line->len = len - start;
		line->column = (unsigned)start + 1;
		return true;
	}
	if (gzeof(lines->file) == 0 || gzdirect(lines->file) == 0)
		broken_look(lines);
	return false;
}

bool ctl_lines_broken(const struct ctl_lines *lines)
{
	return lines->broken;
}

double ctl_lines_share(const struct ctl_lines *lines)
{
	return lines->size > 0 ? (double)gzoffset(lines->file) / lines->size : -1;
}
