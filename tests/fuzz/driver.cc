// Runs a fuzz target without libFuzzer: every file of the corpus, then a bounded number of
// mutations of them from a fixed seed. Usage: fuzz_x CORPUS [MUTATIONS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "fuzz/fuzz_target.h"

namespace {

using Random = std::mt19937_64;

std::vector<std::string> read_corpus(const char* folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

std::size_t below(Random& random, std::size_t bound) {
  return random() % std::max<std::size_t>(bound, 1);
}

void mutate(std::string& text, const std::vector<std::string>& corpus, Random& random) {
  const std::size_t at = below(random, text.size() + 1);
  switch (random() % 6) {
    case 0:
      text.insert(at, 1, static_cast<char>(random()));
      break;
    case 1:
      text.erase(at, 1 + below(random, 8));
      break;
    case 2:
      if (at < text.size()) text[at] = static_cast<char>(random());
      break;
    case 3:
      text.insert(at, text.substr(below(random, text.size() + 1), below(random, 64)));
      break;
    case 4: {
      const std::string& other = corpus[below(random, corpus.size())];
      text.insert(at, other.substr(below(random, other.size() + 1), below(random, 64)));
      break;
    }
    default: {
      constexpr std::string_view kTelling = "\n{}=\",\\# :[]0.";
      text.insert(at, 1, kTelling[below(random, kTelling.size())]);
      break;
    }
  }
}

void run(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()),
                         text.size());  // NOLINT
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS [MUTATIONS]\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> corpus = read_corpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: the corpus is empty\n", argv[1]);
    return 1;
  }
  const long mutations = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 0;
  for (const std::string& text : corpus) run(text);
  Random random(2026);
  for (long i = 0; i < mutations; ++i) {
    std::string text = corpus[below(random, corpus.size())];
    for (std::size_t n = 1 + below(random, 8); n > 0; --n) mutate(text, corpus, random);
    run(text);
  }
  std::printf("%zu files and %ld mutations of them\n", corpus.size(), mutations);
  return 0;
}
