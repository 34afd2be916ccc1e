# Writes the software bill of materials, SPDX 2.3 as JSON, from what was built: cmake
#   -DOUT=FILE -DVERSION=0.1.0 -DPROGRAMS="hob;libhob.so.1" -DMODULES="hob_download.so;..."
#   -DLINKED="libuv=1.44.2;..." -DSTATIC="libuv;..." -P sbom.cmake
#   -DOBJDUMP=objdump of a cross compiler: then it names what is asked for, and nothing behind that
# What a program or module loads is resolved as the loader would. Versions are those of the Debian
# packages that the files belong to; elsewhere those that pkg-config gave (LINKED), of the libraries
# that Hob itself asks for. Spec: spec/integration/installed_documents_spec.lua
cmake_minimum_required(VERSION 3.21)

# Beginning of a library's name, and its licence. What is not here is NOASSERTION.
set(licences "libuv=MIT" "liblua=MIT" "lua-cjson=MIT" "cjson=MIT"
    "libmosquitto=EPL-2.0 OR BSD-3-Clause"
    "libsqlite3=blessing" "libresolv=LGPL-2.1-or-later" "libkrb5=MIT" "libgssapi_krb5=MIT"
    "libk5crypto=MIT" "libcom_err=MIT" "libkeyutils=LGPL-2.1-or-later" "librtmp=LGPL-2.1-or-later"
    "libmbed=Apache-2.0 OR GPL-2.0-or-later" "libcurl=curl"
    "libmicrohttpd=LGPL-2.1-or-later" "libedit=BSD-3-Clause" "libssl=Apache-2.0"
    "libcrypto=Apache-2.0" "libc=LGPL-2.1-or-later" "libm=LGPL-2.1-or-later"
    "libdl=LGPL-2.1-or-later" "libpthread=LGPL-2.1-or-later" "librt=LGPL-2.1-or-later"
    "ld-linux=LGPL-2.1-or-later" "libz=Zlib" "libgnutls=LGPL-2.1-or-later"
    "libgmp=LGPL-3.0-or-later OR GPL-2.0-or-later" "libnettle=LGPL-3.0-or-later OR GPL-2.0-or-later"
    "libhogweed=LGPL-3.0-or-later OR GPL-2.0-or-later" "libp11-kit=BSD-3-Clause"
    "libtasn1=LGPL-2.1-or-later" "libnghttp2=MIT" "libidn2=LGPL-3.0-or-later OR GPL-2.0-or-later"
    "libunistring=LGPL-3.0-or-later OR GPL-2.0-or-later" "libssh2=BSD-3-Clause" "libpsl=MIT"
    "libzstd=BSD-3-Clause OR GPL-2.0-only" "libbrotli=MIT" "libtinfo=X11" "libbsd=BSD-3-Clause"
    "libmd=BSD-3-Clause" "libffi=MIT" "libldap=OLDAP-2.8" "liblber=OLDAP-2.8"
    "libgcc_s=GPL-3.0-or-later WITH GCC-exception-3.1")

function(library_name file result)
    string(REGEX REPLACE "(-[0-9.]+)?\\.so.*$|\\.a$" "" name "${file}")
    set(${result} "${name}" PARENT_SCOPE)
endfunction()

function(licence_of file result)
    set(found NOASSERTION)
    library_name("${file}" base)
    foreach(line IN LISTS licences)
        string(REGEX MATCH "^[^=]+" name "${line}")
        string(REGEX REPLACE "^[^=]+=" "" licence "${line}")
        string(FIND "${base}" "${name}" at)
        # A short name, as libc, is that library alone.
        string(LENGTH "${name}" length)
        if(base STREQUAL name OR (at EQUAL 0 AND length GREATER 5))
            set(found "${licence}")
            break()
        endif()
    endforeach()
    set(${result} "${found}" PARENT_SCOPE)
endfunction()

find_program(dpkg_query dpkg-query)

