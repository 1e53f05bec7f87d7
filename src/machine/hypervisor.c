/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU, started: from a warm template where there is one, so that its linking
 * and constructors are not done again, else the ordinary way with the shim.
 * That its memory was put together is seen in the plan, not believed. */
#include "machine/hypervisor.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "launch/install.h"
#include "lib/start.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	HYPERVISOR_WORDS = 256,
	HYPERVISOR_KEEP = RAM_PLAN_FILES + TIP_DISKS_MOST + SHAPE_DISKS_MOST +
			  LENT_MOST + 8,
	HYPERVISOR_START_MS = 20000,
	HYPERVISOR_MOVE_MS = 60000,
	HYPERVISOR_END_MS = 2000,
	HYPERVISOR_LOOK_US = 200,
	HYPERVISOR_BACKLOG = 8,
};

enum hypervisor_socket { SOCKET_QMP, SOCKET_CONSOLE, SOCKET_AGENT, SOCKETS };
static const char *const socket_names[SOCKETS] = { "qmp", "console", "agent" };

struct hypervisor_work {
	const struct hypervisor_plan *plan;
	struct memory *memory;
	int sockets[SOCKETS];
	int keep[HYPERVISOR_KEEP];
	int keep_count;
	char *words[HYPERVISOR_WORDS]; /* malloced */
	int word_count;
	bool failed;
	int log;
	char *report; /* the starter tells here which way it went */
};

/* ---- the command line ------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void
hypervisor_word(struct hypervisor_work *work, const char *format, ...)
{
	va_list list;
	char *word = NULL;

	va_start(list, format);
	if (work->word_count + 1 == HYPERVISOR_WORDS ||
	    vasprintf(&word, format, list) < 0)
		work->failed = true;
	else
		work->words[work->word_count++] = word;
	va_end(list);
}

/* A comma in a value is written twice. */
static char *hypervisor_value(const char *text)
{
	auto_buf struct buf value = { 0 };

	for (; *text; text++)
		buf_add(&value, *text == ',' ? ",," : text,
			*text == ',' ? 2 : 1);
	return buf_steal(&value);
}

/* Memory of others is mapped behind all that the machine has or could have of
 * its own. */
static void hypervisor_add_memory(struct hypervisor_work *work)
{
	const struct lent *lent = work->plan->lent;
	unsigned long mib = (unsigned long)(work->plan->shape->ram_bytes >> 20);
	unsigned long more =
		lent ? (unsigned long)(lent_pmem_room(lent) >> 20) : 0;

	hypervisor_word(work, "-m");
	if (more)
		hypervisor_word(work, "%luM,maxmem=%luM", mib, mib + more);
	else
		hypervisor_word(work, "%luM", mib);
}

static void hypervisor_add_machine(struct hypervisor_work *work)
{
	const struct shape *shape = work->plan->shape;

	hypervisor_word(work, "qemu-system-x86_64");
	hypervisor_word(work, "-name");
	hypervisor_word(work, "%s", work->plan->place->name);
	hypervisor_word(work, "-M");
	hypervisor_word(work, "%s,memory-backend=ram", shape->machine);
	hypervisor_word(work, "-accel");
	hypervisor_word(work, "%s", shape->accel);
	hypervisor_word(work, "-cpu");
	hypervisor_word(work, "%s", shape->cpu);
	hypervisor_word(work, "-smp");
	hypervisor_word(work, "%ld", shape->cpus);
	hypervisor_add_memory(work);
	hypervisor_word(work, "-object");
	hypervisor_word(work,
			"memory-backend-file,id=ram,size=%lu,share=on,"
			"mem-path=/proc/self/fd/%d",
			(unsigned long)shape->ram_bytes, work->memory->marker);
	for (const char *const *word =
		     (const char *const[]){
			     "-nodefaults", "-no-user-config", "-display",
			     "none", "-vga", "none", "-sandbox",
			     "on,obsolete=deny,elevateprivileges=deny,"
			     "spawn=deny,resourcecontrol=deny",
			     NULL };
	     *word; word++)
		hypervisor_word(work, "%s", *word);
}

