/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heard.h"

static char heard[8192];
static int kept_stderr, place;

void listen_begin(void)
{
	place = memfd_create("heard", 0);
	assert_true(place >= 0);
	fflush(stderr);
	kept_stderr = dup(STDERR_FILENO);
	dup2(place, STDERR_FILENO);
}

const char *listen_end(void)
{
	ssize_t len;

	fflush(stderr);
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	len = pread(place, heard, sizeof(heard) - 1, 0);
	close(place);
	assert_true(len >= 0);
	heard[len] = '\0';
	return heard;
}

const char *file_of(const char *content)
{
	static char path[64];
	static int file = -1;

	if (file >= 0)
		close(file);
	file = memfd_create("conf", 0);
	assert_true(file >= 0);
	assert_int_equal(write(file, content, strlen(content)), (ssize_t)strlen(content));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return path;
}
