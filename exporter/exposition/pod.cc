#include "exposition/pod.h"

namespace bao_exporter {

void* grown_room(void* room, std::size_t bytes) {
  void* const grown = std::realloc(room, bytes);
  if (grown == nullptr) throw std::bad_alloc();
  return grown;
}

}  // namespace bao_exporter
