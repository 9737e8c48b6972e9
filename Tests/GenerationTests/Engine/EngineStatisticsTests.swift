import TestSupport
import Testing

@testable import Generation

@Suite struct EngineStatisticsTests {
  @Test("Latencies are measured from arrival over start and first token to the last")
  func latencies() throws {
    let time = HandClock()
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, sequences: 1) { $0.clock = MonotonicClock(now: time.now) }
    // The first occupies the only place; the second queues 3 s.
    let first = try engine.submit(GenerationRequest([1], max: 1))
    hooks.waitUntilBlocked()
    let second = try engine.submit(GenerationRequest([1, 2, 3], max: 3))
    time.advance(3)
    hooks.allow(1)
    #expect(Answer(first).reasons == [0: .length])
    // The second's three steps take 2, 1 and 1 s.
    for seconds in [2.0, 1, 1] {
      hooks.waitUntilBlocked()
      time.advance(seconds)
      hooks.allow(1)
      while second.next(timeoutMilliseconds: nil)?.contains(where: { event in
        if case .token = event { true } else { false }
      }) == false {}
    }
    engine.stop()
    let histograms = engine.statistics().histograms
    func sum(_ name: String) -> Double? { histograms["vllm:" + name]?.sum }
    #expect(sum("time_to_first_token_seconds") == 8.0)
    #expect(sum("inter_token_latency_seconds") == 2)
    #expect(histograms["vllm:inter_token_latency_seconds"]?.total == 2)
    #expect(sum("e2e_request_latency_seconds") == 10.0)
    #expect(sum("request_queue_time_seconds") == 3.0)
    #expect(sum("request_prefill_time_seconds") == 5.0)
    #expect(sum("request_decode_time_seconds") == 2)
    #expect(sum("request_inference_time_seconds") == 7.0)
    #expect(sum("request_time_per_output_token_seconds") == 1)
    #expect(sum("request_prompt_tokens") == 4 && sum("request_generation_tokens") == 4)
    #expect(sum("request_params_max_tokens") == 4 && sum("request_params_n") == 2)
    #expect(sum("request_prefill_kv_computed_tokens") == 4)
    #expect(histograms["vllm:iteration_tokens_total"]?.total == 4)
    #expect(sum("iteration_tokens_total") == 6.0)
    #expect(histograms["gpuinfer:step_model_seconds"]?.sum == 7.0)
    #expect(engine.statistics().steps == 4)
  }

  @Test("Bounds are vLLM's")
  func bounds() {
    let metrics = EngineMetrics(maxModelLength: 120)
    #expect(metrics.promptLength.bounds == [1, 2, 5, 10, 20, 50, 100])
    #expect(metrics.timeToFirstToken.bounds.count == 22 && metrics.timeToFirstToken.bounds.last == 2560)
    #expect(metrics.interTokenLatency.bounds.count == 19 && metrics.endToEndLatency.bounds.count == 21)
    #expect(EngineMetrics.Bounds.lengths(upTo: 1) == [1])
    for histogram in metrics.statistics.histograms.values {
      #expect(histogram.bounds == histogram.bounds.sorted())
    }
  }

  @Test("A value on a bound belongs to it, one beyond the last to the overflow")
  func histogram() {
    var histogram = Histogram(bounds: [1, 2, 5])
    histogram.observe(1)
    histogram.observe(1.5, times: 3)
    histogram.observe(6)
    histogram.observe(9, times: 0)
    #expect(histogram.counts == [1, 3, 0, 1])
    #expect(histogram.sum == 1 + 4.5 + 6 && histogram.total == 5)
  }

  @Test("The gauges follow the queue")
  func gauges() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, blocks: 10, sequences: 1)
    let first = try engine.submit(GenerationRequest([Int32](repeating: 1, count: 33), max: 5))
    hooks.allow(1)
    _ = first.next(timeoutMilliseconds: nil)
    hooks.waitUntilBlocked()
    let second = try engine.submit(GenerationRequest([1], max: 1))
    var statistics = engine.statistics()
    #expect(statistics.runningRequests == 1 && statistics.waitingRequests == 1)
    #expect(statistics.kvCacheUsage == 0.3)
    hooks.resume()
    _ = Answer(first)
    _ = Answer(second)
    statistics = engine.statistics()
    #expect(
      statistics.runningRequests == 0 && statistics.waitingRequests == 0 && statistics.kvCacheUsage == 0)
    #expect(statistics.promptTokens == 34 && statistics.generationTokens == 6)
    engine.stop()
  }
}
