#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays generated modules in wasmtime, and prints what "differential run"
prints.  It is the one other engine that has all of WebAssembly 3.0; where
Python has no wasmtime there is nothing to compare with.

	differential.py FILE...
"""
import os
import sys

import wasmtime

# wasmtime's words, ours
WORDS = [
	("unreachable", "unreachable"),
	("integer divide by zero", "integer divide by zero"),
	("integer overflow", "integer overflow"),
	("invalid conversion to integer", "invalid conversion to integer"),
	("out of bounds memory access", "out of bounds memory access"),
	("undefined element", "out of bounds table access"),
	("uninitialized element", "uninitialized element"),
	("indirect call type mismatch", "indirect call type mismatch"),
	("out of bounds table access", "out of bounds table access"),
	("unaligned atomic", "unaligned atomic"),
	("null reference", "null reference"),
	("null i31", "null reference"),
	("cast failure", "cast failure"),
	("array element access", "out of bounds array access"),
	("out of bounds array access", "out of bounds array access"),
	("call stack exhausted", "call stack exhausted"),
	("thrown Wasm exception", "uncaught exception"),
	("uncaught exception", "uncaught exception"),
]


def make_engine():
	config = wasmtime.Config()
	for name in ("simd", "relaxed_simd", "relaxed_simd_deterministic",
		     "tail_call", "threads", "multi_memory", "memory64",
		     "function_references", "gc", "exceptions",
		     "wide_arithmetic", "reference_types", "bulk_memory"):
		setattr(config, "wasm_" + name, True)
	return wasmtime.Engine(config)


def describe(error):
	text = str(error)
	for theirs, ours in WORDS:
		if theirs in text:
			return ours
	return repr(error)


# A function of Python would end an exception that goes through it.
APPLY = """(module (type $none (func)) (table 1 funcref)
  (func (export "apply") (param funcref)
    (table.set (i32.const 0) (local.get 0))
    (call_indirect (type $none) (i32.const 0))))"""


def wrapped(number):
	number &= 0xffffffffffffffff
	return number - (number >> 63 << 64)


def host_imports(engine, store, module):
	"""Functions, in the order in which generated modules name them."""
	i32, i64, f64 = (wasmtime.ValType.i32(), wasmtime.ValType.i64(),
			 wasmtime.ValType.f64())
	calls = {
		"collect": ([], [], lambda: None),
		"mix": ([i64], [i64], lambda x: wrapped(x * 31 + 7)),
		"swap": ([i32, f64, i64], [i64, f64, i32],
			 lambda a, b, c: [c, b, a]),
	}
	found = {name: wasmtime.Func(store, wasmtime.FuncType(*call[:2]),
				     call[2]) for name, call in calls.items()}
	other = wasmtime.Instance(store, wasmtime.Module(engine, APPLY), [])
	found["apply"] = other.exports(store)["apply"]
	return [found[i.name] for i in module.imports]


def play(engine, path):
	name = os.path.basename(path)
	store = wasmtime.Store(engine)
	try:
		module = wasmtime.Module.from_file(engine, path)
	except wasmtime.WasmtimeError as error:
		print(name, "not valid:", str(error).splitlines()[-1])
		return
	try:
		exports = wasmtime.Instance(
			store, module,
			host_imports(engine, store, module)).exports(store)
	except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
		print(name, "start trap:", describe(error))
		return
	for export in module.exports:
		try:
			result = exports[export.name](store)
			print(name, export.name, result & 0xffffffffffffffff)
		except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
			print(name, export.name, "trap:", describe(error))


def main():
	engine = make_engine()
	for path in sys.argv[1:]:
		play(engine, path)


main()
