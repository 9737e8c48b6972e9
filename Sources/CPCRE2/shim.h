// PCRE2 selects its code unit width by a macro that must be set before its header is read.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
