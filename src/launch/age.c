/* SPDX-License-Identifier: Apache-2.0 */
/* Entries age out one by one.			      CLAIM 0.17
 *
 * A keeper that has begun to serve looks at the templates beside its own, for
 * those whose program is gone or that nothing has used for 30 days.
 *
 *  1. One that a first launch has made goes whole: should the program be
 *     launched again, it is made again.
 *  2. One that the user has asked for by "serve" or "wrap" loses its image,
 *     which is the large part.  Its spec are the user's words, and a stub may
 *     lead to its entry: they stay until "brood stop --forget".
 *  3. Of one with a living keeper nothing is touched: all is done under its
 *     lock.
 *
 * Used was what a keeper has written the status of, and an image that a
 * starter has read.  Where times of reading are not kept a program that only
 * hatches looks unused; that costs one cold start in 30 days.  An entry is
 * read by "brood ps" too, so that the time of its reading tells nothing. */
#include "launch/age.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AGE_SECONDS = 30 * 24 * 60 * 60 };

static time_t age_latest(time_t a, time_t b)
{
	return a > b ? a : b;
}

static time_t age_of_file(const char *path, bool reading_counts)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;
	return reading_counts ? age_latest(st.st_mtime, st.st_atime)
			      : st.st_mtime;
}

static bool age_is_unused(const struct registry_place *place)
{
	time_t used = age_of_file(place->status, false);

	used = age_latest(used, age_of_file(place->spec, false));
	used = age_latest(used, age_of_file(place->entry, false));
	used = age_latest(used, age_of_file(place->image, true));
	return time(NULL) - used > AGE_SECONDS;
}

static bool age_has_lost_program(const struct spec *spec)
{
	struct stat st;

	return stat(spec->program, &st) < 0 &&
	       (errno == ENOENT || errno == ENOTDIR);
}

static void age_remove_image(const struct registry_place *place)
{
	auto_free char *hot = file_format("%s.hot", place->image);

	unlink(place->image);
	if (hot)
		unlink(hot);
}

/* Under its lock.  A spec that cannot be read may be the user's own. */
static void age_remove(const struct registry_place *place)
{
	auto_spec struct spec spec;
	struct err err = { 0 };
	bool known;

	spec_init(&spec);
	known = registry_read_spec(place, &spec, &err) >= 0;
	if (!age_is_unused(place) && !(known && age_has_lost_program(&spec)))
		return;
	log_event("entry.age", "\"key\":\"%s\"", place->key);
	if (!known || spec_is_asked_for(&spec))
		age_remove_image(place);
	else if (registry_remove(place, &err) < 0)
		log_say("brood: %s", err.text);
}

static int age_visit(const struct registry_place *place, void *context)
{
	const struct registry_place *own = context;
	auto_close int lock = -1;

	if (!strcmp(place->key, own->key))
		return 0;
	lock = lock_take(place->lock, 0, NULL);
	if (lock >= 0)
		age_remove(place);
	return 0;
}

void age_out(const struct registry_place *own)
{
	struct err err = { 0 };

	if (registry_each_beside(own, age_visit, (void *)(uintptr_t)own, &err) <
	    0)
		log_say("brood: %s", err.text);
}
