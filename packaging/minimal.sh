#!/bin/sh
# minimal.sh - Hob for a small gateway: one program, its libraries linked in but for libc. A
# libmosquitto of its own without OpenSSL (Hob brings TLS by mbedTLS), no local service, no libcurl,
# no line editor. docs/how-to/minimal-build.md says what that leaves, and how large it is.
#
#   packaging/minimal.sh [PREFIX]      installs below PREFIX (default build/minimal/root)
#
# Needs on Debian 12 what `./dev build` needs, and dpkg-dev; MOSQUITTO_SOURCE=DIR uses sources that
# are there, else Debian's are fetched.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
place=$root/build/minimal
prefix=${1:-$place/root}
jobs=$(nproc)
mkdir -p "$place"

say() { printf '%s\n' "$*" >&2; }

# Neither the machine's lists of packages nor its sources are touched.
fetch() {
    lists=$place/apt
    mkdir -p "$lists/lists/partial"
    printf 'deb-src [signed-by=%s] %s bookworm main\n' \
        /usr/share/keyrings/debian-archive-keyring.gpg \
        "${HOB_DEBIAN:-http://deb.debian.org/debian}" >"$lists/sources.list"
    set -- -q -o "Dir::Etc::SourceList=$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$lists/lists" -o APT::Sandbox::User=
    (cd "$place" && apt-get "$@" update && apt-get "$@" source mosquitto) >"$place/fetch.log" 2>&1 || {
        cat "$place/fetch.log" >&2
        say "minimal: the source of mosquitto could not be fetched; name it by MOSQUITTO_SOURCE=DIR"
        exit 1
    }
}

find_source() {
    for found in "$place"/mosquitto-*/lib; do
        [ ! -d "$found" ] || dirname "$found"
    done | tail -n 1
}

source=${MOSQUITTO_SOURCE:-$(find_source)}
if [ -z "$source" ]; then
    say "minimal: fetching the source of mosquitto"
    fetch
    source=$(find_source)
fi

say "minimal: libmosquitto without TLS, in $source"
# Of the switches: no SRV and SOCKS, which go around Hob's own connection; no threads, Hob's loop is one.
make -C "$source/lib" -j "$jobs" WITH_TLS=no WITH_TLS_PSK=no WITH_THREADING=no WITH_SRV=no \
    WITH_SOCKS=no WITH_CJSON=no WITH_SHARED_LIBRARIES=no WITH_STATIC_LIBRARIES=yes WITH_STRIP=no \
    CFLAGS="-Os -ffunction-sections -fdata-sections -Wall" libmosquitto.a >"$place/mosquitto.log" 2>&1 || {
    cat "$place/mosquitto.log" >&2
    exit 1
}
version=$(sed -n 's/^VERSION=//p' "$source/config.mk")
mkdir -p "$place/pkgconfig"
cat >"$place/pkgconfig/libmosquitto.pc" <<END
Name: libmosquitto
Description: MQTT, without TLS
Version: $version
Cflags: -I$source/include
Libs: -L$source/lib -lmosquitto
END

say "minimal: hob"
export PKG_CONFIG_PATH="$place/pkgconfig"
cmake -S "$root" -B "$place/build" -G Ninja -DHOB_MINIMAL=ON -DCMAKE_BUILD_TYPE=MinSizeRel \
    -DCMAKE_INSTALL_PREFIX=/usr "-DCMAKE_C_FLAGS=${CFLAGS:-} -ffile-prefix-map=$root=." >"$place/cmake.log"
ninja -C "$place/build" >"$place/build.log" || {
    cat "$place/build.log" >&2
    exit 1
}
rm -rf "$prefix"
DESTDIR="$prefix" cmake --install "$place/build" --strip >"$place/install.log"
say "minimal: $prefix"
size "$prefix/usr/bin/hob"
ls -l "$prefix/usr/bin/hob"
