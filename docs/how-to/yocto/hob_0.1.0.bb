SUMMARY = "AWS IoT Jobs on gateways, scripted in Lua"
DESCRIPTION = "Takes the jobs of AWS IoT for a thing, runs each of them by a handler in Lua, and \
tells the service how it ended, across crashes, power cuts and outages."
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=FILL-IN"

# Where your sources are; a released archive with its sha256sum, or a git repository with SRCREV.
SRC_URI = "file://hob-${PV}.tar.gz"

# libuv, sqlite3, curl, libedit: oe-core. mosquitto, mbedtls: meta-networking. lua: meta-oe.
DEPENDS = "libuv sqlite3 mosquitto mbedtls lua lua-cjson-static curl libedit \
    libmicrohttpd"

inherit cmake pkgconfig systemd useradd

EXTRA_OECMAKE = "-DHOB_SPEC_MODULE=OFF"

SYSTEMD_SERVICE:${PN} = "hob.service"
# An image without a configuration starts no gateway (ConditionPathExists=).
SYSTEMD_AUTO_ENABLE:${PN} = "enable"

# Whom the programs of jobs run as (exec_user).
USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --home-dir /var/lib/hob --no-create-home --shell /sbin/nologin \
    --user-group hob"

do_install:append() {
    if [ "${systemd_system_unitdir}" != "${prefix}/lib/systemd/system" ]; then
        install -d ${D}${systemd_system_unitdir}
        mv ${D}${prefix}/lib/systemd/system/hob.service ${D}${systemd_system_unitdir}/
        rmdir -p --ignore-fail-on-non-empty ${D}${prefix}/lib/systemd/system
    fi
}

# A product that embeds Hob takes libhob alone.
PACKAGES =+ "libhob ${PN}-download ${PN}-service ${PN}-repl ${PN}-handlers ${PN}-sbom"
FILES:libhob = "${libdir}/libhob.so.* ${datadir}/hob/lib"
FILES:${PN}-download = "${libdir}/hob/hob_download.so"
FILES:${PN}-service = "${libdir}/hob/hob_httpd.so"
FILES:${PN}-repl = "${libdir}/hob/hob_edit.so"
FILES:${PN}-handlers = "${datadir}/hob/scripts"
FILES:${PN}-sbom = "${datadir}/doc/hob/hob.spdx.json"
FILES:${PN} += "${systemd_system_unitdir}/hob.service ${datadir}/bash-completion \
    ${datadir}/zsh ${sysconfdir}/hob"
RRECOMMENDS:${PN} = "${PN}-download ${PN}-handlers ca-certificates"
# Loadable modules, no libraries to link with: their names have no version.
INSANE_SKIP:${PN}-download += "dev-so"
INSANE_SKIP:${PN}-service += "dev-so"
INSANE_SKIP:${PN}-repl += "dev-so"
