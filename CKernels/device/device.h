// Everything a kernel may use. See Docs/kernels.md.
#pragma once

#include "device/async_copy.h"
#include "device/atomic.h"
#include "device/barrier.h"
#include "device/bits.h"
#include "device/indices.h"
#include "device/launch.h"
#include "device/ldmatrix.h"
#include "device/math.h"
#include "device/mma.h"
#include "device/platform.h"
#include "device/rounded.h"
#include "device/shared.h"
#include "device/types.h"
#include "device/warp.h"
