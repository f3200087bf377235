/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "complain.h"

void weir_complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("weir-node: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}
