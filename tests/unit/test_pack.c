/* SPDX-License-Identifier: Apache-2.0 */
/* Appliances made: the same bytes from the same tree, and nothing in them that
 * an install would refuse. */
#include "appliance/appliance.h"
#include "appliance/manifest.h"
#include "appliance/pack.h"
#include "lib/apps.h"
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static struct args_list entries, with, arguments, environment, writable, ports;
static struct pack_wish wish;
static struct packed packed;

static void start(void)
{
	static char parts[2][512];

	apps_start();
	snprintf(parts[0], sizeof parts[0], "%s", apps_in("installer"));
	snprintf(parts[1], sizeof parts[1], "%s", apps_in("start"));
	apps_put(parts[0], "installer", 0755);
	apps_put(parts[1], "startup", 0755);
	CHECK_INT(mkdir(apps_in("app"), 0755), 0);
	CHECK_INT(mkdir(apps_in("app/bin"), 0755), 0);
	apps_put(apps_in("app/bin/tool"), "#!/bin/sh\n", 0755);
	apps_put(apps_in("app/words"), "words\n", 0644);
	entries = with = arguments = environment = writable = ports =
		(struct args_list){ 0 };
	wish = (struct pack_wish){ .entries = &entries,
				   .with = &with,
				   .arguments = &arguments,
				   .environment = &environment,
				   .writable = &writable,
				   .ports = &ports,
				   .installer = parts[0],
				   .start = parts[1] };
}

static int pack(const char *what, const char *as, struct err *err)
{
	packed_fini(&packed);
	wish.what = what;
	wish.as = as;
	return pack_appliance(&wish, NULL, &packed, err);
}

static void packs(const char *what, const char *as)
{
	struct err err = { 0 };

	CHECK_INT(pack(what, as, &err), 0);
	CHECK_TEXT(err.text, "");
}

static void refused(const char *what, const char *words)
{
	struct err err = { 0 };

	CHECK(pack(what, apps_in("refused"), &err) < 0);
	CHECK(strstr(err.text, words));
	if (!strstr(err.text, words))
		printf("# %s\n", err.text);
	CHECK(!apps_is_there(apps_in("refused")));
}

static void end(void)
{
	packed_fini(&packed);
	apps_end();
}

static void opens(const char *path, struct appliance *appliance)
{
	struct err err = { 0 };

	CHECK_INT(appliance_open(path, NULL, appliance, &err), 0);
	CHECK_TEXT(err.text, "");
}

