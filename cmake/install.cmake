# What `cmake --install` brings, by Debian package: hob, libhob and libhob-dev (components).
if(HOB_MINIMAL)
    include(cmake/minimal_install.cmake)
    return()
endif()
include(CMakePackageConfigHelpers)

# What libhob.a needs besides; no pkg-config names, since a product that links libhob.so needs none
# of these libraries' headers.
set(static_libs ${MBEDTLS_LIBRARY} ${MBEDX509_LIBRARY} ${MBEDCRYPTO_LIBRARY})
list(TRANSFORM static_libs REPLACE "^.*/lib([^/]+)\\.(a|so).*$" "-l\\1")
list(PREPEND static_libs ${MOSQUITTO_STATIC_LDFLAGS} ${CJSON_STATIC_LDFLAGS}
    ${LUA_STATIC_LDFLAGS} ${UV_STATIC_LDFLAGS} ${SQLITE_STATIC_LDFLAGS})
list(FILTER static_libs EXCLUDE REGEX "^-L/usr/lib") # where a linker looks anyway
list(REMOVE_DUPLICATES static_libs)
list(JOIN static_libs " " libhob_static_libs)
target_link_libraries(hob_static INTERFACE ${static_libs})

set(modules_to ${CMAKE_INSTALL_LIBDIR}/hob)
set(cmake_to ${CMAKE_INSTALL_LIBDIR}/cmake/hob)
set(data_to ${CMAKE_INSTALL_DATADIR}/hob)

# The system's linker finds its own places; anywhere else the program finds libhob from where it is.
if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    file(RELATIVE_PATH lib_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_target_properties(hob PROPERTIES INSTALL_RPATH "$ORIGIN/${lib_from_bin}")
endif()

# ---- hob: the program, what it runs, and its pages ----

install(TARGETS hob RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT hob)
install(DIRECTORY scripts/ DESTINATION ${data_to}/scripts COMPONENT hob FILES_MATCHING
    PATTERN "*.lua")

# Below the prefix, but for /usr, whose configuration is in /etc.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(conf_to ${CMAKE_INSTALL_FULL_SYSCONFDIR}/hob)
else()
    set(conf_to ${CMAKE_INSTALL_SYSCONFDIR}/hob)
endif()
# Not CMAKE_INSTALL_FULL_SYSCONFDIR: below /opt/NAME that is /etc/opt/NAME, where nothing is installed.
get_filename_component(conf_dir ${conf_to} ABSOLUTE BASE_DIR ${CMAKE_INSTALL_PREFIX})
set(bin_dir ${CMAKE_INSTALL_FULL_BINDIR})
configure_file(packaging/hob.service.in hob.service @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/hob.service DESTINATION lib/systemd/system COMPONENT hob)
install(FILES packaging/hob.conf.lua.example DESTINATION ${conf_to} COMPONENT hob)

# ---- libhob: the library, and what it finds by itself ----

install(TARGETS hob_shared hob_static EXPORT hob-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libhob
        NAMELINK_COMPONENT libhob-dev
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libhob-dev
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS hob_download hob_httpd hob_edit
    LIBRARY DESTINATION ${modules_to} COMPONENT libhob)
install(DIRECTORY lib/ DESTINATION ${data_to}/lib COMPONENT libhob FILES_MATCHING
    PATTERN "*.lua")

# ---- libhob-dev: what a product is built with ----

install(FILES core/hob.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT libhob-dev)

if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(pc_prefix /usr)
else() # the place may be another one than was configured: found from where hob.pc is
    file(RELATIVE_PATH up ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
    string(REGEX REPLACE "/$" "" up ${up})
    set(pc_prefix "\${pcfiledir}/${up}")
endif()
foreach(dir includedir libdir)
    string(TOUPPER ${dir} upper)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${upper}}")
        set(pc_${dir} "${CMAKE_INSTALL_${upper}}")
    else()
        set(pc_${dir} "\${prefix}/${CMAKE_INSTALL_${upper}}")
    endif()
endforeach()
configure_file(cmake/hob.pc.in hob.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/hob.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT libhob-dev)

set_target_properties(hob_shared PROPERTIES EXPORT_NAME hob)
set_target_properties(hob_static PROPERTIES EXPORT_NAME static)
install(EXPORT hob-targets NAMESPACE hob:: DESTINATION ${cmake_to} COMPONENT libhob-dev)
set(module_dir ${modules_to})
set(lua_dir ${data_to}/lib)
configure_package_config_file(cmake/hob-config.cmake.in hob-config.cmake
    INSTALL_DESTINATION ${cmake_to} PATH_VARS module_dir lua_dir)
write_basic_package_version_file(hob-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/hob-config.cmake ${CMAKE_BINARY_DIR}/hob-config-version.cmake
    DESTINATION ${cmake_to} COMPONENT libhob-dev)

include(cmake/documents.cmake)
include(cmake/package.cmake)
