#!/bin/sh
# boot.sh ROOT: systemd as process 1 of a Debian in ROOT, in namespaces of its own: processes, mounts,
# names, network (loopback only) and control groups. Ends when that systemd ends, and it with this
# (KILL to the process that was started is enough). Needs to be root. Touches nothing outside.
set -eu
# shellcheck disable=SC2016 # the inner shell's own
[ "${2:-}" = inside ] || exec unshare --mount --propagation private -- sh -eu -c '
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/cgroup
    mount -t cgroup2 cgroup2 /mnt/cgroup
    mine=/mnt/cgroup/hob-check-$$
    mkdir "$mine"
    echo $$ >"$mine/cgroup.procs"
    exec unshare --pid --uts --ipc --net --cgroup --mount --propagation private --fork \
        --kill-child -- "$0" "$1" inside
    ' "$0" "$1"

root=$1
umount /mnt/cgroup
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
# A boot id of its own: the kernel's is that of the whole machine.
cat /proc/sys/kernel/random/uuid >run/boot-id
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0 1 2; do ln -s "/proc/self/fd/$number" "dev/std$(
    set -- in out err
    shift "$number"
    echo "$1"
)"; done
ip link set lo up 2>/dev/null || true
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    unshare --root="$root" -- /lib/systemd/systemd --log-target=journal --show-status=0 </dev/null
