import Foundation

/// Whatever a tokenizer's files hold, they are refused in one line or make a tokenizer that gives every text back.
///
/// The first byte chooses the kind of file. Half of the inputs get the 256 bytes as tokens before their own, which no
/// fuzzer would find.
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
    read(fuzzFolder, second)
  case 2:
    let model = Array("{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"model\": {\"vocab\": {\(byteTokens), ".utf8)
    let middle = Array("}, \"merges\": [".utf8)
    read(fuzzFile("tokenizer.json", withBytes ? model + first + middle + second + Array("]}}".utf8) : first), second)
  default:
    _ = fuzzFile("tokenizer.txt", first)
    mayRefuse { _ = try TokenizerFiles.tokenizer(fuzzFolder) }
    unlink(fuzzFolder + "/tokenizer.txt")
  }
}

private let byteTokens = ByteAlphabet.scalars.enumerated().map { index, scalar in
  let name = scalar == "\"" || scalar == "\\" ? "\\\(scalar)" : "\(scalar)"
  return "\"\(name)\": \(index)"
}.joined(separator: ", ")

private func read(_ path: String, _ text: [UInt8]) {
  mayRefuse {
    let tokenizer = try TokenizerFiles.tokenizer(path)
    precondition(tokenizer.fingerprint.utf8.count <= 64)
    for text in [text, [UInt8](" the cat sat, 'tis 12 aaaaaaaaaaaaaaaaaaaaaa".utf8)] {
      let ids = tokenizer.encode(text)
      precondition(ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularySize })
      let decoded = try tokenizer.decode(ids)
      precondition(decoded == text)
    }
  }
}
