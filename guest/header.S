/* SPDX-License-Identifier: Apache-2.0 */
/* The image's first page: struct guest_image.  Assembly, since differences of
 * the linker's symbols are no constants to C. */
#include "stubs.h"

	.section .header, "a"
	.quad 0x4e4944444f4f5242
	.long 1
	.long guest_file_end - guest_image_begin
	.long guest_kernel_begin - guest_image_begin
	.long guest_user_begin - guest_image_begin
	.long guest_constants_begin - guest_image_begin
	.long guest_data_begin - guest_image_begin
	.long guest_image_end - guest_image_begin
	.long 0
	.quad guest_stubs
	.quad guest_entry
	.quad guest_fault_entry
	.quad guest_fault_end

	.section .note.GNU-stack, "", @progbits
