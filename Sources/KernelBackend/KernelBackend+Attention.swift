internal import CKernels
package import Compute
internal import Numerics

extension KernelBackend {
  package func appendKV(
    key: TensorView, value: TensorView, slots: TensorView, cache: any KVCache, layer: Int
  ) throws(KernelError) {
    let checks = OperandChecks("appendKV")
    let cache = try checks.own(cache, layer: layer, as: KernelKVCache.self)
    let (heads, dimension) = (cache.geometry.heads(of: layer), cache.geometry.headDimension)
    try checks.matrix(key, "key", columns: heads * dimension, types: [activationType])
    try checks.matrix(value, "value", rows: key.rows, columns: heads * dimension, types: [activationType])
    try checks.vector(slots, "slots", count: key.rows, types: [.int32])
    var arguments = try unsafe gpi_kernel_append(
      element: element, codes: cache.codes, tokens: count(key.rows, "appendKV"),
      heads: count(heads, "appendKV"),
      head_dimension: count(dimension, "appendKV"), key: key.address, key_stride: Int64(key.rowStride),
      value: value.address, value_stride: Int64(value.rowStride), slots: slots.int32s,
      cache: cache.layer(layer))
    try unsafe launch(.append, &arguments, "appendKV", describe: "\(heads) heads of \(dimension)")
  }

  /// `batch.decodes` are decode's, the others prefill's; a step that has both is two launches over the same arrays. Which
  /// one computes a row depends on its own sequence only.
  package func attention(
    _ parameters: AttentionParameters, query: TensorView, cache: any KVCache, layer: Int,
    batch: AttentionBatch, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("attention")
    let cache = try checks.own(cache, layer: layer, as: KernelKVCache.self)
    try checks.attention(parameters, cache.geometry, layer: layer)
    let columns = parameters.queryHeads * parameters.headDimension
    try checks.matrix(query, "query", columns: columns, types: [activationType])
    try dense(output, "output", rows: query.rows, columns: columns, checks)
    let sinkQuery = parameters.sinks > 0 ? batch.sinkQuery ?? query : nil
    if let sinkQuery {
      try checks.matrix(
        sinkQuery, "sinkQuery", rows: query.rows, columns: columns, types: [activationType])
    }
    let sequences = batch.sequenceCount
    try checks.require(sequences >= 0, "\(sequences) sequences")
    try checks.vector(batch.queryStarts, "queryStarts", count: sequences + 1, types: [.int32])
    try checks.vector(batch.contextLengths, "contextLengths", count: sequences, types: [.int32])
    try checks.matrix(batch.blockTables, "blockTables", rows: sequences, types: [.int32])
    try checks.require(
      batch.maxContextLength <= batch.blockTables.columns * KernelKVCache.blockSize || sequences == 0,
      "a context of \(batch.maxContextLength) with \(batch.blockTables.columns) blocks")
    var decodes = batch.decodes
    switch forcedVariant?.operation {
    case .prefill: decodes = AttentionBatch.Decodes()
    case .decode:
      decodes = AttentionBatch.Decodes(
        sequences: sequences, rows: query.rows, maxQueryLength: batch.maxQueryLength)
    default: break
    }
    try checks.require(
      decodes.sequences <= sequences && decodes.rows <= query.rows,
      "\(decodes.sequences) decodes with \(decodes.rows) rows among \(sequences) sequences with \(query.rows)"
    )
    var arguments = try unsafe gpi_kernel_attention(
      element: element, codes: cache.codes, causal: true,
      sequences: count(sequences, "attention"),
      tokens: count(query.rows, "attention"), query_heads: count(parameters.queryHeads, "attention"),
      key_heads: count(parameters.keyValueHeads, "attention"),
      head_dimension: count(parameters.headDimension, "attention"),
      max_queries: count(batch.maxQueryLength, "attention"),
      max_context: count(batch.maxContextLength, "attention"), query: query.address,
      query_stride: Int64(query.rowStride), output: output.address, cache: cache.layer(layer),
      block_tables: batch.blockTables.int32s, table_stride: count(batch.blockTables.rowStride, "attention"),
      query_starts: batch.queryStarts.int32s, context_lengths: batch.contextLengths.int32s,
      scale: parameters.scale, softcap: parameters.softcap ?? 0,
      window: count(parameters.window ?? 0, "attention"), alibi_slopes: parameters.alibiSlopes?.floats,
      sink_logits: parameters.sinkLogits?.floats, sinks: count(parameters.sinks, "attention"),
      sink_query: sinkQuery?.address, sink_query_stride: Int64(sinkQuery?.rowStride ?? 0), log_sums: nil,
      split_keys: count(splitKeys, "attention"), workspace: nil, workspace_bytes: 0)
    let describe = {
      "\(parameters.queryHeads) heads over \(parameters.keyValueHeads) of \(parameters.headDimension)"
    }
    if decodes.sequences < sequences {
      var prompts = unsafe arguments
      unsafe prompts.skipSequences(decodes.sequences)
      try unsafe launch(.prefill, &prompts, "attention", describe: describe())
    }
    guard decodes.sequences > 0 else { return }
    unsafe arguments.sequences = try count(decodes.sequences, "attention")
    unsafe arguments.tokens = try count(decodes.rows, "attention")
    unsafe arguments.max_queries = try count(decodes.maxQueryLength, "attention")
    let needed = unsafe stream.table.workspace(GPI_KERNEL_DECODE, &arguments)
    let scratch = try scratch(atLeast: Int(needed))
    unsafe arguments.workspace = scratch?.address
    unsafe arguments.workspace_bytes = Int64(scratch?.byteCount ?? 0)
    try unsafe launch(.decode, &arguments, "attention", describe: describe())
  }
}

extension gpi_kernel_attention {
  /// Leaves the first sequences out. Rows keep their places: `query_starts` counts from the step's first row.
  fileprivate mutating func skipSequences(_ count: Int) {
    unsafe sequences -= Int32(count)
    unsafe query_starts = unsafe query_starts.map { unsafe $0 + count }
    unsafe context_lengths = unsafe context_lengths.map { unsafe $0 + count }
    let stride = unsafe Int(table_stride)
    unsafe block_tables = unsafe block_tables.map { unsafe $0 + count * stride }
  }
}
