/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/pack.h"
#include "appliance/appliance.h"
#include "appliance/kind.h"
#include "appliance/manifest.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "tree/erofs_unpack.h"
#include "tree/erofs_write.h"
#include "tree/needed.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PACK_ENTRIES = RECORD_ENTRIES };

struct pack {
	const struct pack_wish *wish;
	struct packed *packed;
	struct tree tree;
	struct needed needed;
	char *program;	 /* absolute; NULL: a folder is packed */
	char *loader;	 /* of the payload, with the own C library */
	char *libraries; /* folders with a : between */
	struct manifest_entry entry[PACK_ENTRIES];
	char *entry_path[PACK_ENTRIES], *entry_name[PACK_ENTRIES];
	int entry_count;
};

static int pack_no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "pack an application");
}

/* ---- what goes into it ----------------------------------------------------------- */

static const char *pack_kind(const struct pack *pack, const char *path)
{
	size_t len = strlen(path);

	if (pack->wish->kind)
		return pack->wish->kind;
	if (len > 5 && strcmp(path + len - 5, ".wasm") == 0)
		return kinds[RECORD_WASM].name;
	return kinds[RECORD_PROGRAM].name;
}

static bool pack_is_program(const struct pack *pack, const char *path)
{
	return strcmp(pack_kind(pack, path), kinds[RECORD_PROGRAM].name) == 0;
}

/* Where a file is put: its folder is resolved, as all names in a payload are,
 * its own name is not.  malloced; NULL with errno */
static char *pack_place(const char *path)
{
	const char *name = file_base(path);
	auto_free char *folder = name > path
					 ? strndup(path, (size_t)(name - path))
					 : strdup(".");
	auto_free char *real = folder ? realpath(folder, NULL) : NULL;

	return real ? file_format("%s/%s", strcmp(real, "/") ? real : "", name)
		    : NULL;
}

/* Its links stay as they are; their targets come with it. */
static int pack_find_program(struct pack *pack, struct err *err)
{
	const char *word = pack->wish->what;
	auto_free char *found = NULL;

	found = strchr(word, '/') ? strdup(word)
				  : process_find_in_path(word, getenv("PATH"));
	if (!found)
		return err_set(err, -ENOENT,
			       "%s is no folder and no program in PATH", word);
	if (access(found, pack_is_program(pack, found) ? X_OK : R_OK) < 0)
		return err_set(err, -errno, "%s", found);
	pack->program = pack_place(found);
	return pack->program ? 0 : err_set(err, -errno, "%s", found);
}

/* "PATH" or "PATH=TO". */
static int pack_add_with(struct pack *pack, const char *word, struct err *err)
{
	const char *equals = strchr(word, '=');
	auto_free char *path =
		equals ? strndup(word, (size_t)(equals - word)) : strdup(word);
	auto_free char *real = path ? realpath(path, NULL) : NULL;

	if (!path)
		return pack_no_memory(err);
	if (!real)
		return err_set(err, -errno, "open %s", path);
	return needed_add(&pack->needed, *path == '/' ? path : real,
			  equals ? equals + 1 : NULL, err);
}

static int pack_collect(struct pack *pack, struct err *err)
{
	const struct pack_wish *wish = pack->wish;
	struct stat st;
	int rc;

	if (stat(wish->what, &st) == 0 && S_ISDIR(st.st_mode)) {
		rc = tree_add_folder(&pack->tree, wish->what, "",
				     &pack->packed->notes, err);
	} else {
		rc = pack_find_program(pack, err);
		if (rc >= 0)
			rc = needed_add(&pack->needed, pack->program, NULL,
					err);
	}
	for (int i = 0; rc >= 0 && wish->with && i < wish->with->count; i++)
		rc = pack_add_with(pack, wish->with->item[i], err);
	buf_add(&pack->packed->notes, buf_string(&pack->needed.notes),
		pack->needed.notes.len);
	return rc;
}

/* In the payload there is no other root: a link that begins with / means the
 * payload's own. */
static int pack_turn_link(const struct pack *pack, struct tree_node *node,
			  struct err *err)
{
	auto_buf struct buf text = { 0 };

	/* What is this system's lies where it is without links of folders. */
	if (pack->program) {
		auto_free char *place = pack_place(buf_string(&node->data));

		if (place) {
			buf_clear(&node->data);
			buf_text(&node->data, place);
		}
	}
	for (const char *at = node->name; (at = strchr(at, '/')); at++)
		buf_text(&text, "../");
	buf_add(&text, node->data.data + 1, node->data.len - 1);
	if (!text.len)
		buf_text(&text, ".");
	if (text.failed)
		return pack_no_memory(err);
	buf_clear(&node->data);
	buf_add(&node->data, text.data, text.len);
	return node->data.failed ? pack_no_memory(err) : 0;
}

