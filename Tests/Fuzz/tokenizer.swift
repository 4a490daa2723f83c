import Foundation

/// Whatever a tokenizer's files hold, they are refused in one line or make a tokenizer that gives every text back, and that
/// its own files make again.
///
/// The first byte chooses the kind of file. Half of the inputs get the 256 bytes as tokens before their own, which no
/// fuzzer would find; a `tokenizer.json` of these is a good one in which fields get other values.
func fuzzTokenizer(_ input: UnsafeBufferPointer<UInt8>) {
  let bytes = Array(input)
  guard let kind = bytes.first else { return }
  let parts = bytes.dropFirst().split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
  let first = Array(parts[0])
  let second = Array(parts.count > 1 ? parts[1] : [])
  let withBytes = kind & 1 == 1
  switch kind >> 1 & 3 {
  case 0, 1:
    _ = fuzzFile("vocab.json", withBytes ? Array("{\(byteTokens), ".utf8) + first + Array("}".utf8) : first)
    _ = fuzzFile("merges.txt", second)
    unlink(fuzzFolder + "/tokenizer.json")
    read(fuzzFolder, second)
  case 2:
    let json = withBytes ? changed(Array(bytes.dropFirst())) : first
    read(fuzzFile("tokenizer.json", json), second)
    // Beside GPT-2's two files, which may say something else.
    if kind & 8 == 8 { read(fuzzFolder, second) }
  default:
    _ = fuzzFile("tokenizer.txt", first)
    mayRefuse { _ = try TokenizerFiles.tokenizer(fuzzFolder) }
    unlink(fuzzFolder + "/tokenizer.txt")
  }
}

/// The fields of a `tokenizer.json`, and values that are computed.
private let fields: [(path: String, value: String)] = [
  ("version", "\"1.0\""), ("truncation", "null"), ("padding", "null"), ("normalizer", "null"),
  (
    "pre_tokenizer",
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}"
  ),
  ("post_processor", "{\"type\": \"ByteLevel\", \"trim_offsets\": false}"), ("decoder", "{\"type\": \"ByteLevel\"}"),
  (
    "added_tokens",
    "[{\"id\": 258, \"content\": \"<|endoftext|>\", \"single_word\": false, \"normalized\": true, \"special\": true}]"
  ),
  ("model.type", "\"BPE\""), ("model.dropout", "null"), ("model.unk_token", "null"),
  ("model.continuing_subword_prefix", "\"\""), ("model.end_of_word_suffix", "null"), ("model.fuse_unk", "false"),
  ("model.byte_fallback", "false"), ("model.ignore_merges", "false"),
  ("model.vocab", "{\(byteTokens), \"th\": 256, \"the\": 257}"), ("model.merges", "[[\"t\", \"h\"], \"th e\"]"),
]

/// A good file in which fields are others: each byte that names a field is followed by its value, up to a 0. Of an object
/// that begins with `+` the fields are put before the good ones.
private func changed(_ changes: [UInt8]) -> [UInt8] {
  var values = fields.map { [UInt8]($0.value.utf8) }
  for change in changes.split(separator: 0) {
    guard let field = change.first.map({ Int($0) % fields.count }) else { continue }
    let value = change.dropFirst()
    if value.first == UInt8(ascii: "+") {
      values[field].insert(contentsOf: value.dropFirst() + [UInt8(ascii: ",")], at: min(1, values[field].count))
    } else {
      values[field] = Array(value)
    }
  }
  func object(_ prefix: String) -> [[UInt8]] {
    zip(fields, values).filter { prefix.isEmpty ? !$0.0.path.hasPrefix("model.") : $0.0.path.hasPrefix(prefix) }
      .map { [UInt8]("\"\($0.0.path.dropFirst(prefix.count))\": ".utf8) + $0.1 }
  }
  let model =
    [UInt8]("\"model\": {".utf8) + Array(object("model.").joined(separator: Array(", ".utf8))) + Array("}".utf8)
  return Array("{".utf8) + Array((object("") + [model]).joined(separator: Array(", ".utf8))) + Array("}".utf8)
}

private let byteTokens = ByteAlphabet.scalars.enumerated().map { index, scalar in
  let name = scalar == "\"" || scalar == "\\" ? "\\\(scalar)" : "\(scalar)"
  return "\"\(name)\": \(index)"
}.joined(separator: ", ")

private func read(_ path: String, _ text: [UInt8]) {
  mayRefuse {
    let tokenizer = try TokenizerFiles.tokenizer(path)
    precondition(tokenizer.fingerprint.utf8.count <= 64)
    let saved = fuzzFolder + "/saved"
    try tokenizer.save(to: saved)
    let again = try TokenizerFiles.tokenizer(saved)
    precondition(again.fingerprint == tokenizer.fingerprint, "another tokenizer after it was saved")
    for text in [text, [UInt8](" the cat sat, 'tis 12 aaaaaaaaaaaaaaaaaaaaaa".utf8)] {
      mayRefuse {
        let ids = try tokenizer.encode(text)
        precondition(ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularySize })
        let decoded = try tokenizer.decode(ids)
        precondition(decoded == text)
        if let pair = tokenizer as? BytePairTokenizer {
          let string = String(decoding: text, as: UTF8.self)
          let decoded = try tokenizer.decode(pair.encodeWithSpecialTokens(string))
          precondition(decoded == Array(string.utf8))
        }
      }
    }
  }
}
