/* SPDX-License-Identifier: Apache-2.0 */
/* An image is written in one go: plan, tables, saved pages, checks, and only
 * then a name.  Memory use does not grow with the image. */
#include "launch/image_write.h"
#include "bare/crc.h"
#include "bare/host.h"
#include "bare/image_check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "launch/image_plan.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, WRITE_PART = 1 << 20 };
#define WRITE_TICK_NS  10000000ull   /* file times lag behind by up to it */
#define WRITE_WHOLE_NS 2000000000ull /* where they have no fractions (FAT) */

struct image_writer {
	const struct image_source *source;
	struct verdict *verdict;
	struct maps maps;
	struct image_plan plan;
	struct buf facts, strings, files;
	uint32_t fact_count;
	struct program_image head;
	struct program_image *header; /* head and tables, header_bytes long */
};

/* Variables that change how any program starts, whether it reads them by
 * getenv or the loader does it for it. */
static const char *const write_variables[] = {
	"LD_LIBRARY_PATH",
	"LD_PRELOAD",
	"LD_AUDIT",
	"LD_DEBUG",
	"LD_PROFILE",
	"LD_ORIGIN_PATH",
	"LD_DYNAMIC_WEAK",
	"LD_HWCAP_MASK",
	"LD_BIND_NOT",
	"LD_POINTER_GUARD",
	"LD_SHOW_AUXV",
	"LD_TRACE_LOADED_OBJECTS",
	"LD_VERBOSE",
	"LD_WARN",
	"LD_PREFER_MAP_32BIT_EXEC",
	"GLIBC_TUNABLES",
	"MALLOC_ARENA_MAX",
	"MALLOC_ARENA_TEST",
	"MALLOC_CHECK_",
	"MALLOC_MMAP_MAX_",
	"MALLOC_MMAP_THRESHOLD_",
	"MALLOC_PERTURB_",
	"MALLOC_TOP_PAD_",
	"MALLOC_TRIM_THRESHOLD_",
	"MALLOC_TCACHE_COUNT",
};

static uint32_t write_string(struct image_writer *writer, const char *text)
{
	uint32_t at = writer->strings.len;

	if (!text || !*text)
		return 0;
	buf_add(&writer->strings, text, strlen(text) + 1);
	return at;
}

/* ---- facts ---------------------------------------------------------------- */

static const char *write_value(char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (; environment && *environment; environment++)
		if (strncmp(*environment, name, len) == 0 &&
		    (*environment)[len] == '=')
			return *environment + len + 1;
	return NULL;
}

static void write_fact(struct image_writer *writer,
		       const struct image_fact *fact)
{
	buf_add(&writer->facts, fact, sizeof *fact);
	writer->fact_count++;
}

static bool write_has_variable(const struct image_writer *writer,
			       const char *name)
{
	const struct image_fact *fact = (const void *)writer->facts.data;

	for (uint32_t i = 0; i < writer->fact_count; i++)
		if (fact[i].kind == FACT_ENVIRONMENT &&
		    strcmp(writer->strings.data + fact[i].name, name) == 0)
			return true;
	return false;
}

static void write_variable(struct image_writer *writer, const char *name)
{
	const char *value = write_value(writer->source->environment, name);
	struct image_fact fact = { .kind = FACT_ENVIRONMENT };

	/* The preload of the template is ours, not the caller's. */
	if (strcmp(name, "LD_PRELOAD") == 0)
		value = NULL;
	if (!*name || strncmp(name, "BROOD_", 6) == 0 ||
	    strcmp(name, "LD_BIND_NOW") == 0 ||
	    write_has_variable(writer, name))
		return;
	fact.name = write_string(writer, name);
	if (value) {
		/* "" is a value too, and string 0 means none */
		fact.text = writer->strings.len;
		buf_add(&writer->strings, value, strlen(value) + 1);
	}
	write_fact(writer, &fact);
}

static void write_variables_read(struct image_writer *writer)
{
	const struct control_stopped *stopped = writer->source->stopped;
	const char *end = stopped->environment + stopped->environment_bytes;

	for (const char *name = stopped->environment; name < end;
	     name += strnlen(name, end - name) + 1)
		write_variable(writer, name);
	for (size_t i = 0; i < sizeof write_variables / sizeof *write_variables;
	     i++)
		write_variable(writer, write_variables[i]);
}

static void write_witnessed(struct image_writer *writer)
{
	const struct witness *witness = writer->source->witness;

	for (size_t i = 0; i < witness->count; i++) {
		struct image_fact fact = {
			.kind = witness->fact[i].kind,
			.number = witness->fact[i].number,
			.name = write_string(writer, witness->fact[i].name),
			.value = witness->fact[i].value,
		};

		write_fact(writer, &fact);
	}
}

