#include "io/client_turn.h"

#include <linux/tcp.h>  // not netinet/tcp.h: its tcp_info ends too early
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace bao_exporter {

Milliseconds clients_turn_since(int fd) noexcept {
  int unread = 0;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::ioctl(fd, FIONREAD, &unread) != 0 ||
      ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
    return Milliseconds::max();  // whoever is gone need not stay
  }
  const bool ours = unread > 0 || info.tcpi_data_segs_out == 0 ||
                    info.tcpi_last_data_recv < info.tcpi_last_data_sent;
  return ours ? Milliseconds(0) : Milliseconds(info.tcpi_last_data_sent);
}

}  // namespace bao_exporter
