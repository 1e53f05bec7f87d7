/* SPDX-License-Identifier: Apache-2.0 */
/* The other three functions that CRuby's module asks a page for: a handle is
 * the number that it stands for. */
#define EXPORT(name) __attribute__((export_name(name)))

EXPORT("resource_drop_js-abi-value") void drop(int handle)
{
	(void)handle;
}

EXPORT("resource_new_rb-abi-value") int make(int number)
{
	return number;
}

EXPORT("resource_get_rb-abi-value") int get(int handle)
{
	return handle;
}
