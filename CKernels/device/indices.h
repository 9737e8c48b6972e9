// Where a thread stands in its block, and its block in the grid. Blocks of threads are one-dimensional
// throughout.
#pragma once

#include "device/platform.h"

namespace gpu {

#if GPU_ON_DEVICE
GPU_DEVICE int thread_index() { return int(threadIdx.x); }
GPU_DEVICE int thread_count() { return int(blockDim.x); }
GPU_DEVICE int block_x() { return int(blockIdx.x); }
GPU_DEVICE int block_y() { return int(blockIdx.y); }
GPU_DEVICE int block_z() { return int(blockIdx.z); }
GPU_DEVICE int grid_x() { return int(gridDim.x); }
#else
GPU_DEVICE int thread_index() { return simt::thread_index(); }
GPU_DEVICE int thread_count() { return simt::thread_count(); }
GPU_DEVICE int block_x() { return simt::block_index(0); }
GPU_DEVICE int block_y() { return simt::block_index(1); }
GPU_DEVICE int block_z() { return simt::block_index(2); }
GPU_DEVICE int grid_x() { return simt::grid_size(0); }
#endif

GPU_DEVICE int lane_index() { return thread_index() % warp_size; }
GPU_DEVICE int warp_index() { return thread_index() / warp_size; }

}  // namespace gpu
