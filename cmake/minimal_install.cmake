# What `cmake --install` brings of a build with HOB_MINIMAL: the program, its Lua files without the
# local service, the debug adapter and what only editors read, and the handlers.
set_target_properties(hob_shared hob_static PROPERTIES EXCLUDE_FROM_ALL ON)
install(TARGETS hob RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT hob)
install(DIRECTORY scripts/ DESTINATION ${CMAKE_INSTALL_DATADIR}/hob/scripts COMPONENT hob
    FILES_MATCHING PATTERN "*.lua")
install(DIRECTORY lib/ DESTINATION ${CMAKE_INSTALL_DATADIR}/hob/lib COMPONENT hob FILES_MATCHING
    PATTERN "*.lua" PATTERN lib/hob/service EXCLUDE PATTERN lib/hob/dap EXCLUDE
    PATTERN lib/meta EXCLUDE PATTERN lib/hob/api.lua EXCLUDE PATTERN lib/hob/testing.lua EXCLUDE)
# What commands of the gateway share with the service.
install(FILES lib/hob/service/json_text.lua
    DESTINATION ${CMAKE_INSTALL_DATADIR}/hob/lib/hob/service COMPONENT hob)
include(cmake/documents.cmake)
