#!/bin/sh
# lua-cjson.sh - the static library of lua-cjson and its .pc file, for systems that have it as a Lua
# module only (Yocto, OpenWrt, Buildroot, Alpine). Debian brings both: nobody needs this there.
#
#   CC=... AR=... CFLAGS=... packaging/lua-cjson.sh SOURCE PREFIX
#
# SOURCE: lua-cjson 2.1.0 or newer, unpacked. PREFIX gets lib/liblua5.4-cjson.a and
# lib/pkgconfig/lua5.4-cjson.pc: put that directory into PKG_CONFIG_PATH when Hob is configured.
set -eu

[ $# -eq 2 ] || {
    echo "usage: lua-cjson.sh SOURCE PREFIX" >&2
    exit 2
}
source=$1
mkdir -p "$2/lib/pkgconfig"
prefix=$(cd "$2" && pwd)
objects=
for file in lua_cjson strbuf fpconv; do
    # shellcheck disable=SC2086 # one word a flag
    ${CC:-cc} ${CPPFLAGS:-} -O2 ${CFLAGS:-} ${LUA_CFLAGS:-} -fPIC -DNDEBUG \
        -c "$source/$file.c" -o "$prefix/lib/$file.o"
    objects="$objects $prefix/lib/$file.o"
done
# shellcheck disable=SC2086
${AR:-ar} rcs "$prefix/lib/liblua5.4-cjson.a" $objects
# shellcheck disable=SC2086
rm $objects
cat >"$prefix/lib/pkgconfig/lua5.4-cjson.pc" <<END
Name: lua5.4-cjson
Description: JSON for Lua, in C
Version: ${CJSON_VERSION:-2.1.0}
Libs: -L$prefix/lib -llua5.4-cjson
END
