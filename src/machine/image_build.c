/* SPDX-License-Identifier: Apache-2.0 */
/* Puts an image together: names first, then one pass that writes them. */
#include "machine/image_build.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/image_modules.h"
#include "machine/image_pipe.h"
#include "tree/cpio.h"
#include "tree/needed.h"
#include "tree/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

struct image {
	const struct image_plan *plan;
	struct image_built *built;
	struct progress *progress;
	uint64_t told_ns;
	struct tree tree;
	struct needed needed;
	struct image_modules modules;
};

/* Busybox's own init sees to children and to the terminal of the shell; what
 * has to be there before it is done here.  So is what the host lends
 * (machine/lent.h): a guest that cannot have it says why, and ends. */
static const char image_init[] =
	"#!/bin/busybox sh\n"
	"export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
	"/bin HOME=/root\n"
	"/bin/busybox --install -s 2>/dev/null\n"
	"mount -t proc proc /proc\n"
	"mount -t sysfs sys /sys\n"
	"mount -t devtmpfs dev /dev\n"
	"mkdir -p /dev/pts /dev/shm\n"
	"mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts\n"
	"mount -t tmpfs -o mode=1777 shm /dev/shm\n"
	"mount -t tmpfs -o mode=1777 tmp /tmp\n"
	"mount -t tmpfs -o mode=755 run /run\n"
	"hostname -F /etc/hostname\n"
	"ip link set lo up\n"
	"while read -r module; do\n"
	"\tinsmod \"$module\" || echo \"brood: cannot load $module\"\n"
	"done </etc/brood/modules\n"
	"cannot() {\n"
	"\techo \"brood: cannot have $tag: $*\"\n"
	"\tsleep 1\n"
	"\tpoweroff -f\n"
	"\tsleep 60\n"
	"}\n"
	"has() {\n"
	"\tgrep -q \"[[:space:]]$1\\$\" /proc/filesystems ||\n"
	"\t\tcannot \"there is no $1 in it; \\\"brood machine "
	"image --module share\\\" takes what its kernel has\"\n"
	"}\n"
	"put() {\n"
	"\tmkdir -p \"/mnt/$tag\"\n"
	"\tsaid=$(mount \"$@\" \"/mnt/$tag\" 2>&1) || cannot \"$said\"\n"
	"}\n"
	"await() {\n"
	"\tfor i in $(seq 50); do\n"
	"\t\t[ -b \"/dev/$tag\" ] && return\n"
	"\t\tsleep .1\n"
	"\tdone\n"
	"\tcannot \"there is no /dev/$tag; \\\"brood machine "
	"image --module share\\\" has what makes it\"\n"
	"}\n"
	"for disk in /sys/block/vd*; do\n"
	"\tname=$(cat \"$disk/serial\" 2>/dev/null)\n"
	"\tcase $name in device[0-9]*) ln -s \"${disk##*/}\" "
	"\"/dev/$name\" ;; esac\n"
	"done\n"
	"for word in $(cat /proc/cmdline); do\n"
	"\tcase $word in brood.lent=*) ;; *) continue ;; esac\n"
	"\thow=${word#*=} tag=${word##*:}\n"
	"\tcase $how in\n"
	"\t9p:*)\n"
	"\t\thas 9p\n"
	"\t\tput -t 9p -o "
	"trans=virtio,version=9p2000.L,msize=262144 \"$tag\"\n"
	"\t\t;;\n"
	"\tvirtiofs:*)\n"
	"\t\thas virtiofs\n"
	"\t\tput -t virtiofs \"$tag\"\n"
	"\t\t;;\n"
	"\traw:*) await ;;\n"
	"\terofs:pmem*)\n"
	"\t\thas erofs\n"
	"\t\tawait\n"
	"\t\tput -t erofs -o ro,dax=always \"/dev/$tag\"\n"
	"\t\t;;\n"
	"\terofs:*)\n"
	"\t\thas erofs\n"
	"\t\tawait\n"
	"\t\tput -t erofs -o ro \"/dev/$tag\"\n"
	"\t\t;;\n"
	"\tesac\n"
	"done\n"
	"cd /root\n"
	"[ -x /etc/brood/start ] && /etc/brood/start\n"
	"echo 'brood: machine ready'\n"
	"exec /bin/busybox init\n";

