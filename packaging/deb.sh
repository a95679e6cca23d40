#!/bin/sh
# Adds whydrop_VERSION_all.deb to dist/: made of its wheel, twice and equal, then installed, tried and purged in a bare
# Debian of each of these suites.
set -eu
cd "$(dirname "$0")/.."
suites=${SUITES:-bookworm trixie}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wheel=$(ls "$PWD"/dist/whydrop-*.whl)
version=$(basename "$wheel" | cut -d- -f2)
who=$(git log -1 --format='%an <%ae>')
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
for time in 1 2; do
    mkdir -p "$work/$time/tree"
    (
        umask 022
        cd "$work/$time/tree"
        python3 -m zipfile -e "$wheel" .
        rm whydrop-*.dist-info/RECORD whydrop-*.dist-info/licenses/LICENSE
        { # here it is known which Python it is
            echo '#!/usr/bin/python3 -I'
            sed "1,/^'''\$/d" whydrop-*.data/scripts/whydrop
        } >whydrop
        chmod 0755 whydrop
        git -C "$OLDPWD" archive HEAD packaging/debian packaging/systemd | tar -x
        mv packaging/debian .
        mv packaging/systemd/whydrop.service debian
        sed -i "s/@MAINTAINER@/$who/" debian/control
        printf 'whydrop (%s) unstable; urgency=medium\n\n  * CHANGELOG.md has what is new.\n\n -- %s  %s\n' \
            "$version" "$who" "$(date -uRd "@$SOURCE_DATE_EPOCH")" >debian/changelog
        dpkg-buildpackage --build=binary --no-sign >../log 2>&1 || { cat ../log >&2; exit 1; }
    )
done
made=$(basename "$work"/1/*.deb)
cmp "$work/1/$made" "$work/2/$made" || { echo 'deb: built twice, and not equal' >&2; exit 1; }
lintian --allow-root --fail-on error "$work/1/$made"

for suite in $suites; do
    root=$work/$suite
    mmdebstrap --quiet --variant=apt --include=systemd "$suite" "$root"
    cp "$work/1/$made" "$root/tmp"
    inside() { unshare --mount --pid --fork --mount-proc="$root/proc" chroot "$root" /usr/bin/env -i LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
    inside apt-get update -q=2
    inside apt-get install -q -y -o Dpkg::Use-Pty=0 --no-install-recommends "/tmp/$made" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    test "$(inside whydrop --version)" = "whydrop $version"
    cp docs/example.whydrop "$root/tmp"
    inside whydrop replay /tmp/example.whydrop --json | grep -q '"netfilter.nft-rule"'
    inside whydrop explain ipsec.no-state | grep -q 'ip xfrm state'
    test "$(inside systemctl is-enabled whydrop)" = disabled
    inside systemd-analyze verify --man=no whydrop.service
    test "$(inside stat -c '%a %U %G' /var/lib/whydrop)" = '750 root whydrop'
    inside apt-get purge -q=2 -y -o Dpkg::Use-Pty=0 whydrop >/dev/null
    left=$(find "$root/usr" "$root/etc" "$root/var" -path "$root/var/cache" -prune -o -iname '*whydrop*' -print -o -name dropwatch -print)
    test -z "$left" || { echo "deb: left after purge in $suite: $left" >&2; exit 1; }
    echo "deb: tried in $suite: $(inside python3 --version)"
done
cp "$work/1/$made" dist
(cd dist && sha256sum ./*)
