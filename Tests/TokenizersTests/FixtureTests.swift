import JSON
import TestSupport
import Testing
import Tokenizers

/// The tokenizers of the checkpoints that the other tests run.
@Suite("Tokenizers of checkpoints")
struct FixtureTests {
  @Test(
    "gives the ids that the checkpoint's references were made from",
    arguments: [
      "tiny/llama", "tiny/mistral", "tiny/gpt2", "tiny/bloom", "tiny/qwen2", "tiny/bert-squad",
      "tiny/bert-sst2",
    ])
  func givesReferenceIDs(folder: String) throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path(folder))
    let expected = try JSONValue.parse(try Fixtures.bytes(folder + "/expected.json"))
    let prompts = try #require(expected["prompts"]?.array)
    #expect(!prompts.isEmpty)
    for prompt in prompts {
      let ids = try #require(prompt["input_ids"]).tokenIDs
      if let pair = prompt["text"]?.array?.compactMap(\.string), pair.count == 2 {
        let encoded = try tokenizer.encodePair(pair[0], pair[1])
        #expect(encoded.ids == ids)
        #expect(encoded.typeIDs == prompt["token_type_ids"]?.tokenIDs)
      } else {
        #expect(try tokenizer.encode(try #require(prompt["text"]?.string)) == ids)
      }
      if let text = prompt["greedy_text"]?.string {
        #expect(tokenizer.decode(try #require(prompt["greedy_tokens"]).tokenIDs) == text)
      }
    }
  }

  /// transformers (5.24) drops both fields where there is a tokenizer.json: whatever they say, its post-processor holds.
  @Test("add_bos_token and add_eos_token do not override the post-processor of tokenizer.json")
  func postProcessorHolds() throws {
    let json = try Fixtures.bytes("demo/tokenizer.json")
    guard case .object(let plain) = try JSONValue.parse(try Fixtures.bytes("demo/tokenizer_config.json"))
    else {
      return
    }
    for (bos, eos) in [(true, true), (false, false), (false, true)] {
      var fields = plain
      fields["add_bos_token"] = .bool(bos)
      fields["add_eos_token"] = .bool(eos)
      let tokenizer = try Tokenizer(json: json, configuration: .object(fields))
      #expect(try tokenizer.encode("ab") == [0, 640])
      #expect(try tokenizer.encodePair("ab", "c").ids == [0, 640, 0, 71])
    }
  }

  @Test("the demo's prompts, chat and special tokens")
  func demo() throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("demo"))
    let expected = try JSONValue.parse(try Fixtures.bytes("demo/expected.json"))
    for prompt in try #require(expected["greedy"]?.array) {
      let text = try #require(prompt["prompt"]?.string)
      #expect(try tokenizer.encode(text) == prompt["input_ids"]?.tokenIDs)
    }
    let chat = try #require(expected["chat"])
    let rendered = try #require(chat["rendered"]?.string)
    #expect(try tokenizer.encode(rendered, addSpecialTokens: false) == chat["input_ids"]?.tokenIDs)
    #expect(tokenizer.vocabularySize == 4096)
    #expect(tokenizer.bosToken == "<|begin_of_text|>" && tokenizer.bosID == 0)
    #expect(tokenizer.eosToken == "<|end_of_text|>" && tokenizer.eosID == 1)
    #expect(tokenizer.padID == 2 && tokenizer.unkID == nil)
    #expect(tokenizer.isSpecial(3) && !tokenizer.isSpecial(5) && !tokenizer.isSpecial(-1))
    #expect(tokenizer.id(of: "<|im_start|>") == 3 && tokenizer.token(of: 3) == "<|im_start|>")
    #expect(tokenizer.id(of: "no such token") == nil && tokenizer.token(of: 4096) == nil)
    #expect(tokenizer.configuration["model_max_length"]?.int == 1024)
  }

  @Test("every token is found by its spelling", arguments: ["gpt2", "bert", "qwen2", "llama2", "llama3"])
  func tokensAreFoundBySpelling(name: String) throws {
    guard let folder = Vocabularies.folder(name) else { return }
    let tokenizer = try Tokenizer.load(directory: folder)
    for id in stride(from: 0, to: Int32(tokenizer.vocabularySize), by: 97) {
      let token = try #require(tokenizer.token(of: id))
      #expect(tokenizer.id(of: token) == id)
    }
  }
}
