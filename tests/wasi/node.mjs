// SPDX-License-Identifier: Apache-2.0
// A WASI command under node's own WASI, with the words of "brood run":
//	node node.mjs [--dir HOST[::GUEST]]... [--env K=V]... FILE.wasm [ARG...]
// A reactor's _initialize that stands beside _start is left alone.
import fs from 'node:fs';
import { WASI } from 'node:wasi';

const words = process.argv.slice(2);
const preopens = {};
const env = {};

while (words[0]?.startsWith('--')) {
	const option = words.shift();
	const value = words.shift();

	if (option === '--dir') {
		const [host, guest] = value.split('::');
		preopens[guest ?? host] = host;
	} else if (option === '--env') {
		const at = value.indexOf('=');
		env[value.slice(0, at)] = value.slice(at + 1);
	} else {
		console.error(`node.mjs: what is ${option}?`);
		process.exit(100);
	}
}
const wasi = new WASI({
	version: 'preview1', args: words, env, preopens, returnOnExit: true,
});
const module = await WebAssembly.compile(fs.readFileSync(words[0]));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
const { memory, _start } = instance.exports;

process.exitCode = wasi.start({ exports: { memory, _start } });
