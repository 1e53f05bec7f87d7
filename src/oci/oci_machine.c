/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_machine.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "launch/install.h"
#include "machine/lent.h"
#include "machine/qemu.h"
#include "machine/shape.h"
#include "oci/oci_edit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const machine_folders[] = { "/usr",	 "/bin",   "/sbin",
					       "/lib",	 "/lib32", "/lib64",
					       "/libx32" };

/* Of all in the container, by which brood finds it there. */
#define MACHINE_NAME "machine"
#define MACHINE_RUN  "XDG_RUNTIME_DIR=%s/run"

/* ---- variables ------------------------------------------------------------------ */

/* Of QEMU's; the machine's command gets none of these names. */
static int machine_set_variables(struct buf *text,
				 const struct oci_start *start, struct err *err)
{
	const char *place = start->place;
	auto_free char *run = file_format(MACHINE_RUN, place);
	auto_free char *cache =
		file_format("XDG_CACHE_HOME=%s/tip/known", place);
	auto_free char *qemu = file_format("BROOD_QEMU=%s", start->qemu->path);
	char *const variables[] = {
		run, cache, qemu, (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		NULL
	};

	return run && cache && qemu
		       ? oci_rewrite_variables(text, "process", variables, err)
		       : err_set(err, -ENOMEM, "the environment");
}

static int machine_find_variables(struct buf *process, const char *place,
				  struct err *err)
{
	auto_free char *run = file_format(MACHINE_RUN, place);
	char *const variables[] = { run, NULL };

	return run ? oci_rewrite_variables(process, "", variables, err)
		   : err_set(err, -ENOMEM, "the environment");
}

/* ---- mounts --------------------------------------------------------------------- */

static bool machine_is_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 &&
	       (path[len] == '/' || !path[len]);
}

static bool machine_is_given(const char *path)
{
	const size_t count = sizeof machine_folders / sizeof *machine_folders;

	for (size_t i = 0; i < count; i++)
		if (machine_is_below(path, machine_folders[i]))
			return true;
	return false;
}

/* Named so that it is read as before (shape_is_qcow2). */
static char *machine_disk(const struct oci_start *start, int number,
			  const char *place)
{
	return file_format("%s%sdisk%d%s", place, *place ? "/" : "", number,
			   shape_is_qcow2(start->shape->disk[number].path)
				   ? ".qcow2"
				   : "");
}

static int machine_mount_disks(struct buf *text, const struct oci_start *start,
			       struct err *err)
{
	int rc = 0;

	for (int i = 0; rc >= 0 && i < start->shape->disk_count; i++) {
		auto_free char *name = machine_disk(start, i, "");

		rc = name ? oci_rewrite_bind(text, start->shape->disk[i].path,
					     start->place, name, err)
			  : err_set(err, -ENOMEM, "mount a disk");
	}
	return rc;
}

/* The root's own have what nobody runs here. */
static int machine_mount_host(struct buf *text, struct err *err)
{
	const size_t count = sizeof machine_folders / sizeof *machine_folders;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < count; i++)
		if (access(machine_folders[i], F_OK) == 0)
			rc = oci_rewrite_bind(text, machine_folders[i], "",
					      machine_folders[i] + 1, err);
	return rc;
}

/* Sockets and descriptors of what lives are for its user alone. */
static int machine_mount_run(struct buf *text, const char *place,
			     struct err *err)
{
	static const char item[] =
		"{\"destination\":\"%s/run\",\"type\":\"tmpfs\","
		"\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"nodev\","
		"\"mode=0700\",\"uid=%u\",\"gid=%u\"]}";
	const char *json = buf_string(text);
	auto_buf struct buf mount = { 0 };

	buf_format(&mount, item, place,
		   (unsigned)json_get_number(json, "process.user.uid", 0),
		   (unsigned)json_get_number(json, "process.user.gid", 0));
	return mount.failed ? err_set(err, -ENOMEM, "mount %s/run", place)
			    : oci_edit_add(text, "", "mounts", mount.data, err);
}

static int machine_mounts(struct buf *text, const struct oci_start *start,
			  struct err *err)
{
	auto_free char *shim = install_find("brood-shim.so", err);
	int rc = shim ? machine_mount_host(text, err)
		      : (err ? err->code : -ENOENT);

