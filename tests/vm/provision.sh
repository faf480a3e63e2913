#!/bin/bash
# provision.sh NAME NUMBER package|checkout: what Vagrant runs in each machine, as root: names,
# addresses, and in the guard ipsecfd: the package in build/, or `make install`.
set -euo pipefail
cd /vagrant
name=$1 number=$2 source=$3
export DEBIAN_FRONTEND=noninteractive

ip link show eth1 >/dev/null 2>&1 || {
    echo "ipsecfd: the lab's network is to be eth1; this box has only: $(echo /sys/class/net/*)" >&2
    exit 1
}

# A box of our own has all this, and no network to fetch it from.
mapfile -t packages < <(sed '/^#/d; /^$/d' tests/vm/packages)
dpkg --status "${packages[@]}" >/dev/null 2>&1 || {
    apt-get -qq update
    apt-get -qq install --no-install-recommends "${packages[@]}" make
    systemctl --quiet disable --now vsftpd.service strongswan.service
}

echo "$name" >/etc/hostname
hostname "$name"
printf '127.0.0.1 localhost\n::1 localhost\n10.77.0.11 guard\n10.77.0.12 peer\n' >/etc/hosts
cat >/etc/systemd/network/20-lab.network <<NETWORK
[Match]
Name=eth1
[Network]
DHCP=no
IPv6AcceptRA=no
Address=10.77.0.$number/24
Address=fd77::$number/64
NETWORK
# A public box may leave its network to another program, and eth1 alone to nobody.
systemctl --quiet enable --now systemd-networkd
networkctl reload

[ "$name" = guard ] || exit 0
# Starts and stops of an emulated machine on a busy host may take a while; no test is about that.
mkdir -p /etc/systemd/system/ipsecfd.service.d
printf '[Service]\nTimeoutStartSec=10min\nTimeoutStopSec=5min\n' \
    >/etc/systemd/system/ipsecfd.service.d/patience.conf
if [ "$source" = package ]; then
    apt-get -qq install --no-install-recommends ./build/ipsecfd_*.deb
else
    make install
fi
systemctl --quiet enable --now ipsecfd
ipsecfd status
