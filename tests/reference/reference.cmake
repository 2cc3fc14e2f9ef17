# The parser's oracles: a second one, written plainly (`reference`), and Prometheus' own (go/).
add_library(reference STATIC reference/bodies.cc reference/bytes.cc reference/differ.cc
            reference/openbao_body.cc reference/parse.cc)
target_include_directories(reference PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(reference PUBLIC exposition)

add_executable(differential reference/differential_main.cc reference/exhaustive.cc)
target_link_libraries(differential PRIVATE reference CLI11::CLI11)
# Some seconds; docs/hacking.md has the long run.
add_test(NAME reference/differential COMMAND differential --length 3 --runs 100000 --seed 2026)
set_tests_properties(reference/differential PROPERTIES TIMEOUT 300 LABELS reference)

# Bodies for test_prometheus_parser.py, which python_tests.cmake adds.
add_executable(peer_bodies reference/peer_bodies_main.cc)
target_link_libraries(peer_bodies PRIVATE reference CLI11::CLI11)
