import MMoEFiles

/// What a command writes must not replace what it reads.
enum OutputCheck {
  /// - Parameters:
  ///   - outputs: files that are to be written, with the options that name them.
  ///   - inputs: the images that were read or will be.
  /// - Throws: `RunError` where one is the other, whatever path leads there.
  static func requireOther(_ outputs: [(option: String, path: String?)], than inputs: [String]) throws {
    let used = Set(inputs.map(FilePath.resolved))
    for (option, path) in outputs {
      guard let path, used.contains(FilePath.resolved(path)) else { continue }
      throw RunError(option, found: "\(path) is one of the images", expected: "another file", remedy: "name a new one")
    }
  }
}
