#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs and the code cache: brood compile, brood run --cache, many at once.
# timeout: 200
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/compile.py"
