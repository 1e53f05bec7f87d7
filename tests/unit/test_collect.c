/* SPDX-License-Identifier: Apache-2.0 */
/* What a share keeps, and what it loses: nothing that somebody may start. */
#include "appliance/collect.h"
#include "appliance/pack.h"
#include "appliance/versions.h"
#include "lib/apps.h"

static char host[] = "00000000000000000000000000000001";
static char other[] = "00000000000000000000000000000002";
static char share_path[512], hex[8][RECORD_HEX + 1];
static struct publish_wish wish;

enum { HOUR_MS = 3600 * 1000 };

static void start(void)
{
	apps_start();
	snprintf(share_path, sizeof share_path, "%s", apps_in("share"));
	wish = (struct publish_wish){ .share = share_path,
				      .host = host,
				      .make = true,
				      .upgrade = true,
				      .unpacked = true,
				      .wait_ms = 5000,
				      .answer_ms = 20000 };
	apps_put(apps_in("installer"), "installer", 0755);
	apps_put(apps_in("start"), "start", 0755);
	CHECK_INT(mkdir(apps_in("app"), 0755), 0);
}

/* Version "number" of an application, published by a host. */
static void publish(const char *name, int number)
{
	static const struct args_list entries = { { "tool" }, 1 };
	const struct pack_wish pack = {
		.what = apps_in("app"),
		.as = apps_in("image"),
		.name = name,
		.entries = &entries,
		.installer = apps_in("installer"),
		.start = apps_in("start"),
	};
	auto_appliance struct appliance appliance = APPLIANCE_NONE;
	auto_published struct published published = { 0 };
	struct packed packed;
	char text[64];

	snprintf(text, sizeof text, "#!/bin/sh\n# %s %d\n", name, number);
	apps_put(apps_in("app/tool"), text, 0755);
	CHECK_INT(pack_appliance(&pack, NULL, &packed, NULL), 0);
	packed_fini(&packed);
	CHECK_INT(appliance_open(apps_in("image"), NULL, &appliance, NULL), 0);
	CHECK_INT(publish_appliance(&wish, &appliance, &published, NULL), 0);
	memcpy(hex[number], appliance.hex, sizeof hex[number]);
}

