#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The lock of a share on all storage there is: two machines and their host over
# 9p, virtiofs and NFS.  Holders are killed, paused, and lose their machine.
# timeout: 400
# alone
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/lock_matrix.py"
