import Foundation

/// A Swift file without its comments and without the text of its string literals: what is left names types and functions.
public struct SourceCode {
  public let text: String
  /// Identifiers that stand alone, not behind a dot.
  public let names: Set<String>
  /// Those of them that are called.
  public let calls: Set<String>
  /// Types and free functions that other files can name.
  public let declarations: Set<String>

  public init(file: String) throws {
    var scanner = Scanner(try [UInt8](Data(contentsOf: URL(fileURLWithPath: file))))
    let text = scanner.code()
    self.text = text
    names = Set(text.matches(of: /(?:^|[^.\w])([A-Za-z_]\w*)/).map { String($0.output.1) })
    calls = Set(text.matches(of: /(?:^|[^.\w])([A-Za-z_]\w*)\(/).map { String($0.output.1) })
    let declared = text.split(separator: "\n").compactMap { line in
      line.firstMatch(
        of:
          /^(?:@\w+(?:\([^)]*\))? )*(?:(?:public|package|final|indirect|nonisolated) )*(?:struct|class|enum|protocol|actor|func|typealias) (\w+)/
      ).map { String($0.output.1) }
    }
    declarations = Set(declared)
  }

  /// Follows string literals and what is interpolated into them.
  private struct Scanner {
    private let bytes: [UInt8]
    private var at = 0
    private var out: [UInt8] = []

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func code() -> String {
      scan(isInterpolation: false)
      return String(decoding: out, as: UTF8.self)
    }

    private func begins(_ text: StaticString) -> Bool {
      text.withUTF8Buffer { $0.elementsEqual(bytes[at..<min(at + $0.count, bytes.count)]) }
    }

    /// Up to the end, or to the parenthesis that closes an interpolation.
    private mutating func scan(isInterpolation: Bool) {
      var depth = 0
      while at < bytes.count {
        if begins("//") {
          while at < bytes.count, bytes[at] != UInt8(ascii: "\n") { at += 1 }
        } else if begins("/*") {
          while at < bytes.count, !begins("*/") { at += 1 }
          at += 2
        } else if begins("\"") || begins("#\"") {
          skipLiteral()
        } else {
          if bytes[at] == UInt8(ascii: "(") { depth += 1 }
          if bytes[at] == UInt8(ascii: ")") {
            if isInterpolation, depth == 0 { return }
            depth -= 1
          }
          out.append(bytes[at])
          at += 1
        }
      }
    }

    private mutating func skipLiteral() {
      let isRaw = begins("#")
      at += isRaw ? 1 : 0
      let isLong = begins("\"\"\"")
      at += isLong ? 3 : 1
      while at < bytes.count {
        if isRaw ? begins("\\#(") : begins("\\(") {
          at += isRaw ? 3 : 2
          out.append(UInt8(ascii: " "))
          scan(isInterpolation: true)
          out.append(UInt8(ascii: " "))
          at += 1
        } else if !isRaw, begins("\\") {
          at += 2
        } else if isLong ? begins("\"\"\"") : begins("\"") {
          at += (isLong ? 3 : 1) + (isRaw ? 1 : 0)
          return
        } else {
          at += 1
        }
      }
    }
  }
}
