# Rooms as libraries.
#
# A room with sources is a static library ftl_NAME; one without (yet) is an INTERFACE library, so that the
# tree configures at any stage. Linking is PUBLIC: who sees a room sees what that room sees.
set(FETTLE_ROOMS "")       # all rooms
set(FETTLE_FULL_ROOMS "")  # those with object files

# fettle_room(NAME DIR d [WITHOUT subdir] [SEES room...] [LIBS target...] [PUBLIC_API])
function(fettle_room name)
	cmake_parse_arguments(R "PUBLIC_API" "DIR;WITHOUT" "SEES;LIBS" ${ARGN})
	set(dir "${PROJECT_SOURCE_DIR}/${R_DIR}")
	set(target ftl_${name})
	file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${dir}/*.c")
	if(R_WITHOUT)
		list(FILTER sources EXCLUDE REGEX "^${dir}/${R_WITHOUT}/")
	endif()
	set(full FALSE)
	if(sources)
		set(full TRUE)
	endif()
	# Rooms whose only sources come from elsewhere.
	if(name STREQUAL "frontend" AND EXISTS "${dir}/onnx.proto")
		set(full TRUE)
	elseif(name STREQUAL "backends")
		file(GLOB_RECURSE llvm CONFIGURE_DEPENDS "${dir}/llvm/*.c")
		if(llvm)
			set(full TRUE)
		endif()
	endif()

	list(TRANSFORM R_SEES PREPEND ftl_)
	if(full)
		set(how PUBLIC)
		add_library(${target} STATIC ${sources})
		target_link_libraries(${target} PRIVATE fettle_flags)
		# A room's own files see its private headers as "lower/x.h" and as "ROOM/lower/x.h"; the link keeps
		# the other rooms' private headers out of reach, which the source folder itself would not.
		set(own "${PROJECT_BINARY_DIR}/rooms/${name}")
		file(MAKE_DIRECTORY "${own}")
		file(CREATE_LINK "${dir}" "${own}/${R_DIR}" SYMBOLIC)
		target_include_directories(${target} PRIVATE "${dir}" "${own}")
		set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
	else()
		set(how INTERFACE)
		add_library(${target} INTERFACE)
	endif()
	target_include_directories(${target} ${how} "${dir}/include")
	if(name STREQUAL "backends")
		# for runtime/abi.h alone, which stands by itself: cmake/checks/layering.sh sees to that
		target_include_directories(${target} ${how} "${PROJECT_SOURCE_DIR}/runtime/include")
	endif()
	if(R_PUBLIC_API)
		target_include_directories(${target} ${how} "${PROJECT_SOURCE_DIR}/include")
	endif()
	target_link_libraries(${target} ${how} ${R_SEES} ${R_LIBS})

	set(FETTLE_ROOMS ${FETTLE_ROOMS} ${target} PARENT_SCOPE)
	if(full)
		set(FETTLE_FULL_ROOMS ${FETTLE_FULL_ROOMS} ${target} PARENT_SCOPE)
	endif()
endfunction()

# backends/llvm: the only sources with LLVM's headers in reach; its objects become part of ftl_backends.
function(fettle_llvm_room)
	set(dir "${PROJECT_SOURCE_DIR}/backends")
	file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${dir}/llvm/*.c")
	if(NOT sources)
		return()
	endif()
	add_library(ftl_backend_llvm OBJECT ${sources})
	target_link_libraries(ftl_backend_llvm PRIVATE fettle_flags ftl_kernels ftl_ir ftl_base fettle_dep_llvm)
	target_include_directories(ftl_backend_llvm PRIVATE "${dir}" "${dir}/include"
		"${PROJECT_BINARY_DIR}/rooms/backends" "${PROJECT_SOURCE_DIR}/runtime/include")
	target_sources(ftl_backends PRIVATE $<TARGET_OBJECTS:ftl_backend_llvm>)
	target_link_directories(ftl_backends PUBLIC ${FETTLE_LLVM_libdir})
	target_link_libraries(ftl_backends PUBLIC ${FETTLE_LLVM_libs})
endfunction()

# frontend/onnx.proto -> onnx.pb-c.[ch] in the build tree, compiled without our warnings.
function(fettle_protobuf)
	set(proto "${PROJECT_SOURCE_DIR}/frontend/onnx.proto")
	if(NOT EXISTS "${proto}")
		return()
	endif()
	find_program(FETTLE_PROTOC_C NAMES protoc-c)
	if(NOT FETTLE_PROTOC_C)
		message(FATAL_ERROR "protoc-c not found (Debian: protobuf-c-compiler); set FETTLE_PROTOC_C")
	endif()
	set(gen "${PROJECT_BINARY_DIR}/generated/frontend")
	file(MAKE_DIRECTORY "${gen}")
	add_custom_command(
		OUTPUT "${gen}/onnx.pb-c.c" "${gen}/onnx.pb-c.h"
		COMMAND ${FETTLE_PROTOC_C} --c_out=${gen} -I${PROJECT_SOURCE_DIR}/frontend onnx.proto
		DEPENDS "${proto}"
		COMMENT "protoc-c onnx.proto"
		VERBATIM)
	add_library(ftl_onnx_proto OBJECT "${gen}/onnx.pb-c.c" "${gen}/onnx.pb-c.h")
	target_compile_options(ftl_onnx_proto PRIVATE -w)
	target_link_libraries(ftl_onnx_proto PRIVATE fettle_dep_protobuf)
	target_include_directories(ftl_frontend SYSTEM PRIVATE "${gen}")
	target_sources(ftl_frontend PRIVATE $<TARGET_OBJECTS:ftl_onnx_proto>)
	add_dependencies(ftl_frontend ftl_onnx_proto)
	set(FETTLE_GENERATED_INCLUDE "${gen}" PARENT_SCOPE)
endfunction()

# libfettle, shared and static, from the objects of all rooms. Only fettle_* leaves the shared one.
function(fettle_library)
	set(objects "")
	foreach(room ${FETTLE_FULL_ROOMS})
		list(APPEND objects $<TARGET_OBJECTS:${room}>)
	endforeach()
	foreach(extra ftl_backend_llvm ftl_onnx_proto)
		if(TARGET ${extra})
			list(APPEND objects $<TARGET_OBJECTS:${extra}>)
		endif()
	endforeach()
	set(deps fettle_dep_xxhash fettle_dep_zip fettle_dep_protobuf fettle_dep_openblas fettle_dep_cjson
		fettle_dep_threads fettle_dep_math)
	if(TARGET ftl_backend_llvm)
		list(APPEND deps fettle_dep_llvm)
	endif()

	set(map "${PROJECT_SOURCE_DIR}/cmake/fettle.map")
	add_library(fettle SHARED ${objects})
	set_target_properties(fettle PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
		LINKER_LANGUAGE C LINK_DEPENDS "${map}")
	target_link_options(fettle PRIVATE "LINKER:--version-script=${map}")
	target_link_libraries(fettle PRIVATE ${deps})

	add_library(fettle_static STATIC ${objects})
	set_target_properties(fettle_static PROPERTIES OUTPUT_NAME fettle LINKER_LANGUAGE C)

	foreach(lib fettle fettle_static)
		target_include_directories(${lib} PUBLIC
			$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
			$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
	endforeach()
	target_link_directories(fettle_static INTERFACE ${FETTLE_STATIC_LIB_DIRS})
	target_link_libraries(fettle_static INTERFACE ${FETTLE_STATIC_LIBS})
endfunction()

# The command, over the shared library's public headers only.
function(fettle_cli)
	file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cli/*.c")
	if(NOT sources)
		return()
	endif()
	add_executable(fettle_cli ${sources})
	set_target_properties(fettle_cli PROPERTIES OUTPUT_NAME fettle
		INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
	target_include_directories(fettle_cli PRIVATE "${PROJECT_SOURCE_DIR}/cli")
	target_link_libraries(fettle_cli PRIVATE fettle_flags fettle fettle_dep_cjson fettle_dep_math)
endfunction()

# fettle_embed(ROOM FILE): the text of a source file as the numbers of an array, for #include "FILE.inc" in that room.
function(fettle_embed room file)
	set(path "${PROJECT_SOURCE_DIR}/${room}/${file}")
	file(READ "${path}" bytes HEX)
	string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
	file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/rooms/${room}/${file}.inc" CONTENT "${bytes}\n")
	set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${path}")
endfunction()
