/* SPDX-License-Identifier: Apache-2.0 */
/* Functions are cut into chunks, neighbours together, so that they can be
 * inlined into each other.  A stack has those that wait; some processes work
 * on one each.  What a chunk's process made is kept, and what it did not make
 * is told; a chunk that failed comes back as two halves. */
#include "aot/aot.h"
#include "aot/compiler.h"
#include "aot/join.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	AOT_WORKERS_MOST = 64,
	AOT_CHUNK_BYTES = 64 * 1024, /* of bodies */
	AOT_CHUNK_LEAST = 8 * 1024,
	AOT_ALONE = 16 * 1024, /* a larger one has a process of its own */
	AOT_BYTES_S = 1024,    /* a slow one's, ten times as slow as most */
	AOT_LEAST_S = 5,
	AOT_CHUNK_FUNCTIONS = 4096,
	AOT_PATIENCE = 32 /* failures without anything made: it cannot */
};

const struct aot_limits aot_limits_usual = {
	.chunk_s = 60,
	.total_s = 600,
	.memory_bytes = UINT64_C(2) << 30,
};

struct aot_chunk {
	uint32_t first, count; /* of the work's functions */
};
struct aot_slot {
	struct aot_compiler compiler;
	struct aot_chunk chunk;
};
struct aot_job {
	const struct aot_work *work;
	struct aot_made *made;
	struct aot_chunk *chunks; /* a stack */
	uint32_t chunk_count, chunk_room;
	struct aot_slot slots[AOT_WORKERS_MOST];
	unsigned workers, running;
	uint32_t done, failures;
	uint64_t cpu_us;
	char why[256]; /* nothing begins any more; "": it does */
	struct err *err;
};

/* ---- chunks ---------------------------------------------------------------- */

static int aot_push(struct aot_job *job, uint32_t first, uint32_t count)
{
	struct aot_chunk *more;

	if (job->chunk_count == job->chunk_room) {
		job->chunk_room = job->chunk_room ? 2 * job->chunk_room : 64;
		more = reallocarray(job->chunks, job->chunk_room,
				    sizeof(*more));
		if (!more)
			return err_set(job->err, -ENOMEM, "chunks");
		job->chunks = more;
	}
	job->chunks[job->chunk_count++] = (struct aot_chunk){ first, count };
	return 0;
}

static uint64_t aot_body_bytes(const struct aot_job *job, uint32_t at)
{
	return job->work->module->functions[job->work->functions[at]].body_len;
}

/* So that all workers have something. */
static uint64_t aot_chunk_bytes(const struct aot_job *job)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < job->work->count; i++)
		sum += aot_body_bytes(job, i);
	sum /= 2 * job->workers;
	return sum < AOT_CHUNK_LEAST   ? AOT_CHUNK_LEAST
	       : sum > AOT_CHUNK_BYTES ? AOT_CHUNK_BYTES
				       : sum;
}

/* From the last to the first, which is on top then. */
static int aot_cut(struct aot_job *job)
{
	uint64_t most = aot_chunk_bytes(job), bytes = 0;
	uint32_t end = job->work->count;

	for (uint32_t i = end; i-- > 0;) {
		uint64_t body = aot_body_bytes(job, i);

		if (end > i + 1 && (bytes + body > most || body > AOT_ALONE ||
				    aot_body_bytes(job, i + 1) > AOT_ALONE ||
				    end - i > AOT_CHUNK_FUNCTIONS)) {
			if (aot_push(job, i + 1, end - i - 1) < 0)
				return -ENOMEM;
			end = i + 1;
			bytes = 0;
		}
		bytes += body;
	}
	return end ? aot_push(job, 0, end) : 0;
}

/* ---- what became of a chunk ------------------------------------------------ */

/* Words of another program. */
static void aot_plain(const char *words, char *to, size_t room)
{
	size_t len = 0;

	for (; *words && *words != '\n' && len + 1 < room; words++)
		to[len++] = *words >= ' ' && *words < 127 ? *words : '?';
	to[len] = 0;
}

static void aot_leave(struct aot_job *job, uint32_t at, const char *why)
{
	char text[200];

	job->made->left++;
	job->done++;
	if (!job->work->left)
		return;
	aot_plain(why, text, sizeof(text));
	job->work->left(job->work->env, job->work->functions[at], text);
}

static void aot_leave_all(struct aot_job *job, struct aot_chunk chunk,
			  const char *why)
{
	for (uint32_t i = 0; i < chunk.count; i++)
		aot_leave(job, chunk.first + i, why);
}

/* Of a line "f12: why". */
static const char *aot_line_about(const char *line, uint64_t *function)
{
	char *end;

	if (line[0] != 'f' || line[1] < '0' || line[1] > '9')
		return NULL;
	errno = 0;
	*function = strtoull(line + 1, &end, 10);
	return !errno && end[0] == ':' && end[1] == ' ' ? end + 2 : NULL;
}

