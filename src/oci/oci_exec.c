/* SPDX-License-Identifier: Apache-2.0 */
/* exec: one process more in a container of ours.  Where it begins with a
 * module, the starter that is mounted there runs it; where the container is a
 * machine, it is a process of that machine. */
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "oci/oci_bundle.h"
#include "oci/oci_commands.h"
#include "oci/oci_inside.h"
#include "oci/oci_machine.h"
#include "oci/oci_rewrite.h"
#include "oci/oci_runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct exec {
	const struct oci_words *words;
	struct oci_record record;
	struct oci_process process;
	struct buf text; /* of --process; empty: it is in the words */
	char *name;	 /* the module's path inside */
};

static void exec_close(struct exec *exec)
{
	oci_record_fini(&exec->record);
	oci_process_fini(&exec->process);
	buf_fini(&exec->text);
	free(exec->name);
}

/* Words behind the ID, and a "--" before them or not. */
static int exec_first(const struct oci_words *words)
{
	int at = words->id_at + 1;

	if (at < words->count && strcmp(words->word[at], "--") == 0)
		at++;
	return at < words->count ? at : 0;
}

static int exec_read_config(const struct exec *exec, struct oci_process *from,
			    struct err *err)
{
	auto_free char *folder = oci_record_path(exec->words, err);
	auto_free char *path = folder ? file_join(folder, "config.json") : NULL;
	auto_buf struct buf text = { 0 };
	int rc = path ? oci_json_read(path, &text, err)
		      : err_set(err, -ENOMEM, "exec");

	return rc < 0 ? rc
		      : oci_process_read(buf_string(&text), "process", from,
					 err);
}

/* What is not told is as the container's own process has it. */
static int exec_read_words(struct exec *exec, struct err *err)
{
	const struct oci_words *words = exec->words;
	struct oci_process *process = &exec->process;
	int first = exec_first(words);
	int rc = exec_read_config(exec, process, err);

	if (rc < 0)
		return rc;
	free(process->program);
	process->program = first ? strdup(words->word[first]) : NULL;
	if (words->cwd) {
		free(process->cwd);
		process->cwd = strdup(words->cwd);
	}
	return process->cwd ? 0 : err_set(err, -ENOMEM, "exec");
}

static int exec_read(struct exec *exec, struct err *err)
{
	const char *path = exec->words->process;
	int rc;

	if (!path)
		return exec_read_words(exec, err);
	rc = oci_json_read(path, &exec->text, err);
	return rc < 0 ? rc
		      : oci_process_read(buf_string(&exec->text), "",
					 &exec->process, err);
}

/* Into the file system as the container's first process sees it. */
static int exec_root(const struct exec *exec, struct err *err)
{
	auto_buf struct buf answer = { 0 };
	char path[48];
	int64_t pid;
	int fd, rc = oci_ask_state(exec->words, exec->record.runtime, &answer,
				   err);

	if (rc != 0)
		return rc < 0 ? rc : err_set(err, -ESRCH, "no such container");
	pid = json_check(buf_string(&answer), answer.len, err) < 0
		      ? 0
		      : json_get_number(answer.data, "pid", 0);
	if (pid <= 0)
		return err_set(err, -ESRCH, "the container does not run");
	snprintf(path, sizeof path, "/proc/%ld/root", (long)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "open %s", path) : fd;
}

/* What cannot be looked at is the runtime's matter. */
static bool exec_is_module(struct exec *exec)
{
	auto_close int root = exec_root(exec, NULL), fd = -1;

	if (root < 0)
		return false;
	fd = oci_inside_open(root, NULL, &exec->process, &exec->name, NULL);
	return fd >= 0 && oci_inside_is_module(fd);
}

static struct oci_start exec_start(const struct exec *exec)
{
	const struct oci_record *record = &exec->record;
	bool is_its = strcmp(record->module, exec->name) == 0;

	return (struct oci_start){
		.module = exec->name,
		.code = is_its && record->has_code ? record->place : NULL,
		.kvm = record->has_kvm ? record->place : NULL,
		.ready = is_its && record->has_ready ? record->place : NULL,
		.place = record->place,
		.in_domain = record->in_domain,
	};
}

