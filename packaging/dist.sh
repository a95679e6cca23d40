#!/bin/sh
# Makes dist/: wheel and sdist, of what git has committed, twice and equal; then tries them in plain virtual environments.
set -eu
cd "$(dirname "$0")/.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
for time in 1 2; do
    mkdir "$work/$time" "$work/made$time"
    git archive HEAD | tar -x -C "$work/$time"
    (cd "$work/$time" && umask "02$time" && "$python" -m hatchling build -d "$work/made$time" >/dev/null)
done
diff -r "$work/made1" "$work/made2" || { echo 'dist: built twice, and not equal' >&2; exit 1; }
"$python" -m twine --no-color check --strict "$work"/made1/*

version=$("$python" -c 'import dropwatch; print(dropwatch.__version__)')
for made in "$work"/made1/*; do
    "$python" -m venv "$work/plain"
    "$work/plain/bin/python" -m pip install -q --disable-pip-version-check "$made"
    whydrop() { (cd / && "$work/plain/bin/whydrop" "$@"); }
    test "$(whydrop --version)" = "whydrop $version"
    whydrop replay "$PWD/docs/example.whydrop" --json 2>/dev/null | grep -q '"netfilter.nft-rule"'
    whydrop explain ipsec.no-state | grep -q 'ip xfrm state'
    whydrop report "$PWD/docs/example.whydrop" -o - | grep -q '<!doctype html>'
    rm -rf "$work/plain"
done
rm -rf dist
mkdir dist
cp "$work"/made1/* dist
(cd dist && sha256sum ./*)
