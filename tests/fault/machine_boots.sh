#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Machines that boot again, that do not fit, and that have disks.
# timeout: 400
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/machine.py" boots
