import MMoEFiles

/// The classes that are taken of a source, from a file with one on each line: the class as the source calls it, such as a WordNet
/// ID, then perhaps words. With words, the folder is called `<class>_<words>`. `#` begins a comment.
struct ClassList {
  /// Of every class that is taken, the name that it gets.
  private(set) var names: [String: String] = [:]
  private var lines: [(number: Int, name: String)] = []
  private let file: String

  /// - Throws: `DataError` for a file that cannot be read, has no class, or names one twice.
  init(_ file: String) throws {
    self.file = file
    guard let text = String(validating: try readFile(file, limit: 16 << 20), as: UTF8.self) else {
      throw DataError(file, found: "no UTF-8", expected: "a class on each line")
    }
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let words = line.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" }.map(String.init)
      guard let name = words.first else { continue }
      let full = words.joined(separator: "_").replacing("/", with: "-")
      guard names.updateValue(full, forKey: name) == nil else {
        throw DataError("\(file):\(index + 1)", found: "\(name) again", expected: "every class once")
      }
      lines.append((index + 1, name))
    }
    guard lines.count > 1 else {
      throw DataError(
        file, found: lines.isEmpty ? "no classes" : "one class", expected: "at least two, one on each line")
    }
  }

  /// - Throws: `DataError` naming the first class that the source lacks.
  func require(in classes: Set<String>, of source: String) throws {
    let missing = lines.filter { !classes.contains($0.name) }
    guard let first = missing.first else { return }
    throw DataError(
      "\(file):\(first.number)",
      found:
        "the class \(first.name)\(missing.count > 1 ? " and \(missing.count - 1) more" : ""), which \(source) lacks",
      expected: "some of its \(classes.count) classes, such as \(ImageFolder.abbreviated(classes.sorted()))")
  }
}