static int64_t aot_find(const struct aot_job *job, struct aot_chunk chunk,
			uint64_t function)
{
	uint32_t low = chunk.first, high = low + chunk.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (job->work->functions[middle] < function)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == chunk.first + chunk.count ||
	    job->work->functions[low] != function)
		return -1;
	return low;
}

/* What was told of each function of the chunk. */
static void aot_read_words(const struct aot_job *job, struct aot_chunk chunk,
			   const char *words, const char **why)
{
	while (*words) {
		uint64_t function;
		const char *about = aot_line_about(words, &function);
		int64_t at = about ? aot_find(job, chunk, function) : -1;

		if (at >= 0)
			why[at - chunk.first] = about;
		words += strcspn(words, "\n");
		words += *words == '\n';
	}
}

static void aot_tell_left(struct aot_job *job, struct aot_chunk chunk,
			  const struct aot_object *object, const char **why)
{
	uint32_t next = 0;

	for (uint32_t i = 0; i < chunk.count; i++) {
		uint32_t at = chunk.first + i;

		if (next < object->made_count &&
		    object->made[next].function == job->work->functions[at]) {
			next++;
			job->done++;
		} else {
			aot_leave(job, at,
				  why[i] ? why[i] : "the compiler left it out");
		}
	}
}

static int aot_keep(struct aot_job *job, struct aot_object *object)
{
	struct aot_made *made = job->made;
	struct aot_object *more;

	if (!object->made_count) {
		aot_object_fini(object);
		return 0;
	}
	more = reallocarray(made->objects, made->object_count + 1ull,
			    sizeof(*more));
	if (!more) {
		aot_object_fini(object);
		return err_set(job->err, -ENOMEM, "optimised code");
	}
	made->objects = more;
	made->objects[made->object_count++] = *object;
	return 0;
}

static int aot_succeed(struct aot_job *job, struct aot_chunk chunk,
		       struct aot_object *object, const struct aot_end *end)
{
	const char **why = calloc(chunk.count, sizeof(*why));

	if (!why) {
		aot_object_fini(object);
		return err_set(job->err, -ENOMEM, "optimised code");
	}
	aot_read_words(job, chunk, buf_string(&end->words), why);
	aot_tell_left(job, chunk, object, why);
	free(why);
	return aot_keep(job, object);
}

/* One that never makes anything is not asked for each function. */
static void aot_lose_patience(struct aot_job *job, const char *why)
{
	if (++job->failures >= AOT_PATIENCE && !job->made->object_count &&
	    !job->why[0])
		snprintf(job->why, sizeof(job->why),
			 "the compiler fails each time: %.200s", why);
}

static int aot_fail(struct aot_job *job, struct aot_chunk chunk,
		    const char *why)
{
	uint32_t half = chunk.count / 2;

	log_event("aot.fail", "\"first\":%u,\"count\":%u",
		  job->work->functions[chunk.first], chunk.count);
	aot_lose_patience(job, why);
	if (chunk.count == 1) {
		aot_leave(job, chunk.first, why);
		return 0;
	}
	if (aot_push(job, chunk.first + half, chunk.count - half) < 0)
		return -ENOMEM;
	return aot_push(job, chunk.first, half);
}

static int aot_take(struct aot_job *job, struct aot_chunk chunk,
		    const struct aot_end *end)
{
	const struct wasm_module *module = job->work->module;
	const struct aot_wanted wanted = {
		.imported = module->imported_functions,
		.function_count = module->function_count,
		.functions = job->work->functions + chunk.first,
		.count = chunk.count,
	};
	struct aot_object object;
	struct err why = { 0 };

	job->cpu_us += end->cpu_us;
	if (job->made->peak_kib < end->peak_kib)
		job->made->peak_kib = end->peak_kib;
	if (!end->is_fine)
		return aot_fail(job, chunk, end->why);
	if (aot_object_read(&object, end->object.data, end->object.len, &wanted,
			    &why) < 0)
		return aot_fail(job, chunk, why.text);
	return aot_succeed(job, chunk, &object, end);
}

/* ---- processes ------------------------------------------------------------- */

/* What its size may take. */
static uint64_t aot_chunk_seconds(const struct aot_job *job,
				  struct aot_chunk chunk)
{
	uint64_t bytes = 0, seconds;

	for (uint32_t i = 0; i < chunk.count; i++)
		bytes += aot_body_bytes(job, chunk.first + i);
	seconds = AOT_LEAST_S + bytes / AOT_BYTES_S;
	return seconds < job->work->limits.chunk_s ? seconds
						   : job->work->limits.chunk_s;
}

/* A process that begins late has what is left. */
static uint32_t aot_seconds(const struct aot_job *job, struct aot_chunk chunk)
{
	uint64_t total = job->work->limits.total_s;
	/* The kernel stops one a little before its time is over. */
	uint64_t used = (job->cpu_us + 100000) / 1000000;
	uint64_t seconds = aot_chunk_seconds(job, chunk);

	if (used >= total)
		return 0;
	return (uint32_t)(total - used < seconds ? total - used : seconds);
}

