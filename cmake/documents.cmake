# What else the component hob brings: manual pages, completion for shells, and the software bill of
# materials, which is written from what was built.
set(man_to ${CMAKE_INSTALL_MANDIR})
configure_file(packaging/man/hob.1.in man/hob.1 @ONLY)
configure_file(packaging/man/hob.conf.lua.5.in man/hob.conf.lua.5 @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/man/hob.1 DESTINATION ${man_to}/man1 COMPONENT hob)
install(FILES ${CMAKE_BINARY_DIR}/man/hob.conf.lua.5 DESTINATION ${man_to}/man5 COMPONENT hob)

# The scripts are printed by the program, which a cross build cannot run.
if(NOT CMAKE_CROSSCOMPILING)
    set(completions ${CMAKE_BINARY_DIR}/completions)
    add_custom_command(OUTPUT ${completions}/hob ${completions}/_hob
        COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
        COMMAND ${CMAKE_COMMAND} -E env HOB_LIB_DIR=${CMAKE_SOURCE_DIR}/lib
            $<TARGET_FILE:hob> completion bash > ${completions}/hob
        COMMAND ${CMAKE_COMMAND} -E env HOB_LIB_DIR=${CMAKE_SOURCE_DIR}/lib
            $<TARGET_FILE:hob> completion zsh > ${completions}/_hob
        DEPENDS hob ${CMAKE_SOURCE_DIR}/lib/hob/cli/completion.lua VERBATIM)
    add_custom_target(hob_completions ALL DEPENDS ${completions}/hob ${completions}/_hob)
    install(FILES ${completions}/hob COMPONENT hob
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${completions}/_hob COMPONENT hob
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
endif()

# Of what Hob asks for itself the versions are known here; of what that asks for, from the system.
file(STRINGS ${MBEDTLS_INCLUDE_DIR}/mbedtls/version.h mbed_version
    REGEX "define MBEDTLS_VERSION_STRING ")
if(NOT mbed_version AND EXISTS ${MBEDTLS_INCLUDE_DIR}/mbedtls/build_info.h) # 3.x
    file(STRINGS ${MBEDTLS_INCLUDE_DIR}/mbedtls/build_info.h mbed_version
        REGEX "define MBEDTLS_VERSION_STRING ")
endif()
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" mbed_version "${mbed_version}")
set(sbom_linked libuv=${UV_VERSION} libmosquitto=${MOSQUITTO_VERSION} liblua5.4=${LUA_VERSION}
    liblua5.4-cjson=${CJSON_VERSION} libsqlite3=${SQLITE_VERSION} libmbedtls=${mbed_version}
    libmbedx509=${mbed_version} libmbedcrypto=${mbed_version} libcurl=${CURL_VERSION}
    libmicrohttpd=${MICROHTTPD_VERSION} libedit=${EDIT_VERSION})
set(sbom ${CMAKE_BINARY_DIR}/hob.spdx.json)
set(sbom_objdump "")
if(CMAKE_CROSSCOMPILING)
    set(sbom_objdump ${CMAKE_OBJDUMP})
endif()
set(sbom_programs $<TARGET_FILE:hob>)
if(NOT HOB_STATIC_PROGRAM)
    list(APPEND sbom_programs $<TARGET_FILE:hob_shared>)
endif()
set(sbom_modules "")
foreach(module hob_download hob_httpd hob_edit)
    if(TARGET ${module})
        list(APPEND sbom_modules $<TARGET_FILE:${module}>)
    endif()
endforeach()
# Written when it is installed, if what was built is newer: whoever builds a hundred times a day has
# no use for it.
install(CODE "set(programs \"${sbom_programs}\")
    set(modules \"${sbom_modules}\")
    set(fresh OFF)
    foreach(file IN LISTS programs modules ITEMS \"${CMAKE_SOURCE_DIR}/packaging/sbom.cmake\")
        if(\"\${file}\" IS_NEWER_THAN \"${sbom}\")
            set(fresh ON)
        endif()
    endforeach()
    if(fresh)
        execute_process(COMMAND \"${CMAKE_COMMAND}\" \"-DOUT=${sbom}\"
            -DVERSION=${PROJECT_VERSION} \"-DPROGRAMS=\${programs}\" \"-DMODULES=\${modules}\"
            \"-DLINKED=${sbom_linked}\" \"-DSTATIC=${HOB_SBOM_STATIC}\"
            \"-DOBJDUMP=${sbom_objdump}\"
            -P \"${CMAKE_SOURCE_DIR}/packaging/sbom.cmake\" COMMAND_ERROR_IS_FATAL ANY)
    endif()" COMPONENT hob)
install(FILES ${sbom} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/hob COMPONENT hob)
