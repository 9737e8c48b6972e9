internal import JSON

/// The first look at a batch's input, before any line of it is answered: as in OpenAI's API one bad line fails the batch.
enum BatchInput {
  static let maximumRequests = 50_000
  /// Problems that are kept; whoever has this many has them all over.
  static let maximumProblems = 100

  struct Summary: Sendable, Equatable {
    var requests = 0
    var problems: [BatchRecord.Problem] = []
  }

  static func check(path: String, endpoint: String) throws(BatchError) -> Summary {
    let reader = try LineReader(path: path, maximumLineBytes: BatchOptions().maximumLineBytes)
    var summary = Summary()
    var seen: Set<String> = []
    var number = 0
    while let line = try reader.next(), summary.problems.count < maximumProblems {
      number += 1
      guard case .bytes(let bytes, _) = line else {
        summary.add("line_too_long", "The line is too long.", nil, number)
        continue
      }
      if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
      summary.requests += 1
      do throws(BatchLine.Malformed) {
        let request = try BatchLine(bytes)
        if !seen.insert(request.customID).inserted {
          summary.add(
            "duplicate_custom_id", "custom_id '\(request.customID.prefix(200))' was used by an earlier line.",
            "custom_id", number)
        }
        if request.route.template != endpoint {
          summary.add(
            "mismatched_endpoint", "url is \(request.route.template), the batch's endpoint is \(endpoint).",
            "url",
            number)
        }
      } catch {
        let isJSON = error.error.parameter != nil
        summary.add(
          isJSON ? "invalid_request" : "invalid_json_line", error.error.message, error.error.parameter, number
        )
      }
    }
    if summary.requests == 0, summary.problems.isEmpty {
      summary.add("empty_file", "The input file has no requests.", nil, nil)
    }
    if summary.requests > maximumRequests {
      summary.add(
        "too_many_requests", "The input file has more than \(maximumRequests) requests; split it.", nil, nil)
    }
    return summary
  }
}

extension BatchInput.Summary {
  fileprivate mutating func add(_ code: String, _ message: String, _ parameter: String?, _ line: Int?) {
    problems.append(.init(code: code, message: message, parameter: parameter, line: line))
  }
}
