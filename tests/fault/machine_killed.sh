#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Machines whose QEMU or starter is killed, at many moments.
# timeout: 400
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/machine.py" tips
