#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The life of a template: made on demand, aged, renewed, refused, killed.
# timeout: 240
# alone
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/keeper.py"
