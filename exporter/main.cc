#include "bao_exporter/run.h"

int main(int argc, char** argv) { return bao_exporter::run(argc, argv); }
