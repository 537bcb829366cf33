#!/bin/sh
# Prints the path of a Python that runs and is 3.11 or newer, or an error that says what
# to do.
#
#     tools/find_python.sh NAME|PATH|VERSION
#
# A version manager puts a shim on the PATH for every version of Python that it has, and
# the shims of versions that are not selected fail. So the script first tries the name,
# and if that does not run, it asks pyenv, uv, mise and asdf for the version.
set -u
wanted=${1:?a name, a path or a version}
oldest='(3, 11)'

runs() { "$1" -c pass >/dev/null 2>&1; }

take() {
    if ! "$1" -c "import sys; sys.exit(sys.version_info < $oldest)"; then
        found=$("$1" -c 'import platform; print(platform.python_version())')
        echo "Python 3.11 or newer is needed, and $wanted is $found:" \
            "make PYTHON=/path/to/python3.11" >&2
        exit 1
    fi
    "$1" -c 'import sys; print(sys.executable)'
    exit 0
}

case $wanted in
[0-9]*) name=python$wanted ;;
*) name=$wanted ;;
esac
if runs "$name"; then take "$name"; fi

version=${name##*/python}
version=${version#python}
case $version in
[0-9]*.[0-9]*)
    for pyenv in pyenv "${PYENV_ROOT:-$HOME/.pyenv}/bin/pyenv"; do
        for one in $("$pyenv" versions --bare 2>/dev/null | sort -rV); do
            case $one in
            "$version" | "$version".*)
                path=$("$pyenv" prefix "$one" 2>/dev/null)/bin/python
                if runs "$path"; then take "$path"; fi
                ;;
            esac
        done
    done
    path=$(uv python find --no-python-downloads "$version" 2>/dev/null)
    if [ -n "$path" ] && runs "$path"; then take "$path"; fi
    path=$(mise where "python@$version" 2>/dev/null)/bin/python
    if runs "$path"; then take "$path"; fi
    path=$(asdf where python "latest:$version" 2>/dev/null)/bin/python
    if runs "$path"; then take "$path"; fi
    ;;
esac
if command -v "$name" >/dev/null 2>&1; then
    why="$name exists, but does not run (\`$name -c pass\` fails), like a version manager's
shim for a version that is not selected"
else
    why="There is no $name"
fi
echo "$why. Name a Python that runs: make PYTHON=/path/to/python3.11" >&2
exit 1
