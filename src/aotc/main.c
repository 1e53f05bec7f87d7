/* SPDX-License-Identifier: Apache-2.0 */
/* brood-aotc: a request on descriptor 0, an object on descriptor 1; or in two
 * files. */
#include "aotc/aotc.h"
#include "base/fd.h"
#include "base/file.h"
#include <string.h>
#include <unistd.h>

enum { AOTC_OK, AOTC_FAILED = 111, AOTC_USE = 100 };

static int main_read(const char *path, struct buf *request, struct err *err)
{
	return path ? file_read(path, request, AOTC_REQUEST_MOST, err)
		    : file_read_fd(STDIN_FILENO, "the request", request,
				   AOTC_REQUEST_MOST, err);
}

static int main_write(const char *path, LLVMMemoryBufferRef object,
		      struct err *err)
{
	const char *bytes = LLVMGetBufferStart(object);
	size_t len = LLVMGetBufferSize(object);

	return path ? file_replace(path, bytes, len, 0666, err)
		    : fd_write_all(STDOUT_FILENO, bytes, len, err);
}

/* Without names: from and to the descriptors. */
static int main_run(const char *from, const char *to, struct err *err)
{
	auto_buf struct buf request = { 0 };
	LLVMMemoryBufferRef object;
	int rc = main_read(from, &request, err);

	if (rc >= 0)
		rc = aotc_make(request.data, request.len, stderr, &object, err);
	if (rc < 0)
		return rc;
	rc = main_write(to, object, err);
	LLVMDisposeMemoryBuffer(object);
	return rc;
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	unsigned major, minor, patch;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		LLVMGetVersion(&major, &minor, &patch);
		printf("brood-aotc (LLVM %u.%u.%u)\n", major, minor, patch);
		return AOTC_OK;
	}
	if (argc != 1 && argc != 3) {
		fprintf(stderr, "usage: brood-aotc [--version | REQUEST "
				"OBJECT]; it is started by \"brood compile "
				"--optimise\"\n");
		return AOTC_USE;
	}
	if (main_run(argc == 3 ? argv[1] : NULL, argc == 3 ? argv[2] : NULL,
		     &err) < 0) {
		fprintf(stderr, "brood-aotc: %s\n", err.text);
		return AOTC_FAILED;
	}
	return AOTC_OK;
}
