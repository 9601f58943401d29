#!/bin/sh
# Says in one line what this machine lacks to build Quire, before anything is downloaded; prints the Python to use.
#   tools/preflight.sh "<python, or empty to look for one>" "<C++ compiler>" <free GB wanted>
set -eu
wanted_python=$1 compiler=$2 wanted_gb=$3

fail() { echo "error: $1" >&2; exit 1; }
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

python=
for candidate in ${wanted_python:-python3 python3.13 python3.12 python3.11}; do
  if fits "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
  found=$("${wanted_python:-python3}" -c 'import platform; print("is Python", platform.python_version())' 2>/dev/null) \
    || found="does not run"
  fail "${wanted_python:-python3} $found; Quire needs Python 3.11 to 3.13. Install one (apt install python3 python3-venv python3-dev) or name one: make PYTHON=/path/to/python"
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import venv, ensurepip' 2>/dev/null \
  || fail "$python has no venv module. Install it: apt install python$version-venv"
"$python" -c 'import os, sysconfig as s, sys; sys.exit(not os.path.exists(os.path.join(s.get_path("include"), "Python.h")))' \
  || fail "$python has no C headers (Python.h). Install them: apt install python$version-dev"
command -v "$compiler" >/dev/null 2>&1 \
  || fail "no C++ compiler: $compiler is not there. Install one (apt install g++) or name one: make CXX=clang++"
free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "$free_kb" -ge $((wanted_gb * 1000 * 1000)) ] \
  || fail "$((free_kb / 1000 / 1000)) GB free in $(pwd); Quire needs $wanted_gb GB for torch, the build and the virtual environment"
echo "$python"
