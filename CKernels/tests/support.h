// What the kernel tests share: device arrays, seeded inputs, and running a launch in every way that must not
// matter.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "device/types.h"
#include "elementwise/arguments.h"
#include "simt/device_memory.h"
#include "simt/random.h"
#include "simt/stream.h"
#include "tests/check.h"

namespace gpu::test {

/// Device memory with the contents of a vector.
template <class T>
class DeviceArray {
 public:
  DeviceArray(const char* name, const std::vector<T>& values) : DeviceArray(name, values.size()) {
    if (!values.empty()) std::memcpy(data_, values.data(), values.size() * sizeof(T));
  }
  /// Poisoned: reads give NaN.
  DeviceArray(const char* name, size_t count)
      : data_(static_cast<T*>(simt::DeviceMemory::allocate(count * sizeof(T), name))), count_(count) {}
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { simt::DeviceMemory::release(data_); }

  T* data() { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data_[i]; }
  std::vector<unsigned char> bytes() const {
    auto* start = reinterpret_cast<const unsigned char*>(data_);
    return {start, start + count_ * sizeof(T)};
  }

 private:
  T* data_;
  size_t count_;
};

/// Random numbers between -1 and 1 with the resolution of `T`.
template <class T>
std::vector<T> random_values(size_t count, uint64_t seed, float scale = 1.0f) {
  simt::Random random(seed);
  std::vector<T> values(count);
  for (T& value : values) value = from_float<T>((float(random.below(1 << 20)) / (1 << 19) - 1.0f) * scale);
  return values;
}

template <class T>
constexpr ElementType element_type = std::is_same_v<T, bf16> ? ElementType::bfloat16 : ElementType::float16;

/// The largest relative error of one rounding to `T`.
template <class T>
constexpr double rounding = std::is_same_v<T, bf16> ? 0x1p-8 : 0x1p-11;

/// Smallest distance between numbers of `T` that tests meet: below it, f16 is subnormal.
template <class T>
constexpr double smallest_step = std::is_same_v<T, bf16> ? 0 : 0x1p-25;

/// The schedules, copy timings and worker counts that a kernel is run under.
inline std::vector<simt::Options> all_ways() {
  using simt::AsyncTiming;
  using simt::Schedule;
  std::vector<simt::Options> ways = {
      {Schedule::ascending, AsyncTiming::lazy, 1, 1},
      {Schedule::random, AsyncTiming::random, 2, 1},
  };
  if (!checked) {
    ways.push_back({Schedule::descending, AsyncTiming::lazy, 3, 2});
    ways.push_back({Schedule::round_robin, AsyncTiming::eager, 4, 1});
    ways.push_back({Schedule::random, AsyncTiming::lazy, 5, 2});
  }
  return ways;
}

/// Runs `launches` in every way, and expects no fault and the same bytes each time. Returns the statistics of
/// the first.
inline simt::Statistics expect_same_bits(const std::string& what,
                                         const std::function<Status(Stream)>& launches,
                                         const std::function<std::vector<unsigned char>()>& result) {
  std::vector<unsigned char> first;
  simt::Statistics statistics;
  for (const simt::Options& options : all_ways()) {
    simt::Stream stream;
    stream.options = options;
    Status status = launches(&stream);
    if (status != 0) {
      fail(__FILE__, __LINE__, what + ": " + stream.fault);
      return statistics;
    }
    std::vector<unsigned char> bytes = result();
    if (first.empty()) {
      first = bytes;
      statistics = stream.statistics;
    } else if (bytes != first) {
      fail(__FILE__, __LINE__, what + ": other bits with seed " + std::to_string(options.seed));
      return statistics;
    }
  }
  return statistics;
}

/// Expects each element within its own bound of the reference; NaN never passes.
template <class T>
void expect_close(const std::string& what, DeviceArray<T>& output, const std::vector<double>& expected,
                  const std::vector<double>& bound) {
  for (size_t i = 0; i < expected.size(); ++i) {
    double value = to_float(output[i]);
    if (std::abs(value - expected[i]) <= bound[i]) continue;
    if (std::isinf(expected[i]) && value == expected[i]) continue;
    char text[256];
    std::snprintf(text, sizeof text, "%s: element %zu is %.9g, expected %.9g within %.3g", what.c_str(), i,
                  value, expected[i], bound[i]);
    return fail(__FILE__, __LINE__, text);
  }
}

}  // namespace gpu::test
