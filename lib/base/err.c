/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static const struct {
	const char *code;
	const char *sentence;
} errors[] = {
	[-WEIR_OK] = {"OK", "done"},
	[-WEIR_ERR] = {"ERR", "the request makes no sense"},
	[-WEIR_NOTMASTER] = {"NOTMASTER", "another node is master of this device"},
	[-WEIR_FENCED] = {"FENCED", "this node's lease has run out"},
	[-WEIR_BUSY] = {"BUSY", "a queue is full, nothing was done; try again"},
	[-WEIR_TIMEOUT] = {"TIMEOUT",
		"the deadline passed before the work began, nothing was done"},
	[-WEIR_UNKNOWN] = {"UNKNOWN", "the work may or may not have been done"},
	[-WEIR_NODEVICE] = {"NODEVICE", "no such device"},
	[-WEIR_NOTFOUND] = {"NOTFOUND", "no such rule"},
	[-WEIR_OLDER] = {"OLDER", "a newer rule stands in its place"},
	[-WEIR_BADFLOW] = {"BADFLOW", "the flow cannot be understood"},
	[-WEIR_TOOBIG] = {"TOOBIG", "larger than the limit"},
	[-WEIR_NOAUTH] = {"NOAUTH", "not allowed"},
	[-WEIR_READONLY] = {"READONLY", "this copy takes no writes"},
	[-WEIR_EXTRANEOUS] = {"EXTRANEOUS",
		"the rule is not stored here and the device may not add it"},
	[-WEIR_EXISTS] = {"EXISTS", "it is there already"},
	[-WEIR_CONFLICT] = {"CONFLICT", "somebody else changed it first"},
	[-WEIR_UNREACHABLE] = {"UNREACHABLE", "the other side does not answer"},
};

#define ERRORS_COUNT (int)(sizeof(errors) / sizeof(errors[0]))

static int known(int err)
{
	return err <= 0 && -err < ERRORS_COUNT ? -err : -WEIR_ERR;
}

const char *weir_err_code(int err)
{
	return errors[known(err)].code;
}

const char *weir_err_sentence(int err)
{
	return errors[known(err)].sentence;
}

int weir_err_from_code(const char *code, unsigned len)
{
	for (int i = 0; i < ERRORS_COUNT; i++)
		if (strlen(errors[i].code) == len && memcmp(errors[i].code, code, len) == 0)
			return -i;
	return WEIR_ERR;
}

void weir_assert_fail(const char *cond, const char *file, int line, const char *func)
{
	fprintf(stderr, "weir: %s:%d: %s: this must hold and does not: %s\n", file, line, func,
		cond);
	abort();
}
