// One entry for all fuzzers: libFuzzer's (preset fuzz, clang), or tests/fuzz/driver.cc elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