static void hypervisor_add_sockets(struct hypervisor_work *work)
{
	auto_free char *log = place_path(work->plan->place, "console.log");
	auto_free char *value = log ? hypervisor_value(log) : NULL;

	for (int i = 0; i < SOCKETS; i++) {
		hypervisor_word(work, "-chardev");
		hypervisor_word(
			work, "socket,id=%s,fd=%d,server=on,wait=off%s%s",
			socket_names[i], work->sockets[i],
			i == SOCKET_CONSOLE ? ",logappend=on,logfile=" : "",
			i == SOCKET_CONSOLE && value ? value : "");
	}
	hypervisor_word(work, "-mon");
	hypervisor_word(work, "chardev=qmp,mode=control");
	hypervisor_word(work, "-serial");
	hypervisor_word(work, "chardev:console");
	hypervisor_word(work, "-serial");
	hypervisor_word(work, "chardev:agent");
}

/* What was written over a disk until one of the saves lies behind the header
 * of an object. */
static void hypervisor_add_kept(struct hypervisor_work *work, int number,
				uint32_t save, const char *below,
				const char *name)
{
	const struct tip *tip = work->plan->tip;
	const struct layer *layer =
		&tip->disks[save * (uint32_t)work->plan->shape->disk_count +
			    (uint32_t)number];

	hypervisor_word(work, "-blockdev");
	hypervisor_word(work,
			"driver=qcow2,node-name=%s,read-only=on,backing=%s,"
			"file.driver=raw,file.offset=%lu,file.size=%lu,"
			"file.file.driver=file,"
			"file.file.filename=/proc/self/fd/%d,"
			"file.file.locking=off",
			name, below, (unsigned long)layer->head.data_at,
			(unsigned long)layer->head.data_bytes, layer->fd);
}

/* What the machine writes goes to a file of its own, over what was written at
 * the saves before, over the disk. */
static void hypervisor_add_disk(struct hypervisor_work *work, int number)
{
	const struct shape *shape = work->plan->shape;
	const struct tip *tip = work->plan->tip;
	const char *path = shape->disk[number].path;
	auto_free char *value = hypervisor_value(path);
	uint32_t saves =
		tip ? tip->disk_count / (uint32_t)shape->disk_count : 0;
	char below[32], name[32];

	snprintf(below, sizeof(below), "base%d", number);
	hypervisor_word(work, "-blockdev");
	hypervisor_word(work,
			"driver=%s,node-name=%s,read-only=on,"
			"file.driver=file,file.filename=%s,file.locking=off",
			shape_is_qcow2(path) ? "qcow2" : "raw", below,
			value ? value : "");
	for (uint32_t save = 0; save < saves; save++) {
		snprintf(name, sizeof(name), "kept%d-%u", number, save);
		hypervisor_add_kept(work, number, save, below, name);
		memcpy(below, name, sizeof(below));
	}
	hypervisor_word(work, "-blockdev");
	hypervisor_word(work,
			"driver=qcow2,node-name=disk%d,backing=%s,"
			"discard=unmap,file.driver=file,"
			"file.filename=/proc/self/fd/%d",
			number, below, work->plan->disk_files[number]);
	hypervisor_word(work, "-device");
	hypervisor_word(work, "virtio-blk-pci,drive=disk%d", number);
}

/* As root, what a guest's user makes is that user's here too; others own all
 * that their machines make. */
static void hypervisor_add_9p(struct hypervisor_work *work, const char *name,
			      int number, const char *path, bool read_only,
			      const char *tag)
{
	auto_free char *value = hypervisor_value(path);

	hypervisor_word(work, "-fsdev");
	hypervisor_word(work,
			"local,id=%s%d,path=%s,multidevs=remap,"
			"security_model=%s%s",
			name, number, value ? value : "",
			geteuid() == 0 ? "passthrough" : "none",
			read_only ? ",readonly=on" : "");
	hypervisor_word(work, "-device");
	hypervisor_word(work, "virtio-9p-pci,fsdev=%s%d,mount_tag=%s", name,
			number, tag);
}

