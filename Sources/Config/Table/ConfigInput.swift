/// A value as the user wrote it, before anyone knows which type it should have.
package enum ConfigInput: Equatable, Sendable {
  /// Text; `quoted` in YAML means that it is text even where it looks like a number.
  case scalar(String, quoted: Bool)
  /// A list of plain or quoted scalars.
  case list([ConfigInput])
  /// Nothing after the colon, or YAML's `~`.
  case empty
  /// What no key takes, such as a list in a list; the text says what.
  case unsupported(String)

  /// A value of `--set key=value`.
  static func commandLine(_ text: String) -> ConfigInput { .scalar(text, quoted: false) }

  /// How an error message shows the value.
  package var found: String {
    switch self {
    case .scalar(let text, quoted: false):
      let shown = text.count > 60 ? text.prefix(57) + "..." : text[...]
      return text.isEmpty ? "an empty text" : String(shown.map { $0.isNewline ? " " : $0 })
    case .scalar(let text, quoted: true):
      let shown = text.count > 60 ? text.prefix(57) + "..." : text[...]
      return "the quoted text \"\(String(shown.map { $0.isNewline ? " " : $0 }))\""
    case .list(let items): return "a list of \(items.count)"
    case .empty: return "no value"
    case .unsupported(let what): return what
    }
  }

  /// Whether this stands for "not set" in an optional key. The words count in quotes too: no
  /// optional text may be called "none", so that every value can be given on the command line.
  var isNone: Bool {
    switch self {
    case .empty: true
    case .scalar(let text, _): ConfigInput.noneWords.contains(text)
    case .list, .unsupported: false
    }
  }

  static let noneWords = ["none", "null", "~"]
}

/// Why a value does not fit its key; the table adds the place and the key.
struct ConfigMismatch: Error {
  /// The part that is wrong, where it is not the whole value.
  var found: String?
  /// What else would help, such as the way to write it.
  var remedy: String?
}