static int pack_turn_links(struct pack *pack, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < pack->tree.count; i++) {
		struct tree_node *node = &pack->tree.node[i];

		if (S_ISLNK(node->mode) && node->data.len &&
		    node->data.data[0] == '/')
			rc = pack_turn_link(pack, node, err);
	}
	return rc;
}

/* No program gains rights by being shared. */
static void pack_drop_rights(struct pack *pack)
{
	size_t count = 0;

	for (size_t i = 0; i < pack->tree.count; i++) {
		struct tree_node *node = &pack->tree.node[i];

		if (S_ISREG(node->mode) && node->mode & (S_ISUID | S_ISGID)) {
			node->mode &= ~(mode_t)(S_ISUID | S_ISGID);
			if (!count++)
				buf_format(&pack->packed->notes,
					   "%s: set-user-id is not kept\n",
					   node->name);
		}
	}
}

/* ---- how it is started ------------------------------------------------------------ */

static bool pack_is_library(const char *name)
{
	return strstr(name, ".so") != NULL;
}

/* Folders of which the host's loader knows nothing when they are the
 * payload's. */
static bool pack_is_library_folder(const char *name, size_t len)
{
	static const char *const known[] = {
		"lib",
		"usr/lib",
		"lib64",
		"usr/lib64",
		"lib/x86_64-linux-gnu",
		"usr/lib/x86_64-linux-gnu",
		"usr/local/lib",
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strlen(known[i]) == len && memcmp(known[i], name, len) == 0)
			return true;
	return false;
}

static bool pack_has_folder(const char *list, const char *name, size_t len)
{
	for (; *list; list += strcspn(list, ":")) {
		list += *list == ':';
		if (strcspn(list, ":") == len && memcmp(list, name, len) == 0)
			return true;
	}
	return false;
}

static int pack_find_libraries(struct pack *pack, struct err *err)
{
	auto_buf struct buf list = { 0 };

	for (size_t i = 0; pack->program && i < pack->tree.count; i++) {
		const char *name = pack->tree.node[i].name;
		const char *base = file_base(name);
		size_t len = base > name ? (size_t)(base - name) - 1 : 0;

		if (S_ISDIR(pack->tree.node[i].mode) ||
		    !pack_is_library(base) ||
		    !pack_is_library_folder(name, len) ||
		    pack_has_folder(buf_string(&list), name, len))
			continue;
		buf_format(&list, "%s%.*s", list.len ? ":" : "", (int)len,
			   name);
	}
	if (list.failed)
		return pack_no_memory(err);
	pack->libraries = list.len ? buf_steal(&list) : NULL;
	return 0;
}

/* The interpreter that the program names, as it lies in the payload. */
static int pack_find_loader(struct pack *pack, struct err *err)
{
	auto_close int fd = open(pack->program, O_RDONLY | O_CLOEXEC);
	auto_free char *place = NULL;
	struct needed_elf elf = { 0 };
	struct stat st;
	void *at;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", pack->program);
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return err_set(err, -errno, "map %s", pack->program);
	if (needed_elf_read(at, (size_t)st.st_size, &elf) && elf.interpreter)
		place = pack_place(elf.interpreter);
	if (place)
		pack->loader = tree_name(&pack->tree, place, err);
	munmap(at, (size_t)st.st_size);
	return pack->loader ? 0
			    : err_set(err, -EINVAL,
				      "%s has no loader; --own-libc is for "
				      "dynamic programs",
				      pack->program);
}

static int pack_add_entry(struct pack *pack, const char *name, size_t name_len,
			  const char *path, struct err *err)
{
	const struct pack_wish *wish = pack->wish;
	int i = pack->entry_count;

	if (i == PACK_ENTRIES)
		return err_set(err, -EINVAL, "more than %d entries",
			       PACK_ENTRIES);
	pack->entry_name[i] = strndup(name, name_len);
	pack->entry_path[i] = tree_name(&pack->tree, path, err);
	pack->entry_count++; /* what there is of it is freed */
	if (!pack->entry_path[i])
		return err->code;
	if (!pack->entry_name[i])
		return pack_no_memory(err);
	pack->entry[i] = (struct manifest_entry){
		.name = pack->entry_name[i],
		.path = pack->entry_path[i],
		.kind = pack_kind(pack, path),
		.loader = pack->loader,
		.libraries = pack->libraries,
		.arguments = wish->arguments ? wish->arguments->item : NULL,
		.argument_count = wish->arguments ? wish->arguments->count : 0,
		.warm = wish->warm,
	};
	return 0;
}

