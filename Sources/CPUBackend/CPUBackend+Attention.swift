internal import CCPUBackend
package import Compute
internal import Numerics

extension CPUBackend {
  package func appendKV(
    key: TensorView, value: TensorView, slots: TensorView, cache: any KVCache, layer: Int
  ) throws(KernelError) {
    let checks = OperandChecks("appendKV")
    let cache = try checks.own(cache, layer: layer, as: CPUKVCache.self)
    let heads = cache.geometry.heads(of: layer)
    let columns = heads * cache.geometry.headDimension
    try checks.matrix(key, "key", columns: columns)
    try checks.matrix(value, "value", rows: key.rows, columns: columns)
    try checks.indices(slots, "slots", count: key.rows, limit: cache.slotCount, allowingNone: true)
    var arguments = unsafe gpi_append_args(
      key: key.floats, value: value.floats, key_stride: key.rowStride, value_stride: value.rowStride,
      keys: cache.keys(ofLayer: layer), values: cache.values(ofLayer: layer),
      codes: cache.geometry.dataType.cacheCode, type: cache.geometry.dataType.code, slots: slots.int32s,
      tokens: key.rows,
      kv_heads: heads, head_dim: cache.geometry.headDimension)
    unsafe gpi_append(context, &arguments)
  }

  package func attention(
    _ parameters: AttentionParameters, query: TensorView, cache: any KVCache, layer: Int,
    batch: AttentionBatch, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("attention")
    let cache = try checks.own(cache, layer: layer, as: CPUKVCache.self)
    try checks.attention(parameters, cache.geometry, layer: layer)
    let columns = parameters.queryHeads * parameters.headDimension
    try checks.matrix(query, "query", columns: columns)
    try checks.matrix(output, "output", rows: query.rows, columns: columns)
    try check(batch, queries: query.rows, parameters, cache.geometry, checks)
    let sinkQuery = batch.sinkQuery ?? query
    if parameters.sinks > 0 { try checks.matrix(sinkQuery, "sinkQuery", rows: query.rows, columns: columns) }
    var arguments = unsafe gpi_attention_args(
      query: query.floats, query_stride: query.rowStride, output: output.floats,
      output_stride: output.rowStride, keys: cache.keys(ofLayer: layer),
      values: cache.values(ofLayer: layer), codes: cache.geometry.dataType.cacheCode,
      type: cache.geometry.dataType.code,
      block_tiles: cache.geometry.blockSize / 16, query_starts: batch.queryStarts.int32s,
      context_lengths: batch.contextLengths.int32s, block_tables: batch.blockTables.int32s,
      table_stride: batch.blockTables.rowStride, sequences: batch.sequenceCount,
      query_heads: parameters.queryHeads, kv_heads: parameters.keyValueHeads,
      head_dim: parameters.headDimension, scale: parameters.scale, softcap: parameters.softcap ?? 0,
      window: parameters.window ?? 0, slopes: parameters.alibiSlopes?.floats, sinks: parameters.sinks,
      sink_query: sinkQuery.floats, sink_query_stride: sinkQuery.rowStride,
      sink_logits: parameters.sinkLogits?.floats)
    try checks.finish(unsafe gpi_attention(context, &arguments))
  }

  /// Every row must belong to a sequence, and every key that a row can see must lie in the cache.
  private func check(
    _ batch: AttentionBatch, queries: Int, _ parameters: AttentionParameters, _ geometry: KVCacheGeometry,
    _ checks: OperandChecks
  ) throws(KernelError) {
    let sequences = batch.sequenceCount
    try checks.require(sequences >= 0, "\(sequences) sequences")
    try checks.indices(batch.queryStarts, "queryStarts", count: sequences + 1, limit: queries + 1)
    try checks.indices(batch.contextLengths, "contextLengths", count: sequences, limit: Int(Int32.max))
    try checks.matrix(batch.blockTables, "blockTables", rows: sequences, types: DataType.int32Only)
    let starts = unsafe batch.queryStarts.int32s
    let lengths = unsafe batch.contextLengths.int32s
    unsafe try checks.require(
      starts[0] == 0 && Int(starts[sequences]) == queries,
      "queryStarts run from \(starts[0]) to \(starts[sequences]), the query has rows 0 to \(queries)")
    for sequence in 0..<sequences {
      let length = unsafe Int(lengths[sequence])
      let count = unsafe Int(starts[sequence + 1]) - Int(starts[sequence])
      try checks.require(
        count >= 0 && count <= length,
        "sequence \(sequence) has \(count) query rows and a context of \(length)")
      if count == 0 { continue }
      let table = unsafe batch.blockTables.int32s + sequence * batch.blockTables.rowStride
      let first = parameters.window.map { max(0, length - count + 1 - $0) } ?? 0
      let last = (length - 1) / geometry.blockSize
      try checks.require(
        last < batch.blockTables.columns,
        "sequence \(sequence) of \(length) positions has only \(batch.blockTables.columns) blocks")
      // Rows that have left no keys behind see all from the start on.
      let sinkBlocks = (parameters.sinks + geometry.blockSize - 1) / geometry.blockSize
      let seen = first > parameters.sinks ? first / geometry.blockSize : 0
      for index in 0...last where index >= seen || index < sinkBlocks {
        let block = unsafe Int(table[index])
        if block < 0 || block >= geometry.blockCount {
          throw .indexOutOfRange(
            operation: checks.operation, operand: "blockTables[\(sequence)]", index: index, value: block,
            limit: geometry.blockCount)
        }
      }
    }
  }
}

extension DataType {
  /// What a cache's elements are to the C loops.
  fileprivate var cacheCode: gpi_cache_codes {
    switch self {
    case .int8: GPI_CACHE_INT8
    case .float8E4M3: GPI_CACHE_FLOAT8
    default: GPI_CACHE_FLOATS
    }
  }
}