static const char image_inittab[] = "::respawn:/sbin/brood-agent\n"
				    "ttyS0::respawn:-/bin/sh\n"
				    "::ctrlaltdel:/sbin/reboot\n";

/* ---- names ------------------------------------------------------------------ */

struct image_text {
	const char *path;
	mode_t rights;
	const char *text;
};

static const struct image_text image_texts[] = {
	{ "/init", 0755, image_init },
	{ "/etc/inittab", 0644, image_inittab },
	{ "/etc/passwd", 0644, "root:x:0:0:root:/root:/bin/sh\n" },
	{ "/etc/group", 0644, "root:x:0:\ntty:x:5:\n" },
	{ "/etc/hostname", 0644, "brood\n" },
	{ "/etc/hosts", 0644, "127.0.0.1 localhost\n" },
	{ NULL, 0, NULL },
};

static const struct image_text image_folders[] = {
	{ "/dev", 0755, NULL },	      { "/proc", 0555, NULL },
	{ "/sys", 0555, NULL },	      { "/tmp", 01777, NULL },
	{ "/run", 0755, NULL },	      { "/root", 0700, NULL },
	{ "/mnt", 0755, NULL },	      { "/var", 0755, NULL },
	{ "/usr", 0755, NULL },	      { "/usr/bin", 0755, NULL },
	{ "/usr/sbin", 0755, NULL },  { "/usr/lib", 0755, NULL },
	{ "/usr/lib64", 0755, NULL }, { NULL, 0, NULL },
};

static const struct image_text image_links[] = {
	{ "/bin", 0, "usr/bin" },    { "/sbin", 0, "usr/sbin" },
	{ "/lib", 0, "usr/lib" },    { "/lib64", 0, "usr/lib64" },
	{ "/bin/sh", 0, "busybox" }, { NULL, 0, NULL },
};

static int image_build_add_text(struct image *image, const char *path,
				const char *text, struct err *err)
{
	return tree_data(&image->tree, path, 0644, text, strlen(text), err);
}

/* The kernel opens /dev/console before anything is mounted. */
static int image_build_add_frame(struct image *image, struct err *err)
{
	struct tree *tree = &image->tree;
	int r = tree_node(tree, "/dev/console", S_IFCHR | 0600, makedev(5, 1),
			  err);

	for (const struct image_text *f = image_folders; f->path && r >= 0; f++)
		r = tree_folder(tree, f->path, f->rights, err);
	for (const struct image_text *l = image_links; l->path && r >= 0; l++)
		r = tree_link(tree, l->path, l->text, err);
	for (const struct image_text *t = image_texts; t->path && r >= 0; t++)
		r = tree_data(tree, t->path, t->rights, t->text,
			      strlen(t->text), err);
	return r;
}

/* It runs before any library is there. */
static bool image_build_is_static(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct needed_elf elf;
	struct stat st;
	bool is_static;
	void *data;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return false;
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return false;
	is_static = needed_elf_read(data, st.st_size, &elf) && !elf.interpreter;
	munmap(data, st.st_size);
	return is_static;
}

static int image_build_add_programs(struct image *image, struct err *err)
{
	auto_free char *found = image_pipe_find("busybox");
	const char *busybox = found;
	int r;

	if (!busybox && access("/bin/busybox", X_OK) == 0)
		busybox = "/bin/busybox";
	if (!busybox)
		return err_set(err, -EINVAL,
			       "there is no busybox here; the package "
			       "busybox-static has one");
	if (!image_build_is_static(busybox))
		return err_set(err, -EINVAL,
			       "%s needs libraries; the package busybox-static "
			       "has one that does not",
			       busybox);
	r = tree_file(&image->tree, "/bin/busybox", 0755, busybox, err);
	return r < 0 ? r
		     : tree_file(&image->tree, "/sbin/brood-agent", 0755,
				 image->plan->agent, err);
}

/* PATH, or PATH=/TO. */
static int image_build_add_one(struct image *image, const char *with,
			       struct err *err)
{
	const char *to = NULL;
	auto_free char *path = NULL;

	for (const char *at = with; (at = strstr(at, "=/")); at++)
		to = at + 1;
	path = to ? strndup(with, to - 1 - with) : strdup(with);
	if (!path)
		return err_set(err, -ENOMEM, "%s", with);
	return needed_add(&image->needed, path, to, err);
}

