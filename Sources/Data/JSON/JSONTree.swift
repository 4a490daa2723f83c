import Foundation
import MMoEFiles

/// A JSON text as it stands: names are told apart by their bytes, none may stand twice, and whole numbers are exact.
///
/// Foundation's decoders take one of two equal names without a word, and hold names for equal that other programs tell
/// apart.
package enum JSONTree: Sendable, Equatable {
  case null
  case flag(Bool)
  case whole(Int)
  case real(Double)
  case text(String)
  case list([JSONTree])
  case object([Field])

  package struct Field: Sendable, Equatable {
    package let name: String
    package let value: JSONTree
  }

  /// - Parameters:
  ///   - bytes: UTF-8.
  ///   - file: for messages.
  /// - Throws: `DataError` naming file and line where the text is no JSON, or where a name stands twice in an object.
  package init(_ bytes: [UInt8], file: String) throws {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw DataError("\(file): no valid UTF-8; expected JSON")
    }
    self = try bytes.withUnsafeBufferPointer { buffer in
      var parser = JSONParser(text: buffer, file: file)
      return try parser.document()
    }
  }

  /// Equality in which 1 and 1.0 are the same.
  package func isSame(as other: JSONTree) -> Bool {
    switch (self, other) {
    case (.whole(let a), .real(let b)), (.real(let b), .whole(let a)): Double(a) == b
    default: self == other
    }
  }

  /// The value as a message quotes it.
  package var description: String {
    switch self {
    case .null: "null"
    case .flag(let value): "\(value)"
    case .whole(let value): "\(value)"
    case .real(let value): "\(value)"
    case .text(let value): "'\(value.prefix(40))'"
    case .list(let values): values.isEmpty ? "an empty list" : "a list"
    case .object(let fields): fields.isEmpty ? "an empty object" : "an object"
    }
  }
}

/// RFC 8259 by recursive descent.
private struct JSONParser {
  let text: UnsafeBufferPointer<UInt8>
  let file: String
  private var at = 0
  private var depth = 0

  /// Deeper nesting than any file of ours has; it bounds the stack.
  private static let deepest = 64

  init(text: UnsafeBufferPointer<UInt8>, file: String) {
    self.text = text
    self.file = file
  }

  mutating func document() throws -> JSONTree {
    let value = try value()
    skipBlanks()
    guard at == text.count else { throw refuse("nothing after the value") }
    return value
  }

  private func refuse(_ expected: String) -> DataError {
    let line = text[..<min(at, text.count)].reduce(1) { $0 + ($1 == 0x0A ? 1 : 0) }
    return DataError(
      file, found: "no valid JSON: line \(line), byte \(at): expected \(expected)", remedy: "fetch or write it again")
  }

  private mutating func skipBlanks() {
    while at < text.count, [0x20, 0x0A, 0x0D, 0x09].contains(text[at]) { at += 1 }
  }

  private mutating func take(_ byte: Unicode.Scalar) -> Bool {
    skipBlanks()
    guard at < text.count, text[at] == UInt8(ascii: byte) else { return false }
    at += 1
    return true
  }

  private mutating func word(_ word: StaticString, _ value: JSONTree) throws -> JSONTree {
    let count = word.utf8CodeUnitCount
    guard at + count <= text.count, memcmp(text.baseAddress! + at, word.utf8Start, count) == 0 else {
      throw refuse("a value")
    }
    at += count
    return value
  }

