/* SPDX-License-Identifier: Apache-2.0 */
/* The choice between KVM and translation. */
#include "machine/accel.h"
#include "bare/host.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/memo.h"
#include "base/process.h"
#include "machine/selftest.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define ACCEL_DEVICE "/dev/kvm"

enum {
	ACCEL_TRIAL_MS = 2000,
	ACCEL_KVM_VERSION = 12, /* the only one since 2007 */
};

int accel_device(const char *path, struct err *err)
{
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_set(err, -errno,
			       "kvm: %s: switch on virtualisation in the "
			       "firmware and load kvm_intel or kvm_amd",
			       path);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return err_set(err, -errno,
			       "kvm: %s: join its group (usermod -aG kvm) and "
			       "log in again",
			       path);
	if (fd < 0)
		return err_set(err, -errno, "kvm: %s", path);
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != ACCEL_KVM_VERSION)
		return err_set(err, -ENOTTY, "kvm: %s has version %d", path,
			       version);
	return 0;
}

/* ---- what is known -------------------------------------------------------- */

/* What the outcome depends on; false where it cannot be told. */
static bool accel_key(const char *qemu, struct buf *key)
{
	uint64_t boot = host_boot();
	struct file_stamp stamp;
	struct stat program, device;

	if (!boot || stat(qemu, &program) < 0 ||
	    stat(ACCEL_DEVICE, &device) < 0)
		return false;
	file_stamp_of(&program, &stamp);
	buf_format(key, "1 %lx %lx %s %lx.%lx.%lx.%lx %lx.%lx.%lx", boot,
		   selftest_hash(), qemu, stamp.dev, stamp.ino, stamp.size,
		   stamp.mtime_ns, device.st_dev, device.st_ino,
		   device.st_rdev);
	return !key->failed;
}

static bool accel_is_reason(const char *text)
{
	size_t len = strlen(text);

	for (const char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			return false;
	return len > 0 && len < sizeof(((struct accel *)0)->reason);
}

/* "NAME REASON" */
static bool accel_recall(const char *key, struct accel *accel)
{
	auto_buf struct buf value = { 0 };
	const char *text;

	if (!memo_get("accel", key, &value))
		return false;
	text = buf_string(&value);
	if ((strncmp(text, "kvm ", 4) != 0 && strncmp(text, "tcg ", 4) != 0) ||
	    !accel_is_reason(text + 4))
		return false;
	memcpy(accel->name, text, 3);
	accel->name[3] = 0;
	memcpy(accel->reason, text + 4, strlen(text + 4) + 1);
	return true;
}

static void accel_remember(const char *key, const struct accel *accel)
{
	auto_buf struct buf value = { 0 };

	buf_format(&value, "%s %s", accel->name, accel->reason);
	if (!value.failed)
		memo_put("accel", key, buf_string(&value), NULL);
}

/* ---- choosing ------------------------------------------------------------- */

static void accel_set(struct accel *accel, const char *name, const char *format,
		      ...) __attribute__((format(printf, 3, 4)));
static void accel_set(struct accel *accel, const char *name, const char *format,
		      ...)
{
	va_list list;

	snprintf(accel->name, sizeof(accel->name), "%s", name);
	va_start(list, format);
	vsnprintf(accel->reason, sizeof(accel->reason), format, list);
	va_end(list);
}

/* True when the outcome is worth being remembered: no accident. */
static bool accel_try(const char *qemu, struct accel *accel)
{
	struct selftest result;
	struct err err = { 0 };
	int r = selftest_run(qemu, "kvm", ACCEL_TRIAL_MS, &result, &err);

	if (r >= 0)
		accel_set(accel, "kvm",
			  "kvm: a guest's kernel ran %d million instructions; "
			  "%d ms with QEMU's start",
			  result.instructions / 1000000, result.ms);
	else
		accel_set(accel, "tcg", "kvm: %.230s", err.text);
	return r >= 0 || r == -EPROTO;
}

static void accel_find_out(const char *qemu, struct accel *accel)
{
	auto_buf struct buf key = { 0 };
	bool has_key = accel_key(qemu, &key);
	struct err err = { 0 };

	if (!process_feature("kvm"))
		accel_set(accel, "tcg", "kvm: switched off by BROOD_WITHOUT");
	else if (accel_device(ACCEL_DEVICE, &err) < 0)
		accel_set(accel, "tcg", "%.239s", err.text);
	else if (!has_key || !accel_recall(buf_string(&key), accel))
		if (accel_try(qemu, accel) && has_key)
			accel_remember(buf_string(&key), accel);
}

int accel_pick(const char *qemu, const char *wish, struct accel *accel,
	       struct err *err)
{
	int r = 0;

	*accel = (struct accel){ 0 };
	if (!wish || strcmp(wish, "auto") == 0) {
		accel_find_out(qemu, accel);
	} else if (strcmp(wish, "tcg") == 0) {
		accel_set(accel, "tcg", "tcg: asked for");
	} else if (strcmp(wish, "kvm") == 0) {
		r = accel_device(ACCEL_DEVICE, err);
		accel_set(accel, "kvm", "kvm: asked for, not tried");
	} else {
		r = err_set(err, -EINVAL,
			    "accelerator %.60s: it is auto, kvm or tcg", wish);
	}
	return r;
}