/* Words for several modules.  What a kernel does not have is noted, but for
 * those with a "-": other kernels do without them. */
struct image_set {
	const char *name, *modules[12];
};
static const struct image_set image_sets[] = {
	{ "share",
	  { "virtio_pci", "9pnet_virtio", "9p", "virtiofs", "virtio_pmem",
	    "nd_pmem", "virtio_blk", "loop", "-crc32c_generic", "erofs",
	    NULL } },
	{ "nfs4", { "virtio_pci", "virtio_net", "nfsv4", NULL } },
	{ NULL, { NULL } },
};

static int image_build_add_set(struct image *image, const struct image_set *set,
			       struct err *err)
{
	struct image_modules *modules = &image->modules;
	int r = 0;

	for (const char *const *at = set->modules; *at && r >= 0; at++) {
		bool quiet = **at == '-';
		const char *name = *at + quiet;

		if (image_modules_has(modules, name))
			r = image_modules_add(modules, &image->tree, name, err);
		else if (!quiet)
			buf_format(&image->built->notes,
				   "%s has no module %s: --module %s is "
				   "without it\n",
				   modules->release, name, set->name);
	}
	return r;
}

static int image_build_add_module(struct image *image, const char *name,
				  struct err *err)
{
	for (const struct image_set *set = image_sets; set->name; set++)
		if (strcmp(set->name, name) == 0)
			return image_build_add_set(image, set, err);
	return image_modules_add(&image->modules, &image->tree, name, err);
}

static int image_build_add_modules(struct image *image, struct err *err)
{
	const struct image_plan *plan = image->plan;
	struct image_modules *modules = &image->modules;
	int r = plan->module_count
			? image_modules_open(modules, plan->kernel, err)
			: 0;

	/* a virtio device is found by its bus, of which no list tells */
	for (int i = 0; i < plan->module_count && r >= 0; i++)
		if (strncmp(plan->modules[i], "virtio", 6) == 0)
			r = image_modules_add(modules, &image->tree,
					      "virtio_pci", err);
	for (int i = 0; i < plan->module_count && r >= 0; i++)
		r = image_build_add_module(image, plan->modules[i], err);
	return r < 0 ? r
		     : image_build_add_text(image, "/etc/brood/modules",
					    buf_string(&modules->list), err);
}

/* What the user names comes last: it may replace the rest. */
static int image_build_collect(struct image *image, struct err *err)
{
	const struct image_plan *plan = image->plan;
	int r = image_build_add_frame(image, err);

	if (r >= 0)
		r = image_build_add_programs(image, err);
	if (r >= 0)
		r = image_build_add_modules(image, err);
	for (int i = 0; i < plan->with_count && r >= 0; i++)
		r = image_build_add_one(image, plan->with[i], err);
	return r < 0 ? r : tree_close(&image->tree, err);
}

/* ---- writing ---------------------------------------------------------------- */

static void image_build_tick(struct image *image)
{
	uint64_t now = clock_ns();

	if (now - image->told_ns < PROGRESS_TICK_MS * 1000000ull)
		return;
	image->told_ns = now;
	progress_tick(image->progress);
}

static int image_build_write_file(struct cpio *cpio,
				  const struct tree_node *node, struct err *err)
{
	auto_close int fd =
		open(node->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", node->source);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no file any more",
			       node->source);
	r = cpio_entry(cpio, node->name, node->mode, 0, st.st_size, err);
	return r < 0 ? r : cpio_copy(cpio, fd, node->source, err);
}

static int image_build_write_node(struct cpio *cpio,
				  const struct tree_node *node, struct err *err)
{
	int r;

	if (node->source)
		return image_build_write_file(cpio, node, err);
	r = cpio_entry(cpio, node->name, node->mode, node->device,
		       node->data.len, err);
	return r < 0 ? r
		     : cpio_data(cpio, buf_string(&node->data), node->data.len,
				 err);
}

static int image_build_write(struct image *image, int fd, struct err *err)
{
	struct cpio cpio;
	int r = 0;

	cpio_init(&cpio, fd);
	r = cpio_entry(&cpio, ".", S_IFDIR | 0755, 0, 0, err);
	for (size_t i = 0; i < image->tree.count && r >= 0; i++) {
		r = image_build_write_node(&cpio, &image->tree.node[i], err);
		image_build_tick(image);
	}
	if (r >= 0)
		r = cpio_end(&cpio, err);
	image->built->unpacked = cpio.done;
	image->built->entries = image->tree.count;
	return r;
}

