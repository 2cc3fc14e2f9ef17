// How fast memory is over the bytes of a file, for `./dev bench parse`: finding each newline, or a
// copy. Prints one line of JSON.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "bench/cpu_clock.h"

namespace {

std::size_t newlines(const std::string& text) {
  std::size_t count = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto next = [&] { return std::memchr(at, '\n', static_cast<std::size_t>(end - at)); };
  for (const void* found = next(); found != nullptr; found = next()) {
    at = static_cast<const char*>(found) + 1;
    ++count;
  }
  return count;
}

void copy(const std::string& text, std::string& to) {
  std::memcpy(to.data(), text.data(), text.size());
  asm volatile("" : : "r"(to.data()) : "memory");  // somebody reads it
}

}  // namespace

int main(int argc, char** argv) {
  std::string mode, path;
  double seconds = 1;
  std::size_t nodes = 0;
  CLI::App app{"How fast memory is"};
  app.add_option("--mode", mode)->required()->check(CLI::IsMember({"memchr", "memcpy"}));
  app.add_option("--seconds", seconds, "CPU seconds, at least");
  app.add_option("--nodes", nodes, "changes nothing");
  app.add_option("file", path)->required()->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::string to = text;
  std::size_t bytes = 0, found = 0;
  const double start = bench::cpu_seconds();
  double spent = 0;
  do {
    // A look at the clock takes as long as a small copy.
    for (int i = 0; i < 16; ++i) {
      if (mode == "memchr") {
        found += newlines(text);
      } else {
        copy(text, to);
      }
      bytes += text.size();
    }
    spent = bench::cpu_seconds() - start;
  } while (spent < seconds);
  std::printf(
      "{\"mode\": \"%s\", \"bytes\": %zu, \"cpu_seconds\": %.6f, \"mb_per_s\": %.3f, "
      "\"samples_per_s\": 0, \"newlines\": %zu}\n",
      mode.c_str(), bytes, spent, static_cast<double>(bytes) / 1e6 / spent, found);
  return 0;
}
