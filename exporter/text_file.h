// Reads a whole file that is named in the configuration, or is it: text, nothing secret.
#pragma once

#include <string>

#include "bao_exporter/result.h"

namespace bao_exporter {

// A regular file of at most 1 MiB; nothing that would have to be waited for. Errors: kIo, with what
// is wrong and what to do, without the path.
[[nodiscard]] Result<std::string> read_text_file(const std::string& path);

// The same, in a folder that is open (HeldFolders).
[[nodiscard]] Result<std::string> read_text_file_at(int folder, const std::string& name);

}  // namespace bao_exporter
