import MMoEData
import MMoEFiles

/// The kinds of fields that a `config.json` has.
extension JSONFields {
  package func number(_ field: String) throws -> Double? {
    guard let value = value(field) else { return nil }
    let number: Double? =
      switch value {
      case .whole(let number): Double(number)
      case .real(let number): number
      default: nil
      }
    guard let number, number > 0 else { throw refuse(field, value.description, "a positive number") }
    return number
  }

  package func number(_ field: String, _ fallback: Double) throws -> Double { try number(field) ?? fallback }

  /// A size from 1 to 2²⁴; products of two or three of them do not overflow.
  package func size(_ field: String, _ fallback: @autoclosure () throws -> Int) throws -> Int {
    try optionalSize(field) ?? fallback()
  }

  func optionalSize(_ field: String) throws -> Int? {
    guard let value = value(field) else { return nil }
    let size: Int? =
      switch value {
      case .whole(let number): number
      case .real(let number): Int(exactly: number)
      default: nil
      }
    guard let size, 1...(1 << 24) ~= size else {
      throw refuse(field, value.description, "a whole number from 1 to 16777216")
    }
    return size
  }

  package func divided(_ field: String, _ value: Int, _ by: String, _ divisor: Int) throws -> Int {
    guard value % divisor == 0 else { throw refuse(field, "\(value)", "a multiple of \(by), \(divisor)") }
    return value / divisor
  }

  /// The base from `rope_parameters`, or from `rope_theta` in older files, without scaling.
  package func rotaryBase(_ fallback: Double) throws -> Double {
    var base = try number("rope_theta")
    for field in ["rope_scaling", "rope_parameters"] {
      guard let inner = try object(field) else { continue }
      for kind in ["rope_type", "type"] {
        try inner.require(kind, .text("default"), why: "scaled rotary positions are not computed")
      }
      for factor in ["factor", "partial_rotary_factor"] { try inner.require(factor, .whole(1)) }
      if let found = try inner.number("rope_theta") {
        guard base == nil || base == found else {
          throw inner.refuse("rope_theta", "\(found)", "\(base ?? 0), the other rope_theta of the file")
        }
        base = found
      }
      try inner.requireAllRead(of: "unscaled rotary positions")
    }
    return base ?? fallback
  }

  /// `{"0": "cat", "1": "dog"}` in the order of the numbers; without it as many names as `num_labels` says.
  package func labels(_ field: String) throws -> [String] {
    let count = try optionalSize("num_labels")
    guard let value = value(field) else { return (0..<(count ?? 2)).map { "LABEL_\($0)" } }
    guard case .object(let list) = value, !list.isEmpty else {
      throw refuse(field, value.description, "an object of class numbers and names")
    }
    guard count == nil || count == list.count else {
      throw refuse("num_labels", "\(count ?? 0)", "\(list.count), the names in \(field)")
    }
    let map = Dictionary(uniqueKeysWithValues: list.map { (ExactName($0.name), $0.value) })
    return try (0..<list.count).map { index in
      guard case .text(let name)? = map[ExactName("\(index)")] else {
        throw refuse(field, "without a text for '\(index)'", "names for 0 to \(list.count - 1)")
      }
      return name
    }
  }
}