/* ---- files ---------------------------------------------------------------- */

static bool write_is_since(uint64_t time_ns, uint64_t started_ns,
			   uint64_t now_ns)
{
	uint64_t lag = time_ns % 1000000000u ? WRITE_TICK_NS : WRITE_WHOLE_NS;

	return time_ns + lag >= started_ns && time_ns <= now_ns;
}

/* Of a file that is written over while the program starts, memory may hold
 * the old half and its pages the new one; its times are those of the end.
 * A time that lies in the future (a clock that was set back, a server whose
 * clock is ahead) tells nothing about this start, and would be in the way of
 * each: such a file is taken as it is.  One that is written to all the time
 * is not served; each launch would find it changed. */
static int write_check_settled(const struct image_writer *writer,
			       const char *path, const struct file_stamp *stamp,
			       struct err *err)
{
	uint64_t started_ns = writer->source->started_ns;
	uint64_t now_ns = clock_wall_ns();

	if (!write_is_since(stamp->mtime_ns, started_ns, now_ns) &&
	    !write_is_since(stamp->ctime_ns, started_ns, now_ns))
		return 0;
	return err_set(err, -EAGAIN, "%s has just been changed", path);
}

static int write_one_file(struct image_writer *writer, size_t i,
			  struct err *err)
{
	struct image_file file = { 0 };
	struct file_stamp stamp;
	struct stat st;
	int r;

	if (stat(writer->plan.file[i], &st) < 0 ||
	    st.st_ino != writer->plan.ino[i]) {
		snprintf(writer->plan.refused, sizeof writer->plan.refused,
			 "%s was replaced while it was mapped",
			 file_base(writer->plan.file[i]));
		memset(&st, 0, sizeof st);
	}
	file_stamp_of(&st, &stamp);
	r = write_check_settled(writer, writer->plan.file[i], &stamp, err);
	if (r < 0)
		return r;
	file.dev = stamp.dev;
	file.ino = stamp.ino;
	file.size = stamp.size;
	file.mtime_ns = stamp.mtime_ns;
	file.ctime_ns = stamp.ctime_ns;
	file.path = write_string(writer, writer->plan.file[i]);
	buf_add(&writer->files, &file, sizeof file);
	return 0;
}

/* The file that holds an address, as an index. */
static uint32_t write_file_at(struct image_writer *writer, uint64_t addr)
{
	const struct map *map = maps_find(&writer->maps, addr);

	for (size_t i = 0; map && i < writer->plan.files; i++)
		if (writer->plan.ino[i] == map->ino)
			return i;
	return 0;
}

/* ---- the header ------------------------------------------------------------ */

/* Fields of /proc/PID/stat that tell where the program's parts lie. */
static int write_places(struct image_writer *writer, struct err *err)
{
	auto_buf struct buf text = { 0 };
	unsigned long field[52] = { 0 };
	char path[64], *at;
	int r;

	snprintf(path, sizeof path, "/proc/%d/stat", writer->source->pid);
	r = file_read(path, &text, 1 << 14, err);
	if (r < 0)
		return r;
	at = strrchr(text.data ? text.data : "", ')');
	for (int i = 3; at && i < 52; i++) {
		at = strchr(at, ' ');
		if (at)
			field[i] = strtoul(++at, NULL, 10);
	}
	writer->head.start_code = field[26];
	writer->head.end_code = field[27];
	writer->head.start_data = field[45];
	writer->head.end_data = field[46];
	writer->head.start_brk = field[47];
	writer->head.brk =
		writer->plan.heap_end ? writer->plan.heap_end : field[47];
	return 0;
}