/* Devices of the shape, whatever is in them; a tip's are lent nothing else. */
static void hypervisor_add_folders(struct hypervisor_work *work)
{
	const struct hypervisor_plan *plan = work->plan;
	int lent = plan->tip && plan->lent ? plan->lent->count : 0;

	for (int i = 0; i < plan->shape->folders; i++) {
		const struct lent_item *item =
			i < lent ? &plan->lent->item[i] : NULL;
		char tag[LENT_TAG + 1];

		snprintf(tag, sizeof(tag), "folder%d", i);
		hypervisor_add_9p(work, "folder", i,
				  item ? item->path : plan->nothing,
				  !item || item->read_only, tag);
	}
}

static void hypervisor_add_virtiofs(struct hypervisor_work *work, int number,
				    const struct lent_item *item)
{
	hypervisor_word(work, "-chardev");
	hypervisor_word(work, "socket,id=lent%d,fd=%d", number, item->fd);
	hypervisor_word(work, "-device");
	hypervisor_word(work, "vhost-user-fs-pci,chardev=lent%d,tag=%s", number,
			item->tag);
}

static void hypervisor_add_pmem(struct hypervisor_work *work, int number,
				const struct lent_item *item)
{
	hypervisor_word(work, "-object");
	hypervisor_word(work,
			"memory-backend-file,id=lent%d,size=%lu,share=on,"
			"readonly=on,mem-path=/proc/self/fd/%d",
			number, (unsigned long)item->bytes, item->fd);
	hypervisor_word(work, "-device");
	hypervisor_word(work, "virtio-pmem-pci,memdev=lent%d", number);
}

static void hypervisor_add_device(struct hypervisor_work *work, int number,
				  const struct lent_item *item)
{
	hypervisor_word(work, "-blockdev");
	hypervisor_word(work,
			"driver=raw,node-name=lent%d,read-only=on,"
			"file.driver=file,file.filename=/proc/self/fd/%d,"
			"file.locking=off",
			number, item->fd);
	hypervisor_word(work, "-device");
	hypervisor_word(work, "virtio-blk-pci,drive=lent%d,serial=%s", number,
			item->tag);
}

static void hypervisor_add_lent(struct hypervisor_work *work)
{
	const struct lent *lent = work->plan->lent;

	for (int i = 0; lent && i < lent->count; i++) {
		const struct lent_item *item = &lent->item[i];

		if (item->how == LENT_9P)
			hypervisor_add_9p(work, "lent", i, item->path, false,
					  item->tag);
		else if (item->how == LENT_PMEM)
			hypervisor_add_pmem(work, i, item);
		else if (item->how == LENT_DEVICE)
			hypervisor_add_device(work, i, item);
		else
			hypervisor_add_virtiofs(work, i, item);
	}
}

static void hypervisor_add_kernel(struct hypervisor_work *work)
{
	const struct hypervisor_boot *boot = work->plan->boot;
	auto_buf struct buf words = { 0 };

	if (work->plan->lent)
		lent_kernel_words(work->plan->lent, &words);
	buf_text(&words, boot->append ? boot->append : "");
	hypervisor_word(work, "-kernel");
	hypervisor_word(work, "%s", boot->kernel);
	hypervisor_word(work, "-append");
	hypervisor_word(work, "%s", buf_string(&words));
}

static void hypervisor_add_rest(struct hypervisor_work *work)
{
	const struct hypervisor_plan *plan = work->plan;
	const struct hypervisor_boot *boot = plan->boot;

	for (int i = 0; i < plan->shape->disk_count; i++)
		hypervisor_add_disk(work, i);
	hypervisor_add_folders(work);
	if (plan->shape->network) {
		int host, guest;

		hypervisor_word(work, "-netdev");
		if (plan->forward &&
		    sscanf(plan->forward, "%5d:%5d", &host, &guest) == 2)
			hypervisor_word(work,
					"user,id=net,hostfwd=tcp:127.0.0.1:%d-"
					":%d",
					host, guest);
		else
			hypervisor_word(work, "user,id=net");
		hypervisor_word(work, "-device");
		hypervisor_word(work, "virtio-net-pci,netdev=net");
	}
	if (plan->tip) {
		hypervisor_word(work, "-incoming");
		hypervisor_word(work, "defer");
		/* A kernel that was left behind cannot be booted again. */
		hypervisor_word(work, "-action");
		hypervisor_word(work, "reboot=shutdown");
		return;
	}
	hypervisor_add_lent(work);
	if (boot->kernel)
		hypervisor_add_kernel(work);
	if (boot->initrd) {
		hypervisor_word(work, "-initrd");
		hypervisor_word(work, "%s", boot->initrd);
	}
	hypervisor_word(work, "-S");
}

