// SPDX-License-Identifier: Apache-2.0
#include "control/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

#include "control/config_fields.h"
#include "control/config_services.h"
#include "control/tree_reader.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"
#include "dataplane/base/text.h"
#include "dataplane/io/sizing.h"
#include "dataplane/worker.h"

namespace lb {
namespace {

constexpr std::size_t kFileMax = 16UL << 20;
constexpr std::size_t kInterfaceNameMax = 15;  // IFNAMSIZ - 1
constexpr int kCpuMax = 4095;

void read_path(TableReader& reader, std::string_view key, std::size_t size_max, std::string& path,
               bool may_be_empty = false) {
  auto text = reader.string(key);
  if (!text) return;
  if (text->empty() && may_be_empty) {
    path.clear();
  } else if (text->empty() || text->front() != '/' || text->find('\0') != std::string::npos) {
    reader.problem(key, fmt::format("{} is not an absolute path", quoted(*text)));
  } else if (text->size() > size_max) {
    reader.problem(key, fmt::format("is longer than {} bytes", size_max));
  } else {
    path = *text;
  }
}

void read_control(const Tree& table, Problems& problems, ControlConfig& control) {
  TableReader reader(table, "control", problems);
  read_path(reader, "socket", sizeof(sockaddr_un::sun_path) - 1, control.socket);
  read_path(reader, "state", 4000, control.state);
  auto level = reader.word<std::string_view>("log_level", {{kLogLevels[0], kLogLevels[0]},
                                                           {kLogLevels[1], kLogLevels[1]},
                                                           {kLogLevels[2], kLogLevels[2]},
                                                           {kLogLevels[3], kLogLevels[3]}});
  if (level) control.log_level = *level;
  reader.finish();
}

template <class Owner>
void read_number(TableReader& reader, const NumberField<Owner>& field, Owner& owner) {
  using enum NumberKind;
  if (field.kind == Duration) {
    auto ms = reader.duration_ms(field.key, field.min, field.max);
    if (ms) owner.*field.member = *ms;
    return;
  }
  bool automatic = field.kind == AutoOrPowerOfTwo || field.kind == AutoOrPlain;
  auto value = reader.integer(field.key, automatic ? 0 : field.min, field.max);
  if (!value) return;
  bool power = field.kind == PowerOfTwo || field.kind == AutoOrPowerOfTwo;
  if (automatic && *value == 0) {
    owner.*field.member = 0;
  } else if (*value < field.min || (power && !std::has_single_bit(*value))) {
    reader.problem(field.key, fmt::format("{} is not {} from {} to {}{}", *value,
                                          power ? "a power of two" : "an integer", field.min,
                                          field.max, automatic ? ", nor 0 (automatic)" : ""));
  } else {
    owner.*field.member = *value;
  }
}

/// Who forwards, and by what flows are spread.
void read_engine(TableReader& reader, DataplaneConfig& dataplane) {
  auto engine = reader.word<EngineMode>(
      "engine", {{"hybrid", EngineMode::Hybrid}, {"afxdp", EngineMode::Afxdp}});
  dataplane.engine = engine.value_or(dataplane.engine);
  auto hash = reader.word<lb_hash_kind>(
      "hash", {{"multiply-mix", LB_HASH_MULTIPLY_MIX}, {"siphash", LB_HASH_SIPHASH}});
  dataplane.hash = hash.value_or(dataplane.hash);
}

/// What outlives lbd.
void read_pins(TableReader& reader, DataplaneConfig& dataplane) {
  read_path(reader, "pins", 4000, dataplane.pins, true);
  auto stop = reader.word<StopMode>(
      "stop_mode",
      {{"detach", StopMode::Detach}, {"pass", StopMode::Pass}, {"keep", StopMode::Keep}});
  dataplane.stop_mode = stop.value_or(dataplane.stop_mode);
  if (dataplane.stop_mode != StopMode::Detach && dataplane.pins.empty()) {
    reader.problem("stop_mode",
                   "only \"detach\" goes without pins (set pins to a directory on a "
                   "bpffs)");
  }
}

void read_dataplane(const Tree& table, Problems& problems, Config& config) {
  TableReader reader(table, "dataplane", problems);
  DataplaneConfig& dataplane = config.dataplane;
  read_engine(reader, dataplane);
  read_pins(reader, dataplane);
  auto xdp = reader.word<XdpMode>(
      "xdp_mode",
      {{"auto", XdpMode::Auto}, {"native", XdpMode::Native}, {"generic", XdpMode::Generic}});
  dataplane.xdp_mode = xdp.value_or(dataplane.xdp_mode);
  auto zero_copy = reader.word<ZeroCopy>(
      "zero_copy", {{"auto", ZeroCopy::Auto}, {"on", ZeroCopy::On}, {"off", ZeroCopy::Off}});
  dataplane.zero_copy = zero_copy.value_or(dataplane.zero_copy);
  if (dataplane.zero_copy == ZeroCopy::On && dataplane.engine == EngineMode::Hybrid) {
    reader.problem("zero_copy",
                   "\"on\" is not for engine \"hybrid\": with zero-copy sockets the kernel would "
                   "copy each frame that it forwards by itself (write engine = \"afxdp\", or "
                   "zero_copy = \"auto\", which copies only what the workers get)");
  }
  dataplane.need_wakeup = reader.boolean("need_wakeup").value_or(dataplane.need_wakeup);
  dataplane.hugepages = reader.boolean("hugepages").value_or(dataplane.hugepages);
  config.decrement_ttl = reader.boolean("decrement_ttl").value_or(config.decrement_ttl);
  if (auto cpus = reader.integers("cpus", 0, kCpuMax)) dataplane.cpus = *cpus;
  for (const auto& field : kDataplaneNumbers) read_number(reader, field, dataplane);
  for (const auto& field : kPathNumbers) read_number(reader, field, dataplane.path);
  reader.finish();
}

Result<std::string> parse_interface(std::string_view text) {
  bool good = !text.empty() && text.size() <= kInterfaceNameMax && text != "." && text != "..";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '/' || c == ':') good = false;
  }
  if (good) return std::string(text);
  return refuse(
      Refusal::BadConfig,
      fmt::format("{} is not the name of an interface (ip link shows them)", quoted(text)));
}

