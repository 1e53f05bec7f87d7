#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where runs spend their time is kept beside the code, and what is hot is
# optimised by itself: once, within its budget, behind the runs' backs.
# timeout: 280
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/profile.py"
