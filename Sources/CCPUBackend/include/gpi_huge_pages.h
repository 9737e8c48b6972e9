// Memory with fewer address translations.
#pragma once

#include <stddef.h>

/// Of x86-64 and of AArch64 with pages of 4 KiB.
#define GPI_HUGE_PAGE ((size_t)2 << 20)

/// Puts a copy in huge pages, read-only, in the place of private read-only memory; `address` and `bytes` are
/// multiples of GPI_HUGE_PAGE. The system exchanges the mapping in one step, so others may read meanwhile.
/// 0, and nothing changed, where memory could not be had.
int gpi_move_to_huge_pages(void* address, size_t bytes);
