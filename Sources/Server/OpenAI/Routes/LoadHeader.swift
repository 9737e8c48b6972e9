internal import Generation
internal import JSON

/// The engine's load in an answer's header, for balancers that ask for it (ORCA, as vLLM does it).
enum LoadHeader {
  static func add(to response: inout HTTPResponse, request: HTTPRequest, model: ServedModel?) {
    guard let format = request.headers["endpoint-load-metrics-format"], let model else { return }
    let statistics = model.service.statistics()
    let values: [(String, JSONValue)] = [
      ("kv_cache_usage_perc", .double(statistics.kvCacheUsage)),
      ("num_requests_waiting", .integer(Int64(statistics.waitingRequests))),
    ]
    switch format.uppercased() {
    case "TEXT":
      let pairs = values.map { "named_metrics.\($0)=\($1.serialized())" }
      response.headers["endpoint-load-metrics"] = "TEXT " + pairs.joined(separator: ", ")
    case "JSON":
      let metrics: JSONValue = ["named_metrics": .object(JSONObject(values))]
      response.headers["endpoint-load-metrics"] = "JSON " + metrics.serialized()
    default: break
    }
  }
}
