#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian packages: built of the source tar, looked at by lintian, installed
# by apt in a new Debian, used there as a user would, and purged.
#
#	DEBS=FOLDER	packages that are there.  Without: those of "make deb",
#			which are built here unless they are of these sources
#			(some minutes; else the test takes two)
#
# Everything happens in name spaces of its own and below a folder of the test:
# mounts and processes go with them.
# needs: dpkg-buildpackage
# needs: dh
# needs: lintian
# needs: mmdebstrap
# needs: unshare
# timeout: 1200
# beside others
# shellcheck source=tests/lib/func.sh
source "$(dirname "$0")/../lib/func.sh"
tree=$(realpath "$here/../..")
version=$(sed -n 's/^VERSION := //p' "$tree/Makefile")
tar=$BUILD/brood-$version.tar.xz
root=$folder/root
status=0
touch out err

# What is thrown away need not be on the disk.
export DPKG_FORCE=security-mac,downgrade,unsafe-io

trap 'cd /; rm -rf --one-file-system "$folder"' EXIT

finish() {
	echo "1..$count"
	[ $failed = 0 ]
	exit
}

# ---- sources ------------------------------------------------------------------

"$tree/tools/dist" "$version" "$tar" >out 2>err
status=$?
ok $status "the sources are a tar"
tar -xf "$tar"
"brood-$version/tools/dist" "$version" again.tar.xz >out 2>err &&
	cmp "$tar" again.tar.xz >>out
ok $? "what is in it makes the same tar, without git"

# ---- packages -----------------------------------------------------------------

words="(they were there)"
if [ -z "${DEBS:-}" ]; then
	DEBS=$BUILD/deb
	"$tree/tools/deb" "$version" "$tar" "$DEBS" >out 2>err
	status=$?
	grep -q 'as it was' out || words="(now)"
	ok $status "the packages are built of it $words"
	[ $status = 0 ] || finish
else
	skip "the packages are built of it" "DEBS= names others"
fi
lintian --allow-root --fail-on error,warning "$DEBS"/*.changes >out 2>err
status=$?
[ $status = 0 ] && ! grep -q '^[EW]:' out
ok $? "lintian has no error and no warning"
dpkg-deb -f "$DEBS"/brood_*.deb Depends >out 2>err
! grep -qiE 'llvm|stdc' out && [ -s out ]
ok $? "brood needs no LLVM"

# ---- a new Debian -------------------------------------------------------------

whole="a new Debian, and the packages in it"
if [ "$(id -u)" != 0 ]; then
	skip "$whole" "only root may"
	finish
fi
# What apt here has its own Debian from.
# shellcheck disable=SC2016
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
	'Created-By: Packages' 'Origin: Debian' 2>err |
	grep -E ' bookworm(-[a-z]+)? ' >sources.list
if [ ! -s sources.list ]; then
	skip "$whole" "apt here has no lists of Debian 12: apt-get update"
	finish
fi
if ! timeout 200 mmdebstrap --quiet --variant=apt --mode=root \
	--skip=cleanup/apt bookworm "$root" sources.list >out 2>err </dev/null; then
	if grep -qiE 'fetch|connect|resolve|timed out|release file' err; then
		skip "$whole" "no mirror: $(grep -m1 '^[EW]' err)"
	else
		ok 1 "$whole"
	fi
	finish
fi
mkdir "$root/debs"
cp "$DEBS"/*.deb "$root/debs/"
mkdir -p dev

# A command in it: its own processes, and of the devices those that programs
# want.  The status is in $status.
inside() { # WORD...
	# shellcheck disable=SC2016
	timeout 240 unshare --mount --pid --fork --kill-child sh -c '
		mount --make-rprivate / && mount -t proc proc "$1/proc" &&
			mount -t tmpfs tmpfs "$1/dev" &&
			mkdir -p "$1/dev/shm" "$1/dev/net" &&
			mount -t tmpfs tmpfs "$1/dev/shm" || exit 111
		ln -s /proc/self/fd "$1/dev/fd"
		for device in null zero full random urandom tty kvm; do
			[ -e "/dev/$device" ] || continue
			touch "$1/dev/$device"
			mount --bind "/dev/$device" "$1/dev/$device"
		done
		cd / && exec chroot "$@"' sh "$root" env -i PATH="$path" \
		HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		DPKG_FORCE=$DPKG_FORCE "$@" >out 2>err </dev/null
	status=$?
}

install() { # PACKAGE...
	inside apt-get -qq -o Dpkg::Use-Pty=0 install -y \
		--no-install-recommends "$@"
}

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
deb() { # PACKAGE: its file, in there
	(cd "$root" && printf '/%s\n' debs/"$1"_*.deb)
}

install "$(deb brood)"
ok $status "apt installs brood"
[ $status = 0 ] || finish
inside brood doctor
[ $status = 0 ] && grep -q '^ok  *shim  */usr/lib/brood/brood-shim.so' out &&
	grep -q '^ok  *starter  */usr/lib/brood/brood-hatch' out &&
	! grep -q '^missing' out