static void same_bytes(const char *a, const char *b)
{
	auto_buf struct buf one = { 0 }, two = { 0 };

	CHECK(file_read(a, &one, 64 << 20, NULL) >= 0);
	CHECK(file_read(b, &two, 64 << 20, NULL) >= 0);
	CHECK_INT(one.len, two.len);
	CHECK(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
}

static void copy_times(const char *name)
{
	const char *from = apps_in("app%s", name);
	const char *to = apps_in("copy%s", name);
	struct timespec times[2];
	struct stat st;

	CHECK_INT(stat(from, &st), 0);
	times[0] = times[1] = st.st_mtim;
	CHECK_INT(utimensat(AT_FDCWD, to, times, 0), 0);
}

/* ---- reproducible ---------------------------------------------------------------- */

TEST(two_packs_are_the_same_bytes)
{
	start();
	packs(apps_in("app"), apps_in("one"));
	CHECK_TEXT(packed.name, "tool");
	CHECK_TEXT(buf_string(&packed.entries), "tool\n");
	CHECK_TEXT(buf_string(&packed.notes), "");
	packs(apps_in("app"), apps_in("two"));
	same_bytes(apps_in("one"), apps_in("two"));
	end();
}

TEST(a_copy_with_the_same_times_too)
{
	start();
	packs(apps_in("app"), apps_in("one"));
	CHECK_INT(mkdir(apps_in("copy"), 0755), 0);
	apps_put(apps_in("copy/words"), "words\n", 0644);
	CHECK_INT(mkdir(apps_in("copy/bin"), 0755), 0);
	apps_put(apps_in("copy/bin/tool"), "#!/bin/sh\n", 0755);
	copy_times("/bin/tool");
	copy_times("/bin");
	copy_times("/words");
	copy_times("");
	/* The programs that go with it have no time. */
	apps_put(apps_in("installer"), "installer", 0755);
	packs(apps_in("copy"), apps_in("two"));
	same_bytes(apps_in("one"), apps_in("two"));
	end();
}

TEST(a_folder_is_the_same_appliance)
{
	auto_appliance struct appliance image = APPLIANCE_NONE;
	auto_appliance struct appliance folder = APPLIANCE_NONE;
	char as[520];

	start();
	CHECK_INT(symlink("tool", apps_in("app/bin/link")), 0);
	packs(apps_in("app"), apps_in("one"));
	snprintf(as, sizeof as, "%s/", apps_in("dir"));
	packs(apps_in("app"), as);
	apps_has(apps_in("dir/.brood/start"), "startup");
	opens(apps_in("one"), &image);
	opens(apps_in("dir"), &folder);
	CHECK(folder.is_folder && !image.is_folder);
	CHECK_TEXT(folder.hex, image.hex);
	CHECK_TEXT(image.hex, packed.hex);
	refused(apps_in("nothing"), "No such file or directory");
	/* It is not written over what is there. */
	CHECK_INT(pack(apps_in("app"), as, NULL), -EEXIST);
	end();
}

/* ---- what becomes of files ---------------------------------------------------------- */

static void links_to(const struct appliance *appliance, const char *path,
		     const char *to)
{
	struct erofs_node node = { 0 };
	char text[256] = "";

	CHECK_INT(erofs_path(&appliance->erofs, path, &node, NULL), 0);
	CHECK(erofs_read(&appliance->erofs, &node, 0, text, sizeof text - 1) >=
	      0);
	CHECK_TEXT(text, to);
}

TEST(links_that_begin_with_a_slash_are_turned)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;

	start();
	CHECK_INT(symlink("/words", apps_in("app/bin/deep")), 0);
	CHECK_INT(symlink("/bin/tool", apps_in("app/flat")), 0);
	CHECK_INT(symlink("/", apps_in("app/bin/root")), 0);
	CHECK_INT(symlink("../words", apps_in("app/bin/kept")), 0);
	packs(apps_in("app"), apps_in("one"));
	opens(apps_in("one"), &appliance);
	links_to(&appliance, "bin/deep", "../words");
	links_to(&appliance, "flat", "bin/tool");
	links_to(&appliance, "bin/root", "../");
	links_to(&appliance, "bin/kept", "../words");
	end();
}

TEST(links_that_lead_out_are_refused)
{
	start();
	CHECK_INT(symlink("../../etc/passwd", apps_in("app/bin/out")), 0);
	refused(apps_in("app"), "/bin/out: this link leads out of the image");
	end();
}

TEST(set_user_id_is_dropped_and_said)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;
	struct erofs_node node = { 0 };

	start();
	CHECK_INT(chmod(apps_in("app/bin/tool"), 06755), 0);
	packs(apps_in("app"), apps_in("one"));
	CHECK(strstr(buf_string(&packed.notes),
		     "bin/tool: set-user-id is not kept\n"));
	opens(apps_in("one"), &appliance);
	CHECK_INT(erofs_path(&appliance.erofs, "bin/tool", &node, NULL), 0);
	CHECK_INT(node.mode, S_IFREG | 0755);
	end();
}

TEST(devices_fifos_and_sockets_are_refused)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	start();
	CHECK_INT(mkfifo(apps_in("app/pipe"), 0644), 0);
	refused(apps_in("app"), "pipe is a fifo");
	CHECK_INT(unlink(apps_in("app/pipe")), 0);
	snprintf(name.sun_path, sizeof name.sun_path, "%s",
		 apps_in("app/socket"));
	CHECK_INT(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
	refused(apps_in("app"), "socket is a socket");
	CHECK_INT(unlink(apps_in("app/socket")), 0);
	close(fd);
	if (mknod(apps_in("app/null"), S_IFCHR | 0666, makedev(1, 3)) == 0)
		refused(apps_in("app"), "null is a ");
	end();
}