struct image_packer {
	const char *name;
	const char *argv[6];
};

/* One thread each: what comes out then depends on nothing else. */
static const struct image_packer image_packers[] = {
	{ "zstd", { "zstd", "-q", "-6", "-T1", "-c", NULL } },
	{ "gzip", { "gzip", "-6", "-n", "-c", NULL } },
	{ "none", { NULL } },
	{ NULL, { NULL } },
};

static bool image_build_has_packer(const struct image_packer *packer)
{
	auto_free char *path =
		packer->argv[0] ? image_pipe_find(packer->name) : strdup("");

	return path;
}

static const struct image_packer *image_build_choose(const struct image *image,
						     struct err *err)
{
	const char *wish = image->plan->compression;
	const struct image_packer *packer = image_packers;

	while (packer->name && (wish ? strcmp(packer->name, wish) != 0
				     : !image_build_has_packer(packer)))
		packer++;
	if (!packer->name)
		err_set(err, -EINVAL, "no compression \"%s\"", wish);
	else if (wish && !image_build_has_packer(packer))
		err_set(err, -EINVAL,
			"there is no program %s here; the "
			"package %s has it",
			wish, wish);
	else
		return packer;
	return NULL;
}

static int image_build_write_packed(struct image *image,
				    const struct image_packer *packer, int out,
				    struct err *err)
{
	auto_close int in = -1;
	struct err ending = { 0 };
	pid_t pid = image_pipe_start(packer->argv, out, &in, err);
	int r, ended;

	if (pid < 0)
		return pid;
	r = image_build_write(image, in, err);
	fd_close(&in);
	ended = image_pipe_end(pid, packer->name, &ending);
	if (r == -EPIPE || (r >= 0 && ended < 0)) {
		if (err && ended < 0)
			*err = ending;
		return ended < 0 ? ended : r;
	}
	return r;
}

/* A packer that dies is told of by its status, not by a signal to us. */
static int image_build_write_all(struct image *image,
				 const struct image_packer *packer, int out,
				 struct err *err)
{
	const struct timespec now = { 0 };
	sigset_t pipe, before;
	int r;

	if (!packer->argv[0])
		return image_build_write(image, out, err);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	r = image_build_write_packed(image, packer, out, err);
	if (!sigismember(&before, SIGPIPE))
		sigtimedwait(&pipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int image_build_publish(struct image *image, struct err *err)
{
	const struct image_packer *packer = image_build_choose(image, err);
	struct file_draft draft;
	struct stat st = { 0 };
	int r;

	if (!packer)
		return -EINVAL;
	image->built->compression = packer->name;
	if (!image->plan->compression && !packer->argv[0])
		buf_text(&image->built->notes,
			 "neither zstd nor gzip is here: the image is not "
			 "compressed\n");
	r = file_draft_open(&draft, image->plan->output, 0644, err);
	if (r >= 0)
		r = image_build_write_all(image, packer, draft.fd, err);
	if (r >= 0 && fstat(draft.fd, &st) < 0)
		r = err_set(err, -errno, "stat %s", image->plan->output);
	if (r >= 0)
		r = file_draft_publish(&draft, err);
	file_draft_close(&draft);
	image->built->bytes = st.st_size;
	return r;
}

int image_build(const struct image_plan *plan, struct image_built *built,
		struct progress *progress, struct err *err)
{
	struct image image = {
		.plan = plan,
		.built = built,
		.progress = progress,
		.tree = { .usr_links = true },
	};
	int r;

	*built = (struct image_built){ 0 };
	needed_init(&image.needed, &image.tree);
	r = image_build_collect(&image, err);
	if (r >= 0)
		buf_text(&built->notes, buf_string(&image.needed.notes));
	if (r >= 0)
		r = image_build_publish(&image, err);
	memcpy(built->release, image.modules.release, sizeof built->release);
	buf_text(&built->modules, buf_string(&image.modules.list));
	image_modules_fini(&image.modules);
	needed_fini(&image.needed);
	tree_fini(&image.tree);
	return r;
}

void image_built_fini(struct image_built *built)
{
	buf_fini(&built->modules);
	buf_fini(&built->notes);
}
