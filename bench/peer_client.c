/* SPDX-License-Identifier: Apache-2.0 */
/* flags: -static -nostdlib */
/* Asks the fork server of peer_server.c for one run and ends as it did:
 *
 *	peer_client FOLDER/ask FOLDER/answer
 */
#include "bare/raw.h"
#include <fcntl.h>
#include <stdint.h>

static int run(uint64_t *stack)
{
	char **argv = (char **)(stack + 1);
	int status = 111 << 8;
	long ask, answer;

	if (stack[0] != 3)
		return 100;
	ask = raw_4(openat, AT_FDCWD, argv[1], O_WRONLY, 0);
	answer = raw_4(openat, AT_FDCWD, argv[2], O_RDONLY, 0);
	if (raw_3(write, ask, "r", 1) != 1 ||
	    raw_3(read, answer, &status, sizeof status) != sizeof status)
		return 111;
	return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

__attribute__((used)) static void client(uint64_t *stack)
{
	raw_1(exit_group, run(stack));
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call client\n");
