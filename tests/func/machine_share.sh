#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Folders and files that machines have of this host: 9p, virtiofs, memory that
# is mapped, disks; and NFS of a server on this host.
# timeout: 500
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/machine_share.py"
