/* SPDX-License-Identifier: Apache-2.0 */
/* The component of ring 0: for each vector one instruction, which tells the
 * host, that then sends the CPU to where ring 3 goes on.  Nothing comes back
 * here; iretq is for a host that changes nothing.	CLAIM 3.6 */
#include "stubs.h"

	.section .ktext, "ax"
	.globl guest_stubs
	.balign 16
guest_stubs:
	.set vector, 0
	.rept GUEST_STUB_COUNT
	.balign GUEST_STUB_SIZE
	out %al, $vector
	/* These push an error code. */
	.if (vector == 8) || (vector == 17) || (vector == 21)
	add $8, %rsp
	.elseif (vector >= 10) && (vector <= 14)
	add $8, %rsp
	.endif
	iretq
	.set vector, vector + 1
	.endr

	.section .note.GNU-stack, "", @progbits
