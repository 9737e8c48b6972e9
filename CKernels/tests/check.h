// A small test harness: tests register themselves, and a failed expectation says what it saw and goes on.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace gpu::test {

struct Test {
  const char* name;
  void (*body)();
};

std::vector<Test>& all_tests();
/// Counts a failure of the running test and prints it.
void fail(const char* file, int line, const std::string& what);

struct Registration {
  Registration(const char* name, void (*body)()) { all_tests().push_back({name, body}); }
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Whether this is the flavour whose kernels report their accesses.
#if defined(GPU_CHECKED_KERNELS)
constexpr bool checked = true;
#else
constexpr bool checked = false;
#endif

}  // namespace gpu::test

#define GPU_JOIN2(a, b) a##b
#define GPU_JOIN(a, b) GPU_JOIN2(a, b)

/// TEST("what must hold") { ... }
#define TEST(name)                                                             \
  static void GPU_JOIN(test_body_, __LINE__)();                                \
  static const gpu::test::Registration GPU_JOIN(test_registration_, __LINE__)( \
      name, GPU_JOIN(test_body_, __LINE__));                                   \
  static void GPU_JOIN(test_body_, __LINE__)()

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) gpu::test::fail(__FILE__, __LINE__, #condition); \
  } while (false)

/// `text` must contain `part`.
#define EXPECT_TEXT(text, part)                                                                          \
  do {                                                                                                   \
    std::string seen = (text);                                                                           \
    if (!gpu::test::contains(seen, part))                                                                \
      gpu::test::fail(__FILE__, __LINE__, "expected \"" + std::string(part) + "\" in \"" + seen + "\""); \
  } while (false)
