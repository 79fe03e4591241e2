#!/bin/sh
# Makes the archive that test_services.py runs: cinder and the brick client for the guest's Python, from the releases that tools/consumers has made environments of. Run it from the
# checkout once tools/consumers has run and a guest is up: make.sh $(tools/guest status | awk '/share/{print $2}')
set -e
share=$1
kept=${OS_BRICK_CONSUMERS:-$HOME/.cache/os-brick-consumers}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
for name in cinder-29.0.0 python-brick-cinderclient-ext-2.8.0; do
    "$kept/$name/venv/bin/python" -m pip list --format=freeze
done | grep -viE '^(os-brick|pip|setuptools|zstd|netifaces|cinder==23.*)(=|$)' | sort -u -t= -k1,1 >"$place/names"
echo legacy-cgi >>"$place/names"
get() {
    python3 -m pip install -q --no-deps --python-version 3.13 --only-binary=:all: \
        --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --platform any "$@"
}
get --target "$place/site" -r "$place/names"
rm -rf "$place/site/cinder/tests" "$place/site/googleapiclient/discovery_cache/documents"
tar czf "$share/services.tgz" -C "$place" site
