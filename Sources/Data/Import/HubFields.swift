import Foundation

/// The fields of a `config.json`, each read with a default and checked.
struct HubFields {
  private let path: String
  private let values: [String: Value]

  /// A JSON value of the kinds that matter here.
  enum Value: Decodable {
    case flag(Bool)
    case number(Double)
    case text(String)
    case object([String: Value])
    case null
    case other

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        self = .null
      } else if let value = try? container.decode(Bool.self) {
        self = .flag(value)
      } else if let value = try? container.decode(Double.self) {
        self = .number(value)
      } else if let value = try? container.decode(String.self) {
        self = .text(value)
      } else if let value = try? container.decode([String: Value].self) {
        self = .object(value)
      } else {
        self = .other
      }
    }

    var description: String {
      switch self {
      case .flag(let value): "\(value)"
      case .number(let value): "\(value)"
      case .text(let value): "'\(value.prefix(40))'"
      case .object: "an object"
      case .null: "null"
      case .other: "a list"
      }
    }
  }

  /// - Throws: `DataError` naming the file where it holds no JSON object.
  init(_ bytes: Data, of path: String) throws {
    self.path = path
    guard let values = try? JSONDecoder().decode([String: Value].self, from: bytes) else {
      throw DataError("\(path): no JSON object; expected a model's config.json")
    }
    self.values = values
  }

  func refuse(_ field: String, _ found: String, _ expected: String) -> DataError {
    DataError("\(path): \(field) is \(found), expected \(expected)")
  }

  /// The value of a field that is there and not null.
  private func value(_ field: String) -> Value? {
    if case .null? = values[field] { nil } else { values[field] }
  }

  func text(_ field: String, _ fallback: String) throws -> String {
    guard let value = value(field) else { return fallback }
    guard case .text(let text) = value else { throw refuse(field, value.description, "a text") }
    return text
  }

  func flag(_ field: String, _ fallback: Bool) throws -> Bool {
    guard let value = value(field) else { return fallback }
    guard case .flag(let flag) = value else { throw refuse(field, value.description, "true or false") }
    return flag
  }

  /// Refuses a file whose flag is not what the models here do.
  func require(_ field: String, _ expected: Bool) throws {
    let found = try flag(field, expected)
    guard found == expected else { throw refuse(field, "\(found)", "\(expected), which is all that is supported") }
  }

  func number(_ field: String, _ fallback: Double) throws -> Double {
    guard let value = value(field) else { return fallback }
    guard case .number(let number) = value, number > 0, number.isFinite else {
      throw refuse(field, value.description, "a positive number")
    }
    return number
  }

  /// A size from 1 to 2²⁴; products of two or three of them do not overflow.
  func size(_ field: String, _ fallback: @autoclosure () throws -> Int) throws -> Int {
    try optionalSize(field) ?? fallback()
  }

  func optionalSize(_ field: String) throws -> Int? {
    guard let value = value(field) else { return nil }
    guard case .number(let number) = value, let size = Int(exactly: number), 1...(1 << 24) ~= size else {
      throw refuse(field, value.description, "a whole number from 1 to 16777216")
    }
    return size
  }

  func divided(_ field: String, _ value: Int, _ by: String, _ divisor: Int) throws -> Int {
    guard value % divisor == 0 else { throw refuse(field, "\(value)", "a multiple of \(by), \(divisor)") }
    return value / divisor
  }

  /// The base from `rope_parameters`, or from `rope_theta` in older files, without scaling.
  func rotaryBase(_ fallback: Double) throws -> Double {
    if let value = value("rope_scaling") {
      throw refuse("rope_scaling", value.description, "none; scaled rotary positions are not supported")
    }
    guard let value = value("rope_parameters") else { return try number("rope_theta", fallback) }
    guard case .object(let inner) = value else { throw refuse("rope_parameters", value.description, "an object") }
    let fields = HubFields(path: path, values: inner)
    let kind = try fields.text("rope_type", "default")
    guard kind == "default" else { throw refuse("rope_parameters.rope_type", "'\(kind)'", "'default'") }
    return try fields.number("rope_theta", fallback)
  }

  /// `{"0": "cat", "1": "dog"}` in the order of the numbers.
  func labels(_ field: String) throws -> [String] {
    guard let value = value(field) else { return ["LABEL_0", "LABEL_1"] }
    guard case .object(let map) = value, !map.isEmpty else {
      throw refuse(field, value.description, "an object of class numbers and names")
    }
    return try (0..<map.count).map { index in
      guard case .text(let name)? = map["\(index)"] else {
        throw refuse(field, "without a text for '\(index)'", "names for 0 to \(map.count - 1)")
      }
      return name
    }
  }

  /// A group of fields; one that is left out has every field's default.
  func object(_ field: String) throws -> HubFields {
    guard let value = value(field) else { return HubFields(path: "\(path): \(field)", values: [:]) }
    guard case .object(let inner) = value else { throw refuse(field, value.description, "an object") }
    return HubFields(path: "\(path): \(field)", values: inner)
  }

  private init(path: String, values: [String: Value]) {
    self.path = path
    self.values = values
  }
}
