/* SPDX-License-Identifier: Apache-2.0 */
/* The installer in a machine of ours: it is taken out of the appliance, goes
 * to the machine through its agent, and runs there.	CLAIM 4.2 4.6 */
#include "appliance/appliance.h"
#include "appliance/manifest.h"
#include "base/fd.h"
#include "cli/app.h"
#include "machine/machine.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { INSTALL_AGENT_MS = 10000, INSTALLER_MOST = 32 << 20 };
static const char install_there[] = "/run/brood-installer";

/* As a file that can be the command's input. */
static int install_program(const char *path, struct err *err)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;
	auto_buf struct buf bytes = { 0 };
	auto_close int fd = -1;
	int rc = appliance_open(path, NULL, &appliance, err);

	if (rc >= 0)
		rc = appliance_read(&appliance, MANIFEST_INSTALLER,
				    INSTALLER_MOST, &bytes, err);
	if (rc < 0)
		return rc;
	fd = memfd_create("installer", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "hold the installer");
	rc = fd_pwrite_all(fd, bytes.data, bytes.len, 0, err);
	return rc < 0 ? rc : steal_fd(&fd);
}

static int install_command(const struct place *place, int in, char *const *argv,
			   struct err *err)
{
	const struct talk_exec exec = {
		.argv = argv, .in = in, .out = 1, .errors = 2, .timeout_ms = -1
	};
	auto_talk struct talk *talk = NULL;
	int rc = machine_talk_shared(place, INSTALL_AGENT_MS, &talk, err);
	int status = 0;

	if (rc >= 0)
		rc = machine_command(place, talk, &exec, &status, err);
	if (rc < 0)
		return rc;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

static int install_send(const struct place *place, const char *appliance,
			struct err *err)
{
	char script[] = "mkdir -p /run && cat >/run/brood-installer && "
			"chmod 700 /run/brood-installer";
	char *const argv[] = { (char *)"/bin/sh", (char *)"-c", script, NULL };
	auto_close int in = install_program(appliance, err);
	int rc = in < 0 ? in : install_command(place, in, argv, err);

	return rc > 0 ? err_set(err, -EIO, "write %s in machine %s",
				install_there, place->name)
		      : rc;
}

/* Its value is the next word, or behind a =. */
static bool install_is_ours(const char *word, int *skip)
{
	static const char *const ours[] = { "--in", "--device" };

	for (int i = 0; i < 2; i++) {
		size_t len = strlen(ours[i]);

		if (strncmp(word, ours[i], len) == 0 &&
		    (word[len] == 0 || word[len] == '=')) {
			*skip = word[len] == 0;
			return true;
		}
	}
	return false;
}

/* The installer's words there: without those that were for us, and with the
 * appliance as the machine has it. */
static char **install_words(const struct wish_words *given,
			    const char *appliance, int argc, char *const *argv)
{
	char **words = calloc((size_t)argc + 3, sizeof *words);
	int count = 0, skip = 0;

	if (!words)
		return NULL;
	words[count++] = (char *)install_there;
	words[count++] = argv[0];
	for (int i = 1; i < argc; i++) {
		if (install_is_ours(argv[i], &skip))
			i += skip;
		else if (given->device && strcmp(argv[i], appliance) == 0)
			words[count++] = (char *)given->device;
		else
			words[count++] = argv[i];
	}
	return words;
}

int app_install_in(const struct wish_words *given, const char *appliance,
		   int argc, char *const *argv)
{
	auto_machine_place struct place place = { .lock = -1 };
	struct err err = { 0 };
	char **words = install_words(given, appliance, argc, argv);
	int rc = words ? 0 : -ENOMEM;

	signal(SIGPIPE, SIG_IGN);
	if (rc >= 0)
		rc = place_find(given->machine, &place, &err);
	if (rc >= 0)
		rc = install_send(&place, appliance, &err);
	if (rc >= 0)
		rc = install_command(&place, -1, words, &err);
	free(words);
	return rc < 0 ? cli_fail(&err, "\"brood machine ps\" lists machines")
		      : rc;
}
