/* SPDX-License-Identifier: Apache-2.0 */
/* An interpreter in the interpreter: a stack machine, which is a switch over
 * its operations in a loop, counts primes and takes common divisors. */
#include "kernel.h"

enum operation {
	PUSH,
	GET,
	SET,
	ADD,
	SUBTRACT,
	MULTIPLY,
	REMAINDER,
	LESS,
	EQUAL,
	NOT,
	AND,
	XOR,
	SHIFT,
	DUP,
	DROP,
	SWAP,
	JUMP,
	IF,
	UNLESS,
	LOAD,
	STORE,
	STOP,
};
enum variable { NUMBER, DIVISOR, COUNT, LEFT, RIGHT, LIMIT, VARIABLES };
enum { STACK = 16, CELLS = 256 };
struct instruction {
	int16_t operation, with;
};

/* clang-format off */
static struct instruction program[] = {
	/*  0 */ { PUSH, 3 }, { SET, NUMBER },
	/*  2 */ { PUSH, 3 }, { SET, DIVISOR },
	/*  4 */ { GET, NUMBER }, { GET, DIVISOR }, { DUP, 0 },
	/*  7 */ { MULTIPLY, 0 }, { LESS, 0 }, { IF, 19 },
	/* 10 */ { GET, NUMBER }, { GET, DIVISOR }, { REMAINDER, 0 },
	/* 13 */ { UNLESS, 29 },
	/* 14 */ { GET, DIVISOR }, { PUSH, 2 }, { ADD, 0 }, { SET, DIVISOR },
	/* 18 */ { JUMP, 4 },
	/* 19 */ { GET, COUNT }, { PUSH, 1 }, { ADD, 0 }, { SET, COUNT },
	/* 23 */ { GET, COUNT }, { LOAD, 0 }, { GET, NUMBER }, { XOR, 0 },
	/* 27 */ { GET, COUNT }, { STORE, 0 },
	/* 29 */ { GET, NUMBER }, { PUSH, 2 }, { ADD, 0 }, { DUP, 0 },
	/* 33 */ { SET, NUMBER }, { GET, LIMIT }, { LESS, 0 }, { IF, 2 },
	/* 37 */ { GET, NUMBER }, { SET, LEFT }, { GET, COUNT }, { LOAD, 0 },
	/* 41 */ { SET, RIGHT },
	/* 42 */ { GET, RIGHT }, { UNLESS, 51 },
	/* 44 */ { GET, RIGHT }, { GET, LEFT }, { GET, RIGHT },
	/* 47 */ { REMAINDER, 0 }, { SET, RIGHT }, { SET, LEFT }, { JUMP, 42 },
	/* 51 */ { GET, LEFT }, { GET, COUNT }, { SHIFT, 0 }, { STOP, 0 },
};
/* clang-format on */
static uint32_t cell[CELLS];

static uint32_t run(const struct instruction *ip, uint32_t *variable)
{
	uint32_t stack[STACK], *top = stack, x;

	for (;; ip++) {
		switch (ip->operation) {
		case PUSH: *++top = (uint32_t)ip->with; break;
		case GET: *++top = variable[ip->with]; break;
		case SET: variable[ip->with] = *top--; break;
		case ADD:
			x = *top--;
			*top += x;
			break;
		case SUBTRACT:
			x = *top--;
			*top -= x;
			break;
		case MULTIPLY:
			x = *top--;
			*top *= x;
			break;
		case REMAINDER:
			x = *top--;
			*top %= x ? x : 1;
			break;
		case LESS:
			x = *top--;
			*top = *top < x;
			break;
		case EQUAL:
			x = *top--;
			*top = *top == x;
			break;
		case NOT: *top = !*top; break;
		case AND:
			x = *top--;
			*top &= x;
			break;
		case XOR:
			x = *top--;
			*top ^= x;
			break;
		case SHIFT:
			x = *top--;
			*top <<= x & 7;
			break;
		case DUP:
			x = *top;
			*++top = x;
			break;
		case DROP: top--; break;
		case SWAP:
			x = *top;
			*top = top[-1];
			top[-1] = x;
			break;
		case JUMP: ip = program + ip->with - 1; break;
		case IF:
			if (*top--)
				ip = program + ip->with - 1;
			break;
		case UNLESS:
			if (!*top--)
				ip = program + ip->with - 1;
			break;
		case LOAD: *top = cell[*top % CELLS]; break;
		case STORE:
			x = *top--;
			cell[x % CELLS] = *top--;
			break;
		default: return *top;
		}
	}
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(70); round > 0; round--) {
		uint32_t variable[VARIABLES] = { 0 };

		variable[LIMIT] = 12000 + (uint32_t)(sum & 63);
		sum = mix(sum, run(program, variable));
		sum = mix(sum, variable[COUNT]);
	}
	return sum;
}
