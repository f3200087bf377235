/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/defect.h"

#ifdef WEIR_DEFECTS
enum weir_defect weir_defect_chosen;
uint64_t weir_defect_notes[2];

#define NAME(name, text) [WEIR_DEFECT_##name] = #name,
#define TEXT(name, text) [WEIR_DEFECT_##name] = text,
static const char *const names[WEIR_DEFECTS_COUNT] = {WEIR_DEFECTS_EACH(NAME)};
static const char *const texts[WEIR_DEFECTS_COUNT] = {WEIR_DEFECTS_EACH(TEXT)};

const char *weir_defect_name(unsigned defect)
{
	return defect < WEIR_DEFECTS_COUNT ? names[defect] : NULL;
}

const char *weir_defect_text(unsigned defect)
{
	return defect < WEIR_DEFECTS_COUNT ? texts[defect] : NULL;
}

bool weir_defect_choose(const char *name)
{
	weir_defect_chosen = WEIR_DEFECT_NONE;
	for (unsigned i = 1; name != NULL && i < WEIR_DEFECTS_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			weir_defect_chosen = (enum weir_defect)i;
	return name == NULL || weir_defect_chosen != WEIR_DEFECT_NONE;
}
#else
const char *weir_defect_name(unsigned defect)
{
	return NULL;
}

const char *weir_defect_text(unsigned defect)
{
	return NULL;
}

bool weir_defect_choose(const char *name)
{
	return name == NULL;
}
#endif
