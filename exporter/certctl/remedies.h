// What to do about a reason, where it is certctl's: reason_remedy() speaks of OpenBao.
#pragma once

#include <string_view>

#include "bao_exporter/result.h"

namespace bao_exporter::certctl {

[[nodiscard]] std::string_view remedy_for(ErrorCode code) noexcept;

}  // namespace bao_exporter::certctl
