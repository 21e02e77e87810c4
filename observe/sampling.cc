// SPDX-License-Identifier: Apache-2.0
#include "observe/sampling.h"

#include <algorithm>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>

namespace lb::observe {
namespace {

constexpr double kTail = 0.025;  // on each side
constexpr double kTailDeviations = 1.959963985;
// Above this the series behind the gamma quantile needs millions of terms, and the cube root of the
// chi-squared distribution (Wilson and Hilferty 1931) is as good to six digits.
constexpr double kManyCounts = 10'000;
// Relative variance below which a sum is as good as exact.
constexpr double kNoVariance = 1e-12;

/// The quantile of the gamma distribution of a large shape, so many deviations from its median.
double gamma_quantile(double shape, double deviations) {
  return shape * std::pow(1 - 1 / (9 * shape) + deviations / (3 * std::sqrt(shape)), 3);
}

/// A sum of weights and the variance of it, as an interval.
Value scaled_poisson(double sum, double variance) {
  if (sum <= 0 || variance <= kNoVariance * sum * sum) return sum;
  const double effective = sum * sum / variance;
  const Value counts = garwood(effective);
  const double scale = sum / effective;
  return {sum, counts.low * scale, counts.high * scale};
}

}  // namespace

double sample_chance(double bytes, double interval) noexcept {
  return interval <= 0 ? 1.0 : -std::expm1(-bytes / interval);
}

Value garwood(double count) {
  if (count > kManyCounts) {
    return {count, gamma_quantile(count, -kTailDeviations),
            gamma_quantile(count + 1, kTailDeviations)};
  }
  // The chi-squared quantile with 2n degrees of freedom, halved, is the gamma quantile of shape n.
  const double low = count > 0 ? boost::math::gamma_p_inv(count, kTail) : 0.0;
  return {count, low, boost::math::gamma_p_inv(count + 1, 1 - kTail)};
}

Value estimate(std::span<const Sampled> blocks, Weigh weigh) {
  double exact = 0;
  double seen = 0;  // at the least
  double small = 0;
  double small_squares = 0;
  double large = 0;
  double large_variance = 0;
  double unseen_scale = 0;  // what one point of the process stands for
  for (const Sampled& block : blocks) {
    const double unit = weigh == Weigh::Bytes ? block.bytes : 1.0;
    if (block.interval <= 0) {
      exact += block.count * unit;
      continue;
    }
    const double chance = sample_chance(block.bytes, block.interval);
    const double weight = unit / chance;
    seen += block.count * unit;
    if (block.bytes <= block.interval) {
      small += block.count * weight;
      small_squares += block.count * weight * weight;
    } else {
      large += block.count * weight;
      large_variance += block.count * weight * weight * (1 - chance);
    }
    unseen_scale = std::max(unseen_scale, unit * block.interval / block.bytes);
  }
  if (unseen_scale == 0) return exact;
  const Value often = scaled_poisson(large, large_variance);
  Value rare = scaled_poisson(small, small_squares);
  if (small == 0) rare = {0, 0, garwood(0).high * unseen_scale};
  const double sum = small + large;
  const double below = std::hypot(rare.value - rare.low, often.value - often.low);
  const double above = std::hypot(rare.high - rare.value, often.high - often.value);
  return {exact + sum, exact + std::max(seen, sum - below), exact + sum + above};
}

}  // namespace lb::observe
