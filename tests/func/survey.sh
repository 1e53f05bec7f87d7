#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs of /usr/bin by clone and by hatch against plain exec.
# SURVEY=full takes all of them, else a sample of SURVEY programs (40).
# timeout: 3000
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/survey.py" "$@"
