/* SPDX-License-Identifier: Apache-2.0 */
/* Chance: any number of bytes, all of them, never the same. */
#include "tell.h"
#include <unistd.h>
#include <wasi/api.h>

int main(void)
{
	static uint8_t bytes[1 << 20];
	uint32_t seen[256] = { 0 }, rare = 0;
	uint8_t a[16] = { 0 }, b[16] = { 0 };

	TELL(getentropy(a, sizeof a));
	TELL(getentropy(b, sizeof b));
	printf("%s\n", memcmp(a, b, sizeof a) ? "differ" : "the same");
	TELL_WASI(__wasi_random_get(bytes, 0));
	TELL_WASI(__wasi_random_get(bytes, sizeof bytes));
	for (size_t i = 0; i < sizeof bytes; i++)
		seen[bytes[i]]++;
	for (int i = 0; i < 256; i++)
		rare += seen[i] < sizeof bytes / 512;
	printf("%u rare bytes\n", rare);
	TELL_WASI(__wasi_sched_yield());
	return 0;
}
