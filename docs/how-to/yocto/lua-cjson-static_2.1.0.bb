# JSON for Lua as a static library with a .pc file, which is what Hob links; meta-openembedded has
# none. Nothing of it comes into an image by itself.
SUMMARY = "JSON for Lua, in C, to be linked in"
HOMEPAGE = "https://github.com/mpx/lua-cjson"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=FILL-IN"

# The commit of the tag 2.1.0 (git ls-remote --tags).
SRC_URI = "git://github.com/mpx/lua-cjson.git;protocol=https;branch=master"
SRCREV = "FILL-IN"
S = "${WORKDIR}/git"

DEPENDS = "lua"

do_compile() {
    for file in lua_cjson strbuf fpconv; do
        ${CC} ${CPPFLAGS} ${CFLAGS} -fPIC -DNDEBUG -c ${S}/$file.c -o ${B}/$file.o
    done
    ${AR} rcs ${B}/liblua5.4-cjson.a ${B}/lua_cjson.o ${B}/strbuf.o ${B}/fpconv.o
}

do_install() {
    install -D -m 0644 ${B}/liblua5.4-cjson.a ${D}${libdir}/liblua5.4-cjson.a
    install -d ${D}${libdir}/pkgconfig
    cat > ${D}${libdir}/pkgconfig/lua5.4-cjson.pc <<END
libdir=${libdir}
Name: lua5.4-cjson
Description: JSON for Lua, in C
Version: ${PV}
Libs: -L${libdir} -llua5.4-cjson
END
}

ALLOW_EMPTY:${PN} = "1"
