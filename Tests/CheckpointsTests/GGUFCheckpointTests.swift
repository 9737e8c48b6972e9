import Checkpoints
import JSON
import Numerics
import TestSupport
import Testing

/// Files written by the `gguf` package with llama.cpp's layouts, against the Hugging Face checkpoints they came from.
@Suite struct GGUFCheckpointTests {
  private static let names = [
    "llama-bf16", "llama-q8_0", "llama-q4_0", "llama3-rope-f32", "mistral-f16", "qwen2-bf16", "gpt2-f32",
    "bloom-f16",
  ]

  private func open(_ name: String) throws -> Checkpoint {
    try Checkpoint.open(Fixtures.path("gguf/\(name).gguf"))
  }

  @Test func theChecksumIsTheUsualOne() {
    #expect(CRC32.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
  }

  @Test(arguments: names)
  func everyElementIsWhatTheReferenceDecodes(name: String) throws {
    let checkpoint = try open(name)
    let expected = try #require(try JSONValue.parse(Fixtures.bytes("gguf/\(name).json")).object)
    #expect(checkpoint.tensorNames == expected.keys.sorted())
    for (tensorName, facts) in expected {
      let tensor = try checkpoint.rawTensor(tensorName)
      #expect(tensor.shape == facts["shape"]?.array?.compactMap(\.int))
      let floats = try tensor.floats()
      let first = facts["first"]?.array?.compactMap(\.double).map { Float($0) }
      #expect(Array(floats.prefix(4)) == first, "\(tensorName)")
      #expect(CRC32.checksum(littleEndian: floats) == facts["crc32"]?.int.map(UInt32.init), "\(tensorName)")
      let entry = try #require(checkpoint.tensors[tensorName])
      #expect(entry.shape == tensor.shape)
      #expect(entry.dataType == tensor.dataType)
    }
  }

  @Test(arguments: [
    ("llama-bf16", "llama"), ("mistral-f16", "mistral"), ("qwen2-bf16", "qwen2"), ("gpt2-f32", "gpt2"),
    ("bloom-f16", "bloom"),
  ])
  func unquantisedFilesEqualTheirSource(name: String, model: String) throws {
    let (gguf, source) = (try open(name), try Checkpoint.open(Fixtures.path("tiny/\(model)")))
    #expect(gguf.tensorNames == source.tensorNames)
    for tensor in source.tensorNames {
      #expect(try gguf.rawTensor(tensor).shape == source.rawTensor(tensor).shape)
      #expect(try gguf.rawTensor(tensor).floats() == source.rawTensor(tensor).floats(), "\(tensor)")
    }
  }

  @Test(arguments: [
    ("llama-bf16", "llama"), ("llama-q4_0", "llama"), ("mistral-f16", "mistral"), ("qwen2-bf16", "qwen2"),
    ("gpt2-f32", "gpt2"), ("bloom-f16", "bloom"),
  ])
  func theConfigurationIsThatOfTheSource(name: String, model: String) throws {
    let (gguf, source) = (try open(name), try Checkpoint.open(Fixtures.path("tiny/\(model)")))
    let keys = [
      "model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers",
      "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps",
      "rope_theta", "rope_scaling", "hidden_act", "vocab_size", "tie_word_embeddings", "attention_bias",
      "mlp_bias", "sliding_window", "use_sliding_window", "bos_token_id", "eos_token_id", "n_embd", "n_layer",
      "n_head", "n_positions", "n_ctx", "layer_norm_epsilon", "activation_function",
      "apply_residual_connection_post_layernorm",
    ]
    for key in keys {
      guard let expected = source.configuration[key], let found = gguf.configuration[key] else { continue }
      if let number = expected.double {
        #expect(found.double == number, "\(key)")
      } else {
        #expect(found == expected, "\(key)")
      }
    }
    // Every key above that shapes the model must be there, not only equal where it is.
    let needed: [String: [String]] = [
      "llama": ["num_key_value_heads", "rms_norm_eps", "rope_theta", "head_dim"],
      "mistral": ["sliding_window", "head_dim"], "qwen2": ["num_key_value_heads", "use_sliding_window"],
      "gpt2": ["n_head", "layer_norm_epsilon", "n_positions"], "bloom": ["n_head", "layer_norm_epsilon"],
    ]
    for key in (needed[model] ?? []) + ["model_type", "vocab_size", "tie_word_embeddings"] {
      #expect(gguf.configuration[key] != nil, "\(key)")
    }
    #expect(gguf.generationConfiguration?["eos_token_id"] == source.configuration["eos_token_id"])
    #expect(gguf.kind == .gguf)
  }

