#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An image of files as a folder (brood run --image): in a process, in a domain,
# and in what takes a domain's place without KVM, programs (tests/wasi/image)
# see the same; a domain reads it without its host, and all share its pages.
# timeout: 240
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
guests=$here/../wasi/image
export BROOD_IMAGES=$folder/images
umask 022

finish() {
	echo "1..$count"
	exit $((failed > 0))
}

# ---- guests and images ----------------------------------------------------------

compile() { # SOURCE MODULE
	"$compiler" --target=wasm32-wasi "${sysroot[@]}" -O2 -Wall -Wextra \
		-Werror "$1" -o "$2" 2>err
}

find_compiler() {
	echo 'int main(void) { return 0; }' >empty.c
	for compiler in ${WASI_CC:-} clang-19 clang; do
		command -v "$compiler" >/dev/null || continue
		for root in "" /usr /usr/share/wasi-sysroot; do
			sysroot=()
			[ -n "$root" ] && sysroot=("--sysroot=$root")
			compile empty.c empty.wasm && return
		done
	done
	return 1
}

if ! find_compiler; then
	skip "images of files" "no compiler for wasm32-wasi"
	finish
fi
for guest in look all warm; do
	compile "$guests/$guest.c" $guest.wasm
	status=$?
	[ $status = 0 ] || ok 1 "$guest: compiled"
done

pack() { # FOLDER IMAGE
	"$BUILD/tests/unit/write_erofs" pack "$1" "$2" / 1234567890 >/dev/null
}

mkdir -p tree/sub/deep tree/empty beside big
echo "hello world" >tree/hello
echo inner >tree/sub/inner
echo leaf >tree/sub/deep/leaf
ln -s sub/inner tree/link
ln -s sub tree/folder
ln -s /hello tree/abs
ln -s ../../hello tree/sub/deep/fine
echo ours >beside/ours
pack tree image
head -c $((32 << 20)) /dev/urandom >big/big
pack big big.image

has_kvm=
[ "$("$BROOD" run --in domain --require-kvm --image image all.wasm /app/hello \
	</dev/null 2>err | tail -c 3)" = ok ] && has_kvm=1

# Each way to run: WAY COMMAND..., with --image; what it says is in out and err.
ways=(process)
[ -n "$has_kvm" ] && ways+=(domain)
ways+=(stand-in)
run() { # WAY WORD...
	local way=$1
	shift
	case $way in
	process) timeout 60 "$BROOD" run "$@" >out 2>err ;;
	domain) timeout 60 "$BROOD" run --in domain --require-kvm "$@" >out 2>err ;;
	stand-in)
		BROOD_WITHOUT=kvm timeout 60 "$BROOD" run --in domain "$@" \
			>out 2>err
		;;
	esac
	status=$?
}

[ -n "$has_kvm" ] || skip "domains of KVM" "there is no KVM that does it"

# ---- the same everywhere ----------------------------------------------------

for way in "${ways[@]}"; do
	for via in compiled interp; do
		run "$way" --via $via --dir beside::/out --image image look.wasm \
			</dev/null
		[ $status = 0 ] && cmp -s "$guests/look.expected" out &&
			[ ! -s err ]
		ok $? "$way, $via: all that can be seen"
		diff "$guests/look.expected" out | sed 's/^/# /' | head
	done
	run "$way" --image image::/lib/data all.wasm /lib/data/sub/inner </dev/null
	[ "$(cut -d, -f1 out)" = "6 bytes" ]
	ok $? "$way: a folder of another name"
done
[ "$(ls beside)" = ours ]
ok $? "nothing was made beside"

# ---- no host call, one copy ---------------------------------------------------

wanted=$(BROOD_WITHOUT=kvm "$BROOD" run --dir big::/app all.wasm /app/big \
	</dev/null)

wasi_calls() { # of the last line of the report
	sed -n '$s/.*"wasi":\([0-9]*\).*/\1/p' report
}

for way in "${ways[@]:1}"; do
	run "$way" --report report --image big.image all.wasm /app/big </dev/null
	[ $status = 0 ] && [ "$(cat out)" = "$wanted" ]
	ok $? "$way: 32 MiB are what they are"
	calls=$(wasi_calls)
	run "$way" --report report --dir big::/app all.wasm /app/big </dev/null
	[ "$calls" -lt 20 ] && [ "$(wasi_calls)" -gt 500 ]
	ok $? "$way: read with $calls host calls, not $(wasi_calls)"
done
run process --image big.image all.wasm /app/big </dev/null
[ $status = 0 ] && [ "$(cat out)" = "$wanted" ]
ok $? "process: 32 MiB are what they are"

traced() { # WORD...: how many of the system's calls read 64 KiB
	BROOD_WITHOUT=kvm timeout 60 strace -f -o trace \
		-e trace=read,pread64,readv,preadv,preadv2 "$BROOD" run \
		--in domain "$@" all.wasm /app/big </dev/null >out 2>err
	status=$?
	grep -c '= 65536$' trace
}

if strace -o trace true 2>/dev/null; then
	image=$(traced --image big.image)
	other=$(traced --dir big::/app)
	[ "$image" = 0 ] && [ "$other" -ge 512 ]
	ok $? "$image calls of the system's read it, not $other"
else
	skip "calls of the system's" "no strace"
fi

# Rss and Pss of the image's mapping in kB, of a process.
shares() { # PID
	awk '/^[0-9a-f]+-/ { mine = /big\.image$/ }
		mine && /^Rss:/ { rss += $2 }
		mine && /^Pss:/ { pss += $2 }
		END { print rss + 0, pss + 0 }' "/proc/$1/smaps"
}

