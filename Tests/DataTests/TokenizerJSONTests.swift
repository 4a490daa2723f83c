import Foundation
import Testing

@testable import MMoEData

/// `tokenizer.json` of others: what is computed here as Hugging Face's `tokenizers` computes it, and what is refused.
@Suite struct TokenizerJSONTests {
  private static let split =
    #""pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#
  private static let post =
    #""post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}"#
  private static let decoder =
    #""decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}"#
  private static let end =
    #"{"id": 258, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": true}"#

  /// The 256 bytes under their own numbers.
  private static func bytes(without left: ClosedRange<Int>? = nil) -> String {
    ByteAlphabet.scalars.enumerated().filter { left?.contains($0.offset) != true }.map { id, scalar in
      (scalar == "\"" || scalar == "\\" ? "\"\\\(scalar)\"" : "\"\(scalar)\"") + ": \(id)"
    }.joined(separator: ", ")
  }

  /// GPT-2's rules over the bytes, "th" (256) and "the" (257), and one special token.
  ///
  /// - Parameter change: a text of the file and what stands in its place.
  private static func json(_ change: (String, String)? = nil, without left: ClosedRange<Int>? = nil) -> String {
    let whole = """
      {"version": "1.0", "truncation": null, "padding": null, "normalizer": null, \(split), \(post), \(decoder),
       "added_tokens": [\(end)],
       "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
         "end_of_word_suffix": "", "fuse_unk": false, "vocab": {\(bytes(without: left)), "th": 256, "the": 257},
         "merges": [["t", "h"], "th e"]}}
      """
    guard let change else { return whole }
    #expect(whole.contains(change.0), "\(change.0)")
    return whole.replacing(change.0, with: change.1)
  }

  private func load(_ json: String, _ folder: TemporaryFolder) throws -> BytePairTokenizer {
    try TokenizerFiles.load(folder.write("tokenizer.json", [UInt8](json.utf8)))
  }

  /// Ids as `tokenizers` 0.23.3 gives them for the same file.
  @Test func understood() throws {
    let folder = try TemporaryFolder()
    let tokenizer = try load(TokenizerJSONTests.json(), folder)
    #expect(try tokenizer.encode("the cat") == [257, 32, 99, 97, 116])
    #expect(try tokenizer.encodeWithSpecialTokens("a<|endoftext|>the") == [97, 258, 257])
    #expect(tokenizer.endOfText == 258 && tokenizer.vocabularySize == 259)
  }

