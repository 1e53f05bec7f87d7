/* SPDX-License-Identifier: Apache-2.0 */
/* brood-start, the startup binary: start paths of installed applications lead
 * here.  It finds out of which by the path it was executed by, loads the
 * shared application, and becomes it; when that fails it goes on from what
 * this host has alone, and when there is nothing, says so in one line and
 * ends with 75.				CLAIM 4.7 4.8 4.12 4.13 4.14 */
#include "appliance/obtain.h"
#include "appliance/plan.h"
#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { START_NOT_AVAILABLE = 75, START_SYSTEM = 111 };

struct start {
	struct context context;
	char *folder, *entry;
	char *const *argv;
	uint64_t began_ns;
};

static int start_fail(const char *name, const char *words, const char *rest,
		      int code)
{
	fprintf(stderr, "brood: %s: %s%s\n", name, words, rest);
	return code;
}

static void start_tell(void *user, const struct err *failed)
{
	const struct start *start = user;

	start_fail(start->context.name, failed->text,
		   "; goes on without the share", 0);
}

/* Comes back when it cannot be executed. */
static int start_become(void *user, struct loaded *loaded, const char *full,
			struct err *err)
{
	const struct start *start = user;

	if (!full)
		return plan_become(&start->context, &loaded->record,
				   record_find(&loaded->record, start->entry),
				   loaded->root, start->argv, err);
	execv(full, start->argv);
	return err_set(err, -errno, "start %s", full);
}

static int start_obtain(struct start *start)
{
	struct obtain wish = { .context = &start->context,
			       .entry = start->entry,
			       .began_ns = start->began_ns,
			       .use = start_become,
			       .tell = start_tell,
			       .user = start };
	struct err err = { 0 };

	/* The caller's words, and those of the entry: no share can help. */
	if (obtain(&wish, &err) == -E2BIG)
		return start_fail(start->context.name, err.text, "",
				  START_SYSTEM);
	return start_fail(start->context.name, err.text,
			  "; \"brood app rejoin\" tries the share again",
			  START_NOT_AVAILABLE);
}

/* ---- the start on one screen ----------------------------------------------------- */

static int start_run(struct start *start)
{
	const char *executed = (const char *)getauxval(AT_EXECFN);
	struct err err = { 0 };

	/* Of a script that names a start path behind #! the system tells the
	 * script; its first word is the start path then. */
	if ((!executed ||
	     context_of(executed, &start->folder, &start->entry, NULL) < 0) &&
	    context_of(start->argv[0], &start->folder, &start->entry, &err) < 0)
		return start_fail("start", err.text, "", START_SYSTEM);
	if (context_read(start->folder, &start->context, &err) < 0)
		return start_fail("start", err.text, "", START_SYSTEM);
	return start_obtain(start);
}

int main(int argc, char **argv)
{
	struct start start = { .argv = argv, .began_ns = clock_ns() };

	int code = argc < 1 ? START_SYSTEM : start_run(&start);

	context_fini(&start.context);
	free(start.folder);
	free(start.entry);
	return code;
}
