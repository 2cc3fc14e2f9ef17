#include "io/client_turn.h"

#include <linux/tcp.h>  // not netinet/tcp.h: its tcp_info ends too early
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace bao_exporter {

bool is_our_turn(int fd) noexcept {
  int unread = 0;
  if (::ioctl(fd, FIONREAD, &unread) == 0 && unread > 0) return true;
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_data_segs_out == 0;
}

}  // namespace bao_exporter