/* ---- manifest and settings -------------------------------------------------------- */

TEST(all_that_can_be_wished)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;
	const struct record *record = &appliance.record;

	start();
	entries = (struct args_list){ { "a=bin/tool", "/bin/tool" }, 2 };
	arguments = (struct args_list){ { "-x", "" }, 2 };
	environment = (struct args_list){ { "A=${data}" }, 1 };
	writable = (struct args_list){ { "cache" }, 1 };
	ports = (struct args_list){ { "80", "443" }, 2 };
	wish.name = "app";
	wish.release = "1.2 beta";
	wish.warm = true;
	packs(apps_in("app"), apps_in("one"));
	opens(apps_in("one"), &appliance);
	CHECK_TEXT(record->name, "app");
	CHECK_TEXT(record->release, "1.2 beta");
	CHECK_INT(record->entry_count, 2);
	CHECK_TEXT(record->entry[0].name, "a");
	CHECK_TEXT(record->entry[1].name, "tool");
	CHECK_TEXT(record->entry[1].path, "bin/tool");
	CHECK_TEXT(record->entry[1].argument[0], "-x");
	CHECK(record->entry[0].warm);
	CHECK_TEXT(record->environment[0], "A=${data}");
	CHECK_TEXT(record->writable[0], "cache");
	CHECK_INT(record->port[1], 443);
	CHECK_TEXT(buf_string(&packed.entries), "a\ntool\n");
	end();
}

TEST(wishes_that_are_refused)
{
	start();
	entries = (struct args_list){ { "a=bin/nothing" }, 1 };
	refused(apps_in("app"), "entry a: bin/nothing is not in it");
	entries = (struct args_list){ { "a=bin" }, 1 };
	refused(apps_in("app"), "entry a: bin is no file");
	entries = (struct args_list){ { "a=../bin/tool" }, 1 };
	refused(apps_in("app"), "..");
	entries = (struct args_list){ { "a/b=bin/tool" }, 1 };
	refused(apps_in("app"), "\"name a/b\" is wrong");
	entries = (struct args_list){ { "a=bin/tool", "a=words" }, 2 };
	refused(apps_in("app"), "\"entry a\" is wrong");
	entries.count = 0;
	ports = (struct args_list){ { "http" }, 1 };
	refused(apps_in("app"), "\"http\" is no port");
	ports.count = 0;
	environment = (struct args_list){ { "A" }, 1 };
	refused(apps_in("app"), "\"environment A\" is wrong");
	environment.count = 0;
	writable = (struct args_list){ { "../x" }, 1 };
	refused(apps_in("app"), "\"writable ../x\" is wrong");
	writable.count = 0;
	wish.name = "../x";
	refused(apps_in("app"), "\"name ../x\" is wrong");
	wish.name = NULL;
	wish.kind = "machine";
	refused(apps_in("app"), "entry tool: bin/tool is no folder");
	wish.kind = NULL;
	CHECK_INT(unlink(apps_in("app/bin/tool")), 0);
	refused(apps_in("app"), "has no program in bin; --entry names what");
	refused("no-such-program-at-all",
		"is no folder and no program in PATH");
	wish.start = "/nowhere/start";
	apps_put(apps_in("app/bin/tool"), "#!/bin/sh\n", 0755);
	refused(apps_in("app"), "/nowhere/start");
	end();
}

