internal import Generation
internal import Glibc

/// The engine's counters under vLLM's names, so that dashboards, autoscalers and gateways made for it work.
enum EngineMetrics {
  private static let help: [String: String] = [
    "vllm:time_to_first_token_seconds": "Time to the first token.",
    "vllm:inter_token_latency_seconds": "Time between two tokens of a choice.",
    "vllm:request_time_per_output_token_seconds": "Mean time per output token of a request.",
    "vllm:e2e_request_latency_seconds": "Time from arrival to the last token.",
    "vllm:request_queue_time_seconds": "Time a request waited.",
    "vllm:request_inference_time_seconds": "Time a request ran.",
    "vllm:request_prefill_time_seconds": "Time from the start to the first token.",
    "vllm:request_decode_time_seconds": "Time from the first token to the last.",
    "vllm:iteration_tokens_total": "Tokens computed in a step.",
    "vllm:request_prompt_tokens": "Prompt tokens of a request.",
    "vllm:request_generation_tokens": "Generated tokens of a request.",
    "vllm:request_max_num_generation_tokens": "Greatest number of tokens of a request's choices.",
    "vllm:request_params_max_tokens": "Asked max_tokens.",
    "vllm:request_params_n": "Asked n.",
    "vllm:request_prefill_kv_computed_tokens": "Prompt tokens computed, cached ones left out.",
  ]
  static let finishReasons = ["stop", "length", "abort", "error"]

  static func write(_ model: ServedModel, to text: inout PrometheusText) {
    let statistics = model.service.statistics()
    let information = model.service.information
    let labels: PrometheusText.Labels = [("model_name", model.name), ("engine", "0")]

    func value(_ name: String, _ kind: PrometheusText.Kind, _ help: String, _ value: Double) {
      text.family(name, kind, help)
      text.sample(name, labels, value)
    }
    value(
      "vllm:num_requests_running", .gauge, "Requests in the running batch.",
      Double(statistics.runningRequests))
    value(
      "vllm:num_requests_waiting", .gauge, "Requests that wait for room.", Double(statistics.waitingRequests))
    text.family("vllm:num_requests_waiting_by_reason", .gauge, "Requests that wait, by reason.")
    text.sample(
      "vllm:num_requests_waiting_by_reason", labels + [("reason", "capacity")],
      Double(statistics.waitingRequests))
    text.sample("vllm:num_requests_waiting_by_reason", labels + [("reason", "deferred")], 0)
    value(
      "vllm:kv_cache_usage_perc", .gauge, "Used part of the KV blocks; 1 is all.", statistics.kvCacheUsage)
    text.family("vllm:cache_config_info", .gauge, "The KV cache's settings.")
    text.sample(
      "vllm:cache_config_info",
      labels + [
        ("block_size", "\(information.blockSize)"), ("num_gpu_blocks", "\(information.blockCount)"),
        ("cache_dtype", information.cacheType), ("enable_prefix_caching", "True"),
      ], 1)
    value(
      "vllm:prefix_cache_queries_total", .counter, "Tokens looked up in the prefix cache.",
      Double(statistics.prefixCacheQueries))
    value(
      "vllm:prefix_cache_hits_total", .counter, "Tokens found in the prefix cache.",
      Double(statistics.prefixCacheHits))
    value(
      "vllm:num_preemptions_total", .counter, "Requests set back for lack of room.",
      Double(statistics.preemptions))
    value("vllm:prompt_tokens_total", .counter, "Prompt tokens.", Double(statistics.promptTokens))
    value(
      "vllm:prompt_tokens_cached_total", .counter, "Prompt tokens not computed.",
      Double(statistics.cachedPromptTokens))
    value("vllm:generation_tokens_total", .counter, "Generated tokens.", Double(statistics.generationTokens))
    text.family("vllm:request_success_total", .counter, "Finished requests, by reason.")
    for reason in finishReasons {
      text.sample(
        "vllm:request_success_total", labels + [("finished_reason", reason)],
        Double(statistics.finishedRequests[reason] ?? 0))
    }
    if model.adapters.isEnabled { writeAdapters(model.adapters, statistics, to: &text) }
    if let speculation = statistics.speculation { write(speculation, labels, to: &text) }
    for (name, histogram) in statistics.histograms.sorted(by: { $0.key < $1.key }) {
      text.family(name, .histogram, help[name] ?? "Measured by the engine.")
      text.histogram(name, labels, histogram)
    }
    value(
      "gpuinfer:rejected_requests_total", .counter, "Requests refused because the queue was full.",
      Double(statistics.rejectedRequests))
    value("gpuinfer:engine_steps_total", .counter, "Steps of the engine.", Double(statistics.steps))
    value("gpuinfer:engine_alive", .gauge, "1 while the engine runs.", statistics.isAlive ? 1 : 0)
  }

  /// As vLLM has it: the adapters in use are labels, and the value is the time.
  private static func writeAdapters(
    _ adapters: AdapterNames, _ statistics: EngineStatistics, to text: inout PrometheusText
  ) {
    let loads = adapters.all.map { ($0.name, statistics.adapters[$0.entry.id] ?? AdapterLoad()) }
    func names(_ count: KeyPath<AdapterLoad, Int>) -> String {
      loads.filter { $0.1[keyPath: count] > 0 }.map(\.0).joined(separator: ",")
    }
    text.family("vllm:lora_requests_info", .gauge, "Adapters in use; the value is the time in Unix seconds.")
    text.sample(
      "vllm:lora_requests_info",
      [
        ("max_lora", "\(adapters.limit)"), ("running_lora_adapters", names(\.running)),
        ("waiting_lora_adapters", names(\.waiting)),
      ], Double(time(nil)))
  }
}