static int aot_start(struct aot_job *job, struct aot_slot *slot)
{
	uint32_t seconds;
	int rc;

	slot->chunk = job->chunks[--job->chunk_count];
	seconds = aot_seconds(job, slot->chunk);
	if (!seconds && !job->why[0])
		snprintf(job->why, sizeof(job->why),
			 "no CPU time was left of %u s",
			 job->work->limits.total_s);
	if (job->why[0]) {
		aot_leave_all(job, slot->chunk, job->why);
		return 0;
	}
	rc = aot_compiler_start(&slot->compiler, job->work,
				job->work->functions + slot->chunk.first,
				slot->chunk.count, seconds, job->err);
	if (rc < 0)
		return rc;
	job->running++;
	job->made->processes++;
	return 0;
}

static int aot_fill(struct aot_job *job)
{
	for (unsigned i = 0; i < job->workers; i++)
		while (job->chunk_count && !job->slots[i].compiler.pid) {
			int rc = aot_start(job, &job->slots[i]);

			if (rc < 0)
				return rc;
		}
	return 0;
}

static int aot_collect(struct aot_job *job)
{
	int rc = 0;

	for (unsigned i = 0; i < job->workers && rc >= 0; i++) {
		struct aot_slot *slot = &job->slots[i];
		struct aot_end end;

		if (!slot->compiler.pid ||
		    !aot_compiler_ended(&slot->compiler, &end))
			continue;
		job->running--;
		rc = aot_take(job, slot->chunk, &end);
		aot_end_fini(&end);
	}
	return rc;
}

/* Until one has ended, or is to be ended, or somebody wants to see that it
 * goes on. */
static void aot_wait(const struct aot_job *job)
{
	struct pollfd fds[AOT_WORKERS_MOST];
	int ms = PROGRESS_TICK_MS;
	nfds_t count = 0;

	for (unsigned i = 0; i < job->workers; i++) {
		const struct aot_compiler *compiler = &job->slots[i].compiler;
		int left;

		if (!compiler->pid)
			continue;
		left = aot_compiler_left_ms(compiler);
		if (compiler->pidfd < 0)
			left = 2;
		ms = left < ms ? left : ms;
		fds[count++] = (struct pollfd){ compiler->pidfd, POLLIN, 0 };
	}
	poll(fds, count, ms);
}

static void aot_show(const struct aot_job *job)
{
	if (job->work->progress)
		job->work->progress(job->work->env, job->done,
				    job->work->count);
}

static int aot_run(struct aot_job *job)
{
	int rc = aot_cut(job);

	while (rc >= 0 && (job->chunk_count || job->running)) {
		aot_show(job);
		rc = aot_fill(job);
		if (rc >= 0 && job->running) {
			aot_wait(job);
			rc = aot_collect(job);
		}
	}
	for (unsigned i = 0; i < job->workers; i++)
		aot_compiler_stop(&job->slots[i].compiler);
	free(job->chunks);
	return rc;
}

/* ---- all of it ------------------------------------------------------------- */

static unsigned aot_workers(unsigned wanted)
{
	cpu_set_t set;

	if (!wanted && sched_getaffinity(0, sizeof(set), &set) == 0)
		wanted = (unsigned)CPU_COUNT(&set);
	if (!wanted)
		wanted = 1;
	return wanted < AOT_WORKERS_MOST ? wanted : AOT_WORKERS_MOST;
}

int aot_optimise(const struct aot_work *work, struct aot_made *made,
		 struct err *err)
{
	struct aot_job *job = calloc(1, sizeof(*job));
	uint64_t began_ns = clock_ns();
	int rc;

	*made = (struct aot_made){ 0 };
	if (!job)
		return err_set(err, -ENOMEM, "optimise");
	job->work = work;
	job->made = made;
	job->err = err;
	job->workers = aot_workers(work->limits.workers);
	rc = aot_run(job);
	if (rc >= 0)
		rc = aot_join(made, err);
	made->cpu_ms = job->cpu_us / 1000;
	made->wall_ms = (clock_ns() - began_ns) / 1000000;
	log_event("aot.optimise",
		  "\"functions\":%u,\"made\":%u,\"processes\":%u", work->count,
		  made->link.made_count, made->processes);
	free(job);
	if (rc < 0)
		aot_made_fini(made);
	return rc < 0 ? rc : 0;
}

void aot_made_fini(struct aot_made *made)
{
	for (uint32_t i = 0; i < made->object_count; i++)
		aot_object_fini(&made->objects[i]);
	free(made->objects);
	free((void *)made->link.made);
	free((void *)made->link.constants);
	free((void *)made->link.constant_sites);
	*made = (struct aot_made){ 0 };
}