/* ---- the start -------------------------------------------------------------- */

static void hypervisor_keep(struct hypervisor_work *work, int fd)
{
	if (work->keep_count == HYPERVISOR_KEEP)
		work->failed = true;
	else
		work->keep[work->keep_count++] = fd;
}

static void hypervisor_forget(struct hypervisor_work *work)
{
	for (int i = 0; i < SOCKETS; i++)
		fd_close(&work->sockets[i]);
	for (int i = 0; i < work->word_count; i++)
		free(work->words[i]);
	memset(work->words, 0, sizeof(work->words));
	work->word_count = work->keep_count = 0;
}

/* For each try: what a QEMU that failed has listened on is used up. */
static int hypervisor_prepare(struct hypervisor_work *work, struct err *err)
{
	const struct hypervisor_plan *plan = work->plan;
	const struct tip *tip = plan->tip;
	int rc = 0;

	hypervisor_forget(work);
	for (int i = 0; rc >= 0 && i < SOCKETS; i++) {
		auto_free char *path = place_path(plan->place, socket_names[i]);

		if (!path)
			return err_set(err, -ENOMEM, "name of a socket");
		unlink(path);
		work->sockets[i] =
			fd_listen_stream(path, HYPERVISOR_BACKLOG, err);
		rc = work->sockets[i] < 0 ? work->sockets[i] : 0;
		hypervisor_keep(work, work->sockets[i]);
	}
	hypervisor_keep(work, plan->place->lock);
	hypervisor_keep(work, work->memory->marker);
	hypervisor_keep(work, work->memory->plan_fd);
	for (uint32_t i = 0; tip && i < tip->layer_count; i++)
		hypervisor_keep(work, tip->layers[i].fd);
	for (uint32_t i = 0; tip && i < tip->disk_count; i++)
		hypervisor_keep(work, tip->disks[i].fd);
	for (int i = 0; i < plan->shape->disk_count; i++)
		hypervisor_keep(work, plan->disk_files[i]);
	for (int i = 0; plan->lent && i < plan->lent->count; i++)
		if (plan->lent->item[i].fd >= 0)
			hypervisor_keep(work, plan->lent->item[i].fd);
	hypervisor_add_machine(work);
	hypervisor_add_sockets(work);
	hypervisor_add_rest(work);
	if (rc >= 0 && work->failed)
		rc = err_set(err, -ENOMEM, "QEMU's command line");
	return rc;
}

static int hypervisor_open_log(struct hypervisor_work *work, struct err *err)
{
	auto_free char *path = place_path(work->plan->place, "log");

	work->log = !path ? -1
			  : open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
				 0600);
	return work->log < 0 ? err_set(err, -errno, "make QEMU's log") : 0;
}

