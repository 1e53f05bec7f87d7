/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256: the standard's examples, and both ways to compute it against each
 * other at all lengths around a block and however the bytes come. */
#include "base/sha256.h"
#include "test.h"

static void hex_of(const uint8_t sum[SHA256_BYTES], char hex[65])
{
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

static void check_sum(const void *data, size_t len, const char *want)
{
	uint8_t sum[SHA256_BYTES];
	struct sha256 sha;
	char hex[65];

	sha256_of(data, len, sum);
	hex_of(sum, hex);
	CHECK_TEXT(hex, want);
	sha256_start_plain(&sha);
	sha256_add(&sha, data, len);
	sha256_end(&sha, sum);
	hex_of(sum, hex);
	CHECK_TEXT(hex, want);
}

TEST(examples)
{
	char *million = malloc(1000000);
	const char *long_one =
		"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

	check_sum("", 0,
		  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b785"
		  "2b855");
	check_sum("abc", 3,
		  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20"
		  "015ad");
	check_sum(long_one, strlen(long_one),
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419d"
		  "b06c1");
	CHECK(million != NULL);
	if (!million)
		return;
	memset(million, 'a', 1000000);
	check_sum(million, 1000000,
		  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc71"
		  "12cd0");
	free(million);
}

TEST(lengths_and_parts)
{
	uint8_t data[300], whole[SHA256_BYTES], parts[SHA256_BYTES];
	struct sha256 sha;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 37 + 11);
	for (size_t len = 0; len <= sizeof data; len++) {
		sha256_start_plain(&sha);
		sha256_add(&sha, data, len);
		sha256_end(&sha, whole);
		for (size_t step = 1; step < 140; step += 23) {
			sha256_start(&sha);
			for (size_t at = 0; at < len; at += step)
				sha256_add(&sha, data + at,
					   len - at < step ? len - at : step);
			sha256_end(&sha, parts);
			CHECK(memcmp(whole, parts, sizeof whole) == 0);
		}
	}
}

TEST_MAIN
