// SPDX-License-Identifier: Apache-2.0
// Plays generated modules in the engine of this JavaScript, and prints what
// "differential run" prints:
//	node differential.mjs FILE...
//	node differential.mjs --features	the words of "differential make"
//						that it has
import { readFileSync } from "node:fs";
import { basename } from "node:path";

const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const section = (id, ...bytes) => [id, bytes.length, ...bytes];
const code = (...body) => [
	...section(1, 1, 0x60, 0, 0), ...section(3, 1, 0),
	...section(10, 1, body.length + 2, 0, ...body, 0x0b),
];
const zeros = [0xfd, 0x0c, ...Array(16).fill(0)];

// The smallest sections that need each feature.
const probes = {
	simd: code(...zeros, 0x1a),
	tail: code(0x12, 0),
	atomics: code(0xfe, 3, 0),
	exceptions: code(0x1f, 0x40, 0, 0x0b),
	gc: section(1, 1, 0x5f, 1, 0x7f, 0),
	memories: section(5, 2, 0, 0, 0, 0),
	memory64: section(5, 1, 4, 0),
	wide: code(0x42, 0, 0x42, 0, 0x42, 0, 0x42, 0, 0xfc, 0x13, 0x1a, 0x1a),
	imports: [],
	relaxed: code(...zeros, ...zeros, 0xfd, 0x80, 2, 0x1a),
};

function has(sections) {
	return WebAssembly.validate(new Uint8Array([...header, ...sections]));
}

// This engine's words on the left, ours on the right.
const words = [
	[/^unreachable/, "unreachable"],
	[/divide by zero|remainder by zero/, "integer divide by zero"],
	[/divide result unrepresentable/, "integer overflow"],
	[/float unrepresentable/, "invalid conversion to integer"],
	[/memory access out of bounds|data segment|memory\.(init|copy|fill)/i,
		"out of bounds memory access"],
	[/table index is out of bounds|table (access|or element)|table\.|element segment/i,
		"out of bounds table access"],
	[/null function or function signature mismatch|signature mismatch/,
		"indirect call type mismatch"],
	[/unaligned access/, "unaligned atomic"],
	[/dereferencing a null pointer/, "null reference"],
	[/illegal cast/, "cast failure"],
	[/array element access|array access|array index/, "out of bounds array access"],
	[/Maximum call stack/, "call stack exhausted"],
];

function describe(error) {
	if (WebAssembly.Exception && error instanceof WebAssembly.Exception)
		return "uncaught exception";
	const found = words.find(([pattern]) => pattern.test(error.message));
	return found ? found[1] : error.message;
}

const imports = {
	host: {
		collect: () => { },
		mix: x => BigInt.asIntN(64, x * 31n + 7n),
		swap: (a, b, c) => [c, b, a],
		apply: f => f(),
	},
};

function play(path) {
	const name = basename(path);
	const lines = [];
	let instance;
	try {
		const module = new WebAssembly.Module(readFileSync(path));
		try {
			instance = new WebAssembly.Instance(module, imports);
		} catch (error) {
			return `${name} start trap: ${describe(error)}\n`;
		}
	} catch (error) {
		return `${name} not valid: ${error.message}\n`;
	}
	for (const [key, run] of Object.entries(instance.exports))
		try {
			lines.push(`${name} ${key} ${BigInt.asUintN(64, run())}\n`);
		} catch (error) {
			lines.push(`${name} ${key} trap: ${describe(error)}\n`);
		}
	return lines.join("");
}

const files = process.argv.slice(2);
if (files[0] === "--features")
	console.log(Object.keys(probes).filter(key => has(probes[key])).join(","));
else
	for (const path of files)
		process.stdout.write(play(path));
