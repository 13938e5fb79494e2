# Sourced by notebooks/run.sh and tests/run.sh: makes .venv with what this checkout needs.
# Set kind=base or kind=dev before. Sets $root and $py. Nothing is done twice: a stamp tells.

root=$(cd "$(dirname "$0")/.." && pwd)
find_python() {
    for name in python3.13 python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return 0
        fi
    done
    echo "paseo_nb needs Python 3.11 or newer; none was found on PATH." >&2
    return 1
}

command -v git >/dev/null 2>&1 || { echo "paseo_nb needs git; none was found on PATH." >&2; exit 1; }
py=$root/.venv/bin/python
wanted=$kind-$(cksum <"$root/pyproject.toml")
if [ "$(cat "$root/.venv/stamp-$kind" 2>/dev/null)" != "$wanted" ]; then
    [ -x "$py" ] || "$(find_python)" -m venv "$root/.venv" || {
        echo "python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
    echo "Installing into .venv (once, a minute or so) ..." >&2
    "$py" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' || exit 1
    if [ "$kind" = dev ]; then
        "$py" -m pip install --quiet --editable "$root[api]" --group "$root/pyproject.toml:dev" || exit 1
    else
        "$py" -m pip install --quiet --editable "$root" || exit 1
    fi
    echo "$wanted" >"$root/.venv/stamp-$kind"
fi
