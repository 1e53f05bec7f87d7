/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the environment of a template: chosen variables of ours, those of
 * the spec over them, and three for the shim. */
#include "launch/template_environment.h"
#include "base/fd.h"
#include "base/file.h"
#include "launch/shim_control.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEMPLATE_OWN_VARIABLES = 3 };

/* An image would keep what is in the environment, so that a template stopped
 * at main gets little of it.  One stopped inside main has no image, and its
 * instances have its environment: it gets that of whoever asked for it. */
static bool template_environment_is_wanted(const struct spec *spec,
					   const char *variable)
{
	static const char *const names[] = { "PATH=",	  "HOME=",  "USER=",
					     "LOGNAME=",  "SHELL=", "LANG=",
					     "LANGUAGE=", "TZ=",    "TERM=" };

	if (spec->stop != SPEC_STOP_MAIN)
		return strncmp(variable, "BROOD_", 6) &&
		       strncmp(variable, "LD_", 3);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(variable, names[i], strlen(names[i])))
			return true;
	return !strncmp(variable, "LC_", 3) || !strncmp(variable, "XDG_", 4);
}

static bool template_environment_same_name(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return len == strcspn(b, "=") && !memcmp(a, b, len);
}

static bool template_environment_is_overridden(const struct spec *spec,
					       const char *variable)
{
	for (int i = 0; i < spec->environment_count; i++)
		if (template_environment_same_name(spec->environment[i],
						   variable))
			return true;
	return false;
}

/* Owns text; NULL text is a failed allocation of the caller. */
static int template_environment_add(struct template_environment *environment,
				    char *text)
{
	char **grown =
		realloc(environment->all,
			(size_t)(environment->count + 2) * sizeof(*grown));

	if (grown)
		environment->all = grown;
	if (!grown || !text) {
		free(text);
		return -ENOMEM;
	}
	grown[environment->count++] = text;
	grown[environment->count] = NULL;
	return 0;
}

static int
template_environment_add_plain(struct template_environment *environment,
			       const struct spec *spec)
{
	int rc = 0;

	for (char **item = environ; item && *item && rc >= 0; item++)
		if (template_environment_is_wanted(spec, *item) &&
		    !template_environment_is_overridden(spec, *item))
			rc = template_environment_add(environment,
						      strdup(*item));
	for (int i = 0; i < spec->environment_count && rc >= 0; i++)
		rc = template_environment_add(environment,
					      strdup(spec->environment[i]));
	return rc;
}

static int
template_environment_add_own(struct template_environment *environment,
			     const struct spec *spec, const char *shim,
			     int control_fd)
{
	auto_buf struct buf room = { 0 };
	int rc = template_environment_add(environment,
					  file_format("LD_PRELOAD=%s", shim));

	if (rc >= 0)
		rc = template_environment_add(environment,
					      strdup("LD_BIND_NOW=1"));
	if (rc >= 0)
		rc = template_environment_add(
			environment,
			file_format("%s=%d:%s", SHIM_VARIABLE, control_fd,
				    spec_stop_words(spec, &room)));
	return rc;
}

static int
template_environment_copy_plain(struct template_environment *environment)
{
	size_t bytes = (size_t)(environment->plain_count + 1) *
		       sizeof(*environment->plain);

	environment->plain = malloc(bytes);
	if (!environment->plain)
		return -ENOMEM;
	memcpy(environment->plain, environment->all,
	       bytes - sizeof(*environment->plain));
	environment->plain[environment->plain_count] = NULL;
	return 0;
}

int template_environment_make(struct template_environment *environment,
			      const struct spec *spec, const char *shim,
			      int control_fd, struct err *err)
{
	int rc = template_environment_add_plain(environment, spec);

	if (rc >= 0)
		rc = template_environment_add_own(environment, spec, shim,
						  control_fd);
	environment->plain_count = environment->count - TEMPLATE_OWN_VARIABLES;
	if (rc >= 0)
		rc = template_environment_copy_plain(environment);
	return rc < 0 ? err_set(err, rc, "environment of a template") : 0;
}

void template_environment_fini(struct template_environment *environment)
{
	for (int i = 0; i < environment->count; i++)
		free(environment->all[i]);
	free(environment->all);
	free(environment->plain);
	*environment = (struct template_environment){ 0 };
}