static void write_state(struct image_writer *writer)
{
	const struct control_stopped *stopped = writer->source->stopped;
	const struct image_plan *plan = &writer->plan;
	struct program_image *head = &writer->head;

	head->built_ns = clock_wall_ns();
	head->boot = host_boot();
	head->machine = host_identity();
	head->generation = writer->source->generation;
	head->resume = stopped->resume;
	head->fs_base = stopped->fs_base;
	head->tid_address = stopped->tid_address;
	head->robust_list = stopped->robust_list;
	head->rseq = stopped->rseq;
	head->rseq_bytes = stopped->rseq_bytes;
	head->rseq_signature = stopped->rseq_signature;
	head->program_headers = stopped->auxv_program_headers;
	head->program_header_count = stopped->auxv_program_header_count;
	head->program_header_bytes = stopped->auxv_program_header_bytes;
	head->interpreter_base = stopped->auxv_base;
	head->entry = stopped->auxv_entry;
	head->vdso = plan->vdso;
	head->vdso_bytes = plan->vdso_bytes;
	head->vvar = plan->vvar;
	head->vvar_bytes = plan->vvar_bytes;
	head->vvar_clock = plan->vvar_clock;
	head->vvar_clock_bytes = plan->vvar_clock_bytes;
	head->stack_low = plan->stack_low;
	head->stack_high = plan->stack_high;
	head->signals_handled = writer->source->witness->signals_handled;
	head->exe_file = write_file_at(writer, stopped->auxv_entry);
	head->interpreter_file = write_file_at(writer, stopped->auxv_base);
	head->flags = (writer->verdict->clone ? IMAGE_CAN_CLONE : 0) |
		      (writer->verdict->hatch ? IMAGE_CAN_HATCH : 0) |
		      (stopped->deep ? IMAGE_DEEP : 0);
}

static uint32_t write_place_table(uint64_t *at, uint64_t bytes)
{
	uint64_t place = *at;

	*at = (place + bytes + 7) & ~7ull;
	return place;
}

