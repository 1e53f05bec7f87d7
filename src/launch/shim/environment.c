/* SPDX-License-Identifier: Apache-2.0 */
/* The variables that the program reads before its stop: their names become
 * facts of the template.  Many are read inside libc, where no getenv of ours
 * is called; so the functions that read locale and time zone, and keep what
 * they found, tell their names as well.  In an instance all of these only
 * pass the call on. */
#include "launch/shim/shim.h"
#include <stdlib.h>
#include <string.h>

SHIM_EXPORT locale_t __newlocale(int mask, const char *name, locale_t base);

/* Appends the name to the report, once. */
static void environment_note(const char *name)
{
	char *names = shim.stopped.environment;
	uint32_t used = shim.stopped.environment_bytes;
	size_t len = strlen(name) + 1;

	for (uint32_t at = 0; at < used; at += strlen(names + at) + 1) {
		if (!strcmp(names + at, name))
			return;
	}
	if (len == 1)
		return;
	if (len > sizeof shim.stopped.environment - used) {
		stop_refuse("it reads too many environment variables");
		return;
	}
	memcpy(names + used, name, len);
	shim.stopped.environment_bytes += len;
}

static inline bool environment_counts(void)
{
	return shim.phase == SHIM_BEFORE || shim.phase == SHIM_INSIDE;
}

SHIM_EXPORT char *getenv(const char *name)
{
	if (environment_counts())
		environment_note(name);
	return shim_real()->getenv(name);
}

SHIM_EXPORT char *secure_getenv(const char *name)
{
	if (environment_counts())
		environment_note(name);
	return shim_real()->secure_getenv(name);
}

/* ---- locale ---------------------------------------------------------------- */

static const struct {
	int category;
	const char name[20];
} environment_categories[] = {
	{ LC_CTYPE, "LC_CTYPE" },
	{ LC_NUMERIC, "LC_NUMERIC" },
	{ LC_TIME, "LC_TIME" },
	{ LC_COLLATE, "LC_COLLATE" },
	{ LC_MONETARY, "LC_MONETARY" },
	{ LC_MESSAGES, "LC_MESSAGES" },
	{ LC_PAPER, "LC_PAPER" },
	{ LC_NAME, "LC_NAME" },
	{ LC_ADDRESS, "LC_ADDRESS" },
	{ LC_TELEPHONE, "LC_TELEPHONE" },
	{ LC_MEASUREMENT, "LC_MEASUREMENT" },
	{ LC_IDENTIFICATION, "LC_IDENTIFICATION" },
};

/* Messages are looked up in the languages of LANGUAGE, and what was found is
 * kept. */
static void environment_note_categories(int mask)
{
	size_t count =
		sizeof environment_categories / sizeof *environment_categories;

	environment_note("LC_ALL");
	environment_note("LANG");
	if (mask & (1 << LC_ALL | 1 << LC_MESSAGES))
		environment_note("LANGUAGE");
	for (size_t i = 0; i < count; i++) {
		int bit = 1 << environment_categories[i].category;

		if (mask & (1 << LC_ALL | bit))
			environment_note(environment_categories[i].name);
	}
}

/* "" is the locale of the environment; any other is read from LOCPATH. */
static void environment_locale(int mask, const char *name)
{
	if (!environment_counts() || !name || !strcmp(name, "C") ||
	    !strcmp(name, "POSIX"))
		return;
	environment_note("LOCPATH");
	if (!*name)
		environment_note_categories(mask);
}

SHIM_EXPORT char *setlocale(int category, const char *name)
{
	if (category >= 0 && category < 31)
		environment_locale(1 << category, name);
	return shim_real()->setlocale(category, name);
}

SHIM_EXPORT locale_t newlocale(int mask, const char *name, locale_t base)
{
	environment_locale(mask, name);
	return shim_real()->newlocale(mask, name, base);
}

/* As libstdc++ calls it. */
locale_t __newlocale(int mask, const char *name, locale_t base)
{
	environment_locale(mask, name);
	return shim_real()->__newlocale(mask, name, base);
}

/* ---- time zone -------------------------------------------------------------- */

static void environment_zone(void)
{
	if (!environment_counts())
		return;
	environment_note("TZ");
	environment_note("TZDIR");
}

SHIM_EXPORT void tzset(void)
{
	environment_zone();
	shim_real()->tzset();
}

SHIM_EXPORT struct tm *localtime(const time_t *when)
{
	environment_zone();
	return shim_real()->localtime(when);
}

SHIM_EXPORT struct tm *localtime_r(const time_t *when, struct tm *to)
{
	environment_zone();
	return shim_real()->localtime_r(when, to);
}

SHIM_EXPORT time_t mktime(struct tm *when)
{
	environment_zone();
	return shim_real()->mktime(when);
}

SHIM_EXPORT time_t timelocal(struct tm *when)
{
	environment_zone();
	return shim_real()->timelocal(when);
}

SHIM_EXPORT char *ctime(const time_t *when)
{
	environment_zone();
	return shim_real()->ctime(when);
}

SHIM_EXPORT char *ctime_r(const time_t *when, char *to)
{
	environment_zone();
	return shim_real()->ctime_r(when, to);
}

SHIM_EXPORT size_t strftime(char *to, size_t room, const char *format,
			    const struct tm *when)
{
	environment_zone();
	return shim_real()->strftime(to, room, format, when);
}
