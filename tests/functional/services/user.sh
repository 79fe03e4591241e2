#!/bin/sh
# Makes the user and the group of a service, its lock directory and what it may do as root.
# Usage: user.sh sudo|rootwrap DIRECTORY HELPER
set -e
kind=$1 directory=$2 helper=$3
grep -q ^svc: /etc/shadow || {
    grep -q ^storage: /etc/group || echo 'storage:x:4242:' >>/etc/group
    grep -q ^svc: /etc/passwd || echo 'svc:x:4242:4242::/nonexistent:/bin/sh' >>/etc/passwd
    echo 'svc:*:20000:0:99999:7:::' >>/etc/shadow # PAM asks whether the account is expired.
}
mkdir -p /run/lock/os-brick /etc/sudoers.d /etc/svc/rootwrap.d
chgrp storage /run/lock/os-brick
chmod 2770 /run/lock/os-brick
case $kind in
sudo) # The line of doc/source/user/configuration.rst, and where sudo finds the helper.
    echo "Defaults secure_path = ${helper%/*}:/usr/sbin:/usr/bin:/sbin:/bin"
    echo "svc ALL=(root) NOPASSWD: $helper --config-file /etc/* --privsep_context" \
        'os_brick.privileged.default --privsep_sock_path /tmp/*'
    ;;
rootwrap)
    cp "${0%/tests/*}/etc/os-brick/rootwrap.d/os-brick.filters" /etc/svc/rootwrap.d/
    printf '[DEFAULT]\nfilters_path=/etc/svc/rootwrap.d\nexec_dirs=%s\n' "${helper%/*}" >/etc/svc/rootwrap.conf
    echo "svc ALL = (root) NOPASSWD: $directory/rootwrap /etc/svc/rootwrap.conf *"
    ;;
esac >/etc/sudoers.d/os-brick
chmod 440 /etc/sudoers.d/os-brick
