/// One request, read completely.
package struct HTTPRequest: Sendable {
  package struct Parameter: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }
  /// Upper case, as sent: `GET`, `POST`.
  package var method: String
  /// Without the query, percent-decoded.
  package var path: String
  package var query: [Parameter]
  package var headers: HTTPHeaders
  package var body: [UInt8]
  /// Who waits for the answer.
  package var client: any HTTPClient

  package init(
    method: String, path: String, query: [Parameter] = [], headers: HTTPHeaders = [:], body: [UInt8] = [],
    client: any HTTPClient = PresentClient()
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.body = body
    self.client = client
  }
}

/// The other end of a connection, asked by a handler that waits for something else.
package protocol HTTPClient: Sendable {
  /// Costs one system call; ask when there is nothing else to do.
  var presence: HTTPClientPresence { get }
}

package enum HTTPClientPresence: Sendable, Equatable {
  case present
  /// It will send nothing more. Either it has gone, or it only closed its sending side; the next bytes written to
  /// it tell which.
  case finishedSending
  case gone
}

/// A client that never leaves.
package struct PresentClient: HTTPClient {
  package var presence: HTTPClientPresence { .present }

  package init() {}
}
