#!/bin/sh
# pid1.sh MACHINE: becomes the systemd of the machine whose files are in MACHINE. Started by checks.py in
# new process, mount, cgroup, IPC and host name namespaces.
set -eu
machine=$1

mount --bind "$machine" "$machine"
cd "$machine"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755,nosuid tmpfs dev
mkdir dev/pts dev/shm
while read -r name major minor; do
  mknod -m 0666 "dev/$name" c "$major" "$minor"
done <<'DEVICES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
DEVICES
ln -s pts/ptmx dev/ptmx # PrivateDevices= needs it
pivot_root . mnt
cd /
umount -l /mnt
# Without it the mounts of the credentials do not reach the services.
mount --make-rshared /
exec env -i container=boottest PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=basic.target --show-status=0