/* Its last words. */
static int hypervisor_said(struct hypervisor_work *work, int status,
			   struct err *err)
{
	char text[1024], *end, *line;
	ssize_t len = pread(work->log, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = 0;
	end = text + strlen(text);
	while (end > text && end[-1] == '\n')
		*--end = 0;
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (strncmp(line, "qemu-system-x86_64: ", 20) == 0)
		line += 20;
	if (*line)
		return err_set(err, -EINVAL, "qemu: %.200s", line);
	return WIFSIGNALED(status)
		       ? err_set(err, -EINVAL, "qemu ended by signal %d",
				 WTERMSIG(status))
		       : err_set(err, -EINVAL, "qemu ended with status %d",
				 WEXITSTATUS(status));
}

/* The caller's environment, with the plan's number, and, without a template,
 * the shim. */
static char **hypervisor_environment(const struct hypervisor_work *work,
				     bool warm, char *own[2])
{
	auto_free char *shim =
		warm ? NULL : install_find("brood-shim.so", NULL);
	int count = 0, to = 0;
	char **all;

	while (environ[count])
		count++;
	all = calloc((size_t)count + 3, sizeof(*all));
	own[0] = file_format(RAM_PLAN_VARIABLE "=%d", work->memory->plan_fd);
	own[1] = shim ? file_format("LD_PRELOAD=%s", shim) : NULL;
	if (!all || !own[0] || (!warm && !own[1])) {
		free(all);
		return NULL;
	}
	for (int i = 0; i < count; i++)
		if (strncmp(environ[i], RAM_PLAN_VARIABLE "=",
			    strlen(RAM_PLAN_VARIABLE "=")) != 0 &&
		    (warm || strncmp(environ[i], "LD_PRELOAD=", 11) != 0))
			all[to++] = environ[i];
	all[to++] = own[0];
	if (own[1])
		all[to++] = own[1];
	return all;
}

static pid_t hypervisor_exec(struct hypervisor_work *work, const char *path,
			     char *const *argv, bool warm, struct err *err)
{
	char *own[2] = { NULL, NULL };
	auto_free char **envp = hypervisor_environment(work, warm, own);
	const struct process_plan plan = {
		.path = path,
		.argv = argv,
		.envp = envp,
		.fds = { -1, work->log, work->log },
		.keep = work->keep,
		.keep_count = work->keep_count,
		.new_session = !work->plan->ends_with_us,
		.new_group = true,
		.dies_with_us = work->plan->ends_with_us,
	};
	pid_t pid = envp ? process_start(&plan, err)
			 : err_set(err, -ENOENT, "the shim, brood-shim.so");

	free(own[0]);
	free(own[1]);
	return pid;
}

/* A starter that found that the template does not fit has executed QEMU as
 * it is. */
static bool hypervisor_went_cold(struct hypervisor_work *work,
				 struct hypervisor *hypervisor)
{
	auto_buf struct buf line = { 0 };
	auto_free char *way = NULL, *reason = NULL;

	if (file_read(work->report, &line, sizeof(hypervisor->why) * 8, NULL) <
		    0 ||
	    json_check(buf_string(&line), line.len, NULL) < 0)
		return false;
	way = json_get_text(buf_string(&line), "way");
	if (!way || strcmp(way, "exec") != 0)
		return false;
	reason = json_get_text(buf_string(&line), "reason");
	snprintf(hypervisor->why, sizeof(hypervisor->why), "%.199s",
		 reason ? reason : "its template does not fit");
	return true;
}

/* Up to where the memory is put together: 1, or 0 where it went another way
 * without the shim. */
static int hypervisor_await_memory(struct hypervisor_work *work, bool warm,
				   struct hypervisor *hypervisor,
				   struct err *err)
{
	const struct timespec look = { .tv_nsec = HYPERVISOR_LOOK_US * 1000 };
	uint64_t end = clock_ns() + (uint64_t)HYPERVISOR_START_MS * 1000000;
	int status;

	for (;;) {
		int rc = memory_state(work->memory, work->plan->tip, err);

		if (rc)
			return rc;
		if (waitpid(hypervisor->pid, &status, WNOHANG) ==
		    hypervisor->pid) {
			hypervisor->pid = 0;
			rc = memory_state(work->memory, work->plan->tip, err);
			return rc < 0 ? rc : hypervisor_said(work, status, err);
		}
		if (clock_ns() > end ||
		    (warm && hypervisor_went_cold(work, hypervisor)))
			return 0;
		nanosleep(&look, NULL);
	}
}

static void hypervisor_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int hypervisor_connect(struct hypervisor_work *work,
			      struct hypervisor *hypervisor, struct err *err)
{
	auto_free char *path = place_path(work->plan->place, "qmp");
	int rc, status = 0;

	if (!path)
		return err_set(err, -ENOMEM, "name of a socket");
	/* Held by us too, it would never hang up. */
	for (int i = 0; i < SOCKETS; i++)
		fd_close(&work->sockets[i]);
	rc = qmp_open(&hypervisor->qmp, path, HYPERVISOR_START_MS, err);
	/* One that hangs up is about to end, and has said why. */
	if (rc >= 0 ||
	    process_wait(hypervisor->pid, HYPERVISOR_END_MS, &status) < 0)
		return rc;
	hypervisor->pid = 0;
	return hypervisor_said(work, status, err);
}

static int hypervisor_try(struct hypervisor_work *work, const char *path,
			  char *const *argv, bool warm,
			  struct hypervisor *hypervisor, struct err *err)
{
	uint64_t started_ns = clock_ns();
	int rc;

