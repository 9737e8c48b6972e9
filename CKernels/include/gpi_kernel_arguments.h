// Arguments of the operations of `gpi_kernel_table`, one plain C struct each, and one header a family.
//
// Pointers are device memory unless said otherwise. Matrices are row-major; a row of `width` elements is
// contiguous, and where rows need not follow each other a stride says how many elements lie from one to the
// next. All sizes are legal, zero rows too. Nothing here is checked against the memory behind the pointers:
// the caller has done that. The first member of each is the element that variants are chosen by.
//
// A struct whose members are what a kernel itself needs is the kernel's own; see sampling/arguments.h. Every
// change of one counts `GPI_KERNEL_ABI` up.
#pragma once

#include "gpi_attention.h"
#include "gpi_elements.h"
#include "gpi_elementwise.h"
#include "gpi_linear.h"
#include "gpi_sampling.h"

/// What can be launched, and the struct that each takes.
typedef enum {
  /// gpi_kernel_norm
  GPI_KERNEL_RMS_NORM,
  /// gpi_kernel_norm
  GPI_KERNEL_LAYER_NORM,
  /// gpi_kernel_rope
  GPI_KERNEL_ROPE,
  /// gpi_kernel_append
  GPI_KERNEL_APPEND,
  /// gpi_kernel_activation
  GPI_KERNEL_ACTIVATION,
  /// gpi_kernel_add
  GPI_KERNEL_ADD,
  /// gpi_kernel_embedding
  GPI_KERNEL_EMBEDDING,
  /// gpi_kernel_linear
  GPI_KERNEL_LINEAR,
  /// gpi_kernel_attention: any number of query rows a sequence
  GPI_KERNEL_PREFILL,
  /// gpi_kernel_attention: few query rows a sequence
  GPI_KERNEL_DECODE,
  /// gpi_kernel_quantized_linear
  GPI_KERNEL_QUANTIZED_LINEAR,
  /// gpi_kernel_repack
  GPI_KERNEL_REPACK,
  /// gpi_kernel_gather_columns
  GPI_KERNEL_GATHER_COLUMNS,
  /// gpi_kernel_process_logits
  GPI_KERNEL_PROCESS_LOGITS,
  /// gpi_kernel_sample
  GPI_KERNEL_SAMPLE,
  /// gpi_kernel_logprobs
  GPI_KERNEL_LOGPROBS,
  /// gpi_kernel_feed
  GPI_KERNEL_FEED,
  /// gpi_kernel_lora
  GPI_KERNEL_LOW_RANK,
} gpi_kernel_op;
