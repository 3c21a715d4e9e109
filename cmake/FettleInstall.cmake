# Installation: libraries, public headers, find_package(fettle), pkg-config, man page.
include(CMakePackageConfigHelpers)

install(TARGETS fettle fettle_static EXPORT fettleTargets
	LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
	ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
	INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/fettle" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
	FILES_MATCHING PATTERN "*.h")

set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/fettle")
install(EXPORT fettleTargets NAMESPACE fettle:: DESTINATION ${config_dir})
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/fettleConfig.cmake.in"
	"${PROJECT_BINARY_DIR}/fettleConfig.cmake" INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/fettleConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/fettleConfig.cmake" "${PROJECT_BINARY_DIR}/fettleConfigVersion.cmake"
	DESTINATION ${config_dir})

set(FETTLE_PC_PRIVATE "")
foreach(dir ${FETTLE_STATIC_LIB_DIRS})
	string(APPEND FETTLE_PC_PRIVATE " -L${dir}")
endforeach()
foreach(lib ${FETTLE_STATIC_LIBS})
	string(APPEND FETTLE_PC_PRIVATE " -l${lib}")
endforeach()
# relative to the .pc file, so that an installed tree can be moved
file(RELATIVE_PATH FETTLE_PC_UP "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
configure_file("${PROJECT_SOURCE_DIR}/cmake/fettle.pc.in" "${PROJECT_BINARY_DIR}/fettle.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/fettle.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET fettle_cli)
	install(TARGETS fettle_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
	set(man "${PROJECT_BINARY_DIR}/fettle.1")
	add_custom_command(OUTPUT "${man}"
		COMMAND sh "${PROJECT_SOURCE_DIR}/cmake/man.sh" $<TARGET_FILE:fettle_cli> "${man}"
			"${PROJECT_VERSION}"
		DEPENDS fettle_cli "${PROJECT_SOURCE_DIR}/cmake/man.sh"
		COMMENT "man page" VERBATIM)
	add_custom_target(fettle_man ALL DEPENDS "${man}")
	install(FILES "${man}" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
