#!/bin/sh
# Install the Debian packages that the system tests use, where this may be done; elsewhere those tests say why they are skipped.
set -eu
wanted="busybox-static chromium cmake cron faketime git make ninja-build dbus docker.io gcc iproute2 iptables libc6-dev mariadb-server munge openssh-client openssh-server openssl prometheus-alertmanager runit slurm-wlm slurmdbd sshfs systemd systemd-container sudo tcsh util-linux fish zsh"
command -v dpkg-query >/dev/null || { echo "no Debian here: the tests take what they find"; exit 0; }
missing=""
for package in $wanted; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "not root, so these are not installed:$missing"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # one word a package
apt-get install -y -qq --no-install-recommends $missing >/dev/null