	hypervisor->warm = warm;
	memory_reset(work->memory);
	/* What one before this told says nothing of this one. */
	if (work->report)
		unlink(work->report);
	hypervisor->pid = hypervisor_exec(work, path, argv, warm, err);
	if (hypervisor->pid < 0)
		return hypervisor->pid;
	half_tell(work->plan->half, HALF_END, hypervisor->pid);
	hypervisor->exec_ns = clock_ns() - started_ns;
	rc = hypervisor_await_memory(work, warm, hypervisor, err);
	hypervisor->composed_ns = clock_ns() - started_ns;
	if (rc == 0)
		rc = err_set(err, -EINVAL,
			     "qemu has not put its memory together: %s",
			     warm ? "its template does not fit"
				  : "the shim is not in it");
	if (rc > 0)
		rc = hypervisor_connect(work, hypervisor, err);
	hypervisor->qmp_ns = clock_ns() - started_ns;
	if (rc < 0 && hypervisor->pid > 0)
		hypervisor_end(hypervisor->pid);
	return rc;
}

/* A copy of the template is a process of ours, mapped into it: by hatch. */
static int hypervisor_try_warm(struct hypervisor_work *work,
			       struct hypervisor *hypervisor, struct err *err)
{
	const struct start_wish wish = { .word = work->plan->qemu->path,
					 .argv = work->words,
					 .via = "hatch",
					 .report = work->report };
	auto_start struct start start = { 0 };
	int rc = start_find(&wish, &start, err);

	if (rc < 0)
		return rc;
	if (!start.warm) {
		snprintf(hypervisor->why, sizeof(hypervisor->why), "%.199s",
			 start.why);
		return -EAGAIN;
	}
	rc = hypervisor_try(work, start.path, start.argv, true, hypervisor,
			    err);
	/* What is said of this try is not true of the next one. */
	if (work->report)
		unlink(work->report);
	if (rc < 0 && !hypervisor->why[0])
		snprintf(hypervisor->why, sizeof(hypervisor->why), "%.199s",
			 err && *err->text ? err->text : "its copy failed");
	hypervisor->warm = rc >= 0;
	return rc;
}

int hypervisor_start(const struct hypervisor_plan *plan, struct memory *memory,
		     struct hypervisor *hypervisor, struct err *err)
{
	struct hypervisor_work work = { .plan = plan,
					.memory = memory,
					.sockets = { -1, -1, -1 },
					.log = -1 };
	bool warm = false;
	int rc;