	if (rc >= 0)
		rc = oci_rewrite_bind(text, start->starter, start->place,
				      "brood", err);
	if (rc >= 0)
		rc = oci_rewrite_bind(text, shim, start->place, file_base(shim),
				      err);
	if (rc >= 0)
		rc = oci_rewrite_bind(text, start->tip, start->place, "tip",
				      err);
	if (rc >= 0)
		rc = machine_mount_disks(text, start, err);
	if (rc >= 0)
		rc = machine_mount_run(text, start->place, err);
	/* Whether it is of use is found out inside, where it is used. */
	if (rc >= 0 && access("/dev/kvm", F_OK) == 0)
		rc = oci_rewrite_kvm(text, err);
	return rc;
}

/* ---- the process ----------------------------------------------------------------- */

void oci_machine_words_fini(struct oci_machine_words *words)
{
	for (int i = 0; i < words->own_count; i++)
		free(words->own[i]);
}

static void machine_word(struct oci_machine_words *words, const char *word)
{
	if (words->count < OCI_MACHINE_WORDS)
		words->word[words->count++] = word;
	else
		words->failed = true;
}

/* Malloced; NULL where there was no memory for it. */
static void machine_own_word(struct oci_machine_words *words, char *word)
{
	if (word && words->own_count < OCI_MACHINE_OWN) {
		words->own[words->own_count++] = word;
		machine_word(words, word);
	} else {
		free(word);
		words->failed = true;
	}
}

/* A name of the container that is none of a host is left out. */
static char *machine_host_name(const char *json)
{
	auto_free char *name = json_get_text(json, "hostname");
	size_t len = name ? strlen(name) : 0;

	return len && len < 64 && name[0] != '-' &&
			       strspn(name, "abcdefghijklmnopqrstuvwxyz"
					    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					    "0123456789.-_") == len
		       ? steal_ptr(&name)
		       : NULL;
}

/* ---- folders --------------------------------------------------------------------- */

static bool machine_mount_says(const char *mount, const char *option)
{
	size_t len, wanted = strlen(option);
	const char *list = json_get_value(mount, "options", &len);
	const char *at = list ? json_first(list, &len) : NULL;

	for (; at; at = json_next(at, &len))
		if (len == wanted + 2 && memcmp(at + 1, option, wanted) == 0)
			return true;
	return false;
}

/* The container's, which the machine has of its own. */
static bool machine_is_system(const char *path)
{
	return machine_is_below(path, "/proc") ||
	       machine_is_below(path, "/sys") ||
	       machine_is_below(path, "/dev") || !path[1];
}

