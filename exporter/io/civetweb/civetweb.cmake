# civetweb 1.16 as one static target of our own name. Never a distribution's binary: its TLS crashes
# on the first handshake with OpenSSL 3. Never upstream's own CMake file: it builds and packages more.
if(NOT CIVETWEB_SOURCE_DIR AND BAO_EXPORTER_FETCH_CIVETWEB)
  include(FetchContent)
  FetchContent_Declare(civetweb
    GIT_REPOSITORY https://github.com/civetweb/civetweb.git
    GIT_TAG d7ba35bbb649209c66e582d5a0244ba988a15159  # v1.16
    SOURCE_SUBDIR none)
  FetchContent_MakeAvailable(civetweb)
  set(CIVETWEB_SOURCE_DIR ${civetweb_SOURCE_DIR})
endif()
if(NOT EXISTS "${CIVETWEB_SOURCE_DIR}/src/civetweb.c")
  message(FATAL_ERROR
    "civetweb's source was not found in CIVETWEB_SOURCE_DIR='${CIVETWEB_SOURCE_DIR}'.\n"
    "Run ./dev build, which fetches it; or pass -DCIVETWEB_SOURCE_DIR=FOLDER of civetweb 1.16; or, "
    "where GitHub can be reached, -DBAO_EXPORTER_FETCH_CIVETWEB=ON.")
endif()

# Our patches go onto a copy, so any source of 1.16 may be given. Made anew when one of them changes.
file(GLOB civetweb_patches CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.patch)
find_program(PATCH_PROGRAM patch REQUIRED)
file(GLOB civetweb_inputs ${CIVETWEB_SOURCE_DIR}/src/*.c ${CIVETWEB_SOURCE_DIR}/src/*.inl
     ${CIVETWEB_SOURCE_DIR}/include/*.h)
set(civetweb_state "")
foreach(input ${civetweb_inputs} ${civetweb_patches})
  file(SHA256 ${input} input_hash)
  string(APPEND civetweb_state "${input_hash}\n")
endforeach()
set(civetweb_copy ${PROJECT_BINARY_DIR}/civetweb)
set(civetweb_known "")
if(EXISTS ${civetweb_copy}/state)
  file(READ ${civetweb_copy}/state civetweb_known)
endif()
if(NOT civetweb_known STREQUAL civetweb_state)
  file(REMOVE_RECURSE ${civetweb_copy})
  file(COPY ${CIVETWEB_SOURCE_DIR}/src ${CIVETWEB_SOURCE_DIR}/include DESTINATION ${civetweb_copy})
  foreach(civetweb_patch ${civetweb_patches})
    execute_process(COMMAND ${PATCH_PROGRAM} -p1 --batch --fuzz=0 -i ${civetweb_patch}
                    WORKING_DIRECTORY ${civetweb_copy} RESULT_VARIABLE patch_failed
                    OUTPUT_VARIABLE patch_words ERROR_VARIABLE patch_words)
    if(patch_failed)
      message(FATAL_ERROR "${civetweb_patch} does not apply to ${CIVETWEB_SOURCE_DIR}: is it "
                          "civetweb 1.16?\n${patch_words}")
    endif()
  endforeach()
  file(WRITE ${civetweb_copy}/state "${civetweb_state}")
endif()

add_library(bao_civetweb STATIC ${civetweb_copy}/src/civetweb.c)
set_target_properties(bao_civetweb PROPERTIES C_STANDARD 11 C_EXTENSIONS ON)
# BEFORE: prometheus-cpp's package puts a civetweb.h of 1.15 into the system's include folder.
target_include_directories(bao_civetweb BEFORE PUBLIC ${civetweb_copy}/include)
target_compile_definitions(bao_civetweb PRIVATE
  OPENSSL_API_3_0   # link OpenSSL 3,
  NO_SSL_DL         # at build time
  NO_FILES NO_CGI NO_CACHING
  NO_POPEN          # else popen() stays in, for server side includes
  USE_IPV6
  STOP_FLAG_NEEDS_LOCK  # else the stop flag is a plain int that threads race on
  SOCKET_TIMEOUT_QUANTUM=200  # stops in 0.2 s, not 2 s
  $<$<NOT:$<CONFIG:Debug>>:NDEBUG>)
target_compile_options(bao_civetweb PRIVATE -w)
target_link_libraries(bao_civetweb PRIVATE bao_hardening OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