ok $? "brood doctor finds what belongs to it, and misses nothing"
awk '/^less/ { less++ } / -> / { advice++ } END { exit less > advice }' out
ok $? "and where there could be more it tells how"
inside brood run /usr/share/doc/brood/examples/hello.wat World
[ $status = 0 ] && [ "$(cat out)" = 'Hello, World!' ]
ok $? "brood run of a module"
inside sh -c 'brood app pack /bin/ls --as /tmp/ls.app &&
	brood app install /tmp/ls.app --share /tmp/share --bin /tmp/bin &&
	/tmp/bin/ls /'
[ $status = 0 ] && grep -qx debs out
ok $? "an application is packed, installed and started"
inside sh -c 'brood man run && brood-oci --version && brood node --json'
ok $status "pages, the runtime and the node"
# shellcheck disable=SC2016
inside bash -c 'set -e
	gzip -dc /usr/share/man/man1/brood.1.gz | grep -q "^.SH VERBS"
	gzip -dc /usr/share/man/man8/brood-oci.8.gz | grep -q "^.SH COMMANDS"
	test -s /usr/share/zsh/vendor-completions/_brood
	test -s /usr/share/fish/vendor_completions.d/brood.fish
	source /usr/share/bash-completion/completions/brood
	COMP_WORDS=(brood unwr) COMP_CWORD=1
	_brood && test "$COMPREPLY" = unwrap'
ok $status "pages and completions lie where they are looked for"

# What root compiles for all, others find: by the folders of tmpfiles.d.
inside sh -c 'brood compile --cache /var/cache/brood/code \
		/usr/share/doc/brood/examples/hello.wat &&
	mkdir -m 777 /tmp/of && cd /tmp/of &&
	HOME=/tmp/of setpriv --reuid 4711 --regid 4711 --clear-groups \
		brood cache ls'
[ $status = 0 ] && grep -q '(system)' out
ok $? "what root compiles for all users is found by them"

# ---- units --------------------------------------------------------------------

inside sh -c 'systemctl is-enabled brood-node.socket brood-apps.service
	getent group brood; stat -c %a /var/cache/brood/oci'
[ "$(grep -c '^disabled$' out)" = 2 ] && grep -q '^brood:x:' out &&
	grep -qx 700 out
ok $? "units are there, disabled; and their group and folders"
inside systemd-analyze --man=no verify brood-node.socket brood-node.service \
	brood-apps.service
[ $status = 0 ] && [ ! -s err ]
ok $? "the system's units hold"
inside sh -c 'mkdir -m 700 /tmp/run && XDG_RUNTIME_DIR=/tmp/run \
	systemd-analyze --user --man=no verify brood@usr-bin-ls.service \
	brood-refresh@usr-bin-ls.timer brood-refresh@usr-bin-ls.service'
