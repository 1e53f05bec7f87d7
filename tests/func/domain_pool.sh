#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Modules served in domains that wait: brood serve --in domain, launch, ps, top,
# refresh and stop; with KVM, and with processes in its place.
# timeout: 240
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/domain_pool.py"
