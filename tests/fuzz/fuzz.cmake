# fuzz_x.cc: a libFuzzer target with the preset fuzz (clang, ./dev fuzz); elsewhere a bounded regression
# test that runs the corpus and mutations of it from a fixed seed. fuzzers: all of them.
add_custom_target(fuzzers)

foreach(target exposition config request login certctl tokens open_metrics relabel)
  add_executable(fuzz_${target} fuzz/fuzz_${target}.cc)
  target_include_directories(fuzz_${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(fuzz_${target} PRIVATE core)
  add_dependencies(fuzzers fuzz_${target})
  if(BAO_FUZZ)
    target_link_options(fuzz_${target} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz/${target} COMMAND fuzz_${target} -max_total_time=60 -print_final_stats=1
             ${CMAKE_CURRENT_BINARY_DIR}/corpus_${target}
             ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${target})
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/corpus_${target})
  else()
    target_sources(fuzz_${target} PRIVATE fuzz/driver.cc)
    add_test(NAME fuzz/${target} COMMAND fuzz_${target}
             ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${target} 100000)
  endif()
  set_tests_properties(fuzz/${target} PROPERTIES TIMEOUT 300 LABELS fuzz)
endforeach()
target_link_libraries(fuzz_exposition PRIVATE reference)