/* Tables behind the struct, saved pages behind the tables. */
static int write_layout(struct image_writer *writer, struct err *err)
{
	struct program_image *head = &writer->head;
	struct image_plan *plan = &writer->plan;
	uint64_t at = sizeof *head;
	size_t maps = writer->verdict->hatch ? plan->count : 0;

	head->magic = IMAGE_MAGIC;
	head->version = IMAGE_VERSION;
	head->struct_bytes = sizeof *head;
	head->file_count = plan->files;
	head->map_count = maps;
	head->fact_count = writer->fact_count;
	head->string_bytes = writer->strings.len;
	head->files_at = write_place_table(&at, writer->files.len);
	head->maps_at = write_place_table(&at, maps * sizeof *plan->map);
	head->facts_at = write_place_table(&at, writer->facts.len);
	head->strings_at = write_place_table(&at, writer->strings.len);
	at = (at + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	if (at > IMAGE_HEADER_MOST)
		return err_set(err, -E2BIG, "tables of the image");
	head->header_bytes = at;
	for (size_t i = 0; i < maps; i++)
		if (plan->map[i].file == IMAGE_FROM_SAVED) {
			plan->map[i].at = at;
			at += plan->map[i].len;
		}
	head->file_bytes = at;
	return 0;
}

static int write_header(struct image_writer *writer, struct err *err)
{
	struct program_image *head = &writer->head;
	char *header = calloc(1, head->header_bytes);

	if (!header)
		return err_set(err, -ENOMEM, "header of the image");
	memcpy(header, head, sizeof *head);
	memcpy(header + head->files_at, writer->files.data, writer->files.len);
	if (head->map_count)
		memcpy(header + head->maps_at, writer->plan.map,
		       head->map_count * sizeof *writer->plan.map);
	if (writer->facts.len)
		memcpy(header + head->facts_at, writer->facts.data,
		       writer->facts.len);
	memcpy(header + head->strings_at, writer->strings.data,
	       writer->strings.len);
	writer->header = (void *)header;
	return 0;
}

/* ---- saved pages ------------------------------------------------------------ */

/* Pages behind the end of a mapped file cannot be read: they are zeros. */
static void write_read(int memory, char *to, size_t len, uint64_t from)
{
	if (pread(memory, to, len, from) == (ssize_t)len)
		return;
	for (size_t i = 0; i < len; i += PAGE)
		if (pread(memory, to + i, PAGE, from + i) != PAGE)
			memset(to + i, 0, PAGE);
}

static int write_saved(struct image_writer *writer, int memory, int image,
		       char *part, struct err *err)
{
	const struct image_plan *plan = &writer->plan;
	uint32_t crc = 0;
	int r;

	for (size_t i = 0; i < writer->head.map_count; i++) {
		const struct image_map *map = &plan->map[i];

		if (map->file != IMAGE_FROM_SAVED)
			continue;
		for (uint64_t done = 0; done < map->len;) {
			size_t n = map->len - done > WRITE_PART
					   ? WRITE_PART
					   : map->len - done;

			write_read(memory, part, n, map->addr + done);
			crc = crc_of(crc, part, n);
			r = fd_pwrite_all(image, part, n, map->at + done, err);
			if (r < 0)
				return r;
			done += n;
		}
	}
	writer->header->body_crc = crc;
	return 0;
}

static int write_body(struct image_writer *writer, int image, struct err *err)
{
	char path[64];
	auto_free char *part = malloc(WRITE_PART);

	snprintf(path, sizeof path, "/proc/%d/mem", writer->source->pid);
	auto_close int memory = open(path, O_RDONLY | O_CLOEXEC);

	if (memory < 0)
		return err_set(err, -errno, "open %s", path);
	if (!part)
		return err_set(err, -ENOMEM, "write the image");
	return write_saved(writer, memory, image, part, err);
}

/* ---- all of it --------------------------------------------------------------- */

static int write_out(struct image_writer *writer, const char *path,
		     struct err *err)
{
	struct program_image *header = writer->header;
	struct file_draft draft;
	const char *wrong = NULL;
	int r = file_draft_open(&draft, path, 0600, err);

	if (r >= 0)
		r = write_body(writer, draft.fd, err);
	if (r >= 0) {
		header->header_sum =
			image_sum(header, writer->head.header_bytes,
				  offsetof(struct program_image, header_sum));
		wrong = image_check(header, header->header_bytes,
				    header->file_bytes);
		if (wrong)
			r = err_set(err, -EPROTO, "the new image %s", wrong);
	}
	if (r >= 0)
		r = fd_pwrite_all(draft.fd, header, header->header_bytes, 0,
				  err);
	if (r >= 0)
		r = file_draft_publish(&draft, err);
	file_draft_close(&draft);
	return r < 0 ? err_wrap(err, "image") : 0;
}

static void write_refuse_hatch(struct image_writer *writer)
{
	if (!writer->plan.refused[0])
		return;
	writer->verdict->hatch = false;
	if (!writer->verdict->no_hatch[0])
		snprintf(writer->verdict->no_hatch,
			 sizeof writer->verdict->no_hatch, "%s",
			 writer->plan.refused);
}

static int write_tables(struct image_writer *writer, struct err *err)
{
	int r = 0;

	buf_add(&writer->strings, "", 1);
	write_witnessed(writer);
	write_variables_read(writer);
	for (size_t i = 0; i < writer->plan.files && r >= 0; i++)
		r = write_one_file(writer, i, err);
	if (r < 0)
		return r;
	write_refuse_hatch(writer);
	if (writer->facts.failed || writer->strings.failed ||
	    writer->files.failed)
		return err_set(err, -ENOMEM, "tables of the image");
	r = write_places(writer, err);
	write_state(writer);
	if (r >= 0)
		r = write_layout(writer, err);
	return r < 0 ? r : write_header(writer, err);
}

static void writer_fini(struct image_writer *writer)
{
	free(writer->header);
	buf_fini(&writer->facts);
	buf_fini(&writer->strings);
	buf_fini(&writer->files);
	image_plan_fini(&writer->plan);
	maps_fini(&writer->maps);
}

int image_write(struct image_source *source, struct verdict *verdict,
		const char *path, struct err *err)
{
	struct image_writer writer = { .source = source, .verdict = verdict };
	int r = maps_read(source->pid, &writer.maps, err);

	if (r >= 0)
		r = image_plan_make(source->pid, &writer.maps, source->stopped,
				    &writer.plan, err);
	if (r >= 0)
		r = write_tables(&writer, err);
	if (r >= 0)
		r = write_out(&writer, path, err);
	if (r >= 0)
		log_event("image.publish",
			  "\"maps\":%u,\"files\":%u,\"bytes\":%lu",
			  writer.head.map_count, writer.head.file_count,
			  (unsigned long)writer.head.file_bytes);
	writer_fini(&writer);
	return r;
}

/* ---- verifying --------------------------------------------------------------- */

static int verify_body(const struct program_image *image, const char *path,
		       struct err *err)
{
	const struct image_map *map = image_maps(image);
	uint32_t crc = 0;

	for (uint32_t i = 0; i < image->map_count; i++)
		if (map[i].file == IMAGE_FROM_SAVED)
			crc = crc_of(crc, (const char *)image + map[i].at,
				     map[i].len);
	if (crc != image->body_crc)
		return err_set(err, -EBADMSG, "%s: its memory is damaged",
			       path);
	return 0;
}

int image_verify(const char *path, struct err *err)
{
	auto_close int fd = file_open_trusted(path, err);
	struct stat st;
	const char *wrong;
	void *image;
	int r = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat %s", path);
	if (st.st_size < (off_t)sizeof(struct program_image))
		return err_set(err, -EBADMSG, "%s is not an image", path);
	image = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		return err_set(err, -errno, "map %s", path);
	wrong = image_check(image, st.st_size, st.st_size);
	r = wrong ? err_set(err, -EBADMSG, "%s %s", path, wrong)
		  : verify_body(image, path, err);
	munmap(image, st.st_size);
	return r;
}