# Four at once, each of which has read all of it, twice, and waits.
share_of() { # WORD...: in $shared what they have, as it is told
	local i pids=() rss pss
	mkfifo in1 in2 in3 in4
	for i in 1 2 3 4; do
		"$BROOD" run "$@" --image big.image all.wasm /app/big \
			<in$i >out$i 2>err$i &
		pids+=($!)
	done
	exec 5>in1 6>in2 7>in3 8>in4
	for i in 5 6 7 8; do
		echo >&$i
	done
	for i in 1 2 3 4; do
		for _ in $(seq 600); do
			[ "$(wc -l <out$i)" = 2 ] && break
			sleep 0.1
		done
	done
	shared=0
	for pid in "${pids[@]}"; do
		read -r rss pss < <(shares "$pid")
		told="of $rss kB, $pss kB"
		# Those who serve it see all of it, and have a quarter each.
		[ "$rss" -ge 32768 ] && [ $((pss * 3)) -lt "$rss" ] &&
			shared=$((shared + 1))
	done
	exec 5>&- 6>&- 7>&- 8>&-
	wait "${pids[@]}"
	rm in?
}

share_of
[ $shared = 4 ]
ok $? "four processes have one copy: $told each"
BROOD_WITHOUT=kvm share_of --in domain
[ $shared = 4 ]
ok $? "four stand-ins have one copy: $told each"
if [ -n "$has_kvm" ]; then
	share_of --in domain --require-kvm
	[ $shared = 4 ] && cmp -s out1 out4
	ok $? "four domains have one copy: $told each"
fi

# ---- a file that becomes shorter, or another one -------------------------------

for way in "${ways[@]}"; do
	cp big.image less.image
	rm -f out
	run "$way" --image less.image all.wasm /app/big < <(
		for _ in $(seq 100); do
			[ -s out ] && break
			sleep 0.1
		done
		truncate -s 8M less.image
		echo
	)
	[ $status = 0 ] && [ ! -s err ] && [ "$(sed -n 1p out)" = "$wanted" ] &&
		grep -q '^8.* bytes, .*, I/O error$' out
	ok $? "$way: a page that is gone is an I/O error"
done

# ---- what is refused ----------------------------------------------------------

refuses() { # IMAGE LINE WORDS
	local way
	for way in process stand-in; do
		run $way --image "$1" all.wasm /app/hello </dev/null
		[ $status = 111 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
			grep -q "$2" err
		ok $? "$3, $way"
	done
}

refuses none "open image none: No such file" "an image that is not there"
refuses tree "neither a regular file" "a folder"
refuses /dev/zero "neither a regular file" "a device that is no disk"
mkfifo pipe
refuses pipe "neither a regular file" "a pipe, at once"
refuses all.wasm "no EROFS image" "another file"
head -c 100000 image >cut.image
refuses cut.image "cut short" "an image that is cut"
cp image flipped
printf x | dd of=flipped bs=1 seek=1100 conv=notrunc status=none
refuses flipped "checksum" "a superblock that was changed"
cp image wide
chmod g+w wide
refuses wide "by its group" "an image that others may write"
refuses image:: "name has 1 to" "a folder without a name"

# ---- kept, and served -----------------------------------------------------------

from() { # WORD...
	echo go | timeout 60 "$BROOD" run --from warm "$@" >out 2>err
	status=$?
}

timeout 60 "$BROOD" run --until stdin --save warm --image image warm.wasm \
	</dev/null >out 2>err
status=$?
ok $status "kept in the middle of a file"
from --image image
[ $status = 0 ] && [ "$(cat out)" = "$(printf 'world\n..\ndeep\ninner')" ]
ok $? "goes on in the middle of it"
BROOD_WITHOUT=kvm from --image image
[ $status = 0 ] && [ "$(head -1 out)" = world ]
ok $? "goes on so without KVM"
from
[ $status = 126 ] && grep -q "made with an image" err
ok $? "not without the image"
from --image image::/other
[ $status = 126 ] && grep -q "the image /app" err
ok $? "not under another name"
echo more >tree/more
pack tree other
from --image other
[ $status = 126 ] && grep -q "another image" err
ok $? "not with another image"
timeout 60 "$BROOD" run --until stdin --save bare all.wasm /app/hello \
	</dev/null >out 2>err
echo | timeout 60 "$BROOD" run --from bare --image image >out 2>err
status=$?
[ $status = 126 ] && grep -q "without an image" err
ok $? "nor one that was made without"

serve() { # NAME WORD...: serves it, launches it four times
	local name=$1 i
	shift
	timeout 60 "$BROOD" serve --in domain --image image "$@" >out 2>err ||
		return 1
	for i in 1 2 3 4; do
		echo go | timeout 60 "$BROOD" launch "$name" >launched$i 2>err
		status=$?
		[ $status = 0 ] || break
	done
	"$BROOD" stop "$name" >/dev/null 2>&1
	[ "$status" = 0 ] && cmp -s launched1 launched2 &&
		cmp -s launched1 launched4
}

serve look --dir beside::/out look -- look.wasm &&
	cmp -s launched3 "$guests/look.expected"
ok $? "served: each launch sees it as the first one did"
BROOD_WITHOUT=kvm serve look --dir beside::/out look -- look.wasm &&
	cmp -s launched3 "$guests/look.expected"
ok $? "served without KVM"
serve tip --from warm tip && [ "$(head -1 launched4)" = world ]
ok $? "served from what was kept"
"$BROOD" serve --in domain --isolation shared-vm --image image x -- look.wasm \
	>out 2>err
status=$?
[ $status = 100 ] && grep -q "shared-vm cannot" err
ok $? "not where launches share a domain"
finish