[ $status = 0 ] && [ ! -s err ]
ok $? "the users' units hold"
inside sh -c 'cd /usr/lib/systemd && grep -h "^Exec" */brood*'
[ $status = 0 ] && ! grep -v '=/usr/bin/brood ' out
ok $? "they start the brood that is installed"

# ---- the first lines of the README --------------------------------------------

first=$(sed -n 's,^    build/\(brood launch [^#]*[^ #]\) *#.*,\1,p' \
	"$tree/README.md" | head -n 1)
install clang
ok $status "there is a clang now"
# The template is made beside the first launch; until it is there others are
# cold, too.
inside sh -c "cd /tmp
	export BROOD_REPORT=/tmp/report
	clang --version >plain && $first >cold && cmp plain cold || exit
	for try in \$(seq 200); do
		$first >warm && cmp plain warm || exit
		! tail -n 1 report | grep -E '\"way\":\"(clone|hatch)\"' || break
		sleep 0.1
	done
	brood ps && brood stop --all"
[ $status = 0 ] && [ -n "$first" ] && grep -q '"way":"' out &&
	grep -q 'clang version' "$root/tmp/warm"
ok $? "the README's first command, cold and warm: $first"

# ---- the optimiser ------------------------------------------------------------

install "$(deb brood-aotc)"
ok $status "apt installs brood-aotc"
inside sh -c 'brood compile --optimise --verbose \
		/usr/share/doc/brood/examples/hello.wat &&
	brood run /usr/share/doc/brood/examples/hello.wat again &&
	brood doctor | grep "Wasm optimiser"'
[ $status = 0 ] && grep -q '^Hello, again!' out &&
	grep -q '^ok  *Wasm optimiser' out
ok $? "and brood finds it"

# ---- the library --------------------------------------------------------------

install pkg-config libc6-dev gcc "$(deb libbrood-dev)" "$(deb libbrood0)"
ok $status "apt installs libbrood-dev"
# shellcheck disable=SC2016
inside sh -c 'set -e
	cd /tmp
	cp /usr/share/doc/libbrood-dev/examples/*.c* .
	gunzip -f *.gz 2>/dev/null || true
	gcc -o wasm wasm.c $(pkg-config --cflags --libs brood)
	ldd wasm | grep libbrood.so.0
	./wasm
	gcc -static -o alone wasm.c $(pkg-config --static --cflags --libs brood)
	./alone
	gcc -o start start.c $(pkg-config --cflags --libs brood)
	./start /usr/bin/clang --version
	brood stop --all'
[ $status = 0 ] && grep -q '/usr/lib/x86_64-linux-gnu/libbrood.so.0\|/lib/x86_64-linux-gnu/libbrood.so.0' out
ok $? "programs are compiled with it by pkg-config, and run"

# ---- and nothing ---------------------------------------------------------------

purge() { # PACKAGE...
	inside apt-get -qq -o Dpkg::Use-Pty=0 purge -y "$@"
}

purge brood brood-aotc libbrood0 libbrood-dev
[ $status = 0 ] && inside /tmp/bin/ls / && grep -qx debs out
ok $? "apt purges them; an application that was installed still starts"
install "$(deb brood)"
inside brood app uninstall ls
[ $status = 0 ] && purge brood
ok $status "it is uninstalled, and brood purged once more"
# Neither files, nor what maintainers' scripts and tmpfiles.d have made; what
# root has of its own in its home, and what this test has put there, is its own.
find "$root" -xdev \( -path "$root/root" -o -path "$root/tmp" -o \
	-path "$root/debs" \) -prune -o \( -name '*brood*' -o -name wasm.h \) \
	-print >out 2>err
grep -s brood "$root"/etc/passwd "$root"/etc/group "$root"/etc/gshadow >>out
[ ! -s out ]
ok $? "nothing is left"
finish
