// The program: arguments in, exit code out. 0 good, 1 failed while running, 2 configuration or
// usage.
#pragma once

namespace bao_exporter {

int run(int argc, char** argv);

}  // namespace bao_exporter
