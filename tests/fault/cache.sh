#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs whose code cache fails them in every way: always the right result, and
# never a file that is half an object.
# timeout: 200
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/cache.py"
