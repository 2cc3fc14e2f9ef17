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

add_library(bao_civetweb STATIC ${CIVETWEB_SOURCE_DIR}/src/civetweb.c)
set_target_properties(bao_civetweb PROPERTIES C_STANDARD 11 C_EXTENSIONS ON)
# BEFORE: prometheus-cpp's package puts a civetweb.h of 1.15 into the system's include folder.
target_include_directories(bao_civetweb BEFORE PUBLIC ${CIVETWEB_SOURCE_DIR}/include)
target_compile_definitions(bao_civetweb PRIVATE
  OPENSSL_API_3_0   # link OpenSSL 3,
  NO_SSL_DL         # at build time
  NO_FILES NO_CGI NO_CACHING
  NO_POPEN          # else popen() stays in, for server side includes
  USE_IPV6
  SOCKET_TIMEOUT_QUANTUM=200  # stops in 0.2 s, not 2 s
  $<$<NOT:$<CONFIG:Debug>>:NDEBUG>)
target_compile_options(bao_civetweb PRIVATE -w)
target_link_libraries(bao_civetweb PRIVATE bao_hardening OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
