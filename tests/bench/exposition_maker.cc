// Writes a body as OpenBao sends it to standard output, for `./dev bench parse`.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "reference/openbao_body.h"

int main(int argc, char** argv) {
  reference::BodyShape shape;
  CLI::App app{"A body as OpenBao sends it"};
  app.add_option("--samples", shape.samples, "samples, before churn");
  app.add_option("--families", shape.families, "families");
  app.add_option("--seed", shape.seed, "of names and labels");
  app.add_option("--value-seed", shape.value_seed,
                 "of values and churn: another one is the next poll");
  app.add_option("--churn", shape.churn, "the share of samples that are left out")
      ->check(CLI::Range(0.0, 1.0));
  CLI11_PARSE(app, argc, argv);
  const std::string body = reference::openbao_body(shape);
  return std::fwrite(body.data(), 1, body.size(), stdout) == body.size() ? 0 : 1;
}
