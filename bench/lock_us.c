/* SPDX-License-Identifier: Apache-2.0 */
/* What it takes to take a share's lock and to release it, with nobody else at
 * it: lock_us ROUNDS FOLDER SHARE...
 *
 * In turns: each of the shares; "file", an open-file-description lock of a
 * file in FOLDER, opened and closed around it, which is the least that
 * excludes anybody; and "link", a file made, linked, and both removed, which
 * is the least where nothing but link(2) does.  Told for each: median, 10 and
 * 90 per cent in microseconds, tab-separated. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/lock.h"
#include "share/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WAYS_MOST = 8, FLOORS = 2, WARM = 20 };

struct bench {
	struct share share[WAYS_MOST];
	const char *name[WAYS_MOST];
	double *us[WAYS_MOST];
	int count, rounds;
	char file[4096], made[4096], linked[4096];
};

static int cycle_file(const struct bench *bench, struct err *err)
{
	auto_close int fd = lock_take(bench->file, 0, err);

	return fd < 0 ? fd : 0;
}

static int cycle_link(const struct bench *bench, struct err *err)
{
	auto_close int fd =
		open(bench->made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || link(bench->made, bench->linked) < 0 ||
	    unlink(bench->made) < 0 || unlink(bench->linked) < 0)
		return err_set(err, -EIO, "link %s", bench->made);
	return 0;
}

static int cycle_share(const struct share *share, struct err *err)
{
	struct share_lock lock;
	int rc = share_lock_take(share, 0, NULL, NULL, &lock, err);

	return rc < 0 ? rc : share_lock_release(&lock, err);
}

static int cycle(struct bench *bench, int way, struct err *err)
{
	if (way == 0)
		return cycle_file(bench, err);
	if (way == 1)
		return cycle_link(bench, err);
	return cycle_share(&bench->share[way], err);
}

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static int open_all(struct bench *bench, char **argv, struct err *err)
{
	static const char host[] = "00000000000000000000000000000001";

	bench->name[0] = "file";
	bench->name[1] = "link";
	for (bench->count = FLOORS; *argv && bench->count < WAYS_MOST; argv++) {
		struct share *share = &bench->share[bench->count];
		int rc = share_open(*argv, host, share, err);

		if (rc < 0)
			return rc;
		bench->name[bench->count++] =
			share_backend_name(share->backend);
	}
	for (int i = 0; i < bench->count; i++)
		if (!(bench->us[i] = calloc(bench->rounds, sizeof(double))))
			return err_set(err, -ENOMEM, "memory");
	return 0;
}

static int run_all(struct bench *bench, struct err *err)
{
	for (int i = -WARM; i < bench->rounds; i++) {
		for (int way = 0; way < bench->count; way++) {
			uint64_t start_ns = clock_ns();
			int rc = cycle(bench, way, err);

			if (rc < 0)
				return rc;
			if (i >= 0)
				bench->us[way][i] =
					(double)(clock_ns() - start_ns) / 1e3;
		}
	}
	return 0;
}

static void tell(const struct bench *bench)
{
	for (int i = 0; i < bench->count; i++) {
		double *us = bench->us[i];
		int n = bench->rounds;

		qsort(us, n, sizeof *us, by_size);
		printf("%s\t%.2f\t%.2f\t%.2f\n", bench->name[i], us[n / 2],
		       us[n / 10], us[n * 9 / 10]);
	}
}

int main(int argc, char **argv)
{
	static struct bench bench;
	struct err err = { 0 };
	int rc;

	bench.rounds = argc > 3 ? atoi(argv[1]) : 0;
	if (bench.rounds < 10) {
		fprintf(stderr, "usage: lock_us ROUNDS FOLDER SHARE...\n");
		return 100;
	}
	snprintf(bench.file, sizeof bench.file, "%s/file", argv[2]);
	snprintf(bench.made, sizeof bench.made, "%s/made", argv[2]);
	snprintf(bench.linked, sizeof bench.linked, "%s/linked", argv[2]);
	rc = open_all(&bench, argv + 3, &err);
	if (rc >= 0)
		rc = run_all(&bench, &err);
	if (rc >= 0)
		tell(&bench);
	else
		fprintf(stderr, "lock_us: %s\n", err.text);
	for (int i = 0; i < WAYS_MOST; i++) {
		if (bench.name[i] && i >= FLOORS)
			share_close(&bench.share[i]);
		free(bench.us[i]);
	}
	return rc < 0 ? 111 : 0;
}