/* NAME=PATH, or a PATH whose last part is the name. */
static int pack_given_entry(struct pack *pack, const char *word,
			    struct err *err)
{
	const char *equals = strchr(word, '=');
	const char *path = equals ? equals + 1 : word;
	const char *name = equals ? word : file_base(word);
	size_t len = equals ? (size_t)(equals - word) : strlen(name);

	return pack_add_entry(pack, name, len, path, err);
}

/* Of a folder: what can be executed in its bin folders. */
static int pack_found_entries(struct pack *pack, struct err *err)
{
	static const char *const folders[] = { "bin/", "usr/bin/", "" };
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < pack->tree.count; i++) {
		const struct tree_node *node = &pack->tree.node[i];
		const char *base = file_base(node->name);
		size_t len = (size_t)(base - node->name);

		for (size_t k = 0; k < 3; k++)
			if (S_ISREG(node->mode) && node->mode & 0111 &&
			    strlen(folders[k]) == len &&
			    memcmp(folders[k], node->name, len) == 0)
				rc = pack_add_entry(pack, base, strlen(base),
						    node->name, err);
	}
	if (rc >= 0 && !pack->entry_count)
		return err_set(err, -EINVAL,
			       "%s has no program in bin; --entry names what "
			       "is to be started",
			       pack->wish->what);
	return rc;
}

static int pack_entries(struct pack *pack, struct err *err)
{
	const struct args_list *given = pack->wish->entries;
	int rc = 0;

	if (pack->wish->own_libc && pack->program)
		rc = pack_find_loader(pack, err);
	if (rc >= 0)
		rc = pack_find_libraries(pack, err);
	for (int i = 0; rc >= 0 && given && i < given->count; i++)
		rc = pack_given_entry(pack, given->item[i], err);
	if (rc < 0 || pack->entry_count)
		return rc;
	return pack->program ? pack_given_entry(pack, pack->program, err)
			     : pack_found_entries(pack, err);
}

/* ---- .brood ----------------------------------------------------------------------- */

static int pack_ports(const struct args_list *list, long *port, struct err *err)
{
	for (int i = 0; list && i < list->count; i++) {
		char *end;

		port[i] = strtol(list->item[i], &end, 10);
		if (*end || port[i] < 1 || port[i] > 65535)
			return err_set(err, -EINVAL, "\"%s\" is no port",
				       list->item[i]);
	}
	return 0;
}

static int pack_manifest(struct pack *pack, struct err *err)
{
	const struct pack_wish *wish = pack->wish;
	auto_buf struct buf text = { 0 };
	long port[32] = { 0 };
	struct manifest manifest = {
		.name = wish->name ? wish->name : pack->entry[0].name,
		.release = wish->release ? wish->release : "",
		.entry = pack->entry,
		.entry_count = pack->entry_count,
		.port = port,
	};
	int rc = pack_ports(wish->ports, port, err);

	if (wish->ports)
		manifest.port_count = wish->ports->count;
	if (wish->environment) {
		manifest.environment = wish->environment->item;
		manifest.environment_count = wish->environment->count;
	}
	if (wish->writable) {
		manifest.writable = wish->writable->item;
		manifest.writable_count = wish->writable->count;
	}
	manifest_write(&manifest, &text);
	if (rc >= 0)
		rc = tree_data(&pack->tree, MANIFEST_PATH, 0644,
			       buf_string(&text), text.len, err);
	return rc;
}

/* A folder that was packed may have its own manifest. */
static bool pack_has_manifest(const struct pack *pack)
{
	auto_free char *path = file_join(pack->wish->what, MANIFEST_PATH);

	return !pack->program && path && access(path, R_OK) == 0;
}

static int pack_parts(struct pack *pack, struct err *err)
{
	int rc = tree_file(&pack->tree, MANIFEST_INSTALLER, 0755,
			   pack->wish->installer, err);

	if (rc >= 0)
		tree_set_mtime(&pack->tree, (struct timespec){ 0 });
	if (rc >= 0)
		rc = tree_file(&pack->tree, MANIFEST_START, 0755,
			       pack->wish->start, err);
	if (rc >= 0)
		tree_set_mtime(&pack->tree, (struct timespec){ 0 });
	return rc;
}

/* ---- where it goes ------------------------------------------------------------------ */

static int pack_write(struct pack *pack, struct progress *progress,
		      struct err *err)
{
	const struct erofs_write_plan plan = { 0 };
	struct erofs_written written;
	auto_close int fd = appliance_scratch(err);
	int rc = fd;

	if (rc >= 0)
		rc = erofs_write(fd, &pack->tree, &plan, &written, progress,
				 err);
	if (rc < 0)
		return rc;
	pack->packed->bytes = written.image_bytes;
	pack->packed->files = written.files;
	pack->packed->content = written.bytes;
	return steal_fd(&fd);
}

