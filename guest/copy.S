/* SPDX-License-Identifier: Apache-2.0 */
/* The image of files is read by one instruction.
 *
 * int guest_files_copy(void *to, const void *from, size_t len)
 * 0, or -1 where a page of the image was not to be had: the fault finds the
 * CPU at guest_files_copying, and goes on at guest_files_lost.  Its
 * source is in rsi, so that the host knows too. */
	.text
	.globl guest_files_copy, guest_files_copying, guest_files_lost
	.hidden guest_files_copy, guest_files_copying, guest_files_lost
	.type guest_files_copy, @function
	.p2align 4
guest_files_copy:
	mov %rdx, %rcx
guest_files_copying:
	rep movsb
	xor %eax, %eax
	ret
guest_files_lost:
	mov $-1, %eax
	ret

	.section .note.GNU-stack, "", @progbits
