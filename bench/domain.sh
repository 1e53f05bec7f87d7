#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Byte code in micro-VMs against bare KVM and other engines, interleaved.
# What can be set, and what is told, is said in domain.py.
if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
	echo "bench-domain: skipped: /dev/kvm is not here, or not ours"
	exit 0
fi
# shellcheck source=bench/kernels.sh
. "$(dirname "$0")/kernels.sh"
python3 "$here/domain.py" "$@"