/* Engines bind files, too: of those none is anywhere else. */
static bool machine_binds_folder(const char *folder, const char *mount)
{
	auto_free char *source = json_get_text(mount, "source");
	auto_free char *beside = NULL;
	struct stat st;

	if (!source || (!machine_mount_says(mount, "bind") &&
			!machine_mount_says(mount, "rbind")))
		return false;
	beside = source[0] == '/' ? NULL : file_join(folder, source);
	return stat(beside ? beside : source, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Without what would be another name for it. */
static char *machine_mount_name(const char *mount)
{
	auto_free char *to = json_get_text(mount, "destination");
	size_t len = to ? strlen(to) : 0;

	while (len > 1 && to[len - 1] == '/')
		to[--len] = 0;
	return len && to[0] == '/' ? steal_ptr(&to) : NULL;
}

static int machine_lend_one(struct oci_machine_words *words,
			    const struct oci_start *start, const char *mount,
			    const char *to, const char *cwd, struct err *err)
{
	if (!lent_is_place(to))
		return err_set(err, -EINVAL,
			       "%s: a machine has no folder of such a name",
			       to);
	if (machine_is_given(to))
		return err_set(err, -EINVAL,
			       "%s: a container that is a machine has the "
			       "node's own there",
			       to);
	if (words->folders == start->shape->folders)
		return err_set(
			err, -EINVAL,
			"%s: tip %s has places for %ld folders, and more "
			"are mounted; \"brood machine boot --folders\" "
			"makes them",
			to, start->module, start->shape->folders);
	words->folders++;
	words->is_there |= cwd && machine_is_below(cwd, to);
	machine_word(words, "--folder");
	machine_own_word(words, machine_mount_says(mount, "ro")
					? file_format("ro:%s", to)
					: strdup(to));
	return 0;
}

/* A tip without places has nowhere for any.  A working folder of the image is
 * not there. */
static int machine_lend(struct oci_machine_words *words,
			const struct oci_bundle *bundle,
			const struct oci_start *start, const char *json,
			struct err *err)
{
	size_t len;
	const char *list = json_get_value(json, "mounts", &len);
	const char *at = list ? json_first(list, &len) : NULL;
	auto_free char *cwd = json_get_text(json, "process.cwd");
	int rc = 0;

	for (; rc >= 0 && at && start->shape->folders;
	     at = json_next(at, &len)) {
		auto_free char *to = machine_mount_name(at);

		if (to && !machine_is_system(to) &&
		    machine_binds_folder(bundle->path, at))
			rc = machine_lend_one(words, start, at, to, cwd, err);
	}
	if (rc >= 0 && words->is_there) {
		machine_word(words, "--cwd");
		machine_own_word(words, steal_ptr(&cwd));
	}
	return rc;
}

static int machine_words_fill(struct oci_machine_words *words,
			      const struct oci_bundle *bundle,
			      const struct oci_start *start, const char *json,
			      const char *first, struct err *err)
{
	static const char *const fixed[] = { "machine",	 "exec",   "--given",
					     "--cold",	 "--name", MACHINE_NAME,
					     "--env-all" };
	char *host = machine_host_name(json);
	int rc;

	machine_own_word(words, file_join(start->place, "brood"));
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		machine_word(words, fixed[i]);
	machine_word(words, "--store");
	machine_own_word(words, file_join(start->place, "tip"));
	if (host) {
		machine_word(words, "--host-name");
		machine_own_word(words, host);
	}
	for (int i = 0; i < start->shape->disk_count; i++) {
		machine_word(words, "--disk");
		machine_own_word(words, machine_disk(start, i, start->place));
	}
	rc = machine_lend(words, bundle, start, json, err);
	if (rc < 0)
		return rc;
	machine_word(words, start->module);
	machine_word(words, "--");
	machine_word(words, first);
	return words->failed ? err_set(err, -ENOMEM, "the machine's words") : 0;
}

/* All of the bundle's words are the command. */
static int machine_process(struct oci_bundle *bundle,
			   const struct oci_start *start, struct err *err)
{
	struct buf *text = &bundle->text;
	const char *json = buf_string(text);
	auto_machine_words struct oci_machine_words words = { .count = 0 };
	auto_free char *first = NULL;
	int rc = oci_text(json, "process.args.0", &first, err);

	if (rc < 0)
		return rc;
	if (!first)
		return err_set(err, -EINVAL,
			       "process.args: no command to run in machine %s",
			       start->module);
	rc = machine_words_fill(&words, bundle, start, json, first, err);
	return rc < 0 ? rc
		      : oci_rewrite_words(text, "process", words.word,
					  words.count, err);
}

int oci_machine_rewrite(struct oci_bundle *bundle,
			const struct oci_start *start, struct err *err)
{
	struct buf *text = &bundle->text;
	int rc;

	if (!machine_is_given(start->qemu->path))
		return err_set(err, -EINVAL,
			       "%s: a container is given no QEMU of that place",
			       start->qemu->path);
	rc = machine_process(bundle, start, err);
	if (rc >= 0)
		rc = machine_set_variables(text, start, err);
	if (rc >= 0)
		rc = oci_rewrite_paths(bundle, err);
	return rc < 0 ? rc : machine_mounts(text, start, err);
}

/* ---- a process more --------------------------------------------------------------- */

int oci_machine_join(struct oci_machine_words *words, const char *place,
		     const char *first, struct buf *process, struct err *err)
{
	static const char *const fixed[] = { "machine",	   "exec",
					     "--env-all",  "--join",
					     MACHINE_NAME, "--" };

	*words = (struct oci_machine_words){ .count = 0 };
	machine_own_word(words, file_join(place, "brood"));
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		machine_word(words, fixed[i]);
	machine_word(words, first);
	if (words->failed)
		return err_set(err, -ENOMEM, "the machine's words");
	return process ? machine_find_variables(process, place, err) : 0;
}
