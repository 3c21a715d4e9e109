# Compiler flags common to everything of ours.
#
# Asserts stay on in every build type: they guard against our own mistakes, and a compiler has the time.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
	set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug or Asan" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-Og -g3")
set(CMAKE_C_FLAGS_ASAN "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer")
if(CMAKE_C_COMPILER_ID MATCHES Clang) # what the JIT made has no signature in front for clang to look at
	string(APPEND CMAKE_C_FLAGS_ASAN " -fno-sanitize=function")
endif()
set(CMAKE_EXE_LINKER_FLAGS_ASAN "-fsanitize=address,undefined")
set(CMAKE_SHARED_LINKER_FLAGS_ASAN "-fsanitize=address,undefined")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# -ffp-contract=off: results must not depend on which compiler built fettle.
add_library(fettle_flags INTERFACE)
target_compile_options(fettle_flags INTERFACE -Wall -Wextra -ffp-contract=off)
# gcc cannot know that ftl_fail never returns FTL_OK, and so sees an uninitialized output after many an FTL_TRY.
# clang's -Wsometimes-uninitialized and the sanitizers look after the real ones.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	target_compile_options(fettle_flags INTERFACE -Wno-maybe-uninitialized)
endif()
# gcc warns about checks that its sanitizers put in themselves, so those builds only warn
if(FETTLE_WERROR AND NOT CMAKE_BUILD_TYPE STREQUAL "Asan")
	target_compile_options(fettle_flags INTERFACE -Werror)
endif()
target_compile_definitions(fettle_flags INTERFACE _DEFAULT_SOURCE _POSIX_C_SOURCE=200809L)
