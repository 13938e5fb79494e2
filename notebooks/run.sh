#!/bin/sh
# Everything set up, then a notebook run headless: sh notebooks/run.sh [NOTEBOOK]
set -u
. "$(dirname "$0")/../tests/setup.sh" base
exec "$py" "$root/notebooks/run.py" "${1:-01_quickstart.ipynb}"
