#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images as others see them: what erofs-utils say, and what Linux shows where
# it is mounted.
# timeout: 280
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
trap 'umount "$folder"/*.mounted 2>/dev/null; rm -rf "$folder"' EXIT
tool=$BUILD/tests/unit/write_erofs
python=/usr/lib/python3.11
status=0
touch out err

pack() { # FOLDER IMAGE [TO [MTIME]]
	"$tool" pack "$@" >out 2>err
	status=$?
}

describe() { # FOLDER: names, modes, times, targets
	(cd "$1" && find . -printf '%P %m %T@ %l %y\n' | LC_ALL=C sort)
}

same() { # FOLDER FOLDER
	diff -r --no-dereference "$1" "$2" >out 2>&1 &&
		diff <(describe "$1") <(describe "$2") >out 2>&1
}

# A folder of what is not usual.
odd=$folder/odd
mkdir -p "$odd/deep/$(printf 'd/%.0s' {1..40})" "$odd/many" "$odd/empty"
for i in $(seq 3000); do echo "$((i % 50))" >"$odd/many/name-$i"; done
for i in '!' - .- ... ..a ..! 'a b' $'new\nline' "$(printf 'x%.0s' {1..255})"
do
	echo "$i" >"$odd/many/$i"
done
head -c 3000001 /dev/urandom >"$odd/large"
head -c 4096 /dev/urandom >"$odd/block"
: >"$odd/nothing"
ln "$odd/large" "$odd/again"
ln -s many/name-1 "$odd/link"
ln -s nowhere "$odd/dangling"
chmod 751 "$odd/large"
chmod 1777 "$odd/empty"
touch -d '2001-02-03 04:05:06.789' "$odd/block" "$odd/many"

pack "$odd" odd.img
ok $status "a folder is packed"
pack "$odd" again.img
cmp odd.img again.img >out 2>err
ok $? "twice the same bytes"
cp -a "$odd" copy
pack copy again.img
cmp odd.img again.img >out 2>err
ok $? "the same bytes from a copy of it"
[ $(($(stat -c %s odd.img) % 2097152)) = 0 ]
ok $? "whole pages of 2 MiB"
"$tool" check odd.img >out 2>err
ok $? "it is let pass"

trees=("odd.img $odd .")
if [ -d $python ]; then
	pack $python python.img $python
	ok $status "$python is packed"
	ABSOLUTE=1 "$tool" check python.img >out 2>err
	ok $? "it is let pass"
	trees+=("python.img $python .$python")
else
	skip "$python is packed" "it is not here"
fi

for tree in "${trees[@]}"; do
	read -r image from to <<<"$tree"
	mkdir -p "$image.unpacked"
	ABSOLUTE=1 "$tool" unpack "$image" "$image.unpacked" >out 2>err
	status=$?
	same "$from" "$image.unpacked/$to"
	ok $? "$image unpacked is what was packed"
	if command -v fsck.erofs >/dev/null; then
		fsck.erofs "$image" >out 2>err
		ok $? "fsck.erofs finds nothing wrong in $image"
		dump.erofs "$image" >out 2>err && grep -q sb_csum out
		ok $? "dump.erofs knows its features"
	else
		skip "erofs-utils on $image" "they are not here"
	fi
done

mounted() { # IMAGE: where
	mkdir -p "$1.mounted"
	mount -t erofs -o ro "$1" "$1.mounted" 2>err ||
		mount -t erofs -o ro,loop "$1" "$1.mounted" 2>>err
}

for tree in "${trees[@]}"; do
	read -r image from to <<<"$tree"
	if [ "$(id -u)" != 0 ] || ! mounted "$image"; then
		skip "$image mounted" "this system does not mount it"
		continue
	fi
	same "$from" "$image.mounted/$to"
	ok $? "$image mounted is what was packed"
	(cd "$from" && find . -type f -print0) | while IFS= read -rd '' name; do
		[ -f "$image.mounted/$to/$name" ] || echo "$name"
	done >out
	[ ! -s out ]
	ok $? "each name in it is found"
	umount "$image.mounted"
done

mkfifo "$odd/pipe"
pack "$odd" fifo.img
[ $status != 0 ] && grep -q "odd/pipe is a fifo" err
ok $? "a fifo is told of"
cp /bin/true odd.true && chmod 4755 odd.true
mkdir set && mv odd.true set/true
pack set set.img
"$tool" check set.img >out 2>err
[ $? = 1 ] && grep -q "/true: a file that sets the user" err
ok $? "a set-user-id file is not let pass"
printf 'x' | dd of=odd.img bs=1 seek=1100 conv=notrunc 2>/dev/null
"$tool" check odd.img >out 2>err
[ $? = 1 ] && grep -q checksum err
ok $? "a changed superblock is not let pass"
echo "1..$count"
[ $failed = 0 ]
