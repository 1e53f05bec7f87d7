/* SPDX-License-Identifier: Apache-2.0 */
/* The guest, as guest/ makes it. */
	.section .rodata, "a"
	.globl guest_image_bytes, guest_image_bytes_end
	.hidden guest_image_bytes, guest_image_bytes_end
	.balign 4096
guest_image_bytes:
	.incbin "domain/guest.bin"
guest_image_bytes_end:

	.section .note.GNU-stack, "", @progbits
