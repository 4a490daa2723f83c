/// A key, or values of one, that earlier versions wrote otherwise. Both are still read, from files and from the command line.
package struct RenamedKey: Sendable {
  /// The dotted key as it was.
  package let earlier: String
  /// As it is now; the same where only values have changed.
  package let key: String
  /// What its values were called, with what they are called now.
  package let values: [String: String]

  package init(_ earlier: String, now key: String? = nil, values: [String: String] = [:]) {
    (self.earlier, self.key, self.values) = (earlier, key ?? earlier, values)
  }

  /// A value as it is written now.
  func translate(_ input: ConfigInput) -> ConfigInput {
    guard case .scalar(let text, let isQuoted) = input, let value = values[text] else { return input }
    return .scalar(value, quoted: isQuoted)
  }
}