# Whose files these are: owner_PATH is "PACKAGE;VERSION;ARCHITECTURE". A file is known by its name
# before or after /usr was merged, and asking is slow: all are asked for at once.
function(find_owners)
    if(NOT dpkg_query OR NOT ARGN)
        return()
    endif()
    set(ways "")
    foreach(path IN LISTS ARGN)
        get_filename_component(real "${path}" REALPATH)
        string(REGEX REPLACE "^/usr/" "/" short "${path}")
        string(REGEX REPLACE "^/usr/" "/" short_real "${real}")
        set(ways_of "${path}" "${real}" "${short}" "${short_real}" "/usr${short}" "/usr${short_real}")
        foreach(way IN LISTS ways_of)
            list(APPEND "paths_of_${way}" "${path}")
        endforeach()
        list(APPEND ways ${ways_of})
    endforeach()
    list(REMOVE_DUPLICATES ways)
    execute_process(COMMAND ${dpkg_query} -S ${ways} OUTPUT_VARIABLE said ERROR_QUIET)
    string(REGEX MATCHALL "[^\n]+" lines "${said}")
    set(names "")
    foreach(line IN LISTS lines)
        if(line MATCHES "^([^, ]+): (/.*)$")
            set(name "${CMAKE_MATCH_1}")
            list(APPEND names "${name}")
            string(REPLACE ":" "_" key "${name}") # no variable has a colon
            foreach(path IN LISTS "paths_of_${CMAKE_MATCH_2}")
                set("package_${path}" "${key}")
            endforeach()
        endif()
    endforeach()
    list(REMOVE_DUPLICATES names)
    if(names)
        execute_process(COMMAND ${dpkg_query} -W -f "\${binary:Package} \${Package} \${Version} \${Architecture}\\n"
            ${names} OUTPUT_VARIABLE said ERROR_QUIET)
    endif()
    string(REGEX MATCHALL "[^\n]+" lines "${said}")
    foreach(line IN LISTS lines)
        if(line MATCHES "^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)$")
            set(about "${CMAKE_MATCH_2}" "${CMAKE_MATCH_3}" "${CMAKE_MATCH_4}")
            string(REPLACE ":" "_" key "${CMAKE_MATCH_1}")
            set("about_${key}" "${about}")
            set("about_${CMAKE_MATCH_2}" "${about}")
        endif()
    endforeach()
    foreach(path IN LISTS ARGN)
        set("owner_${path}" "${about_${package_${path}}}" PARENT_SCOPE)
    endforeach()
endfunction()

set(packages "[]")
set(relationships "[]")
set(seen "")

function(append list text)
    string(JSON count LENGTH "${${list}}")
    string(JSON longer SET "${${list}}" ${count} "${text}")
    set(${list} "${longer}" PARENT_SCOPE)
endfunction()

function(quote text result) # as JSON
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    set(${result} "\"${text}\"" PARENT_SCOPE)
endfunction()

# An object of pairs KEY TEXT ...
function(object result)
    set(made "{}")
    while(ARGN)
        list(POP_FRONT ARGN key text)
        quote("${text}" quoted)
        string(JSON made SET "${made}" "${key}" "${quoted}")
    endwhile()
    set(${result} "${made}" PARENT_SCOPE)
endfunction()

function(relate from how to)
    object(one spdxElementId "${from}" relationshipType "${how}" relatedSpdxElement "${to}")
    append(relationships "${one}")
    set(relationships "${relationships}" PARENT_SCOPE)
endfunction()

# One library: `file` as the loader calls it, `path` empty if it is not known or linked in.
function(add_library_file file path how)
    string(REGEX REPLACE "[^A-Za-z0-9.]" "-" id "SPDXRef-Package-${file}")
    if(id IN_LIST seen)
        return()
    endif()
    list(APPEND seen "${id}")
    licence_of("${file}" licence)
    set(package "${owner_${path}}")
    library_name("${file}" name)
    set(version "")
    foreach(line IN LISTS LINKED)
        if(line MATCHES "^([^=]+)=(.+)$" AND CMAKE_MATCH_1 STREQUAL name)
            set(version "${CMAKE_MATCH_2}")
        endif()
    endforeach()
    set(purl "pkg:generic/${name}@${version}")
    if(package)
        list(POP_FRONT package name version arch)
        string(REPLACE "+" "%2B" escaped "${version}")
        set(purl "pkg:deb/debian/${name}@${escaped}?arch=${arch}")
    endif()
    object(one SPDXID "${id}" name "${name}" packageFileName "${file}"
        downloadLocation NOASSERTION licenseConcluded NOASSERTION licenseDeclared "${licence}"
        copyrightText NOASSERTION supplier NOASSERTION primaryPackagePurpose LIBRARY)
    string(JSON one SET "${one}" filesAnalyzed false)
    if(version)
        quote("${version}" quoted)
        string(JSON one SET "${one}" versionInfo "${quoted}")
        object(reference referenceCategory PACKAGE-MANAGER referenceType purl
            referenceLocator "${purl}")
        string(JSON one SET "${one}" externalRefs "[${reference}]")
    endif()
    append(packages "${one}")
    if(how STREQUAL "OPTIONAL_DEPENDENCY_OF")
        relate("${id}" ${how} SPDXRef-Package-hob)
    else()
        relate(SPDXRef-Package-hob ${how} "${id}")
    endif()
    set(seen "${seen}" PARENT_SCOPE)
    set(packages "${packages}" PARENT_SCOPE)
    set(relationships "${relationships}" PARENT_SCOPE)
