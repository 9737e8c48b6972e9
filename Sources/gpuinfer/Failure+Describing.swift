internal import Checkpoints
internal import Compression
internal import Compute
internal import Generation
internal import JSON
internal import KernelBackend
internal import Models
internal import Server
internal import Tokenizers

extension Failure {
  /// Gives every error of the modules below its exit code and its text.
  init(describing error: any Error) {
    switch error {
    case let failure as Failure: self = failure
    case let error as UsageError: self = Failure(.usage, error.description)
    case let error as CheckpointError:
      self = Failure(ExitCode(rawValue: error.exitCode) ?? .badData, "\(error)")
    case let error as ModelError: self = Failure(Self.code(of: error), "\(error)")
    case let error as TokenizerError: self = Failure(Self.code(of: error), "\(error)")
    case let error as JSONError: self = Failure(.badData, "\(error)")
    case let error as KernelLibraryError: self = Failure(.unavailable, "\(error)")
    case let error as KernelError: self = Failure(Self.code(of: error), "\(error)")
    case let error as HTTPServerError: self = Failure(.unavailable, "\(error)")
    case let error as ModelLoadingError:
      self = Failure(ExitCode(rawValue: error.exitCode) ?? .badData, "\(error)")
    case let error as BatchError: self = Failure(Self.code(of: error), "\(error)")
    case let error as StateError: self = Failure(Self.code(of: error), "\(error)")
    case let error as TemplateError: self = Failure(.badData, "\(error)")
    case let error as SubmissionError: self = Failure(.badData, "\(error)")
    case let error as EngineError: self = Failure(.internalError, "\(error)")
    case let error as CalibrationSet.Problem: self = Failure(.badData, "\(error)")
    case let error as Recipe.FieldProblem: self = Failure(.badData, "\(error)")
    case let error as QuantizationError: self = Failure(.badData, "\(error)")
    case let error as MethodError: self = Failure(Self.code(of: error), "\(error)")
    case let error as BitAllocation.Problem: self = Failure(.usage, "\(error)")
    case let error as StructuredPruner.Problem: self = Failure(.usage, "\(error)")
    case let error as Compressor.Problem: self = Failure(.usage, "\(error)")
    case let error as Journal.Problem:
      self = Failure(Self.isWriting(error) ? .inputOutput : .badData, "\(error)")
    default: self = Failure(.internalError, "\(error)")
    }
  }

  private static func isWriting(_ error: Journal.Problem) -> Bool {
    if case .cannotWrite = error { true } else { false }
  }

  private static func code(of error: MethodError) -> ExitCode {
    switch error {
    case .needsCalibration, .needsSparsity, .needsBits, .unsupported: .usage
    case .notFinite: .badData
    case .store: .internalError
    }
  }

  private static func code(of error: ModelError) -> ExitCode {
    switch error {
    case .checkpoint(let error): ExitCode(rawValue: error.exitCode) ?? .badData
    case .kernel(let error): code(of: error)
    case .limit, .quantised: .usage
    default: .badData
    }
  }

  private static func code(of error: BatchError) -> ExitCode {
    switch error {
    case .cannotOpen: .inputNotFound
    case .cannotRead, .cannotWrite: .inputOutput
    case .outputInUse, .engineStopped: .unavailable
    case .foreignOutput: .badData
    case .invalidShard: .usage
    }
  }

  private static func code(of error: StateError) -> ExitCode {
    switch error {
    case .cannotOpen, .cannotRead, .cannotWrite: .inputOutput
    case .inUse: .unavailable
    case .damaged: .badData
    }
  }

  private static func code(of error: KernelError) -> ExitCode {
    switch error {
    case .outOfMemory, .device: .unavailable
    default: .internalError
    }
  }

  private static func code(of error: TokenizerError) -> ExitCode {
    if case .fileNotFound = error { .inputNotFound } else { .badData }
  }
}
