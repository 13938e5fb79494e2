#!/bin/sh
# Everything set up, then the tests. Plain: the fast ones. --all: real agents, browser, crash and
# load too, with the pinned CLIs and Chromium installed first. Further arguments go to pytest.
set -u
unset PYTHONDONTWRITEBYTECODE # a thousand processes import what is tested here
kind=dev
. "$(dirname "$0")/setup.sh"
cd "$root" || exit 1

fast='not real_agent and not browser and not crash and not load'
if [ "${1:-}" != --all ]; then
    exec "$py" -m pytest -n 2 -m "$fast" "$@"
fi
shift

"$py" tests/agents/install.py || exit 1
"$py" -m pip install --quiet --disable-pip-version-check --group "$root/pyproject.toml:vendor" || exit 1
for older in duckdb-1.5 ipykernel-6.29; do # the oldest that we support, beside those in .venv
    [ -e "$root/.venv/$older/stamp" ] && continue
    "$py" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
        --target "$root/.venv/$older" "${older%-*}==${older##*-}.*" || exit 1
    touch "$root/.venv/$older/stamp"
done
if ! command -v chromium >/dev/null 2>&1; then
    echo "Installing Chromium ..." >&2
    apt-get update -qq >/dev/null && apt-get install -y -qq chromium >/dev/null || {
        echo "Chromium is missing and could not be installed (apt-get install chromium)." >&2
        exit 1
    }
fi
"$py" tests/all.py "$@"
