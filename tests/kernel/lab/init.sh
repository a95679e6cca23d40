#!/busybox sh
# The guest's first process: makes the host's root file system, read-only under an overlay in memory, the guest's own,
# then becomes /run/lab/stage2, which the host has written. /settings names the kernel's release, its modules and the checkout,
# which stays visible wherever it is: also below /tmp, of which the guest has its own. With `root` another directory of the host
# is the guest's root file system, and `venv` in it is the checkout's .venv.
set -e
b=/busybox
root= venv=
. /settings
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $b insmod "$module"; done

p9=trans=virtio,version=9p2000.L,msize=512000
$b mount -t tmpfs -o size=75% layers /layers
$b mkdir /layers/lower /layers/upper /layers/work
$b mount -t 9p -o ro,cache=loose,$p9 root /layers/lower
$b mount -t overlay -o lowerdir="/layers/lower$root",upperdir=/layers/upper,workdir=/layers/work overlay /new

$b mount -t proc proc /new/proc
$b mount -t sysfs sys /new/sys
$b mount --move /dev /new/dev
$b mkdir -p /new/dev/pts /new/dev/shm
$b mount -t devpts -o mode=620,ptmxmode=666 devpts /new/dev/pts
$b mount -t tmpfs -o mode=1777 shm /new/dev/shm
$b mkdir /layers/tree /layers/work.tree
$b mount -t overlay -o lowerdir="/layers/lower$tree",upperdir=/layers/tree,workdir=/layers/work.tree overlay /tree
$b mount -t tmpfs -o mode=755 run /new/run
$b mount -t tmpfs -o mode=1777 tmp /new/tmp
$b mkdir -p "/new$tree"
$b mount --move /tree "/new$tree"
[ -z "$venv" ] || $b mount --bind "/layers/lower$root/$venv" "/new$tree/.venv"
$b mkdir -p /new/run/lab /new/run/lock "/new/lib/modules/$release"
$b mount -t 9p -o rw,cache=none,$p9 lab /new/run/lab
$b mount --bind "/layers/lower$modules" "/new/lib/modules/$release"
$b mount -t tracefs tracefs /new/sys/kernel/tracing
$b mount -t debugfs debugfs /new/sys/kernel/debug
$b mount -t bpf bpf /new/sys/fs/bpf
$b mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
# On a busy host a kernel may take its TSC for four times slower than it is, and then its clocks go four times too fast.
# This one is always right, and costs a tenth of all time.
if $b dmesg | $b grep -q 'PIT calibration deviates'; then
    echo hpet >/new/sys/devices/system/clocksource/clocksource0/current_clocksource
fi
$b umount /proc
exec $b switch_root /new /run/lab/stage2
