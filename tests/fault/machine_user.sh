#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Machines in trouble, as an unprivileged user.
# timeout: 400
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/machine.py" user
