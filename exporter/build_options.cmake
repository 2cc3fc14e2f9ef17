# What every target of ours, and civetweb, is compiled and linked with: warnings are errors in our
# code; the release is hardened (OpenSSF's guide for compilers); sanitizers by preset.
include(CheckCXXCompilerFlag)
include(CheckCompilerFlag)

set(BAO_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread (see the presets)")
option(BAO_FUZZ "Build the fuzzers with libFuzzer (clang)" OFF)
option(BAO_BUILD_SOON "Compile the unit tests sooner: with precompiled headers" OFF)
option(BAO_COVERAGE "Count what the tests reach" OFF)

add_library(bao_warnings INTERFACE)
target_compile_options(bao_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wconversion;-Wshadow;-Wformat=2;-Werror>
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wtrampolines;-Wbidi-chars=any>)

add_library(bao_hardening INTERFACE)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(bao_hardening INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -D_GLIBCXX_ASSERTIONS
    -fstack-clash-protection -fstack-protector-strong -fPIE -ftrivial-auto-var-init=zero
    -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -fexceptions
    -ffile-prefix-map=${PROJECT_SOURCE_DIR}=. -ffile-prefix-map=${PROJECT_BINARY_DIR}=.)
  foreach(flag -fcf-protection=full -mbranch-protection=standard -fstrict-flex-arrays=3
               -fzero-init-padding-bits=all)
    string(MAKE_C_IDENTIFIER "accepts${flag}" accepted)
    check_cxx_compiler_flag(${flag} ${accepted})
    if(${accepted})
      target_compile_options(bao_hardening INTERFACE ${flag})
    endif()
  endforeach()
  target_link_options(bao_hardening INTERFACE
    -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,nodlopen -Wl,-z,separate-code
    -Wl,--as-needed -Wl,--build-id=sha1)
endif()
if(BAO_SANITIZE)
  target_compile_options(bao_hardening INTERFACE
    -fsanitize=${BAO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    # gcc 12 takes libstdc++'s <regex> for uninitialised once sanitizers are on.
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
  target_link_options(bao_hardening INTERFACE -fsanitize=${BAO_SANITIZE})
endif()
if(BAO_FUZZ)
  target_compile_options(bao_hardening INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(BAO_COVERAGE)
  target_compile_options(bao_hardening INTERFACE --coverage)
  target_link_options(bao_hardening INTERFACE --coverage)
endif()
