/* SPDX-License-Identifier: Apache-2.0 */
/* A process gets its request in a sealed file of memory, and writes into two
 * others, which are read when it is gone.  It has nothing else of ours, a
 * group of its own, and ends when we do. */
#include "aot/compiler.h"
#include "aot/request.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	AOT_NICE = 5,
	AOT_WORDS_MOST = 1024 * 1024,
	AOT_VERSION_S = 10, /* of CPU time */
};

/* A sanitizer's own memory is larger than any limit. */
#ifdef __SANITIZE_ADDRESS__
static const bool aot_limits_memory = false;
#else
static const bool aot_limits_memory = true;
#endif

static void aot_be_patient(struct aot_compiler *compiler)
{
	const uint32_t s = compiler->cpu_s;

	compiler->patience_ms = 5000 + 1000 * (int)(s < 25 ? s : 25);
	compiler->look = clock_deadline(compiler->patience_ms);
	/* Beside others it may have to wait for a CPU. */
	compiler->deadline =
		clock_deadline(s < 3600 ? 60000 + 30000 * (int)s : INT32_MAX);
	compiler->cpu_ns = 0;
}

/* ---- its begin ------------------------------------------------------------- */

static int aot_memory_file(const char *name, struct err *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? err_set(err, -errno, "memory for the compiler") : fd;
}

static int aot_write_request(int fd, const struct aot_work *work,
			     const uint32_t *functions, uint32_t count,
			     struct err *err)
{
	const struct wasm_module *module = work->module;
	const struct aot_request request = {
		.magic = AOT_MAGIC,
		.version = AOT_VERSION,
		.options = work->options->options,
		.features = work->options->features,
		.function_count = count,
		.module_bytes = module->len,
	};
	int rc = fd_write_all(fd, &request, sizeof(request), err);

	if (rc >= 0)
		rc = fd_write_all(fd, functions, count * sizeof(*functions),
				  err);
	if (rc >= 0)
		rc = fd_write_all(fd, module->bytes, module->len, err);
	if (rc < 0)
		return rc;
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) <
		    0 ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, -errno, "the compiler's request");
	return 0;
}

static int aot_execute(struct aot_compiler *compiler, const char *program,
		       char *const *argv, int request, struct err *err)
{
	const struct process_limits limits = {
		.memory_bytes = aot_limits_memory ? compiler->memory_bytes : 0,
		.file_bytes = AOT_OBJECT_MOST,
		.cpu_s = compiler->cpu_s,
		.nice = AOT_NICE,
	};
	const struct process_plan plan = {
		.path = program,
		.argv = argv,
		.fds = { request, compiler->object, compiler->words },
		.new_group = true,
		.dies_with_us = true,
		.limits = &limits,
	};
	pid_t pid = process_start(&plan, err);

	if (pid < 0)
		return pid;
	compiler->pid = pid;
	compiler->pidfd = process_pidfd(pid, NULL);
	return 0;
}

static void aot_forget(struct aot_compiler *compiler)
{
	fd_close(&compiler->pidfd);
	fd_close(&compiler->object);
	fd_close(&compiler->words);
	compiler->pid = 0;
}

static int aot_begin(struct aot_compiler *compiler, const char *program,
		     char *const *argv, int request, struct err *err)
{
	int rc;

	compiler->pid = 0;
	compiler->pidfd = compiler->words = -1;
	aot_be_patient(compiler);
	rc = compiler->object = aot_memory_file("brood-object", err);
	if (rc >= 0)
		rc = compiler->words = aot_memory_file("brood-words", err);
	if (rc >= 0)
		rc = aot_execute(compiler, program, argv, request, err);
	if (rc < 0)
		aot_forget(compiler);
	return rc;
}