TEST(a_folder_with_a_manifest_of_its_own)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;

	start();
	CHECK_INT(mkdir(apps_in("app/.brood"), 0755), 0);
	/* Those of the pack count. */
	apps_put(apps_in("app/.brood/start"), "mine", 0755);
	apps_put(apps_in("app/.brood/manifest.json"),
		 "{\"format\":\"brood-appliance\",\"version\":1,"
		 "\"name\":\"own\",\"entries\":[{\"name\":\"x\","
		 "\"path\":\"bin/tool\"}]}",
		 0644);
	packs(apps_in("app"), apps_in("one"));
	CHECK_TEXT(packed.name, "own");
	CHECK_TEXT(buf_string(&packed.entries), "x\n");
	opens(apps_in("one"), &appliance);
	auto_buf struct buf text = { 0 };
	CHECK_INT(appliance_read(&appliance, MANIFEST_START, 100, &text, NULL),
		  0);
	CHECK_TEXT(buf_string(&text), "startup");
	apps_put(apps_in("app/.brood/manifest.json"), "{}", 0644);
	refused(apps_in("app"),
		".brood/manifest.json: is no manifest of an appliance");
	end();
}

TEST(settings_are_looked_at)
{
	char *large = malloc(MANIFEST_SETTINGS_MOST + 1);

	start();
	CHECK_INT(mkdir(apps_in("app/.brood"), 0755), 0);
	CHECK_INT(mkdir(apps_in("app/.brood/settings"), 0755), 0);
	apps_put(apps_in("app/.brood/settings/a.conf"), "name=${name}\n", 0644);
	packs(apps_in("app"), apps_in("one"));
	memset(large, 'x', MANIFEST_SETTINGS_MOST);
	large[MANIFEST_SETTINGS_MOST] = 0;
	apps_put(apps_in("app/.brood/settings/b.conf"), large, 0644);
	refused(apps_in("app"),
		".brood/settings/b.conf is no file, or there is "
		"more than 16384 bytes of settings");
	CHECK_INT(unlink(apps_in("app/.brood/settings/b.conf")), 0);
	CHECK_INT(mkdir(apps_in("app/.brood/settings/d"), 0755), 0);
	refused(apps_in("app"), ".brood/settings/d is no file");
	CHECK_INT(file_remove_tree(apps_in("app/.brood/settings"), NULL), 0);
	apps_put(apps_in("app/.brood/settings"), "x", 0644);
	refused(apps_in("app"), ".brood/settings is no folder");
	free(large);
	end();
}

/* ---- programs ---------------------------------------------------------------------- */

TEST(a_program_with_what_it_needs)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;

	start();
	wish.own_libc = true;
	packs("/bin/ls", apps_in("one"));
	opens(apps_in("one"), &appliance);
	CHECK_TEXT(appliance.record.entry[0].name, "ls");
	CHECK_TEXT(file_base(appliance.record.entry[0].path), "ls");
	CHECK(appliance.record.entry[0].loader != NULL);
	CHECK(appliance.record.entry[0].libraries != NULL);
	wish.own_libc = false;
	packs("/bin/ls", apps_in("two"));
	appliance_close(&appliance);
	opens(apps_in("two"), &appliance);
	CHECK(!appliance.record.entry[0].loader);
	end();
}

TEST(an_entry_behind_a_link)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;

	start();
	CHECK_INT(symlink("bin", apps_in("app/sbin")), 0);
	entries = (struct args_list){ { "a=sbin/tool" }, 1 };
	packs(apps_in("app"), apps_in("one"));
	opens(apps_in("one"), &appliance);
	CHECK_TEXT(appliance.record.entry[0].path, "sbin/tool");
	end();
}

TEST(a_module_needs_not_be_executable)
{
	auto_appliance struct appliance appliance = APPLIANCE_NONE;

	start();
	apps_put(apps_in("mod.wasm"), "x", 0644);
	with = (struct args_list){ { "/etc/hostname=etc/words" }, 1 };
	wish.own_libc = false;
	packs(apps_in("mod.wasm"), apps_in("one"));
	opens(apps_in("one"), &appliance);
	CHECK_INT(appliance.record.entry[0].kind, RECORD_WASM);
	apps_put(apps_in("tool"), "#!/bin/sh\n", 0644);
	refused(apps_in("tool"), "Permission denied");
	with = (struct args_list){ { "/nowhere" }, 1 };
	refused(apps_in("mod.wasm"), "open /nowhere");
	end();
}

TEST_MAIN
