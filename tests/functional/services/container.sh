#!/bin/sh
# Runs a program as a container with a volume service does: container.sh KIND DIRECTORY PROGRAM …
# Its own mounts and an /etc of the image; the host's network and IPC, and its processes unless KIND says so.
#   page    the mounts of doc/source/user/containers.rst
#   kolla   those of kolla: /run, /dev, /lib/modules and open-iscsi's directory; processes of its own
#   bare    those of the page, without udev: no /run/udev, no links below /dev/disk
set -e
kind=$1 root=$2
shift 2
mkdir -p "$root"
if [ -z "$IN_CONTAINER" ]; then
    own=
    [ "$kind" != kolla ] || own='--pid --fork --kill-child'
    # shellcheck disable=SC2086 # several words
    IN_CONTAINER=1 exec unshare --mount $own --propagation private "$0" "$kind" "$root" "$@"
fi
mount -t tmpfs image "$root"
cd "$root"
mkdir -p usr opt proc sys dev etc run tmp var/lib root mnt
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
for name in passwd group nsswitch.conf ld.so.cache ssl; do
    [ ! -e "/etc/$name" ] || cp -a "/etc/$name" etc/
done
for name in usr opt; do mount --rbind "/$name" "$name"; done
for name in sys dev tmp; do mount --rbind "/$name" "$name"; done
if [ "$kind" = kolla ]; then mount -t proc proc proc; else mount --rbind /proc proc; fi

bind() {
    for name in "$@"; do
        [ -e "/$name" ] || continue
        if [ -d "/$name" ]; then mkdir -p "$name"; else mkdir -p "${name%/*}" && touch "$name"; fi
        mount --bind "/$name" "$name"
    done
}

case $kind in
kolla) bind run etc/iscsi ;;
*)
    bind etc/iscsi var/lib/iscsi etc/multipath etc/multipath.conf etc/nvme var/lib/os-brick
    bind run/lock
    ;;
esac
case $kind in
page) bind run/udev ;;
bare) [ ! -d dev/disk ] || mount -t tmpfs nothing dev/disk ;;
esac
exec chroot "$root" env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
