#include "bao_exporter/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace bao_exporter {

namespace {

// Fields of /proc/self/stat, numbered as in proc(5), from 1.
constexpr std::size_t kUserTicks = 14;
constexpr std::size_t kSystemTicks = 15;
constexpr std::size_t kThreads = 20;
constexpr std::size_t kStartTicks = 22;
constexpr std::size_t kVirtualBytes = 23;
constexpr std::size_t kResidentPages = 24;

// The fields after the command, which may hold spaces and parentheses: index 0 is field 3.
std::optional<std::vector<double>> read_stat() {
  std::ifstream file("/proc/self/stat");
  std::ostringstream all;
  if (!file || !(all << file.rdbuf())) return std::nullopt;
  const std::string text = all.str();
  const std::size_t end = text.rfind(')');
  if (end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(end + 2));
  std::string state;
  fields >> state;
  std::vector<double> values = {0};
  double value = 0;
  while (fields >> value) values.push_back(value);
  if (values.size() <= kResidentPages - 3) return std::nullopt;
  return values;
}

std::optional<double> read_boot_seconds() {
  std::ifstream file("/proc/stat");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  }
  return std::nullopt;  // Not there in a sandbox that shows processes only.
}

std::optional<double> count_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), &::closedir);
  if (folder == nullptr) return std::nullopt;
  double count = -3;  // ".", ".." and the one that reads the folder
  while (::readdir(folder.get()) != nullptr) ++count;  // NOLINT(concurrency-mt-unsafe): own DIR
  return count;
}

class Writer {
 public:
  Writer(OwnText& text, std::string_view prefix) : text_(text), prefix_(prefix) {}

  void write(std::string_view name, std::string_view help, MetricType type,
             std::optional<double> value) {
    if (!value) return;
    text_.family(prefix_ + std::string(name), help, type);
    text_.sample("", *value);
  }

 private:
  OwnText& text_;
  std::string prefix_;
};

}  // namespace

void append_process_families(OwnText& text, std::string_view prefix) {
  Writer writer(text, prefix);
  const auto stat = read_stat();
  const auto field = [&](std::size_t number) { return (*stat)[number - 3]; };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (stat) {
    writer.write("cpu_seconds_total", "Processor time used.", MetricType::kCounter,
                 (field(kUserTicks) + field(kSystemTicks)) / ticks);
    writer.write("virtual_memory_bytes", "Virtual memory.", MetricType::kGauge,
                 field(kVirtualBytes));
    writer.write("resident_memory_bytes", "Resident memory.", MetricType::kGauge,
                 field(kResidentPages) * page);
    writer.write("threads", "Threads.", MetricType::kGauge, field(kThreads));
    if (const auto boot = read_boot_seconds()) {
      writer.write("start_time_seconds", "When the process started, since 1970.",
                   MetricType::kGauge, *boot + field(kStartTicks) / ticks);
    }
  }
  writer.write("open_fds", "Open file descriptors.", MetricType::kGauge, count_descriptors());
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    writer.write("max_fds", "Most file descriptors allowed.", MetricType::kGauge,
                 static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace bao_exporter
