import Testing

@testable import Scheduling

@Suite struct SimulationTests {
  /// 20 schedulers of different limits and policies, 5,000 operations each: 10⁵ in all.
  @Test("Random operations keep every promise", arguments: UInt64(1)...20)
  func randomOperations(seed: UInt64) throws {
    var simulation = try Simulation(seed: seed)
    for _ in 0..<5000 { try simulation.operate() }
    try simulation.drain()
    #expect(simulation.steps > 500)
    #expect(simulation.finished > 100)
    let configuration = simulation.configuration
    let room = min(configuration.maxNumBatchedTokens, configuration.maxLogitRows)
    let hasRoom = simulation.maxDrafts > 0 && room > 2 * configuration.maxNumSeqs
    #expect(!hasRoom || simulation.acceptedDrafts > 100)
  }
}
