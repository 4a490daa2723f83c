/// A pattern over dotted names, such as the paths of parameters: `*` stands for any characters, dots included, and everything else for itself.
///
/// Patterns match the paths that checkpoints have, where every expert stands under its own number:
/// `blocks.1.moe.experts.0007.fc1.weight`.
package struct PathPattern: Sendable, Equatable {
  package let text: String
  /// What stands between the stars.
  private let literals: [[UInt8]]

  package init(_ text: String) {
    self.text = text
    literals = text.split(separator: "*", omittingEmptySubsequences: false).map { Array($0.utf8) }
  }

  /// The number of stars.
  package var stars: Int { literals.count - 1 }

  package func matches(_ path: String) -> Bool { captures(in: path) != nil }

  /// What the stars stand for, from left to right, each as short as the rest allows; nil where the path does not match.
  package func captures(in path: String) -> [String]? {
    let path = Array(path.utf8)
    guard let first = literals.first, path.starts(with: first) else { return nil }
    var found: [String] = []
    var at = first.count
    for (index, literal) in literals.enumerated().dropFirst() {
      let isLast = index == literals.count - 1
      // The last literal ends the path; the ones between stand where they first occur: if that leaves no match, no later
      // place does.
      let last = path.count - literal.count
      guard at <= last else { return nil }
      let start = isLast ? last : (at...last).first { path[$0...].starts(with: literal) }
      guard let start, path[start...].starts(with: literal) else { return nil }
      found.append(String(decoding: path[at..<start], as: UTF8.self))
      at = start + literal.count
    }
    return at == path.count ? found : nil
  }

  /// The pattern with its stars replaced in turn.
  package func filled(with captures: [String]) -> String {
    var text = ""
    for (index, literal) in literals.enumerated() {
      text += String(decoding: literal, as: UTF8.self)
      if index < captures.count, index < stars { text += captures[index] }
    }
    return text
  }
}