  private static let others: [(String, String)] = [
    (#""type": "BPE", "#, ""), (#""dropout": null"#, #""dropout": 0.0"#), (#""unk_token": null"#, #""unk_token": "x""#),
    (#""normalizer": null"#, #""normalizer": {"type": "Sequence", "normalizers": []}"#),
    (#""fuse_unk": false"#, #""fuse_unk": true, "byte_fallback": false, "ignore_merges": false"#),
    (#", "use_regex": true}, "post_processor""#, #"}, "post_processor""#),
    (
      split,
      #""pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false}]}"#
    ),
    (
      post,
      #""post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {}}"#
    ),
    (post, #""post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}]}"#),
    (decoder, #""decoder": null"#),
    (#""normalized": true"#, #""normalized": false"#), (#""th": 256"#, #""\u0074h": 256"#),
  ]

  /// Fields that change no id.
  @Test(arguments: others) func sameByOtherWords(old: String, new: String) throws {
    let folder = try TemporaryFolder()
    let plain = try load(TokenizerJSONTests.json(), folder)
    #expect(try load(TokenizerJSONTests.json((old, new)), folder).fingerprint == plain.fingerprint)
  }

  private static let token =
    #""single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}"#

  private static let rules: [(String, String, String)] = [
    (#""1.0""#, #""2.0""#, "version is '2.0', expected '1.0'"),
    (#""truncation": null"#, #""truncation": {"max_length": 2}"#, "truncation is an object, expected null"),
    (#""padding": null"#, #""padding": {}"#, "padding is an empty object, expected null"),
    (#""normalizer": null"#, #""normalizer": {"type": "NFC"}"#, "normalizer.type is 'NFC', expected no normalizer"),
    (
      #""normalizer": null"#, #""normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}"#,
      "normalizer.normalizers[0].type is 'Lowercase'"
    ),
    (
      #""add_prefix_space": false"#, #""add_prefix_space": true"#,
      "pre_tokenizer.add_prefix_space is true, expected false"
    ),
    (#""add_prefix_space": false, "#, "", "pre_tokenizer.add_prefix_space is missing"),
    (split, split.replacing(#""use_regex": true"#, with: #""use_regex": false"#), "pre_tokenizer.use_regex is false"),
    (split, split.replacing("trim_offsets", with: "invert"), "pre_tokenizer.invert is true, expected no such field"),
    (split, #""pre_tokenizer": null"#, "pre_tokenizer is null, expected one ByteLevel"),
    (
      split,
      #""pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}]}"#,
      "pre_tokenizer.pretokenizers[0].type is 'Digits', expected 'ByteLevel'"
    ),
    (split, #""pre_tokenizer": {"type": "Metaspace"}"#, "pre_tokenizer.type is 'Metaspace'"),
    (post, #""post_processor": {"type": "BertProcessing"}"#, "post_processor.type is 'BertProcessing'"),
    (
      post, #""post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}"#,
      "post_processor.single is a template with SpecialToken, expected the text alone"
    ),
    (decoder, #""decoder": {"type": "Fuse"}"#, "decoder.type is 'Fuse'"),
    (#""BPE""#, #""Unigram""#, "model.type is 'Unigram', expected 'BPE'"),
    (#""dropout": null"#, #""dropout": 0.1"#, "model.dropout is 0.1"),
    (
      #""continuing_subword_prefix": """#, #""continuing_subword_prefix": "@@""#,
      "model.continuing_subword_prefix is '@@'"
    ),
    (#""end_of_word_suffix": """#, #""end_of_word_suffix": "</w>""#, "model.end_of_word_suffix is '</w>'"),
    (#""fuse_unk": false"#, #""byte_fallback": true"#, "model.byte_fallback is true, expected false"),
    (#""fuse_unk": false"#, #""ignore_merges": true"#, "model.ignore_merges is true, expected false"),
    (#""fuse_unk": false"#, #""beam": 3"#, "model.beam is 3, expected no such field of a BPE model"),
    (#""padding": null"#, #""stride": 1"#, "stride is 1, expected no such field"),
    (#""special": true"#, #""special": false"#, "added_tokens[0].special is false, expected true"),
    (#", "special": true"#, "", "added_tokens[0].special is missing"),
    (#""lstrip": false"#, #""lstrip": true"#, "added_tokens[0].lstrip is true"),
    (#""rstrip": false"#, #""rstrip": true"#, "added_tokens[0].rstrip is true"),
    (#""single_word": false"#, #""single_word": true"#, "added_tokens[0].single_word is true"),
    (#""<|endoftext|>""#, #""""#, "added_tokens[0].content is '', expected a text of at least one character"),
    (#""id": 258"#, #""id": 300"#, "added_tokens[0].id is 300, expected 258, the next free one"),
    (#""<|endoftext|>""#, #""the""#, "added_tokens[0].id is 258, expected 257, which 'the' has in model.vocab"),
    (#""id": 258, "content": "<|endoftext|>""#, #""id": 257, "content": "the""#, "'the' (id 257), which is also made"),
    (
      end, end + #", {"id": 259, "content": "|>!", "# + token,
      "added_tokens[1].normalized is false, expected true as of '<|endoftext|>', which '|>!' overlaps"
    ),
    (end, end + ", " + end, "added_tokens"), (#""the": 257"#, #""the": 2.5"#, "model.vocab['the'] is 2.5"),
    (#""the": 257"#, #""the": 257, "th": 259"#, "the name 'th' once in an object"),
    (
      #", "th e""#, "",
      "model.vocab['the'] is 257, but no merge makes it and added_tokens lacks it"
    ),
    (#""th e""#, #""th e", "t h""#, "merges[2]: the pair of"), (#""th e""#, #""th""#, "merges[1]: 1 names found"),
    (#""th e""#, #"["th", 5]"#, "model.merges[1] is a list with 5"), (#""th e""#, "7", "model.merges[1] is 7"),
    (#"["t", "h"], "th e""#, #""th e", "t h""#, "'th' is neither a byte nor made by an earlier merge"),
  ]

  /// Every other rule is named with its field and value.
  @Test(arguments: rules) func refused(old: String, new: String, words: String) throws {
    let folder = try TemporaryFolder()
    let found = message { _ = try load(TokenizerJSONTests.json((old, new)), folder) }
    #expect(found?.contains(words) == true && found?.hasPrefix(folder.path) == true, "\(found ?? "nothing")")
  }

  /// Bytes may be missing; a text that has one is refused with its place, whoever reads it.
  @Test func bytesWithoutTokens() throws {
    let folder = try TemporaryFolder()
    let tokenizer = try load(
      TokenizerJSONTests.json((#""th": 256, "the": 257"#, #""th": 254, "the": 255"#), without: 254...255)
        .replacing("258", with: "256"), folder)
    #expect(try tokenizer.encode("the") == [255])
    let found = message { _ = try tokenizer.encode([UInt8]("the ".utf8) + [0xFF, 0xFE]) }
    #expect(found?.hasPrefix("byte 4 of the text, after 'the ', is 0xFF, for which the tokenizer bpe-257-") == true)
    #expect(throws: DataError.self) { try tokenizer.encode([254]) }
    let text = try folder.write("text/a.txt", [UInt8]("the ".utf8) + [0xFF])
    let work = try CorpusTokenizer(folder.path + "/text", tokenizer: tokenizer)
    let refused = message { _ = try work.write(to: folder.path + "/shards", threads: 1) }
    #expect(refused?.hasPrefix(folder.path + "/text: byte ") == true, "\(refused ?? text)")
    // Its own files give the same tokenizer again.
    try tokenizer.save(to: folder.path + "/saved")
    #expect(try TokenizerFiles.load(folder.path + "/saved").fingerprint == tokenizer.fingerprint)
  }

  /// Both kinds of files in a folder: the added tokens of `tokenizer.json` stay, and a disagreement is refused.
  @Test func bothKindsOfFiles() throws {
    let folder = try TemporaryFolder()
    let whole = try load(TokenizerJSONTests.json(), folder)
    try folder.write("vocab.json", [UInt8]("{\(TokenizerJSONTests.bytes()), \"th\": 256, \"the\": 257}".utf8))
    try folder.write("merges.txt", [UInt8]("#version: 0.2\nt h\nth e\n".utf8))
    #expect(try TokenizerFiles.load(folder.path).fingerprint == whole.fingerprint)
    for (file, content, words) in [
      ("merges.txt", "t h\n", "vocab.json: its merges are others"),
      ("vocab.json", "{\(TokenizerJSONTests.bytes()), \"th\": 257, \"the\": 256}", "vocab.json: its merges are others"),
      (
        "vocab.json", "{\(TokenizerJSONTests.bytes()), \"th\": 256, \"the\": 257, \"<s>\": 258}",
        "'<s>' (id 258) is none"
      ),
      ("tokenizer_config.json", #"{"add_bos_token": true}"#, "add_bos_token is true, expected false"),
    ] {
      let other = try TemporaryFolder()
      for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
        try other.write(name, readFile(folder.path + "/" + name, limit: 1 << 20))
      }
      try other.write(file, [UInt8](content.utf8))
      let found = message { _ = try TokenizerFiles.load(other.path) }
      #expect(found?.contains(words) == true, "\(found ?? "nothing")")
    }
    // Without it the class must be one that the two files are for, and no token may stand elsewhere.
    try FileManager.default.removeItem(atPath: folder.path + "/tokenizer.json")
    for (file, content, words) in [
      (
        "added_tokens.json", #"{"<s>": 258}"#, "added_tokens.json: '<s>' is 258, expected a special token of vocab.json"
      ),
      ("tokenizer_config.json", #"{"tokenizer_class": "Qwen2Tokenizer"}"#, "tokenizer_class is 'Qwen2Tokenizer'"),
    ] {
      try folder.write(file, [UInt8](content.utf8))
      let found = message { _ = try TokenizerFiles.load(folder.path) }
      #expect(found?.contains(words) == true, "\(found ?? "nothing")")
    }
  }

  /// CLIP's two files spell the ends of words; names that only look alike are two names.
  @Test func pairsOfOtherKinds() throws {
    let folder = try TemporaryFolder()
    for (more, merges, words) in [
      (
        #""e</w>": 256, "he</w>": 257"#, "h e</w>",
        "merges.txt:1: 'e</w>' is neither a byte nor made by an earlier merge"
      ),
      (#""▁t": 256, "▁": 257"#, "▁ t", "merges.txt:1: '▁' is neither a byte"),
      (#""A\u030A": 256, "A": 257"#, "", "the name 'A' once"),
      (#""A\u030A": 256"#, "", "the special token 'A\u{30A}' (id 256)"),
      (#""": 256"#, "", "the special token '' (id 256) is empty"),
    ] {
      try folder.write("vocab.json", [UInt8]("{\(TokenizerJSONTests.bytes()), \(more)}".utf8))
      try folder.write("merges.txt", [UInt8]((merges + "\n").utf8))
      let found = message { _ = try TokenizerFiles.load(folder.path) }
      #expect(found?.contains(words) == true, "\(found ?? "nothing")")
    }
  }
}
