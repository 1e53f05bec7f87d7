#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The standard's test suite with optimised code (docs/optimiser.md): of all
# functions, of halves of them, found by other processes, in domains.
#
# timeout: 900
MODES=optimised exec "$(dirname "$0")/spec.sh"