endfunction()

# ---- Hob itself ----

object(hob SPDXID SPDXRef-Package-hob name hob versionInfo "${VERSION}"
    downloadLocation NOASSERTION licenseConcluded MIT licenseDeclared MIT
    copyrightText "Copyright (c) 2026 The Hob authors" supplier "Organization: The Hob authors"
    primaryPackagePurpose APPLICATION)
string(JSON hob SET "${hob}" filesAnalyzed false)
append(packages "${hob}")
relate(SPDXRef-DOCUMENT DESCRIBES SPDXRef-Package-hob)

# ---- what it loads, and what only its modules load ----

foreach(name IN LISTS STATIC)
    add_library_file("${name}.a" "" STATIC_LINK)
endforeach()
foreach(kind IN ITEMS PROGRAMS MODULES)
    set(how DYNAMIC_LINK)
    if(kind STREQUAL "MODULES")
        set(how OPTIONAL_DEPENDENCY_OF)
    endif()
    if("${${kind}}" STREQUAL "")
        continue()
    endif()
    set(paths "")
    set(missing "")
    if(OBJDUMP) # built for another machine, whose libraries are not here
        foreach(binary IN LISTS ${kind})
            execute_process(COMMAND "${OBJDUMP}" -p "${binary}" OUTPUT_VARIABLE said
                COMMAND_ERROR_IS_FATAL ANY)
            string(REGEX MATCHALL "NEEDED +[^\n ]+" needed "${said}")
            list(TRANSFORM needed REPLACE "NEEDED +" "")
            list(APPEND missing ${needed})
        endforeach()
    else()
        file(GET_RUNTIME_DEPENDENCIES LIBRARIES ${${kind}} RESOLVED_DEPENDENCIES_VAR paths
            UNRESOLVED_DEPENDENCIES_VAR missing)
    endif()
    list(SORT paths)
    find_owners(${paths})
    foreach(path IN LISTS paths missing)
        get_filename_component(file "${path}" NAME)
        if(NOT file MATCHES "^libhob\\.")
            if(path STREQUAL file)
                set(path "")
            endif()
            add_library_file("${file}" "${path}" ${how})
        endif()
    endforeach()
endforeach()

# ---- the document ----

string(SHA256 digest "${packages}${relationships}")
string(SUBSTRING "${digest}" 0 32 digest)
string(TIMESTAMP now "%Y-%m-%dT%H:%M:%SZ" UTC) # SOURCE_DATE_EPOCH counts
object(document spdxVersion SPDX-2.3 dataLicense CC0-1.0 SPDXID SPDXRef-DOCUMENT
    name "hob-${VERSION}" documentNamespace "https://spdx.org/spdxdocs/hob-${VERSION}-${digest}")
object(creation created "${now}")
string(JSON creation SET "${creation}" creators "[\"Tool: hob-sbom-${VERSION}\"]")
string(JSON document SET "${document}" creationInfo "${creation}")
string(JSON document SET "${document}" documentDescribes "[\"SPDXRef-Package-hob\"]")
string(JSON document SET "${document}" packages "${packages}")
string(JSON document SET "${document}" relationships "${relationships}")
file(WRITE "${OUT}" "${document}\n")
