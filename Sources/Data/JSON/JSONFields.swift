import MMoEFiles

/// The fields of an object in a file of others, each read once and checked; what nobody read can be refused by name.
///
/// `null` counts as a field that is not there.
package final class JSONFields {
  package let file: String
  /// `model.` for the fields of the object `model`.
  private let path: String
  private let values: [ExactName: JSONTree]
  private var read: Set<ExactName> = []

  /// - Throws: `DataError` naming the file where the value is no object.
  package convenience init(_ tree: JSONTree, file: String, expected: String) throws {
    guard case .object(let fields) = tree else {
      throw DataError("\(file): \(tree.description), no JSON object; expected \(expected)")
    }
    self.init(fields, file: file, path: "")
  }

  private init(_ fields: [JSONTree.Field], file: String, path: String) {
    (self.file, self.path) = (file, path)
    values = Dictionary(uniqueKeysWithValues: fields.map { (ExactName($0.name), $0.value) })
  }

  /// The names of all fields that are there, sorted.
  package var names: [String] { values.filter { $0.value != .null }.keys.sorted().map(\.text) }

  package func refuse(_ field: String, _ found: String, _ expected: String) -> DataError {
    DataError(file, found: "\(path)\(field) is \(found)", expected: "\(expected)")
  }

  /// The value of a field that is there and not null.
  package func value(_ field: String) -> JSONTree? {
    read.insert(ExactName(field))
    let value = values[ExactName(field)]
    return value == .null ? nil : value
  }

  /// What a message says was found.
  package func found(_ field: String) -> String { values[ExactName(field)]?.description ?? "missing" }

  package func text(_ field: String) throws -> String? {
    guard let value = value(field) else { return nil }
    guard case .text(let text) = value else { throw refuse(field, value.description, "a text") }
    return text
  }

  package func text(_ field: String, _ fallback: String) throws -> String { try text(field) ?? fallback }

  package func flag(_ field: String) throws -> Bool? {
    guard let value = value(field) else { return nil }
    guard case .flag(let flag) = value else { throw refuse(field, value.description, "true or false") }
    return flag
  }

  package func flag(_ field: String, _ fallback: Bool) throws -> Bool { try flag(field) ?? fallback }

  /// Refuses a field that is there with another value than what is computed.
  ///
  /// - Parameter why: what follows the expected value in the message.
  package func require(_ field: String, _ expected: JSONTree..., why: String = "which is all that is computed") throws {
    guard let value = value(field), !expected.contains(where: { $0.isSame(as: value) }) else { return }
    let words = expected.map(\.description).joined(separator: " or ")
    throw refuse(field, value.description, (expected.isEmpty ? "null" : words) + ", \(why)")
  }

  /// Counts fields as read whose values change nothing.
  package func ignore(_ fields: some Sequence<String>) { read.formUnion(fields.map(ExactName.init)) }

  /// The fields of an object; nil where it is not there.
  package func object(_ field: String) throws -> JSONFields? {
    guard let value = value(field) else { return nil }
    return try fields(value, field)
  }

  /// The objects of a list; none where it is not there.
  package func objects(_ field: String) throws -> [JSONFields] {
    try list(field).enumerated().map { try fields($1, "\(field)[\($0)]") }
  }

  package func list(_ field: String) throws -> [JSONTree] {
    guard let value = value(field) else { return [] }
    guard case .list(let values) = value else { throw refuse(field, value.description, "a list") }
    return values
  }

  /// The fields of an object; one that is left out has none.
  package func objectOrEmpty(_ field: String) throws -> JSONFields {
    try object(field) ?? JSONFields([], file: file, path: "\(path)\(field).")
  }

  private func fields(_ value: JSONTree, _ field: String) throws -> JSONFields {
    guard case .object(let fields) = value else { throw refuse(field, value.description, "an object") }
    return JSONFields(fields, file: file, path: "\(path)\(field).")
  }

  /// The first field, by name, that is there and that nobody read.
  package func unread() -> String? { names.first { !read.contains(ExactName($0)) } }

  /// Refuses what nobody read: a rule that is not known cannot be followed.
  package func requireAllRead(of what: String) throws {
    guard let field = unread() else { return }
    throw refuse(
      field, found(field),
      "no such field of \(what): what it does is not known here; remove it where it changes nothing")
  }
}