  private mutating func value() throws -> JSONTree {
    skipBlanks()
    guard at < text.count else { throw refuse("a value") }
    switch text[at] {
    case UInt8(ascii: "{"): return try nested { parser in try parser.object() }
    case UInt8(ascii: "["): return try nested { parser in try parser.list() }
    case UInt8(ascii: "\""): return .text(try string())
    case UInt8(ascii: "t"): return try word("true", .flag(true))
    case UInt8(ascii: "f"): return try word("false", .flag(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func nested(_ body: (inout JSONParser) throws -> JSONTree) throws -> JSONTree {
    depth += 1
    guard depth <= JSONParser.deepest else { throw refuse("at most \(JSONParser.deepest) levels of nesting") }
    at += 1
    defer { depth -= 1 }
    return try body(&self)
  }

  private mutating func list() throws -> JSONTree {
    var values: [JSONTree] = []
    if take("]") { return .list(values) }
    repeat { values.append(try value()) } while take(",")
    guard take("]") else { throw refuse("',' or ']'") }
    return .list(values)
  }

  private mutating func object() throws -> JSONTree {
    var fields: [JSONTree.Field] = []
    var names: Set<ExactName> = []
    if take("}") { return .object(fields) }
    repeat {
      skipBlanks()
      guard at < text.count, text[at] == UInt8(ascii: "\"") else { throw refuse("a name in double quotes") }
      let name = try string()
      guard names.insert(ExactName(name)).inserted else {
        throw refuse("the name '\(name.prefix(40))' once in an object")
      }
      guard take(":") else { throw refuse("':'") }
      fields.append(JSONTree.Field(name: name, value: try value()))
    } while take(",")
    guard take("}") else { throw refuse("',' or '}'") }
    return .object(fields)
  }

  /// The text between quotes.
  private mutating func string() throws -> String {
    at += 1
    let start = at
    while at < text.count, text[at] != UInt8(ascii: "\""), text[at] != UInt8(ascii: "\\"), text[at] >= 0x20 { at += 1 }
    guard at < text.count else { throw refuse("'\"'") }
    if text[at] == UInt8(ascii: "\"") {
      defer { at += 1 }
      return String(decoding: text[start..<at], as: UTF8.self)
    }
    var bytes = Array(text[start..<at])
    while true {
      guard at < text.count, text[at] >= 0x20 else { throw refuse("'\"'") }
      let byte = text[at]
      at += 1
      if byte == UInt8(ascii: "\"") { return String(decoding: bytes, as: UTF8.self) }
      if byte == UInt8(ascii: "\\") { try escape(into: &bytes) } else { bytes.append(byte) }
    }
  }

  private mutating func escape(into bytes: inout [UInt8]) throws {
    guard at < text.count else { throw refuse("an escape") }
    at += 1
    switch text[at - 1] {
    case UInt8(ascii: "n"): bytes.append(0x0A)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case UInt8(ascii: "r"): bytes.append(0x0D)
    case UInt8(ascii: "b"): bytes.append(0x08)
    case UInt8(ascii: "f"): bytes.append(0x0C)
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(text[at - 1])
    case UInt8(ascii: "u"):
      var value = try hexadecimal()
      if 0xD800...0xDBFF ~= value, at + 1 < text.count, text[at] == UInt8(ascii: "\\"),
        text[at + 1] == UInt8(ascii: "u")
      {
        at += 2
        let low = try hexadecimal()
        guard 0xDC00...0xDFFF ~= low else { throw refuse("the second half of a pair of surrogates") }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else { throw refuse("a pair of surrogates") }
      bytes += String(Character(scalar)).utf8
    default: throw refuse("one of the escapes \\n, \\t, \\r, \\b, \\f, \\\", \\\\, \\/ and \\u")
    }
  }

  private mutating func hexadecimal() throws -> UInt32 {
    guard at + 4 <= text.count, text[at..<at + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let value = UInt32(String(decoding: text[at..<at + 4], as: UTF8.self), radix: 16)
    else { throw refuse("four hexadecimal digits") }
    at += 4
    return value
  }

  private mutating func number() throws -> JSONTree {
    let start = at
    func digits(_ parser: inout JSONParser) throws {
      let first = parser.at
      while parser.at < parser.text.count, 0x30...0x39 ~= parser.text[parser.at] { parser.at += 1 }
      guard parser.at > first else { throw parser.refuse("a value") }
    }
    func next(_ bytes: [UInt8]) -> Bool { at < text.count && bytes.contains(text[at]) }
    if next([UInt8(ascii: "-")]) { at += 1 }
    let whole = at
    try digits(&self)
    guard text[whole] != 0x30 || at == whole + 1 else { throw refuse("a number without zeros before it") }
    var isWhole = true
    if next([UInt8(ascii: ".")]) {
      (at, isWhole) = (at + 1, false)
      try digits(&self)
    }
    if next(Array("eE".utf8)) {
      (at, isWhole) = (at + 1, false)
      if next(Array("+-".utf8)) { at += 1 }
      try digits(&self)
    }
    let word = String(decoding: text[start..<at], as: UTF8.self)
    if isWhole, let value = Int(word) { return .whole(value) }
    guard let value = Double(word), value.isFinite else { throw refuse("a number that a Double holds") }
    return .real(value)
  }
}
