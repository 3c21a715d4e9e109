# Fuzz targets: every tests/fuzz/fuzz_*.c. With clang they are libFuzzer programs; else tests/fuzz/driver.c drives them,
# and ctest runs a bounded number of its mutations. Use with -DCMAKE_BUILD_TYPE=Asan.
#
#   cmake -B build-fuzz -DFETTLE_FUZZ=ON -DCMAKE_BUILD_TYPE=Asan -DCMAKE_C_COMPILER=clang-19
#   build-fuzz/fuzz/fuzz_import -max_len=65536 CORPUS tests/fixtures
set(FETTLE_FUZZ_RUNS 2000 CACHE STRING "Mutations per fuzz target in ctest")

include(CheckCSourceCompiles)
set(CMAKE_REQUIRED_FLAGS "-fsanitize=fuzzer")
check_c_source_compiles("
	#include <stddef.h>
	#include <stdint.h>
	int LLVMFuzzerTestOneInput(const uint8_t *d, size_t n) { return (int)(n && d[0] == 77); }" FETTLE_LIBFUZZER)
unset(CMAKE_REQUIRED_FLAGS)

if(FETTLE_LIBFUZZER)
	foreach(room ${FETTLE_FULL_ROOMS} ftl_backend_llvm)
		target_compile_options(${room} PRIVATE -fsanitize=fuzzer-no-link)
	endforeach()
endif()

set(seeds_import "${PROJECT_SOURCE_DIR}/tests/data" "${PROJECT_SOURCE_DIR}/tests/fixtures")
set(seeds_npy "${PROJECT_SOURCE_DIR}/tests/data" "${PROJECT_SOURCE_DIR}/tests/fixtures")
set(seeds_fir "${PROJECT_SOURCE_DIR}/tests/fir")
set(seeds_kir "${PROJECT_SOURCE_DIR}/tests/fuzz/kir")

file(GLOB targets CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_*.c")
foreach(source ${targets})
	get_filename_component(name ${source} NAME_WE)
	string(REPLACE fuzz_ "" short ${name})
	add_executable(${name} ${source} "${PROJECT_SOURCE_DIR}/tests/fuzz/common.c")
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz")
	target_link_libraries(${name} PRIVATE fettle_flags ${FETTLE_ROOMS} fettle_dep_math)
	if(FETTLE_LIBFUZZER)
		target_link_options(${name} PRIVATE -fsanitize=fuzzer)
	else()
		target_sources(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/fuzz/driver.c")
	endif()
	if(BUILD_TESTING)
		set(args -runs=${FETTLE_FUZZ_RUNS} -seed=1 -max_len=65536 ${seeds_${short}})
		add_test(NAME ${name} COMMAND ${name} ${args} WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz")
		set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 900)
	endif()
endforeach()
