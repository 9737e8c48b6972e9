internal import Glibc
internal import JSON

extension CheckpointError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notFound(let path):
      "\(path): not found; give a Hugging Face model directory or a .gguf file"
    case .notReadable(let path):
      "\(path): permission denied; check who may read it"
    case .notAFile(let path):
      "\(path): not a regular file"
    case .inputOutput(let operation, let path, let code):
      "\(path): cannot \(operation): \(Self.text(ofErrno: code))"
    case .noConfiguration(let directory):
      "\(directory): no config.json; give the directory of a Hugging Face checkpoint or a .gguf file"
    case .noWeights(let directory):
      "\(directory): no weights; expected model.safetensors or model.safetensors.index.json with its shards"
    case .foreignWeights(let directory, let file, let kind):
      "\(directory): " + Self.advice(file: file, kind: kind)
    case .ambiguousWeights(let directory, let files):
      "\(directory): several safetensors files (\(Self.list(files))) and no model.safetensors.index.json that says"
        + " which tensor lies where; download the index beside them"
    case .notACheckpoint(let path):
      "\(path): neither a GGUF file nor a directory; for safetensors give the directory that holds config.json"
    case .json(let file, let error):
      "\(file): \(error)"
    case .configurationIsNoObject(let file):
      "\(file): the top level must be a JSON object"
    case .tooLarge(let file, let bytes, let limit):
      "\(file): \(bytes) bytes are more than the \(limit) accepted for such a file"
    case .safetensors(let file, let error):
      "\(file): \(error)"
    case .index(let file, let error):
      "\(file): \(error)"
    case .gguf(let file, let error):
      "\(file): \(error)"
    case .quantization(let path, let error):
      "\(path): \(error)"
    case .tensorMissing(let name, let path):
      "\(path): no tensor named \(name)"
    case .cannotConvert(let name, let dataType, let target):
      "tensor \(name): \(dataType) elements cannot be read as \(target)"
    case .nothingToConvert(let path):
      "\(path): no linear layer is quantised, so there are no codes to convert; 'gpuinfer compress' quantises"
    case .alreadyExists(let path):
      "\(path): exists already; name a directory that does not"
    case .write(let path, let problem):
      "\(path): \(problem)"
    }
  }

  private static func advice(file: String, kind: ForeignWeights) -> String {
    switch kind {
    case .pickle:
      "only PyTorch pickles (\(file)), which can run code when loaded; convert them once in Python with"
        + " AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT, safe_serialization=True)"
    case .adapter:
      "\(file) is an adapter, not a model; merge it into its base model first"
    case .gguf:
      "holds GGUF weights; give the file itself: \(file)"
    case .tensorFlow:
      "\(file) is not read here; convert it once in Python with save_pretrained(OUT, safe_serialization=True)"
    }
  }

  static func text(ofErrno code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
  }

  static func list(_ names: [String]) -> String {
    names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", …" : "")
  }
}

extension CheckpointError.WriteProblem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .duplicateTensor(let name): "tensor \(name) is declared or written twice"
    case .unknownTensor(let name): "tensor \(name) was not declared"
    case .sizeMismatch(let tensor, let declared, let given):
      "tensor \(tensor) was declared with \(declared) bytes and given \(given)"
    case .incomplete(let tensor): "tensor \(tensor) was declared but not written"
    case .badShape(let tensor): "tensor \(tensor): the shape is negative, too large or does not fit the type"
    case .unsupportedType(let tensor, let type): "tensor \(tensor): the format has no type \(type)"
    case .headerTooLarge(let bytes): "the header would have \(bytes) bytes; readers accept 100000000"
    }
  }
}
