// Catch2, whichever version there is: 3 (linked with Catch2WithMain) or 2 (main.cc has the main).
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
