# HOB_MINIMAL: libraries are linked in, libc and libm are not. Loadable modules are not built: what
# needs them says so (downloads, the local service; `hob repl` reads plain lines).
set(minimal_pthread pthread dl rt)
function(link_in target)
    set(libraries "")
    foreach(name IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "STATIC_${name}" variable)
        find_library(${variable} NAMES lib${name}.a REQUIRED
            HINTS ${MOSQUITTO_LIBRARY_DIRS} ${UV_LIBRARY_DIRS} ${LUA_LIBRARY_DIRS})
        list(APPEND libraries ${${variable}})
    endforeach()
    set_target_properties(${target} PROPERTIES
        INTERFACE_LINK_LIBRARIES "${libraries};${minimal_pthread};m")
endfunction()

find_library(STATIC_UV NAMES libuv_a.a libuv.a REQUIRED) # Debian calls it libuv_a.a
set_target_properties(PkgConfig::UV PROPERTIES
    INTERFACE_LINK_LIBRARIES "${STATIC_UV};${minimal_pthread}")
link_in(PkgConfig::MOSQUITTO mosquitto)
link_in(PkgConfig::LUA lua5.4)
link_in(PkgConfig::CJSON lua5.4-cjson lua5.4)
link_in(PkgConfig::SQLITE sqlite3)
find_library(MBEDTLS_LIBRARY NAMES libmbedtls.a REQUIRED)
find_library(MBEDX509_LIBRARY NAMES libmbedx509.a REQUIRED)
find_library(MBEDCRYPTO_LIBRARY NAMES libmbedcrypto.a REQUIRED)
set(HOB_SBOM_STATIC libuv libmosquitto liblua5.4 liblua5.4-cjson libsqlite3 libmbedtls
    libmbedx509 libmbedcrypto)

# What nothing refers to does not come into the program.
add_compile_options(-ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections -Wl,--as-needed)
