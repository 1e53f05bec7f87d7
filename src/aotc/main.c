/* SPDX-License-Identifier: Apache-2.0 */
/* brood-aotc: a request on descriptor 0, an object on descriptor 1. */
#include "aotc/aotc.h"
#include "base/fd.h"
#include "base/file.h"
#include <string.h>
#include <unistd.h>

enum { AOTC_OK, AOTC_FAILED = 111, AOTC_USE = 100 };

static int main_run(struct err *err)
{
	auto_buf struct buf request = { 0 };
	LLVMMemoryBufferRef object;
	int rc = file_read("/dev/stdin", &request, AOTC_REQUEST_MOST, err);

	if (rc >= 0)
		rc = aotc_make(request.data, request.len, stderr, &object, err);
	if (rc >= 0)
		rc = fd_write_all(STDOUT_FILENO, LLVMGetBufferStart(object),
				  LLVMGetBufferSize(object), err);
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
	if (argc != 1) {
		fprintf(stderr, "usage: brood-aotc [--version]; it is started "
				"by \"brood compile --optimise\"\n");
		return AOTC_USE;
	}
	if (main_run(&err) < 0) {
		fprintf(stderr, "brood-aotc: %s\n", err.text);
		return AOTC_FAILED;
	}
	return AOTC_OK;
}
