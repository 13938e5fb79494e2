#!/bin/sh
# Everything set up, then a notebook run headless: sh notebooks/run.sh [NOTEBOOK]
set -u
kind=base
. "$(dirname "$0")/../tests/setup.sh"
exec "$py" "$root/notebooks/run.py" "${1:-01_quickstart.ipynb}"