	*hypervisor = (struct hypervisor){ 0 };
	work.report = place_path(plan->place, "report");
	rc = work.report ? hypervisor_open_log(&work, err)
			 : err_set(err, -ENOMEM, "name of a file");
	if (rc >= 0 && !plan->cold)
		rc = hypervisor_prepare(&work, err);
	if (rc >= 0 && !plan->cold)
		warm = hypervisor_try_warm(&work, hypervisor, err) >= 0;
	if (rc >= 0 && !warm)
		rc = hypervisor_prepare(&work, err);
	if (rc >= 0 && !warm)
		rc = hypervisor_try(&work, plan->qemu->path, work.words, false,
				    hypervisor, err);
	hypervisor_forget(&work);
	fd_close(&work.log);
	if (work.report)
		unlink(work.report);
	free(work.report);
	if (rc >= 0)
		log_event("machine.start",
			  "\"name\":\"%s\",\"pid\":%d,\"pieces\":%u,"
			  "\"way\":\"%s\"",
			  plan->place->name, hypervisor->pid,
			  memory->plan->run_count,
			  hypervisor->warm ? "hatch" : "exec");
	return rc;
}

void hypervisor_kill(struct hypervisor *hypervisor)
{
	qmp_free(&hypervisor->qmp);
	if (hypervisor->pid > 0)
		hypervisor_end(hypervisor->pid);
	hypervisor->pid = 0;
}

/* ---- orders ------------------------------------------------------------------ */

int hypervisor_stop(struct qmp *qmp, struct err *err)
{
	return qmp_command(qmp, "stop", NULL, NULL, err);
}

int hypervisor_go_on(struct qmp *qmp, struct err *err)
{
	return qmp_command(qmp, "cont", NULL, NULL, err);
}

int hypervisor_runs(struct qmp *qmp, struct err *err)
{
	auto_buf struct buf reply = { 0 };
	const char *value;
	size_t len;
	int rc = qmp_command(qmp, "query-status", NULL, &reply, err);

	if (rc < 0)
		return rc;
	value = json_get_value(buf_string(&reply), "running", &len);
	return value && len == 4 && memcmp(value, "true", 4) == 0;
}

/* Is what it tells of itself one of these words? */
static bool hypervisor_says(struct qmp *qmp, const char *command,
			    const char *const *words, struct err *err)
{
	auto_buf struct buf reply = { 0 };
	auto_free char *status = NULL;

	if (qmp_command(qmp, command, NULL, &reply, err) < 0)
		return false;
	status = json_get_text(buf_string(&reply), "status");
	for (; status && *words; words++)
		if (strcmp(status, *words) == 0)
			return true;
	return false;
}

/* QEMU says that its state was moved before it stands still for good: an
 * order to run that comes between is lost. */
int hypervisor_resume(struct qmp *qmp, struct err *err)
{
	static const char *const moves[] = { "setup",	   "active",
					     "device",	   "pre-switchover",
					     "cancelling", NULL };
	static const char *const ends[] = { "finish-migrate", NULL };
	uint64_t deadline = clock_deadline(HYPERVISOR_START_MS);

	while (clock_left_ms(deadline)) {
		if (hypervisor_says(qmp, "query-migrate", moves, NULL))
			qmp_command(qmp, "migrate_cancel", NULL, NULL, NULL);
		else if (!hypervisor_says(qmp, "query-status", ends, NULL))
			break;
		clock_sleep_ms(1);
	}
	return hypervisor_go_on(qmp, err);
}

/* Memory stays where it is: it is shared, as far as QEMU knows. */
int hypervisor_set_up(struct qmp *qmp, struct err *err)
{
	int rc = qmp_command(qmp, "migrate-set-capabilities",
			     "{\"capabilities\":[{\"capability\":"
			     "\"x-ignore-shared\",\"state\":true},"
			     "{\"capability\":\"events\",\"state\":true}]}",
			     NULL, err);

	return rc;
}

static int hypervisor_await_moved(struct qmp *qmp, struct err *err)
{
	static const char *const names[] = { "MIGRATION", NULL };
	uint64_t end = clock_ns() + (uint64_t)HYPERVISOR_MOVE_MS * 1000000;
	int rc = 0;

	while (rc >= 0 && clock_ns() < end) {
		auto_free char *status = NULL;

		rc = qmp_event(qmp, names, HYPERVISOR_MOVE_MS, NULL, 0, err);
		if (rc < 0)
			break;
		status = json_get_text(qmp_event_data(qmp), "status");
		if (status && strcmp(status, "completed") == 0)
			return 0;
		if (status && (strcmp(status, "failed") == 0 ||
			       strcmp(status, "cancelled") == 0))
			return err_set(err, -EINVAL,
				       "qemu: the state of its devices was "
				       "not moved");
	}
	return rc < 0 ? rc
		      : err_set(err, -ETIME, "the state of qemu's devices");
}

int hypervisor_save(struct qmp *qmp, int fd, struct err *err)
{
	int rc = hypervisor_set_up(qmp, err);

	if (rc >= 0)
		rc = qmp_command(qmp, "migrate-set-parameters",
				 "{\"max-bandwidth\":1099511627776}", NULL,
				 err);
	if (rc >= 0)
		rc = qmp_pass_fd(qmp, "state", fd, err);
	if (rc >= 0)
		rc = qmp_command(qmp, "migrate", "{\"uri\":\"fd:state\"}", NULL,
				 err);
	return rc < 0 ? rc : hypervisor_await_moved(qmp, err);
}

int hypervisor_load(struct qmp *qmp, int fd, struct err *err)
{
	int rc = hypervisor_set_up(qmp, err);

	if (rc >= 0)
		rc = qmp_pass_fd(qmp, "state", fd, err);
	if (rc >= 0)
		rc = qmp_command(qmp, "migrate-incoming",
				 "{\"uri\":\"fd:state\"}", NULL, err);
	return rc < 0 ? rc : hypervisor_await_moved(qmp, err);
}
