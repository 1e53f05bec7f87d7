/* SPDX-License-Identifier: Apache-2.0 */
/* What tools/aot-operations and clang have made. */
	.section .rodata
	.globl aotc_bitcode, aotc_bitcode_end
	.hidden aotc_bitcode, aotc_bitcode_end
	.p2align 4
aotc_bitcode:
	.incbin "aotc/operations.bc"
aotc_bitcode_end:

	.section .note.GNU-stack, "", @progbits
