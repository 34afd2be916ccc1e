# Debian packages: `./dev package`. What is written by a script at packing time: packaging/pack.cmake.
set(HOB_MAINTAINER "The Hob authors <hob-authors@users.noreply.github.com>"
    CACHE STRING "Who answers for the packages")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME hob)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "${HOB_MAINTAINER}")
set(CPACK_COMPONENTS_ALL hob libhob libhob-dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_SET_DESTDIR ON) # for what lies in /etc
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_BINARY_DIR}/pack-config.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_BINARY_DIR}/pack.cmake)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF) # pack-config.cmake does it, with Recommends

set(library libhob${HOB_ABI})
set(debian ${CMAKE_SOURCE_DIR}/packaging/debian)

set(CPACK_DEBIAN_HOB_PACKAGE_NAME hob)
set(CPACK_DEBIAN_HOB_PACKAGE_SECTION net)
set(CPACK_DEBIAN_HOB_PACKAGE_CONTROL_EXTRA
    ${debian}/postinst ${debian}/prerm ${debian}/postrm ${debian}/conffiles)
set(CPACK_DEBIAN_HOB_DESCRIPTION "runs AWS IoT Jobs on gateways
A runtime that takes the jobs of AWS IoT for a thing, runs each of them by a
handler in Lua, and tells the service how it ended, across crashes, power
cuts and outages.

This package contains the program, its unit and the handlers that come with
it.")

set(CPACK_DEBIAN_LIBHOB_PACKAGE_NAME ${library})
set(CPACK_DEBIAN_LIBHOB_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBHOB_PACKAGE_CONTROL_EXTRA
    ${CMAKE_BINARY_DIR}/control/shlibs ${debian}/triggers)
file(CONFIGURE OUTPUT control/shlibs CONTENT "libhob ${HOB_ABI} ${library} (>= ${PROJECT_VERSION})\n")
set(CPACK_DEBIAN_LIBHOB_DESCRIPTION "AWS IoT Jobs inside a product's own process
A runtime that takes the jobs of AWS IoT for a thing, runs each of them by a
handler in Lua or C, and tells the service how it ended, across crashes,
power cuts and outages.

This package contains the library, and the Lua files and modules that it
loads.")

set(CPACK_DEBIAN_LIBHOB-DEV_PACKAGE_NAME libhob-dev)
set(CPACK_DEBIAN_LIBHOB-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBHOB-DEV_PACKAGE_DEPENDS
    "${library} (= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")
set(CPACK_DEBIAN_LIBHOB-DEV_PACKAGE_SUGGESTS "libuv1-dev")
set(CPACK_DEBIAN_LIBHOB-DEV_DESCRIPTION "AWS IoT Jobs inside a product, files for development
A runtime that takes the jobs of AWS IoT for a thing, runs each of them by a
handler in Lua or C, and tells the service how it ended, across crashes,
power cuts and outages.

This package contains the header, the static library, and what pkg-config
and CMake ask for.")

configure_file(packaging/debian/changelog.in control/changelog @ONLY)
configure_file(packaging/pack-config.cmake.in pack-config.cmake @ONLY)
configure_file(packaging/pack.cmake.in pack.cmake @ONLY)
include(CPack)
