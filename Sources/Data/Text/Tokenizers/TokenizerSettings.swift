import Foundation
import MMoEFiles

/// What files beside a tokenizer's own say of it: `tokenizer_config.json`, and `added_tokens.json` of older folders.
enum TokenizerSettings {
  private static let configName = "tokenizer_config.json"
  private static let addedName = "added_tokens.json"
  private static let limit = 64 << 20

  /// - Parameter hasRules: whether a `tokenizer.json` says how text is split; else the name of the class must.
  /// - Throws: `DataError` naming the field of a setting that changes ids.
  static func check(_ folder: String, hasRules: Bool) throws {
    let file = folder + "/" + configName
    guard FileManager.default.fileExists(atPath: file) else { return }
    let fields = try JSONFields(
      JSONTree(readFile(file, limit: limit), file: file), file: file, expected: "a tokenizer's settings")
    for field in ["add_prefix_space", "add_bos_token", "add_eos_token"] {
      try fields.require(field, .flag(false), why: "nothing is put before or after a text here")
    }
    guard !hasRules else { return }
    try fields.require(
      "tokenizer_class", .text("GPT2Tokenizer"), .text("GPT2TokenizerFast"),
      why: "whose split vocab.json and merges.txt are for; give a folder with tokenizer.json")
  }

  /// - Throws: `DataError` naming a token that stands in `added_tokens.json` alone.
  static func requireNoMoreTokens(_ folder: String, than tokenizer: BytePairTokenizer) throws {
    let file = folder + "/" + addedName
    guard FileManager.default.fileExists(atPath: file) else { return }
    let fields = try JSONFields(
      JSONTree(readFile(file, limit: limit), file: file), file: file, expected: "names and ids")
    for name in fields.names where fields.value(name) != tokenizer.specialTokens[name].map({ .whole(Int($0)) }) {
      throw fields.refuse(
        "'\(name.prefix(40))'", fields.found(name),
        "a special token of vocab.json; give a folder with tokenizer.json, which has all")
    }
  }
}
