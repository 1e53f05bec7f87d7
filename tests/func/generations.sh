#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generations change under load and no launch is lost.
# GENERATIONS=1000 for the long run; 40 by default.
# timeout: 900
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/generations.py"
