// SPDX-License-Identifier: Apache-2.0
// Rounds: cases that are measured round by round, forth and back (A B C C B A ...), so that what
// else runs on the machine meets all of them. What is compared is compared inside a round. One
// thread.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

class Rounds {
 public:
  /// Figures of one measurement, by their names.
  using Figures = std::map<std::string, double>;
  using Measure = std::function<Result<Figures>()>;

  void add(std::string name, Measure measure) {
    cases_.push_back({std::move(name), std::move(measure)});
  }

  /// A case that fails is left out from then on, with a line that says why.
  void run(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      if (round > 0) std::ranges::reverse(cases_);
      Figures all;
      for (Case& c : cases_) {
        auto figures = c.measure();
        if (!figures) {
          fmt::print("skipped {}: {}\n", c.name, figures.error().message);
          c.failed = true;
          continue;
        }
        for (auto& [name, value] : *figures) all[c.name + "/" + name] = value;
      }
      std::erase_if(cases_, [](const Case& c) { return c.failed; });
      rounds_.push_back(std::move(all));
    }
  }

  /// "CASE/FIGURE" of all rounds.
  void print(const std::string& figure, const std::string& unit) const {
    print_line(figure, values([&](const Figures& r) { return r.at(figure); }), unit, "");
  }
  /// a / b of each round.
  void print_ratio(const std::string& a, const std::string& b, const std::string& goal) const {
    print_line(fmt::format("{} / {}", a, b),
               values([&](const Figures& r) { return r.at(a) / r.at(b); }), "", goal);
  }
  /// Any function of a round's figures; it is left out where one of them is missing.
  void print_derived(const std::string& title, const std::function<double(const Figures&)>& of,
                     const std::string& unit, const std::string& goal) const {
    print_line(title, values(of), unit, goal);
  }
  static void print_head(const std::string& title) {
    fmt::print("\n{:<64} {:>9} {:>9} {:>9}\n", title, "min", "median", "max");
  }

 private:
  struct Case {
    std::string name;
    Measure measure;
    bool failed = false;
  };

  [[nodiscard]] std::vector<double> values(const std::function<double(const Figures&)>& of) const {
    std::vector<double> all;
    for (const Figures& round : rounds_) {
      try {
        all.push_back(of(round));
      } catch (const std::out_of_range&) {
        continue;  // a figure of a case that failed
      }
    }
    std::ranges::sort(all);
    return all;
  }
  static void print_line(const std::string& title, const std::vector<double>& sorted,
                         const std::string& unit, const std::string& goal) {
    if (sorted.empty()) return;
    const int digits = unit == "ns" ? 0 : 3;
    const std::size_t half = sorted.size() / 2;
    const double median =
        sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    fmt::print("{:<64} {:>9.{}f} {:>9.{}f} {:>9.{}f} {}{}\n", title, sorted.front(), digits, median,
               digits, sorted.back(), digits, unit, goal.empty() ? "" : "  goal " + goal);
  }

  std::vector<Case> cases_;
  std::vector<Figures> rounds_;
};

}  // namespace lb::observe
