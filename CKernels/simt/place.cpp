#include "simt/place.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace gpu::simt {
namespace {

/// Asks addr2line for the source line of a code address; where that does not work, gives file and offset.
std::string line_of_code(uint64_t return_address) {
  Dl_info object = {};
  if (!dladdr(reinterpret_cast<void*>(return_address), &object) || !object.dli_fname) return "unknown code";
  char executable[1024];
  ssize_t length = readlink("/proc/self/exe", executable, sizeof executable - 1);
  executable[length > 0 ? length : 0] = 0;
  // The call ends at the return address, so the byte before it belongs to the line.
  uint64_t offset = return_address - 1 - reinterpret_cast<uint64_t>(object.dli_fbase);
  std::string file = strchr(object.dli_fname, '/') ? object.dli_fname : executable;
  char fallback[64];
  std::snprintf(fallback, sizeof fallback, "+0x%llx", static_cast<unsigned long long>(offset));
  std::string result = std::string(short_path(file.c_str())) + fallback;
  if (file.find('\'') != std::string::npos) return result;

  std::string command = "addr2line -e '" + file + "' " + (fallback + 1) + " 2>/dev/null";
  FILE* output = popen(command.c_str(), "r");
  if (!output) return result;
  char line[1024] = {};
  if (fgets(line, sizeof line, output) && line[0] != '?') {
    line[strcspn(line, " \n")] = 0;
    result = short_path(line);
  }
  pclose(output);
  return result;
}

}  // namespace

const char* short_path(const char* file) {
  constexpr char root[] = "CKernels/";
  if (const char* found = strstr(file, root)) return found + sizeof root - 1;
  const char* slash = strrchr(file, '/');
  return slash ? slash + 1 : file;
}

std::string Place::text() const {
  uint64_t line = word_ >> 48;
  uint64_t address = word_ & ((uint64_t(1) << 48) - 1);
  if (line == 0) return address ? line_of_code(address) : "an unknown place";
  return std::string(short_path(reinterpret_cast<const char*>(address))) + ":" + std::to_string(line);
}

}  // namespace gpu::simt