/* Long ago. */
static void age(const char *path)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	CHECK_INT(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static char *payload(int number)
{
	return apps_in("share/payloads/%s.erofs", hex[number]);
}

static char *tree(int number)
{
	return apps_in("share/payloads/%s.tree", hex[number]);
}

static char *use(const char *of, int number)
{
	return apps_in("share/hosts/%s/%s", of, hex[number]);
}

static void age_all(int number)
{
	age(payload(number));
	age(tree(number));
	age(use(host, number));
}

static void collects(uint64_t payloads, uint64_t drafts)
{
	struct collected collected;
	struct err err = { 0 };

	CHECK_INT(collect_share(&wish, HOUR_MS, &collected, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(collected.payloads, payloads);
	CHECK_INT(collected.drafts, drafts);
}

TEST(the_last_two_versions_stay)
{
	start();
	for (int i = 1; i <= 4; i++)
		publish("app", i);
	collects(0, 0);
	for (int i = 1; i <= 4; i++)
		age_all(i);
	collects(2, 0);
	CHECK(!apps_is_there(payload(1)) && !apps_is_there(tree(1)));
	CHECK(!apps_is_there(payload(2)) && !apps_is_there(tree(2)));
	CHECK(apps_is_there(payload(3)) && apps_is_there(tree(3)));
	CHECK(apps_is_there(payload(4)) && apps_is_there(tree(4)));
	CHECK(!apps_is_there(use(host, 1)));
	collects(0, 0);
	apps_end();
}

TEST(each_application_has_its_own)
{
	start();
	publish("one", 1);
	publish("two", 2);
	publish("two", 3);
	publish("two", 4);
	for (int i = 1; i <= 4; i++)
		age_all(i);
	collects(1, 0);
	CHECK(apps_is_there(payload(1)));
	CHECK(!apps_is_there(payload(2)));
	apps_end();
}

TEST(what_a_host_has_used_lately_stays)
{
	start();
	for (int i = 1; i <= 4; i++) {
		publish("app", i);
		age_all(i);
	}
	CHECK_INT(mkdir(apps_in("share/hosts/%s", other), 0755), 0);
	apps_put(use(other, 1), "", 0644);
	collects(1, 0);
	CHECK(apps_is_there(payload(1)) && apps_is_there(tree(1)));
	CHECK(!apps_is_there(payload(2)));
	age(use(other, 1));
	collects(1, 0);
	CHECK(!apps_is_there(payload(1)));
	apps_end();
}

TEST(a_version_that_was_rolled_back_to_stays)
{
	auto_published struct published published = { 0 };

	start();
	for (int i = 1; i <= 3; i++)
		publish("app", i);
	CHECK_INT(publish_rollback(&wish, "app", 1, &published, NULL), 0);
	CHECK_INT(published.version, 4);
	for (int i = 1; i <= 3; i++)
		age_all(i);
	collects(1, 0);
	CHECK(apps_is_there(payload(1)));
	CHECK(!apps_is_there(payload(2)));
	CHECK(apps_is_there(payload(3)));
	published_fini(&published);
	CHECK(publish_rollback(&wish, "app", 2, &published, NULL) < 0);
	CHECK(publish_rollback(&wish, "none", 0, &published, NULL) < 0);
	apps_end();
}

TEST(nothing_is_lost_to_a_damaged_record)
{
	struct collected collected;
	struct err err = { 0 };

	start();
	for (int i = 1; i <= 3; i++) {
		publish("app", i);
		age_all(i);
	}
	publish("other", 4);
	age_all(4);
	CHECK_INT(truncate(apps_in("share/apps/other/v.1"), 10), 0);
	CHECK(collect_share(&wish, HOUR_MS, &collected, &err) < 0);
	CHECK(strstr(err.text, "application other: "));
	for (int i = 1; i <= 4; i++)
		CHECK(apps_is_there(payload(i)));
	apps_end();
}

TEST(drafts_go_when_they_are_old)
{
	char *draft;

	start();
	publish("app", 1);
	draft = apps_in("share/payloads/%s.erofs.draft.77.5", hex[1]);
	apps_put(draft, "x", 0644);
	CHECK_INT(mkdir(apps_in("share/payloads/.draft.%s.7", hex[1]), 0700),
		  0);
	collects(0, 0);
	age(draft);
	age(apps_in("share/payloads/.draft.%s.7", hex[1]));
	collects(0, 2);
	CHECK(!apps_is_there(draft));
	CHECK(apps_is_there(payload(1)));
	apps_end();
}

TEST(what_is_no_payload_is_left_alone)
{
	start();
	publish("app", 1);
	apps_put(apps_in("share/payloads/readme"), "x", 0644);
	apps_put(apps_in("share/payloads/.hidden"), "x", 0644);
	CHECK_INT(mkdir(apps_in("share/hosts/not-a-host"), 0755), 0);
	CHECK_INT(mkdir(apps_in("share/apps/.not an app"), 0755), 0);
	age(apps_in("share/payloads/readme"));
	age(apps_in("share/payloads/.hidden"));
	collects(0, 0);
	CHECK(apps_is_there(apps_in("share/payloads/readme")));
	CHECK(apps_is_there(apps_in("share/payloads/.hidden")));
	/* A link is not followed. */
	CHECK_INT(file_remove_tree(apps_in("share/hosts/not-a-host"), NULL), 0);
	apps_put(apps_in("precious"), "x", 0644);
	CHECK_INT(symlink(apps_folder, apps_in("share/payloads/%064d.tree", 0)),
		  0);
	age(apps_in("share/payloads/%064d.tree", 0));
	collects(1, 0);
	CHECK(apps_is_there(apps_in("precious")));
	apps_end();
}

TEST(a_share_that_is_none)
{
	struct collected collected;
	struct err err = { 0 };

	start();
	CHECK(collect_share(&wish, HOUR_MS, &collected, &err) < 0);
	CHECK(err.text[0] != 0);
	CHECK(!apps_is_there(share_path));
	apps_end();
}

TEST_MAIN
