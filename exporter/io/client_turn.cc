#include "io/client_turn.h"

#include <sys/ioctl.h>

namespace bao_exporter {

bool is_our_turn(int fd) noexcept {
  int unread = 0;
  return ::ioctl(fd, FIONREAD, &unread) == 0 && unread > 0;
}

}  // namespace bao_exporter
