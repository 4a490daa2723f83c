import Foundation

/// A file beside a checkpoint that holds some of its datasets, such as the experts of one rank. The checkpoint links to
/// them, and says how long the file is and what its bytes add up to: parts of another step are recognized.
package struct CheckpointPart: Sendable, Equatable {
  /// Without folders: `step-0000748.r01.h5`.
  package let name: String
  /// Length of the whole file.
  package let bytes: Int
  /// XXH3-64 of everything after its user block.
  package let checksum: UInt64

  package init(name: String, bytes: Int, checksum: UInt64) {
    self.name = name
    self.bytes = bytes
    self.checksum = checksum
  }

  /// The path of a checkpoint's part: `NAME.r07.h5` for `NAME.h5`.
  package static func path(of checkpoint: String, number: Int) -> String {
    let stem = checkpoint.hasSuffix(".h5") ? String(checkpoint.dropLast(3)) : checkpoint
    return "\(stem).r\(number < 10 ? "0" : "")\(number).h5"
  }

  /// Whether a text is the name of a part: a file of the same folder that ends in `.rNN.h5`.
  package static func isName(_ text: String) -> Bool {
    // By bytes, as the system reads it: a `Character` may be a slash with an accent on it.
    let bytes = Array(text.utf8)
    let isPlain = !bytes.contains { $0 == UInt8(ascii: "/") || $0 < 0x20 } && bytes.first != UInt8(ascii: ".")
    guard isPlain, bytes.suffix(3).elementsEqual(".h5".utf8) else { return false }
    let stem = bytes.dropLast(3)
    guard let dot = stem.lastIndex(of: UInt8(ascii: ".")), dot > stem.startIndex else { return false }
    let number = stem[(dot + 1)...]
    return number.first == UInt8(ascii: "r") && (3...6).contains(number.count)
      && number.dropFirst().allSatisfy { 0x30...0x39 ~= $0 }
  }

  static let attribute = "parts"

  /// The part as a line of the attribute that names it.
  package var line: String { "\(name) \(bytes) \(String(checksum, radix: 16))" }

  /// - Returns: nil for a line that is none.
  package init?(line: some StringProtocol) {
    // The name may have blanks.
    let words = line.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count >= 3, let bytes = Int(words[words.count - 2]), bytes >= 0,
      let checksum = UInt64(words[words.count - 1], radix: 16)
    else { return nil }
    self.init(name: words.dropLast(2).joined(separator: " "), bytes: bytes, checksum: checksum)
  }
}
