import MMoEFiles

/// A `tokenizer.json` whose every field says what `BytePairTokenizer` computes: GPT-2's byte-level BPE.
///
/// All other rules that the format has (normalizers, other splits, prefixes, suffixes, added tokens of ordinary text) change
/// ids, so each is refused by its field and value.
struct TokenizerDocument {
  struct Added {
    let name: String
    let id: Int
    /// Matched after those that are not, in the text that a normalizer gives back; without one only the order is left.
    let isNormalized: Bool
  }

  var vocabulary: [(name: String, id: Int)] = []
  /// The names of both halves.
  var merges: [[String]] = []
  var added: [Added] = []

  /// - Throws: `DataError` naming the field, the value found and what is understood.
  init(_ bytes: [UInt8], file: String) throws {
    let root = try JSONFields(JSONTree(bytes, file: file), file: file, expected: "a tokenizer.json")
    try root.require("version", .text("1.0"))
    for field in ["truncation", "padding"] {
      try root.require(field, why: "ids are neither cut nor filled up here; set it to null in the file")
    }
    try readModel(root)
    try readSplit(root)
    for step in try TokenizerDocument.steps(root, "normalizer", "normalizers") {
      throw step.refuse("type", step.found("type"), "no normalizer: text is taken as it is here")
    }
    for step in try TokenizerDocument.steps(root, "post_processor", "processors") {
      try TokenizerDocument.check(post: step)
    }
    try TokenizerDocument.checkDecoder(root)
    try readAdded(root)
    try root.requireAllRead(of: "a tokenizer.json of version 1.0")
  }

  // MARK: The model

  private mutating func readModel(_ root: JSONFields) throws {
    guard let model = try root.object("model") else { throw root.refuse("model", root.found("model"), "an object") }
    try model.require("type", .text("BPE"))
    try model.require("dropout", .whole(0), why: "which always merges the same pairs")
    for field in ["continuing_subword_prefix", "end_of_word_suffix"] {
      try model.require(field, .text(""), why: "the names of a byte-level vocabulary spell bytes alone")
    }
    try model.require("byte_fallback", .flag(false), why: "every byte has a token of its own here, or none")
    try model.require("ignore_merges", .flag(false), why: "pieces are always made by merges here")
    // What stands for a byte without a token: here such a byte is an error, so these are never used.
    _ = try (model.text("unk_token"), model.flag("fuse_unk"))
    guard case .object(let names)? = model.value("vocab") else {
      throw model.refuse("vocab", model.found("vocab"), "an object of names and ids")
    }
    vocabulary = try names.map { field in
      guard case .whole(let id) = field.value else {
        throw model.refuse("vocab['\(field.name.prefix(40))']", field.value.description, "a whole number")
      }
      return (field.name, id)
    }
    merges = try model.list("merges").enumerated().map { index, value in
      switch value {
      // `"a b"` in older files, `["a", "b"]` in newer ones.
      case .text(let line): return TokenizerFiles.names(line)
      case .list(let parts):
        return try parts.map { part in
          guard case .text(let name) = part else {
            throw model.refuse("merges[\(index)]", "a list with \(part.description)", "two names")
          }
          return name
        }
      default: throw model.refuse("merges[\(index)]", value.description, "two names")
      }
    }
    try model.requireAllRead(of: "a BPE model")
  }

  // MARK: Steps before and after

  private mutating func readSplit(_ root: JSONFields) throws {
    let steps = try TokenizerDocument.steps(root, "pre_tokenizer", "pretokenizers")
    for step in steps {
      try step.require("type", .text("ByteLevel"), why: "which splits as GPT-2 does")
      guard step.value("add_prefix_space") == .flag(false) else {
        throw step.refuse(
          "add_prefix_space", step.found("add_prefix_space"), "false: no space is put before a text here")
      }
      try step.require("use_regex", .flag(true), why: "GPT-2's pattern always splits here")
      // Places in the text alone, not ids.
      _ = try step.flag("trim_offsets")
      try step.requireAllRead(of: "a ByteLevel pre-tokenizer")
    }
    guard steps.count == 1 else {
      throw root.refuse(
        "pre_tokenizer", steps.isEmpty ? root.found("pre_tokenizer") : "\(steps.count) steps",
        "one ByteLevel, as GPT-2's")
    }
  }

