internal import Models

/// Everything one run of `gpuinfer verify` found.
package struct VerificationReport: Sendable {
  /// The two sides, as their backends call themselves.
  package var reference: String
  package var candidate: String
  /// The candidate's element type.
  package var elementType: String
  /// Path of the model; nil when only operations were swept.
  package var model: String?
  package var primitives: [PrimitiveConformance.Row] = []
  /// Why primitives were asked for and not compared.
  package var primitivesNote: String?
  /// What a reader should know of the model on this device, such as weights that are widened there.
  package var notes: [String] = []
  package var operations: [OperationSweep.Row] = []
  package var layers: [LayerTrace.Row] = []
  package var texts: [GreedyComparison.Row] = []

  package init(reference: String, candidate: String, elementType: String, model: String? = nil) {
    self.reference = reference
    self.candidate = candidate
    self.elementType = elementType
    self.model = model
  }

  package var breaches: Int {
    primitives.count(where: \.isBreach) + operations.count(where: \.isBreach)
      + layers.count(where: \.isBreach) + texts.count(where: \.isBreach)
  }

  /// The activation that went wrong first; what comes after it was computed from right inputs and counts by itself.
  package var firstBadActivation: LayerTrace.Row? { layers.first(where: \.isBreach) }

  /// All cases of one kernel of one operation.
  package struct OperationSummary: Sendable, Equatable {
    package var operation: OperationName
    package var variant: String?
    package var cases = 0
    package var breaches = 0
    /// The greatest difference over what is allowed, and where.
    package var worst = 0.0
    package var worstShape = ""
  }

  package var operationSummaries: [OperationSummary] {
    var summaries: [OperationSummary] = []
    for row in operations {
      let index =
        summaries.firstIndex { $0.operation == row.operation && $0.variant == row.variant }
        ?? summaries.endIndex
      if index == summaries.endIndex {
        summaries.append(OperationSummary(operation: row.operation, variant: row.variant))
      }
      summaries[index].cases += 1
      if row.isBreach { summaries[index].breaches += 1 }
      if case .compared(let comparison) = row.outcome,
        comparison.worst > summaries[index].worst || summaries[index].worstShape.isEmpty
      {
        summaries[index].worst = comparison.worst
        summaries[index].worstShape = row.shape
      }
    }
    return summaries
  }

  /// All layers and steps of one kind of activation.
  package struct ActivationSummary: Sendable, Equatable {
    package var name: String
    package var operation: String
    package var count = 0
    package var breaches = 0
    package var worst = 0.0
    package var worstPoint = ""
  }

  package var activationSummaries: [ActivationSummary] {
    var summaries: [ActivationSummary] = []
    for row in layers {
      let name = row.point.kind
      let index = summaries.firstIndex { $0.name == name } ?? summaries.endIndex
      if index == summaries.endIndex {
        summaries.append(ActivationSummary(name: name, operation: row.operation))
      }
      summaries[index].count += 1
      if row.isBreach { summaries[index].breaches += 1 }
      if row.comparison.worst > summaries[index].worst || summaries[index].worstPoint.isEmpty {
        summaries[index].worst = row.comparison.worst
        summaries[index].worstPoint = "\(row.point), \(row.step)"
      }
    }
    return summaries
  }
}

extension TracePoint {
  /// The name without the layer's number.
  fileprivate var kind: String {
    if case .layer(_, let point) = self { point.rawValue } else { "\(self)" }
  }
}
