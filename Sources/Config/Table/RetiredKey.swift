import MMoEFiles

/// A key that a configuration once had. Files that hold it at the value that changed nothing are still read; any other value is
/// refused, since what it asked for no longer exists.
package struct RetiredKey: Sendable {
  /// The dotted key, such as `moe.experts`.
  package let key: String
  /// Its default, as files hold it.
  package let value: String
  /// Why the key is gone, as part of the message.
  package let reason: String

  package init(_ key: String, default value: String, _ reason: String) {
    self.key = key
    self.value = value
    self.reason = reason
  }

  /// - Parameter place: where the key was set, for the message.
  /// - Throws: `ConfigError` for any value but the default.
  func accept(_ input: ConfigInput, at place: String) throws(ConfigError) {
    if case .scalar(value, _) = input { return }
    throw ConfigError(
      place, found: "\(key): found \(input.found)", expected: "\(value) or nothing: \(reason)", remedy: "leave it out")
  }
}
