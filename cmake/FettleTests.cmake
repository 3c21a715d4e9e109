# Tests: every tests/test_*.c is a cmocka program over all rooms, every tests/test_*.sh a script, every
# cmake/checks/*.sh a check of the tree itself. All run in one `ctest`, with FETTLE (the command), SOURCE and
# BUILD in the environment; exit status 77 means skipped.
pkg_check_modules(CMOCKA REQUIRED cmocka)

set(FETTLE_TEST_ENV "SOURCE=${PROJECT_SOURCE_DIR}" "BUILD=${PROJECT_BINARY_DIR}" "CC=${CMAKE_C_COMPILER}")
if(TARGET fettle_cli)
	list(APPEND FETTLE_TEST_ENV "FETTLE=$<TARGET_FILE:fettle_cli>")
endif()

# What several tests share: tests/support/*.c
file(GLOB support CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/support/*.c")
if(support)
	add_library(ftl_test_support STATIC ${support})
	target_link_libraries(ftl_test_support PRIVATE fettle_flags PUBLIC ${FETTLE_ROOMS} ${CMOCKA_LINK_LIBRARIES})
	target_include_directories(ftl_test_support PUBLIC "${PROJECT_SOURCE_DIR}/tests/support")
endif()

function(fettle_test_settings name)
	set_tests_properties(${name} PROPERTIES ENVIRONMENT "${FETTLE_TEST_ENV}" SKIP_RETURN_CODE 77 TIMEOUT 1500)
endfunction()

file(GLOB tests CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/test_*.c")
foreach(source ${tests})
	get_filename_component(name ${source} NAME_WE)
	add_executable(${name} ${source})
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
	target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
	target_include_directories(${name} SYSTEM PRIVATE ${CMOCKA_INCLUDE_DIRS} ${FETTLE_GENERATED_INCLUDE})
	target_link_libraries(${name} PRIVATE fettle_flags)
	if(support)
		target_link_libraries(${name} PRIVATE ftl_test_support)
	endif()
	target_link_libraries(${name} PRIVATE ${FETTLE_ROOMS} ${CMOCKA_LINK_LIBRARIES} fettle_dep_math)
	add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
	fettle_test_settings(${name})
endforeach()

file(GLOB scripts CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/test_*.sh")
foreach(script ${scripts})
	get_filename_component(name ${script} NAME_WE)
	add_test(NAME ${name} COMMAND sh ${script} WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
	fettle_test_settings(${name})
endforeach()
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/tests")

# Checks of the tree: layering, sizes, symbols, format.
file(GLOB checks CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/checks/*.sh")
foreach(script ${checks})
	get_filename_component(name ${script} NAME_WE)
	if(name STREQUAL "symbols" AND CMAKE_BUILD_TYPE STREQUAL "Asan")
		continue() # the sanitizers add their own data and calls
	endif()
	add_test(NAME check_${name} COMMAND sh ${script} $<TARGET_FILE:fettle_static>
		WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
	fettle_test_settings(check_${name})
	set_tests_properties(check_${name} PROPERTIES LABELS checks)
endforeach()

find_program(FETTLE_CLANG_FORMAT NAMES clang-format-14 clang-format)
if(FETTLE_CLANG_FORMAT)
	add_custom_target(format COMMAND sh ${PROJECT_SOURCE_DIR}/cmake/checks/format.sh --fix
		WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}" COMMENT "clang-format over the tree")
endif()
