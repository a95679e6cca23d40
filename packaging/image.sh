#!/bin/sh
# Makes dist/whydrop_VERSION.oci.tar, a container image of whydrop and the tools whose words it uses: Debian's packages
# unpacked and nothing else, no shell and no compiler.
set -eu
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
work=$(mktemp -d)
buildah() { command buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"; }
trap 'rm -rf "$work"' EXIT

deb=$(ls "$PWD"/dist/whydrop_*_all.deb)
version=$(basename "$deb" | cut -d_ -f2)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
wanted=base-files,libc6,python3,python3-click,python3-jinja2,libbpf1,libpcap0.8
tools=arptables,bpftool,conntrack,ebtables,ethtool,iproute2,iptables,nftables
mmdebstrap --quiet --mode=root --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --include="$wanted,$tools,python3-prometheus-client" "$suite" "$work/root" >/dev/null 2>"$work/log" || {
    cat "$work/log" >&2
    exit 1
}
dpkg -x "$deb" "$work/root"
for unused in usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/lintian var/cache var/lib/apt; do
    rm -rf "${work:?}/root/$unused"
done
printf 'root:x:0:0:root:/:/usr/sbin/nologin\n' >"$work/root/etc/passwd"
printf 'root:x:0:\n' >"$work/root/etc/group"
chroot "$work/root" /usr/bin/python3 -I -m compileall -q -x lib2to3 --invalidation-mode unchecked-hash /usr/lib/python3

image=$(buildah from scratch)
buildah add -q "$image" "$work/root" / >/dev/null
buildah config --entrypoint '["/usr/bin/whydrop"]' --cmd --help --label org.opencontainers.image.title=whydrop \
    --label "org.opencontainers.image.version=$version" --label org.opencontainers.image.licenses=GPL-2.0-only "$image"
made=dist/whydrop_$version.oci.tar
rm -f "$made"
buildah commit -q --disable-compression=false --timestamp "$SOURCE_DATE_EPOCH" \
    "$image" "oci-archive:$PWD/$made:whydrop:$version" >/dev/null
test "$(chroot "$work/root" /usr/bin/whydrop --version)" = "whydrop $version"
echo "image: $made, $(du -h "$made" | cut -f1)"