  /// Only steps that add no ids: ByteLevel moves offsets, and a template may hold the text alone.
  private static func check(post step: JSONFields) throws {
    switch try step.text("type") {
    case "ByteLevel":
      for field in ["add_prefix_space", "trim_offsets", "use_regex"] { _ = try step.flag(field) }
    case "TemplateProcessing":
      let remedy = "the text alone ($A): no tokens are put around a text here; set post_processor to null in the file"
      for part in try step.objects("single") {
        guard let text = try part.object("Sequence") else {
          throw step.refuse("single", "a template with \(part.names.joined(separator: ", "))", remedy)
        }
        try text.require("id", .text("A"))
        _ = text.value("type_id")
        try text.requireAllRead(of: "a template")
        try part.requireAllRead(of: "a template")
      }
      guard try step.objects("single").count == 1 else {
        throw step.refuse("single", "\(try step.objects("single").count) parts", remedy)
      }
      // Pairs of texts are never encoded, and without parts that name them special tokens are not used.
      for field in ["pair", "special_tokens"] { _ = step.value(field) }
    default:
      throw step.refuse(
        "type", step.found("type"),
        "ByteLevel: no tokens are put around a text here; set post_processor to null in the file")
    }
    try step.requireAllRead(of: "such a post-processor")
  }

  private static func checkDecoder(_ root: JSONFields) throws {
    let steps = try steps(root, "decoder", "decoders")
    for step in steps {
      try step.require("type", .text("ByteLevel"), why: "which gives back a text's bytes")
      for field in ["add_prefix_space", "trim_offsets", "use_regex"] { _ = try step.flag(field) }
      try step.requireAllRead(of: "a ByteLevel decoder")
    }
    guard steps.count <= 1 else { throw root.refuse("decoder", "\(steps.count) steps", "one ByteLevel") }
  }

  /// The steps of a field in their order: what a `Sequence` lists stands for itself.
  private static func steps(_ fields: JSONFields, _ field: String, _ list: String) throws -> [JSONFields] {
    guard let step = try fields.object(field) else { return [] }
    return try flattened(step, list)
  }

  private static func flattened(_ step: JSONFields, _ list: String) throws -> [JSONFields] {
    guard try step.text("type") == "Sequence" else { return [step] }
    let steps = try step.objects(list)
    try step.requireAllRead(of: "a Sequence")
    return try steps.flatMap { try flattened($0, list) }
  }

  // MARK: Added tokens

  private mutating func readAdded(_ root: JSONFields) throws {
    let known = Dictionary(uniqueKeysWithValues: vocabulary.map { (ExactName($0.name), $0.id) })
    for token in try root.objects("added_tokens") {
      guard let name = try token.text("content"), !name.isEmpty else {
        throw token.refuse("content", token.found("content"), "a text of at least one character")
      }
      guard case .whole(let id)? = token.value("id") else {
        throw token.refuse("id", token.found("id"), "a whole number")
      }
      guard try token.flag("special") == true else {
        throw token.refuse(
          "special", token.found("special"),
          "true: '\(name.prefix(40))' would be looked for in every text, which is not done here")
      }
      for field in ["single_word", "lstrip", "rstrip"] {
        try token.require(field, .flag(false), why: "the name alone is looked for here")
      }
      // Those that the vocabulary lacks are numbered on, whatever the file says.
      let next = max(known.count, (added.map(\.id).max() ?? -1) + 1)
      guard id == known[ExactName(name)] ?? next else {
        throw token.refuse(
          "id", "\(id)",
          known[ExactName(name)].map { "\($0), which '\(name.prefix(40))' has in model.vocab" }
            ?? "\(next), the next free one, which Hugging Face's tokenizers gives to '\(name.prefix(40))'")
      }
      added.append(Added(name: name, id: id, isNormalized: try token.flag("normalized") ?? false))
      try token.requireAllRead(of: "an added token")
      if let other = added.dropLast().first(where: { overlap($0, added[added.count - 1]) }) {
        throw token.refuse(
          "normalized", token.found("normalized"),
          "\(other.isNormalized) as of '\(other.name.prefix(40))', which '\(name.prefix(40))' overlaps: the longest of all names counts here"
        )
      }
    }
  }

  /// Whether the order in which two names are looked for can matter: one ends as the other begins, or holds it.
  private func overlap(_ a: Added, _ b: Added) -> Bool {
    guard a.isNormalized != b.isNormalized else { return false }
    let (first, second) = (Array(a.name.utf8), Array(b.name.utf8))
    func reaches(_ a: [UInt8], _ b: [UInt8]) -> Bool {
      a.indices.contains { a[$0] == b[0] && zip(a[$0...], b).allSatisfy { $0 == $1 } }
    }
    return reaches(first, second) || reaches(second, first)
  }
}
