#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood compile --optimise, with a compiler that fails as it is told
# (tests/programs/fake_aotc.c): what is left, what stays, what replaces it.
# timeout: 200
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/optimise.py"
