#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A machine as an application: its images lie on the share alone, and several
# machines start from them.
# timeout: 280
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/app_machine.py"