void read_ports(const std::vector<const Tree*>& tables, Problems& problems, Config& config) {
  for (const Tree* table : tables) {
    TableReader reader(*table, "port", problems);
    reader.require("interface", "interface = \"eth0\"");
    if (auto name = reader.parsed<std::string>("interface", &parse_interface)) {
      if (std::ranges::find(config.dataplane.ports, *name, &PortConfig::interface) !=
          config.dataplane.ports.end()) {
        reader.problem("interface", fmt::format("\"{}\" is attached twice", *name));
      } else {
        config.dataplane.ports.push_back({*name});
      }
    }
    reader.finish();
  }
}

/// Rings and frames that do not fit together.
void check_rings(const Tree& tree, Problems& problems, const DataplaneConfig& dataplane) {
  auto sizes = ring_sizes(dataplane, static_cast<std::uint32_t>(dataplane.ports.size()));
  if (sizes) return;
  const TreeEntry* table = tree.find("dataplane");
  problems.add(table != nullptr ? table->value.place : Place{}, "dataplane", sizes.error().message);
}

}  // namespace

Result<Config> Config::parse(std::string_view text, const std::string& filename, ConfigKeys* keys) {
  LB_TRY_ASSIGN(Tree tree, parse_toml(text, filename));
  Problems problems(Notation::Toml, filename, keys);
  Config config;
  TableReader reader(tree, "", problems);
  if (const Tree* control = reader.table("control")) {
    read_control(*control, problems, config.control);
  }
  if (const Tree* dataplane = reader.table("dataplane")) {
    read_dataplane(*dataplane, problems, config);
  }
  auto ports = reader.tables("port");
  if (!reader.has("port")) {
    problems.add({}, "",
                 "no [[port]]: lbd needs one interface at least (write [[port]] and "
                 "interface = \"eth0\" below it)");
  }
  if (ports.size() > kPortsMax) {
    problems.add(ports[kPortsMax]->place, "port", fmt::format("more than {} ports", kPortsMax));
    ports.resize(kPortsMax);
  }
  read_ports(ports, problems, config);
  if (problems.empty()) check_rings(tree, problems, config.dataplane);
  config.services = read_services(reader.tables("service"), limits_of(config), problems);
  reader.finish();
  if (!problems.empty()) return problems.refusal(Refusal::BadConfig);
  return config;
}

Result<Config> Config::load(const std::string& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return fail_errno(errno, fmt::format("config {}", path));
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return fail_errno(errno, fmt::format("config {}", path));
  if (!S_ISREG(info.st_mode)) return fail(EINVAL, fmt::format("config {}: not a file", path));
  auto text = read_whole(file.get(), kFileMax);
  if (!text) return fail_in(fmt::format("config {}", path), std::move(text).error());
  return parse(*text, path);
}

std::vector<std::string> Config::port_names() const {
  std::vector<std::string> names;
  names.reserve(dataplane.ports.size());
  for (const PortConfig& port : dataplane.ports) names.push_back(port.interface);
  return names;
}

std::size_t Config::real_server_count() const {
  std::size_t count = 0;
  for (const ConfigService& service : services) count += service.real_servers.size();
  return count;
}

}  // namespace lb