  @Test func theVocabularyCanBeRead() throws {
    let llama = try #require(try open("llama-q4_0").ggufMetadata)
    #expect(try llama.string("tokenizer.ggml.model") == "llama")
    #expect(try llama.strings("tokenizer.ggml.tokens")?.count == 512)
    #expect(try llama.floats("tokenizer.ggml.scores")?.count == 512)
    #expect(try llama.ints("tokenizer.ggml.token_type")?.prefix(4) == [2, 3, 3, 6])
    #expect(try llama.int("tokenizer.ggml.bos_token_id") == 1)
    #expect(try llama.bool("tokenizer.ggml.add_bos_token") == true)
    let qwen2 = try #require(try open("qwen2-bf16").ggufMetadata)
    #expect(try qwen2.string("tokenizer.ggml.pre") == "qwen2")
    #expect(try qwen2.strings("tokenizer.ggml.merges")?.first == Array("Ġ t".utf8))
    #expect(try qwen2.string("tokenizer.chat_template")?.hasPrefix("{% for message in messages %}") == true)
    #expect(try Checkpoint.open(Fixtures.path("tiny/llama")).ggufMetadata == nil)
  }

  /// Three rows of random blocks of each type and two row lengths; bits must agree with `gguf.quants.dequantize`.
  @Test func everyQuantisedTypeDecodesExactly() throws {
    let bytes = try Fixtures.bytes("gguf/blocks.gguf")
    let file = try GGUFBytes.parse(bytes)
    let header = try SafetensorsSamples.parse(Fixtures.bytes("gguf/blocks.safetensors"))
    let expected = try Fixtures.bytes("gguf/blocks.safetensors")
    #expect(Set(file.tensors.map(\.type)).count == 10)
    for tensor in file.tensors {
      let reference = try #require(header.tensors.first { $0.name == tensor.name })
      #expect(tensor.shape == reference.shape)
      let decoded = try #require(tensor.type.decode(Array(bytes[tensor.byteRange])))
      let bits = decoded.flatMap { value in
        (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
      }
      #expect(bits == Array(expected[reference.byteRange]), "\(tensor.name)")
    }
  }

  /// One to four bytes of a real file changed at random: any error will do, but not a crash or a large allocation.
  @Test(arguments: ["llama-q4_0", "llama3-rope-f32", "gpt2-f32", "bloom-f16"])
  func survivesRandomDamage(name: String) throws {
    let original = try Fixtures.bytes("gguf/\(name).gguf")
    let file = try GGUFBytes.parse(original)
    var generator = SeededGenerator(seed: UInt64(original.count))
    var refused = 0
    for round in 0..<300 {
      var bytes = original
      // Half of the rounds aim at the tensor directory, which lies before the data.
      let start = round % 2 == 0 ? 0 : max(file.dataOffset - file.tensors.count * 60, 0)
      for _ in 0...Int.random(in: 0..<4, using: &generator) {
        bytes[Int.random(in: start..<file.dataOffset, using: &generator)] = .random(
          in: 0...255, using: &generator)
      }
      do {
        _ = try unsafe bytes.span.withUnsafeBytes { (raw) throws(GGUFError) in
          try unsafe Checkpoint.configuration(ofGGUF: raw)
        }
      } catch {
        refused += 1
        #expect(!error.description.isEmpty)
      }
    }
    #expect(refused > 20)
  }

  @Test func theSummaryCountsFormatsAndBytes() throws {
    let summary = CheckpointSummary(try open("llama-q4_0"))
    #expect(summary.architecture == "LlamaForCausalLM")
    #expect(summary.modelType == "llama")
    #expect(summary.kind == .gguf)
    #expect(summary.parameterCount == 2 * 512 * 64 + 2 * (64 * 64 * 3 + 64 * 176 * 3 + 2 * 64) + 64)
    #expect(summary.formats.map(\.name) == ["Q4_0", "bfloat16", "float32"])
    #expect(summary.formats.map(\.tensors) == [14, 2, 5])
    #expect(summary.formats[0].bytes == summary.formats[0].elements / 32 * 18)
    #expect(summary.tensorBytes == summary.formats.reduce(0) { $0 + $1.bytes })
    #expect(summary.tensors.first?.name == "lm_head.weight")
    #expect(summary.json["tensors"]?[0]?["format"]?.string == "Q4_0")
    #expect(summary.json["parameters"]?.int == summary.parameterCount)
    #expect(try JSONValue.parse(summary.json.serialized()) == summary.json)
    let source = CheckpointSummary(try Checkpoint.open(Fixtures.path("tiny/llama")))
    #expect(source.parameterCount == summary.parameterCount)
    #expect(source.formats.map(\.name) == ["bfloat16"])
    #expect(source.quantization == nil)
  }
}
