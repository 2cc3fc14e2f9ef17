// Where the process of the unit tests begins. With Catch2 2 main() is here too; with Catch2 3 it
// comes from Catch2WithMain.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif

#include "io/wiping_memory.h"

namespace {

// As the program does: before anything has used OpenSSL.
[[maybe_unused]] const bool kWiping = (bao_exporter::wipe_what_libraries_free(), true);

}  // namespace