int aot_compiler_start(struct aot_compiler *compiler,
		       const struct aot_work *work, const uint32_t *functions,
		       uint32_t count, uint32_t cpu_s, struct err *err)
{
	char name[] = "brood-aotc";
	char *const argv[] = { name, NULL };
	auto_close int request = aot_memory_file("brood-request", err);
	int rc = request;

	if (rc >= 0)
		rc = aot_write_request(request, work, functions, count, err);
	if (rc < 0)
		return rc;
	compiler->cpu_s = cpu_s;
	compiler->memory_bytes = work->limits.memory_bytes;
	return aot_begin(compiler, work->program,
			 work->argv ? work->argv : argv, request, err);
}

/* ---- its end --------------------------------------------------------------- */

int aot_compiler_left_ms(const struct aot_compiler *compiler)
{
	return clock_left_ms(compiler->look);
}

/* Its first bytes, or none of a file that is too large. */
static void aot_read_file(int fd, size_t most, bool is_whole, struct buf *to)
{
	struct stat st;
	size_t len;
	char *room;

	if (fstat(fd, &st) < 0)
		return;
	len = (size_t)st.st_size;
	if (len > most && is_whole)
		return;
	len = len < most ? len : most;
	room = buf_room(to, len);
	if (room && fd_pread_all(fd, room, len, 0, NULL) >= 0)
		buf_used(to, len);
}

/* Whoever says so has met the limit, whatever became of it then. */
static bool aot_says(const struct aot_end *end, const char *words)
{
	return strstr(buf_string(&end->words), words) != NULL;
}

static bool aot_had_no_memory(const struct aot_compiler *compiler,
			      const struct aot_end *end)
{
	return end->peak_kib * 1024 > compiler->memory_bytes / 8 * 7 ||
	       aot_says(end, "out of memory") || aot_says(end, "bad_alloc") ||
	       aot_says(end, "Cannot allocate memory") ||
	       aot_says(end, "failed to map segment");
}

static bool aot_had_no_time(const struct aot_compiler *compiler,
			    const struct aot_end *end, int signal)
{
	return signal == SIGXCPU ||
	       (signal == SIGKILL &&
		end->cpu_us >= compiler->cpu_s * UINT64_C(1000000));
}

/* The last line that is about none of its functions. */
static int aot_last_words(const struct aot_end *end, const char **line)
{
	const char *at = buf_string(&end->words);
	int len = 0;

	while (*at) {
		int here = (int)strcspn(at, "\n");

		if (here && !(at[0] == 'f' && at[1] >= '0' && at[1] <= '9')) {
			*line = at;
			len = here;
		}
		at += here + (at[here] == '\n');
	}
	return len;
}

