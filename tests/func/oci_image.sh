#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Machines' images in OCI layouts and registries: brood image export and import
# --oci.
# needs: python3
# timeout: 280
exec /usr/bin/env PYTHONPATH="$(dirname "$0")/../lib" \
	python3 "$(dirname "$0")/oci_image.py"
