#!/bin/sh
# Makes the archive that test_services.py runs: nova, cinder, the brick client, and cinderlib with the cinder that it asks for, for the guest's Python, from the releases that
# tools/consumers has made environments of. Run it from the checkout once tools/consumers has run and a guest is up: make.sh $(tools/guest status | awk '/share/{print $2}')
set -e
share=$1
kept=${OS_BRICK_CONSUMERS:-$HOME/.cache/os-brick-consumers}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
for name in cinder-29.0.0 nova-34.0.0 python-brick-cinderclient-ext-2.8.0 cinderlib-5.2.0; do
    "$kept/$name/venv/bin/python" -m pip list --format=freeze
done | grep -viE '^(os-brick|pip|setuptools|zstd|netifaces|numpy|ovs|cinder==23.*)(=|$)' | sort -u -t= -k1,1 >"$place/names"
echo legacy-cgi >>"$place/names"
get() {
    python3 -m pip install -q --no-deps --no-compile --python-version 3.13 --only-binary=:all: \
        --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --platform any "$@"
}
get --target "$share/rootwrap" oslo.rootwrap
get --target "$place/site" -r "$place/names"
get --target "$place/site23" 'cinder>=23,<24'
# ovs has no wheel; its part in Python is all that nova needs to be imported.
cp -r "$kept"/nova-34.0.0/venv/lib/python3*/site-packages/ovs "$place/site/"
rm -rf "$place"/site*/*/tests "$place/site/nova/locale" "$place/site/googleapiclient/discovery_cache/documents"
tar czf "$share/services-2.tgz" -C "$place" site site23
