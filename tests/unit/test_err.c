/* SPDX-License-Identifier: Apache-2.0 */
/* Failures are one line, whatever is in the names that they tell. */
#include "base/err.h"
#include "test.h"
#include <errno.h>
#include <string.h>

TEST(words_and_their_cause)
{
	struct err err = { 0 };

	CHECK_INT(err_set(&err, -ENOENT, "open %s", "x"), -ENOENT);
	CHECK_TEXT(err.text, "open x: No such file or directory");
	CHECK_INT(err_wrap(&err, "layer %d", 3), -ENOENT);
	CHECK_TEXT(err.text, "layer 3: open x: No such file or directory");
	CHECK_INT(err_set(&err, -EINVAL, "%s is none", "x"), -EINVAL);
	CHECK_TEXT(err.text, "x is none");
	CHECK_INT(err_set(NULL, -EIO, "x"), -EIO);
}

TEST(no_control_characters)
{
	struct err err = { 0 };

	err_set(&err, -EINVAL, "a\033[2J%s", "b\nc\177\001\xc3\xa9");
	CHECK_TEXT(err.text, "a?[2Jb?c??\xc3\xa9");
	err_wrap(&err, "%s", "d\re");
	CHECK_TEXT(err.text, "d?e: a?[2Jb?c??\xc3\xa9");
}

TEST(long_words_are_cut)
{
	struct err err = { 0 };
	char words[400];

	memset(words, 'x', sizeof words - 1);
	words[sizeof words - 1] = 0;
	err_set(&err, -EIO, "%s", words);
	CHECK_INT(strlen(err.text), sizeof err.text - 1);
	err_wrap(&err, "y");
	CHECK_INT(strlen(err.text), sizeof err.text - 1);
	CHECK(strncmp(err.text, "y: xxx", 6) == 0);
}

TEST_MAIN