static void aot_tell(struct aot_end *end, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void aot_tell(struct aot_end *end, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(end->why, sizeof(end->why), format, list);
	va_end(list);
}

static void aot_judge(const struct aot_compiler *compiler, int status,
		      bool is_late, struct aot_end *end)
{
	int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0, len;
	const char *line = "";
	size_t told;

	end->is_fine = !is_late && WIFEXITED(status) && !WEXITSTATUS(status);
	if (end->is_fine)
		return;
	if (is_late)
		aot_tell(end, "nothing done for %d s",
			 compiler->patience_ms / 1000);
	else if (aot_had_no_time(compiler, end, signal))
		aot_tell(end, "longer than %u s", compiler->cpu_s);
	else if (signal == SIGXFSZ)
		aot_tell(end, "more than %u MiB of code",
			 AOT_OBJECT_MOST >> 20);
	else if (aot_had_no_memory(compiler, end))
		aot_tell(end, "more than %lu MiB",
			 (unsigned long)compiler->memory_bytes >> 20);
	else if (signal)
		aot_tell(end, "killed by signal %d", signal);
	else
		aot_tell(end, "exit status %d", WEXITSTATUS(status));
	len = aot_last_words(end, &line);
	told = strlen(end->why);
	if (len)
		snprintf(end->why + told, sizeof(end->why) - told, ": %.*s",
			 len, line);
}

/* Its group goes first, so that the number is still its own. */
static void aot_reap(struct aot_compiler *compiler, bool is_late,
		     struct aot_end *end)
{
	struct rusage usage = { 0 };
	int status = 0;

	kill(-compiler->pid, SIGKILL);
	while (wait4(compiler->pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	if (!end)
		return;
	*end = (struct aot_end){
		.cpu_us = (uint64_t)(usage.ru_utime.tv_sec +
				     usage.ru_stime.tv_sec) *
				  1000000 +
			  (uint64_t)(usage.ru_utime.tv_usec +
				     usage.ru_stime.tv_usec),
		.peak_kib = (uint64_t)usage.ru_maxrss,
	};
	aot_read_file(compiler->words, AOT_WORDS_MOST, false, &end->words);
	aot_judge(compiler, status, is_late, end);
	if (end->is_fine)
		aot_read_file(compiler->object, AOT_OBJECT_MOST, true,
			      &end->object);
}

static bool aot_is_over(const struct aot_compiler *compiler)
{
	siginfo_t info = { 0 };
	int rc;

	do
		rc = waitid(P_PID, (id_t)compiler->pid, &info,
			    WEXITED | WNOHANG | WNOWAIT);
	while (rc < 0 && errno == EINTR);
	return rc < 0 || info.si_pid != 0;
}

/* Time to look, and it hangs. */
static bool aot_hangs(struct aot_compiler *compiler)
{
	const uint64_t some_ns = 1000000;
	struct timespec used = { 0 };
	clockid_t clock;
	uint64_t ns;

	if (clock_left_ms(compiler->look) != 0)
		return false;
	if (clock_getcpuclockid(compiler->pid, &clock) != 0 ||
	    clock_gettime(clock, &used) < 0 ||
	    clock_left_ms(compiler->deadline) == 0)
		return true;
	ns = (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
	if (ns < compiler->cpu_ns + some_ns)
		return true;
	compiler->cpu_ns = ns;
	compiler->look = clock_deadline(compiler->patience_ms);
	return false;
}

bool aot_compiler_ended(struct aot_compiler *compiler, struct aot_end *end)
{
	bool is_over = aot_is_over(compiler);

	if (!is_over && !aot_hangs(compiler))
		return false;
	aot_reap(compiler, !is_over, end);
	aot_forget(compiler);
	return true;
}

void aot_end_fini(struct aot_end *end)
{
	buf_fini(&end->object);
	buf_fini(&end->words);
}

void aot_compiler_stop(struct aot_compiler *compiler)
{
	if (!compiler->pid)
		return;
	aot_reap(compiler, true, NULL);
	aot_forget(compiler);
}

/* ---- is it there? ---------------------------------------------------------- */

static void aot_first_line(struct buf *text)
{
	char *end = text->len ? strchr(text->data, '\n') : NULL;

	if (end) {
		*end = 0;
		text->len = (size_t)(end - text->data);
	}
}

static int aot_version_read(struct aot_compiler *compiler, struct buf *text,
			    struct err *err)
{
	struct aot_end end;
	int rc = 0;

	while (!aot_compiler_ended(compiler, &end))
		clock_sleep_ms(2);
	if (!end.is_fine)
		rc = err_set(err, -EPROTO, "%s", end.why);
	else
		buf_add(text, end.object.data, end.object.len);
	aot_first_line(text);
	if (rc == 0 && strncmp(buf_string(text), "brood-aotc ", 11) != 0)
		rc = err_set(err, -EPROTO, "it tells no version");
	aot_end_fini(&end);
	return rc;
}

int aot_version(const char *program, struct buf *text, struct err *err)
{
	char name[] = "brood-aotc", asked[] = "--version";
	char *const argv[] = { name, asked, NULL };
	struct aot_compiler compiler = {
		.cpu_s = AOT_VERSION_S,
		.memory_bytes = aot_limits_usual.memory_bytes,
	};
	int rc = aot_begin(&compiler, program, argv, -1, err);

	if (rc >= 0)
		rc = aot_version_read(&compiler, text, err);
	return rc < 0 ? err_wrap(err, "%s", program) : 0;
}
