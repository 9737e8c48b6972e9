internal import Scheduling

/// What the engine counts. Written by its thread once a step under a lock, read by whoever asks.
///
/// Histograms have vLLM's names and bounds, so that existing dashboards and autoscalers work.
struct EngineMetrics: Sendable {
  var counters = EngineStatistics()
  var timeToFirstToken = Histogram(bounds: Bounds.firstToken)
  var interTokenLatency = Histogram(bounds: Bounds.token)
  var timePerOutputToken = Histogram(bounds: Bounds.token)
  var endToEndLatency = Histogram(bounds: Bounds.request)
  var queueTime = Histogram(bounds: Bounds.request)
  var inferenceTime = Histogram(bounds: Bounds.request)
  var prefillTime = Histogram(bounds: Bounds.request)
  var decodeTime = Histogram(bounds: Bounds.request)
  var iterationTokens = Histogram(bounds: Bounds.iterationTokens)
  var promptLength: Histogram
  var generationLength: Histogram
  var maxGenerationLength: Histogram
  var maxTokensParameter: Histogram
  var prefillComputed: Histogram
  var choicesParameter = Histogram(bounds: [1, 2, 5, 10, 20])
  var stepHostTime = Histogram(bounds: Bounds.step)
  var stepModelTime = Histogram(bounds: Bounds.step)
  var finished = FinishedCounts()
  /// nil without speculation.
  var speculation: SpeculationStatistics?

  struct FinishedCounts: Sendable {
    var stop: UInt64 = 0
    var length: UInt64 = 0
    var abort: UInt64 = 0
    var error: UInt64 = 0
  }

  enum Bounds {
    static let firstToken: [Double] = [
      0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
      640, 2560,
    ]
    static let token: [Double] = [
      0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
    ]
    static let request: [Double] = [
      0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
    ]
    static let iterationTokens: [Double] = [
      1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384,
    ]
    /// Seconds of one step.
    static let step: [Double] = [
      1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 2, 5,
    ]

    /// 1, 2, 5, 10, 20, 50 … up to a length.
    static func lengths(upTo maximum: Int) -> [Double] {
      var bounds: [Double] = []
      var decade = 1
      while true {
        for factor in [1, 2, 5] {
          if decade * factor > maximum { return bounds.isEmpty ? [1] : bounds }
          bounds.append(Double(decade * factor))
        }
        decade *= 10
      }
    }
  }

  init(maxModelLength: Int) {
    let lengths = Histogram(bounds: Bounds.lengths(upTo: maxModelLength))
    promptLength = lengths
    generationLength = lengths
    maxGenerationLength = lengths
    maxTokensParameter = lengths
    prefillComputed = lengths
  }

  /// Takes over the scheduler's gauges and counters.
  mutating func take(_ scheduler: SchedulerStatistics) {
    let blocks = scheduler.usedBlocks + scheduler.cachedBlocks + scheduler.freeBlocks
    counters.runningRequests = scheduler.running
    counters.waitingRequests = scheduler.waiting
    counters.kvCacheUsage = Double(scheduler.usedBlocks) / Double(max(blocks, 1))
    counters.prefixCacheQueries = scheduler.prefixCacheQueries
    counters.prefixCacheHits = scheduler.prefixCacheHits
    counters.preemptions = scheduler.preemptions
  }

  var statistics: EngineStatistics {
    var statistics = counters
    statistics.speculation = speculation
    statistics.finishedRequests = [
      "stop": finished.stop, "length": finished.length, "abort": finished.abort, "error": finished.error,
    ]
    statistics.histograms = [
      "vllm:time_to_first_token_seconds": timeToFirstToken,
      "vllm:inter_token_latency_seconds": interTokenLatency,
      "vllm:request_time_per_output_token_seconds": timePerOutputToken,
      "vllm:e2e_request_latency_seconds": endToEndLatency,
      "vllm:request_queue_time_seconds": queueTime,
      "vllm:request_inference_time_seconds": inferenceTime,
      "vllm:request_prefill_time_seconds": prefillTime,
      "vllm:request_decode_time_seconds": decodeTime,
      "vllm:iteration_tokens_total": iterationTokens,
      "vllm:request_prompt_tokens": promptLength,
      "vllm:request_generation_tokens": generationLength,
      "vllm:request_max_num_generation_tokens": maxGenerationLength,
      "vllm:request_params_max_tokens": maxTokensParameter,
      "vllm:request_prefill_kv_computed_tokens": prefillComputed,
      "vllm:request_params_n": choicesParameter,
      "gpuinfer:step_host_seconds": stepHostTime,
      "gpuinfer:step_model_seconds": stepModelTime,
    ]
    return statistics
  }
}