/* These words come in the place of the first one. */
struct exec_front {
	const char *const *word;
	int count;
};

/* A file without a name, which is gone when the runtime has read it. */
static int exec_process_file(struct exec *exec, const struct exec_front *front,
			     char path[48], struct err *err)
{
	auto_close int fd = -1;
	int rc = oci_rewrite_words(&exec->text, "", front->word, front->count,
				   err);

	if (rc < 0)
		return rc;
	fd = memfd_create("process", 0);
	if (fd < 0 || fd_raise(&fd, 64) < 0)
		return err_set(err, -errno, "a file for the process");
	rc = fd_write_all(fd, exec->text.data, exec->text.len, err);
	if (rc < 0)
		return rc;
	lseek(fd, 0, SEEK_SET);
	fcntl(fd, F_SETFD, 0);
	snprintf(path, 48, "/proc/self/fd/%d", fd);
	return steal_fd(&fd);
}

static int exec_by_file(struct exec *exec, const struct exec_front *front,
			struct err *err)
{
	const char *runtime = exec->record.runtime;
	char path[48];
	auto_close int fd = exec_process_file(exec, front, path, err);
	auto_free char *own = NULL;
	auto_free char **argv = NULL;

	if (fd < 0)
		return fd;
	argv = oci_words_change(exec->words, runtime, exec->words->process_at,
				path, &own);
	return argv ? oci_runtime_become(runtime, argv, err)
		    : err_set(err, -ENOMEM, "words for %s", runtime);
}

static int exec_by_words(struct exec *exec, const struct exec_front *front,
			 struct err *err)
{
	const struct oci_words *words = exec->words;
	const char *runtime = exec->record.runtime;
	int first = exec_first(words), count = words->count - first - 1;
	auto_free char **argv = calloc(
		(size_t)(first + front->count + count) + 1, sizeof(*argv));

	if (!argv)
		return err_set(err, -ENOMEM, "words for %s", runtime);
	memcpy(argv, words->word, (size_t)first * sizeof(*argv));
	argv[0] = (char *)runtime;
	memcpy(argv + first, front->word, (size_t)front->count * sizeof(*argv));
	memcpy(argv + first + front->count, words->word + first + 1,
	       (size_t)count * sizeof(*argv));
	return oci_runtime_become(runtime, argv, err);
}

static int exec_behind(struct exec *exec, const char *const *word, int count,
		       struct err *err)
{
	const struct exec_front front = { word, count };

	return exec->words->process ? exec_by_file(exec, &front, err)
				    : exec_by_words(exec, &front, err);
}

static int exec_module(struct exec *exec, struct err *err)
{
	const struct oci_start start = exec_start(exec);
	auto_starter struct oci_starter starter;
	int rc = oci_starter_words(&start, &starter, err);

	return rc < 0 ? rc
		      : exec_behind(exec, starter.word, starter.count, err);
}

static int exec_in_machine(struct exec *exec, struct err *err)
{
	auto_machine_words struct oci_machine_words words;
	int rc = oci_machine_join(&words, exec->record.place,
				  exec->process.program,
				  exec->words->process ? &exec->text : NULL,
				  err);

	return rc < 0 ? rc : exec_behind(exec, words.word, words.count, err);
}

/* What is none of these is the runtime's, and so is a process without words. */
static int exec_ours(struct exec *exec, struct err *err)
{
	int rc = exec_read(exec, err);

	if (rc < 0)
		return rc;
	if (exec->record.is_machine && exec->process.program)
		return exec_in_machine(exec, err);
	if (exec->record.has_no_starter || !exec_is_module(exec))
		return oci_hand_over(exec->words, err);
	return exec_module(exec, err);
}

int oci_exec(const struct oci_words *words, struct err *err)
{
	struct exec exec = { .words = words };
	int rc = oci_record_read(words, &exec.record, err);

	if (rc >= 0)
		rc = rc > 0 ? exec_ours(&exec, err) : oci_hand_over(words, err);
	exec_close(&exec);
	return rc;
}
