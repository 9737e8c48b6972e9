// Runs the tests whose name contains the argument, or all; the last line is "N passed, N failed".
//   --quick           stop at the first failure: what a mutant needs
//   --times           print the processor time of each test
//   --launches FILE   write how large the blocks of each kernel were

#include <cstring>
#include <ctime>

#include "tests/check.h"
#include "tests/launch_log.h"

namespace gpu::test {
namespace {

int failures_of_test = 0;
bool stop_early = false;

double processor_seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

std::vector<Test>& all_tests() {
  static std::vector<Test> tests;
  return tests;
}

void fail(const char* file, int line, const std::string& what) {
  constexpr int shown = 5;
  failures_of_test += 1;
  const char* name = std::strrchr(file, '/');
  if (failures_of_test <= shown) std::printf("  %s:%d: %s\n", name ? name + 1 : file, line, what.c_str());
  if (failures_of_test == shown + 1) std::printf("  ... further failures of this test are not shown\n");
}

int run(const char* filter, bool quick, bool times) {
  stop_early = quick;
  int passed = 0, failed = 0;
  for (const Test& test : all_tests()) {
    if (filter && !std::strstr(test.name, filter)) continue;
    failures_of_test = 0;
    double start = processor_seconds();
    test.body();
    if (times) std::printf("%6.0f ms  %s\n", (processor_seconds() - start) * 1e3, test.name);
    if (failures_of_test == 0) {
      passed += 1;
    } else {
      failed += 1;
      std::printf("FAILED: %s\n", test.name);
      if (stop_early) break;
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace gpu::test

int main(int count, char** arguments) {
  const char* filter = nullptr;
  const char* launches = nullptr;
  bool quick = false, times = false;
  for (int i = 1; i < count; ++i) {
    if (!std::strcmp(arguments[i], "--quick")) {
      quick = true;
    } else if (!std::strcmp(arguments[i], "--times")) {
      times = true;
    } else if (!std::strcmp(arguments[i], "--launches") && i + 1 < count) {
      launches = arguments[++i];
    } else {
      filter = arguments[i];
    }
  }
  const int status = gpu::test::run(filter, quick, times);
  if (launches && !gpu::test::write_launches(launches)) {
    std::printf("%s cannot be written\n0 passed, 1 failed\n", launches);
    return 1;
  }
  return status;
}
