/* SPDX-License-Identifier: Apache-2.0 */
/* A library that a test may change under a running template. */
const char *greeting(void);

__attribute__((visibility("default"))) const char *greeting(void)
{
	return "hello";
}
