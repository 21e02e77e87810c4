// SPDX-License-Identifier: Apache-2.0
// Config: the sample files, every kind of wrong input, and the round trip through the writer.
#include "control/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "control/toml_writer.h"

namespace lb {
namespace {

using testing::HasSubstr;

const std::string kPort = "[[port]]\ninterface = \"eth0\"\n";

std::string read_sample(const std::string& name) {
  std::ifstream file(std::string(LB_SOURCE_DIR "/configs/") + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The file with all its keys uncommented: "#key = value" has no space after the sign.
std::string uncomment(const std::string& text) {
  std::stringstream in(text);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    bool key = line.size() > 1 && line[0] == '#' && line[1] != ' ' &&
               line.find(" = ") != std::string::npos;
    out += (key ? line.substr(1) : line) + "\n";
  }
  return out;
}

std::string error_of(const std::string& text) {
  auto config = Config::parse(text, "lbd.toml");
  return config ? "" : config.error().message;
}

TEST(Config, SampleFilesAreGood) {
  for (const auto& entry : std::filesystem::directory_iterator(LB_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".toml") continue;
    auto config = Config::load(entry.path());
    EXPECT_TRUE(config) << config.error().message;
  }
}

TEST(Config, LbdTomlHasEveryKeyThatTheParserKnows) {
  ConfigKeys keys;
  auto config = Config::parse(uncomment(read_sample("lbd.toml")), "lbd.toml", &keys);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_GT(keys.known.size(), 60U);
  for (const auto& key : keys.known) EXPECT_TRUE(keys.present.contains(key)) << key;
}

TEST(Config, LbdTomlCommentsHoldTheDefaults) {
  auto plain = Config::parse(read_sample("lbd.toml"), "lbd.toml");
  auto full = Config::parse(uncomment(read_sample("lbd.toml")), "lbd.toml");
  ASSERT_TRUE(plain && full);
  EXPECT_EQ(daemon_rows(*plain), daemon_rows(*full));
  EXPECT_EQ(daemon_rows(*plain), daemon_rows(Config{}));
  const ServiceAddr& address = full->services.at(0).address;
  auto settings = ServiceSettings::defaults(address);
  full->services[0].settings.apply_to(settings);
  settings.name.clear();  // the three whose default is "none"
  settings.sorry.reset();
  EXPECT_EQ(settings, ServiceSettings::defaults(address));
  RsSettings rs;
  full->services[0].real_servers.at(0).settings.apply_to(rs);
  rs.mac.reset();
  rs.port.clear();
  EXPECT_EQ(rs, RsSettings{});
}

TEST(Config, SeedDrHasTheIssuesAddresses) {
  auto config = Config::load(LB_SOURCE_DIR "/configs/seed-dr.toml");
  ASSERT_TRUE(config);
  ASSERT_EQ(config->services.size(), 1U);
  EXPECT_EQ(config->services[0].address.to_string(), "192.168.1.222:80/tcp");
  EXPECT_EQ(config->services[0].real_servers.at(0).address.to_string(), "192.168.1.54");
  EXPECT_EQ(config->real_server_count(), 3U);
}

TEST(Config, WriterRoundTripsEveryKey) {
  auto full = Config::parse(uncomment(read_sample("lbd.toml")), "lbd.toml");
  ASSERT_TRUE(full);
  full->control.log_level = "debug";
  full->decrement_ttl = false;
  full->dataplane.cpus = {0, 3};
  full->dataplane.path.fragment_timeout_ms = 1500;
  full->dataplane.engine = EngineMode::Afxdp;
  full->dataplane.hash = LB_HASH_SIPHASH;
  full->dataplane.worker_stale_ms = 2500;
  full->dataplane.path.half_open_max = 1024;
  full->dataplane.pins = "/run/bpf/one";
  full->dataplane.stop_mode = StopMode::Pass;
  full->dataplane.xdp_mode = XdpMode::Generic;
  full->dataplane.zero_copy = ZeroCopy::Off;
  full->services[0].settings.transition_ms = 1'800'000;
  full->services[0].settings.affinity = Affinity::Always;
  full->services[0].settings.flow_rate = 0;
  full->services[0].settings.name = "quote \" backslash \\ \xc3\xa9";
  auto again = Config::parse(to_toml(*full), "again.toml");
  ASSERT_TRUE(again) << again.error().message << to_toml(*full);
  EXPECT_EQ(daemon_rows(*again), daemon_rows(*full));
  EXPECT_EQ(again->services, full->services);
  EXPECT_EQ(again->port_names(), full->port_names());
}

TEST(Config, UnknownKeySuggestsTheNearestAndNamesItsPlace) {
  auto error =
      error_of(kPort + "[[service]]\naddress = \"192.0.2.10:80/tcp\"\n  schedular = \"rr\"\n");
  EXPECT_THAT(
      error,
      HasSubstr("lbd.toml:5:3: service: unknown key \"schedular\"; did you mean \"scheduler\"?"));
}

TEST(Config, CollectsAllErrorsInTheOrderOfTheText) {
  auto error =
      error_of("[control]\nlog_level = \"loud\"\n[dataplane]\nbatch = 0\nflows_max = \"many\"\n" +
               kPort + "[[service]]\naddress = \"192.0.2.10:80/tcp\"\nscheduler = \"wr\"\n");
  auto at = [&](const char* text) { return error.find(text); };
  EXPECT_NE(at("lbd.toml:2:"), std::string::npos) << error;
  EXPECT_LT(at("lbd.toml:2:"), at("lbd.toml:4:"));
  EXPECT_LT(at("lbd.toml:4:"), at("lbd.toml:5:"));
  EXPECT_LT(at("lbd.toml:5:"), at("lbd.toml:10:"));
  EXPECT_EQ(std::ranges::count(error, '\n'), 3);
  EXPECT_THAT(error,
              HasSubstr("dataplane.batch: 0 is out of range (write an integer from 1 to 256)"));
  EXPECT_THAT(error, HasSubstr("dataplane.flows_max: a string stands here, an integer from 1024"));
  EXPECT_THAT(error, HasSubstr("\"wr\" is not known; did you mean \"rr\"?"));
}

TEST(Config, TheEngineDecidesWhetherZeroCopyCanBeForced) {
  auto with = [](const std::string& keys) {
    return Config::parse("[dataplane]\n" + keys + kPort, "lbd.toml");
  };
  EXPECT_EQ(with("").value().dataplane.engine, EngineMode::Hybrid);
  EXPECT_FALSE(with("zero_copy = \"on\"\n"));
  EXPECT_FALSE(with("engine = \"hybrid\"\nzero_copy = \"on\"\n"));
  EXPECT_TRUE(with("engine = \"hybrid\"\nzero_copy = \"off\"\n"));
  auto forced = with("engine = \"afxdp\"\nzero_copy = \"on\"\n");
  ASSERT_TRUE(forced) << forced.error().message;
  EXPECT_EQ(forced->dataplane.zero_copy, ZeroCopy::On);
  EXPECT_TRUE(with("zero_copy = \"on\"\nengine = \"afxdp\"\n")) << "in any order";
}

TEST(Config, WhatOutlivesLbd) {
  auto with = [](const std::string& keys) {
    return Config::parse("[dataplane]\n" + keys + kPort, "lbd.toml");
  };
  EXPECT_EQ(with("").value().dataplane.pins, kPinsDefault);
  EXPECT_EQ(with("").value().dataplane.stop_mode, StopMode::Detach);
  EXPECT_EQ(with("pins = \"\"\n").value().dataplane.pins, "");
  EXPECT_EQ(with("stop_mode = \"keep\"\n").value().dataplane.stop_mode, StopMode::Keep);
  EXPECT_THAT(error_of("[dataplane]\npins = \"bpf\"\n" + kPort),
              HasSubstr("dataplane.pins: \"bpf\" is not an absolute path"));
  EXPECT_THAT(error_of("[dataplane]\nstop_mode = \"keeep\"\n" + kPort),
              HasSubstr("did you mean \"keep\"?"));
  EXPECT_THAT(error_of("[dataplane]\npins = \"\"\nstop_mode = \"pass\"\n" + kPort),
              HasSubstr("only \"detach\" goes without pins"));
}

TEST(Config, HybridKeysTakeTheirLimits) {
  for (const char* keys : {"worker_stale = \"100ms\"\n", "worker_stale = \"1m\"\n",
                           "half_open_max = 1024\n", "half_open_max = 16777216\n"}) {
    auto config = Config::parse(std::string("[dataplane]\n") + keys + kPort, "lbd.toml");
    EXPECT_TRUE(config) << config.error().message;
  }
}

TEST(Config, FragmentsHeldAreAtMostWhatAWorkerHolds) {
  const std::string head = "[[port]]\ninterface = \"eth0\"\n[dataplane]\nfragments_held_max = ";
  EXPECT_TRUE(Config::parse(head + "256\n", "lbd.toml"));
  auto over = Config::parse(head + "257\n", "lbd.toml");
  ASSERT_FALSE(over);
  EXPECT_THAT(over.error().message, HasSubstr("fragments_held_max: 257 is out of range"));
}

TEST(Config, RefusesBadServices) {
  const std::string service = "[[service]]\naddress = \"192.0.2.10:80/tcp\"\n";
  const std::string rs = "[[service.real_server]]\naddress = \"192.0.2.21\"\n";
  const std::pair<std::string, const char*> cases[] = {
      {service + service, "lbd.toml:6:11: service: service 192.0.2.10:80/tcp exists already"},
      {"[[service]]\nname = \"x\"\n", "service.address: is missing (write address = "},
      {"[[service]]\naddress = \"192.0.2.10:80\"\n", "lbd.toml:4:11: service.address: "},
      {"[[service]]\naddress = \"224.0.0.1:80/tcp\"\n", "is a multicast address and can be no VIP"},
      {"[[service]]\naddress = \"127.0.0.1:80/tcp\"\n", "is a loopback address and can be no VIP"},
      {"[[service]]\naddress = \"0.0.0.0:80/tcp\"\n", "is the unspecified address"},
      {"[[service]]\naddress = \"[fe80::1]:80/tcp\"\n", "is link-local"},
      {"[[service]]\naddress = \"192.0.2.10:80-90/tcp\"\n[[service]]\naddress = "
       "\"192.0.2.10:85-99/tcp\"\n",
       "the ports of 192.0.2.10:85-99/tcp overlap those of 192.0.2.10:80-90/tcp"},
      {service + "mh_slots = 65536\n", "service.mh_slots: 65536 is not a prime"},
      {service + "vip_owner = \"lbd\"\n[[service]]\naddress = \"192.0.2.10:81/tcp\"\nvip_owner = "
                 "\"external\"\n",
       "lbd.toml:8:13: service.vip_owner: \"external\" is a setting of the VIP 192.0.2.10"},
      {service + "[service.health]\ntimeout = \"3s\"\n",
       "lbd.toml:6:11: service.health.timeout: 3s is longer"},
      {service + "[service.health]\ninterval = 5\n",
       "service.health.interval: an integer stands here, a duration in quotes"},
      {service + "[service.health]\ninterval = \"5\"\n", "\"5\" is not a duration"},
      {service + "[service.health]\ninterval = \"2h\"\n",
       "\"2h\" is out of range (write 10ms to 1h)"},
      {service + "[service.health]\nrise = 0\n", "service.health.rise: 0 is out of range"},
      {"[[service]]\naddress = \"192.0.2.10:any/tcp\"\n[service.health]\ntype = \"tcp\"\n",
       "service.health.port: is missing"},
      {service + "[service.timeouts]\nestablshed = \"15m\"\n", "did you mean \"established\"?"},
      {service + "sorry = { address = \"192.0.2.10\" }\n",
       "service.sorry.address: 192.0.2.10 is the VIP itself"},
      {service + "[[service.real_server]]\naddress = \"192.0.2.10\"\n",
       "service.real_server.address: 192.0.2.10 is the VIP itself"},
      {service + rs + rs,
       "lbd.toml:8:11: service.real_server: real server 192.0.2.21 of 192.0.2.10:80/tcp exists "
       "already"},
      {service + "[[service.real_server]]\naddress = \"2001:db8::5\"\n",
       "both must be of one family"},
      {service + "[[service.real_server]]\naddress = \"239.0.0.1\"\n",
       "239.0.0.1 is a multicast address"},
      {service + "[[service.real_server]]\naddress = \"backend1\"\n",
       "\"backend1\" is not an IPv4 or IPv6 address"},
      {service + rs + "weight = 65536\n", "service.real_server.weight: 65536 is out of range"},
      {service + rs + "weight = -1\n", "-1 is out of range"},
      {service + rs + "mac = \"01:00:5e:00:00:01\"\n", "is a group address"},
      {service + rs + "mac = \"00:00:00:00:00:00\"\n", "is zero"},
      {service + rs + "mac = \"02:00\"\n", "\"02:00\" is not a MAC address"},
      {service + rs + "vlan = 4095\n", "vlan: 4095 is out of range"},
      {service + rs + "port = \"eth1\"\n",
       "\"eth1\" is not an attached port; did you mean \"eth0\"?"},
      {service + rs + "[[service]]\naddress = \"192.0.2.21:80/tcp\"\n",
       "192.0.2.21 is a real server of 192.0.2.10:80/tcp"},
      {"[service]\naddress = \"192.0.2.10:80/tcp\"\n",
       "service: a table stands here, [[service]] with two brackets"},
      {"service = [1, 2]\n", "service: an integer stands here"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(error_of(text.starts_with("service =") ? text + kPort : kPort + text),
                HasSubstr(message))
        << text;
  }
}

TEST(Config, RefusesBadFlowMemoryOfAService) {
  const std::string service = "[[service]]\naddress = \"192.0.2.10:80/tcp\"\n";
  const std::pair<std::string, const char*> cases[] = {
      {service + "transition = \"14m\"\n",
       "lbd.toml:5:14: service.transition: 14m is shorter than timeouts.established, 15m"},
      {service + "transition = \"15m\"\n[service.timeouts]\nestablished = \"1h\"\n",
       "service.transition: 15m is shorter than timeouts.established, 1h"},
      {"[[service]]\naddress = \"192.0.2.10:53/udp\"\ntransition = \"4m\"\n",
       "4m is shorter than timeouts.udp, 5m"},
      {"[[service]]\naddress = \"192.0.2.10:9/sctp\"\ntransition = \"5m\"\n",
       "5m is shorter than timeouts.sctp, 15m"},
      {service + "transition = \"999ms\"\n",
       "service.transition: 999ms is too short (write 1s to 168h, or 0: lbd chooses)"},
      {service + "transition = \"169h\"\n", "\"169h\" is out of range"},
      {service + "transition = 900\n", "a duration in quotes"},
      {service + "transitions = \"15m\"\n", "did you mean \"transition\"?"},
      {service + "affinity = \"allways\"\n", "did you mean \"always\"?"},
      {service + "affinity = 1\n", "one of \"transition\", \"always\", \"none\""},
      {service + "flow_rate = 10000001\n", "service.flow_rate: 10000001 is out of range"},
      {service + "flow_rate = -1\n", "service.flow_rate: -1 is out of range"},
      {service + "flow_rate = \"1k\"\n", "a string stands here, an integer from 0 to 10000000"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(error_of(kPort + text), HasSubstr(message)) << text;
  }
}

TEST(Config, RefusesBadDaemonKeys) {
  const std::pair<const char*, const char*> cases[] = {
      {"[control]\nsocket = \"lbd.sock\"\n",
       "control.socket: \"lbd.sock\" is not an absolute path"},
      {"[control]\nsocket = 1\n", "control.socket: an integer stands here, a string belongs here"},
      {"[dataplane]\nengine = \"hybird\"\n", "did you mean \"hybrid\"?"},
      {"[dataplane]\nengine = true\n", "a boolean stands here, one of \"hybrid\", \"afxdp\""},
      {"[dataplane]\nhash = \"siphahs\"\n", "did you mean \"siphash\"?"},
      {"[dataplane]\nhash = \"crc\"\n", "lbd.toml:4:8: dataplane.hash: \"crc\""},
      {"[dataplane]\nhash = 1\n", "one of \"multiply-mix\", \"siphash\""},
      {"[dataplane]\nhalf_open_max = 1023\n", "dataplane.half_open_max: 1023 is out of range"},
      {"[dataplane]\nhalf_open_max = 16777217\n", "(write an integer from 1024 to 16777216)"},
      {"[dataplane]\nworker_stale = \"99ms\"\n",
       "dataplane.worker_stale: \"99ms\" is out of range (write 100ms to 1m)"},
      {"[dataplane]\nworker_stale = \"61s\"\n", "\"61s\" is out of range"},
      {"[dataplane]\nworker_stale = 1000\n", "a duration in quotes"},
      {"[dataplane]\nworker_stall = \"1s\"\n", "did you mean \"worker_stale\"?"},
      {"[dataplane]\nzero_copy = \"on\"\n",
       "lbd.toml:4:13: dataplane.zero_copy: \"on\" is not for engine \"hybrid\""},
      {"[dataplane]\nrx_ring = 100\n",
       "dataplane.rx_ring: 100 is not a power of two from 64 to 32768, nor 0"},
      {"[dataplane]\nframe_bytes = 3000\n", "dataplane.frame_bytes: 3000 is not a power of two"},
      {"[dataplane]\nframes = 300\n", "dataplane.frames = 300 is not from"},
      {"[dataplane]\nneed_wakeup = 1\n", "an integer stands here, true or false belongs here"},
      {"[dataplane]\ncpus = [0, -1]\n", "dataplane.cpus: integers from 0 to 4095 belong here"},
      {"[dataplane]\nfragment_timeout = 2000\n", "a duration in quotes"},
      {"[dataplane]\nflow_max = 5\n", "did you mean \"flows_max\"?"},
      {"[dataplan]\n", "unknown key \"dataplan\"; did you mean \"dataplane\"?"},
      {"[[port]]\ninterface = \"eth0\"\n", "port.interface: \"eth0\" is attached twice"},
      {"[[port]]\ninterface = \"a/b\"\n", "\"a/b\" is not the name of an interface"},
      {"[[port]]\ninterface = \"sixteen-letters-\"\n", "is not the name of an interface"},
      {"[[port]]\n", "port.interface: is missing (write interface = \"eth0\")"},
      {"a = \n", "lbd.toml:3:5: not TOML: "},
      {"a = 1\na = 2\n", "not TOML: "},
  };
  for (const auto& [text, message] : cases)
    EXPECT_THAT(error_of(kPort + text), HasSubstr(message)) << text;
  EXPECT_THAT(error_of(""), HasSubstr("no [[port]]"));
  EXPECT_THAT(error_of("[dataplane]\nservices_max = 1\n" + kPort +
                       "[[service]]\naddress = \"192.0.2.1:80/tcp\"\n[[service]]\naddress = "
                       "\"192.0.2.2:80/tcp\"\n"),
              HasSubstr("all 1 places for services are taken"));
}

TEST(Config, ServicesOfOneVipMayLeaveItsSettingsToOne) {
  auto config =
      Config::parse(kPort +
                        "[[service]]\naddress = \"192.0.2.10:80/tcp\"\n"
                        "[[service]]\naddress = \"192.0.2.10:81/tcp\"\nvip_owner = \"external\"\n",
                    "lbd.toml");
  EXPECT_TRUE(config) << config.error().message;
}

TEST(Config, TransitionTakesItsLimits) {
  auto with = [](const std::string& keys) {
    return Config::parse(kPort + "[[service]]\naddress = \"192.0.2.10:53/udp\"\n" + keys, "a");
  };
  EXPECT_TRUE(with("transition = \"168h\"\n"));
  EXPECT_TRUE(with("transition = \"5m\"\n")) << "as long as timeouts.udp";
  EXPECT_TRUE(with("transition = \"1s\"\n[service.timeouts]\nudp = \"1s\"\n"));
  auto automatic = with("transition = \"0\"\n[service.timeouts]\nudp = \"2h\"\n");
  ASSERT_TRUE(automatic) << automatic.error().message;
  auto again = Config::parse(to_toml(*automatic), "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->services, automatic->services);
}

TEST(Config, ThousandErrorsAreCut) {
  std::string text = kPort;
  for (int i = 0; i < 1000; ++i) text += "wrong" + std::to_string(i) + " = 1\n";
  auto error = error_of(text);
  EXPECT_EQ(std::ranges::count(error, '\n'), 50);
  EXPECT_THAT(error, HasSubstr("and 950 more errors"));
}

TEST(Config, TakesDurationsAsLbctlDoes) {
  auto config = Config::parse(kPort +
                                  "[[service]]\naddress = \"192.0.2.10:80/tcp\"\n"
                                  "[service.timeouts]\nestablished = \"1h30m\"\nclose = \"1d\"\n",
                              "lbd.toml");
  ASSERT_TRUE(config) << config.error().message;
  auto settings = ServiceSettings::defaults(config->services[0].address);
  config->services[0].settings.apply_to(settings);
  EXPECT_EQ(settings.timeouts.established_ms, 5'400'000U);
  EXPECT_EQ(settings.timeouts.close_ms, 86'400'000U);
}

TEST(Config, LoadNamesTheFileThatIsNotThere) {
  auto config = Config::load("/nonexistent/lbd.toml");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("/nonexistent/lbd.toml"));
  EXPECT_FALSE(Config::load("/proc"));
}

TEST(Config, RestartOnlyChangesAreNamed) {
  auto running = Config::parse(kPort, "a");
  auto next = Config::parse(
      "[dataplane]\nbatch = 32\ndecrement_ttl = false\n[[port]]\ninterface = \"eth1\"\n", "b");
  ASSERT_TRUE(running && next);
  EXPECT_THAT(restart_only_changes(*running, *next),
              testing::ElementsAre("dataplane.batch (256 -> 32)", "port (eth0 -> eth1)"));
  EXPECT_TRUE(restart_only_changes(*running, *running).empty());
  next = Config::parse(
      "[dataplane]\nengine = \"afxdp\"\nhash = \"siphash\"\nworker_stale = \"2s\"\nhalf_open_max = "
      "2048\n" +
          kPort,
      "b");
  ASSERT_TRUE(next);
  EXPECT_THAT(restart_only_changes(*running, *next),
              testing::ElementsAre("dataplane.engine (\"hybrid\" -> \"afxdp\")",
                                   "dataplane.hash (\"multiply-mix\" -> \"siphash\")",
                                   "dataplane.worker_stale (\"1s\" -> \"2s\")",
                                   "dataplane.half_open_max (65536 -> 2048)"));
}

}  // namespace
}  // namespace lb
