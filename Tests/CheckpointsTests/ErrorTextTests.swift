import Checkpoints
import Testing

@Suite struct ErrorTextTests {
  @Test func messagesSayWhatWhereAndWhatToDo() {
    let cases: [(CheckpointError, [String], Int32)] = [
      (.notFound(path: "m"), ["m: not found", "Hugging Face model directory"], 66),
      (.notReadable(path: "m"), ["m: permission denied"], 66),
      (.notAFile(path: "m"), ["m: not a regular file"], 66),
      (
        .inputOutput(operation: "write", path: "m", code: 28), ["m: cannot write: No space left on device"],
        74
      ),
      (.noConfiguration(directory: "d"), ["d: no config.json"], 66),
      (.noWeights(directory: "d"), ["d: no weights", "model.safetensors.index.json"], 66),
      (
        .foreignWeights(directory: "d", file: "d/x.gguf", kind: .gguf), ["give the file itself: d/x.gguf"], 65
      ),
      (
        .foreignWeights(directory: "d", file: "a.bin", kind: .pickle),
        ["(a.bin)", "safe_serialization=True"], 65
      ),
      (.foreignWeights(directory: "d", file: "adapter_config.json", kind: .adapter), ["merge it"], 65),
      (.notACheckpoint(path: "m.safetensors"), ["neither a GGUF file nor a directory"], 65),
      (.ambiguousWeights(directory: "d", files: ["1", "2", "3", "4", "5"]), ["(1, 2, 3, 4, …)"], 65),
      (.tooLarge(file: "c", bytes: 9, limit: 8), ["9 bytes", "the 8 accepted"], 65),
      (.tensorMissing(name: "t", path: "m"), ["m: no tensor named t"], 65),
      (.safetensors(file: "f", .hole(from: 10, to: 12)), ["f: bytes 10..<12", "download"], 65),
      (.index(file: "i", .shardMissing("s")), ["i: the shard s", "download"], 65),
      (.gguf(file: "g", .bigEndian), ["g: byte 4: a big-endian", "convert"], 65),
      (.gguf(file: "g", .split(count: 3)), ["3 parts", "llama-gguf-split --merge"], 65),
      (.write(path: "o", .incomplete(tensor: "t")), ["o: tensor t was declared but not written"], 70),
    ]
    for (error, parts, code) in cases {
      for part in parts { #expect(error.description.contains(part), "\(error)") }
      #expect(error.exitCode == code)
      #expect(!error.description.contains("\n"))
    }
  }
}