static int pack_to_device(const struct pack *pack, int image, struct err *err)
{
	const char *path = pack->wish->as;
	auto_close int fd = open(path, O_WRONLY | O_EXCL | O_CLOEXEC);
	uint64_t room;
	int rc;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &room) < 0)
		return err_set(err, -errno, "open %s", path);
	if (room < pack->packed->bytes)
		return err_set(err, -ENOSPC, "%s has %lu bytes of %lu", path,
			       (unsigned long)room,
			       (unsigned long)pack->packed->bytes);
	rc = payload_copy(image, fd, pack->packed->hex, pack->packed->bytes,
			  NULL, NULL, err);
	if (rc < 0)
		return err_wrap(err, "write %s", path);
	return fsync(fd) < 0 ? err_set(err, -errno, "write %s", path) : 0;
}

static int pack_to_folder(const struct pack *pack, int image, struct err *err)
{
	const char *path = pack->wish->as;
	struct erofs_source source;
	auto_close int dir = -1;
	struct erofs erofs;

	if (mkdir(path, 0755) < 0)
		return err_set(err, -errno, "make %s", path);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, -errno, "open %s", path);
	if (erofs_source_file(image, &source) < 0 ||
	    erofs_open(&source, &erofs, NULL) < 0)
		return err_set(err, -EIO, "read the image");
	return erofs_unpack(&erofs, dir, NULL, NULL, err);
}

static int pack_to_file(const struct pack *pack, int image, struct err *err)
{
	struct file_draft draft;
	int rc = file_draft_open(&draft, pack->wish->as, 0644, err);

	if (rc >= 0)
		rc = payload_copy(image, draft.fd, pack->packed->hex,
				  pack->packed->bytes, NULL, NULL, err);
	if (rc >= 0)
		rc = file_draft_publish(&draft, err);
	else
		err_wrap(err, "write %s", pack->wish->as);
	file_draft_close(&draft);
	return rc;
}

static int pack_put(const struct pack *pack, int image, struct err *err)
{
	size_t len = strlen(pack->wish->as);
	struct stat st;

	if (stat(pack->wish->as, &st) == 0 && S_ISBLK(st.st_mode))
		return pack_to_device(pack, image, err);
	if (len && pack->wish->as[len - 1] == '/')
		return pack_to_folder(pack, image, err);
	return pack_to_file(pack, image, err);
}

/* What an install would refuse is not written in the first place. */
static int pack_try(struct pack *pack, int image, struct err *err)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;
	int fd = fcntl(image, F_DUPFD_CLOEXEC, 0);
	int rc = fd < 0 ? -errno
			: appliance_adopt(fd, pack->wish->as, NULL, &appliance,
					  err);

	if (rc < 0)
		return err_wrap(err, "what was packed");
	snprintf(pack->packed->name, sizeof pack->packed->name, "%s",
		 appliance.record.name);
	memcpy(pack->packed->hex, appliance.hex, sizeof pack->packed->hex);
	for (int i = 0; i < appliance.record.entry_count; i++)
		buf_format(&pack->packed->entries, "%s\n",
			   appliance.record.entry[i].name);
	return 0;
}

/* ---- the pack on one screen ---------------------------------------------------------- */

static int pack_steps(struct pack *pack, struct progress *progress,
		      struct err *err)
{
	auto_close int image = -1;
	int rc = pack_collect(pack, err);

	if (rc >= 0)
		rc = pack_turn_links(pack, err);
	if (rc >= 0 && !pack_has_manifest(pack)) {
		rc = pack_entries(pack, err);
		if (rc >= 0)
			rc = pack_manifest(pack, err);
	}
	if (rc >= 0)
		rc = pack_parts(pack, err);
	pack_drop_rights(pack);
	if (rc >= 0)
		rc = tree_close(&pack->tree, err);
	if (rc >= 0)
		rc = image = pack_write(pack, progress, err);
	if (rc >= 0)
		rc = pack_try(pack, image, err);
	return rc < 0 ? rc : pack_put(pack, image, err);
}

int pack_appliance(const struct pack_wish *wish, struct progress *progress,
		   struct packed *packed, struct err *err)
{
	struct pack pack = { .wish = wish, .packed = packed };
	int rc;

	*packed = (struct packed){ 0 };
	needed_init(&pack.needed, &pack.tree);
	pack.needed.without_libc = !wish->own_libc;
	rc = pack_steps(&pack, progress, err);
	for (int i = 0; i < pack.entry_count; i++) {
		free(pack.entry_name[i]);
		free(pack.entry_path[i]);
	}
	free(pack.program);
	free(pack.loader);
	free(pack.libraries);
	needed_fini(&pack.needed);
	tree_fini(&pack.tree);
	return rc;
}

void packed_fini(struct packed *packed)
{
	buf_fini(&packed->entries);
	buf_fini(&packed->notes);
}
