/* SPDX-License-Identifier: Apache-2.0 */
/* flags: -static */
/* The floor of a start: a program that does nothing. */
int main(void)
{
	return 0;
}
