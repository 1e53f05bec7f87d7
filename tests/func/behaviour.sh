#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a launch must carry and keep, by clone and by hatch, against exec.
# timeout: 500
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/behaviour.py"
