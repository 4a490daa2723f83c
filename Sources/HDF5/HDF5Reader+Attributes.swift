import CHDF5
import MMoEFiles

extension HDF5Reader {
  /// Names of the attributes of an object, by increasing name.
  ///
  /// - Parameter object: a group or dataset; "/" is the root.
  /// - Throws: `HDF5Error` when there is no such object.
  package func attributeNames(of object: String = "/") throws -> [String] {
    let object = try known(object)
    return try HDF5Library.shared.call(file, .refused) { fault in
      guard let names = mmoe_h5_attribute_names(id, object, fault) else { return nil }
      defer { mmoe_h5_free(names) }
      var found: [String] = []
      var next = names
      while next.pointee != 0 {
        let name = String(cString: next)
        found.append(name)
        next += name.utf8.count + 1
      }
      return found
    }
  }

  /// A string; nil when the object has no such attribute.
  ///
  /// - Throws: `HDF5Error` when it is something else, or there is no such object.
  package func stringAttribute(_ name: String, of object: String = "/") throws -> String? {
    switch try attribute(name, of: object) {
    case nil: nil
    case .string(let text): text
    case let other?: throw wrongKind(name, other, expected: "a string")
    }
  }

  /// An integer; nil when the object has no such attribute.
  ///
  /// - Throws: `HDF5Error` when it is something else, or there is no such object.
  package func intAttribute(_ name: String, of object: String = "/") throws -> Int? {
    switch try attribute(name, of: object) {
    case nil: nil
    case .integer(let value): Int(value)
    case let other?: throw wrongKind(name, other, expected: "an integer")
    }
  }

  /// A number, integers included; nil when the object has no such attribute.
  ///
  /// - Throws: `HDF5Error` when it is something else, or there is no such object.
  package func doubleAttribute(_ name: String, of object: String = "/") throws -> Double? {
    switch try attribute(name, of: object) {
    case nil: nil
    case .integer(let value): Double(value)
    case .double(let value): value
    case let other?: throw wrongKind(name, other, expected: "a number")
    }
  }

  private enum Attribute {
    case string(String)
    case integer(Int64)
    case double(Double)
    case other

    var kind: String {
      switch self {
      case .string: "a string"
      case .integer: "an integer"
      case .double: "a float"
      case .other: "neither one string nor one number of at most 63 bits"
      }
    }
  }

  private func attribute(_ name: String, of object: String) throws -> Attribute? {
    let object = try known(object)
    return try HDF5Library.shared.call(file, .refused) { fault -> Attribute?? in
      var value = mmoe_h5_attribute()
      guard mmoe_h5_read_attribute(id, object, name, &value, fault) else { return nil }
      defer { mmoe_h5_free(value.text) }
      switch value.kind {
      case MMOE_H5_ATTRIBUTE_NONE: return .some(nil)
      case MMOE_H5_ATTRIBUTE_STRING: return .string(value.text.map { String(cString: $0) } ?? "")
      case MMOE_H5_ATTRIBUTE_INTEGER: return .integer(value.integer)
      case MMOE_H5_ATTRIBUTE_FLOAT: return .double(value.number)
      default: return .other
      }
    }
  }

  private func wrongKind(_ name: String, _ found: Attribute, expected: String) -> HDF5Error {
    HDF5Error(.mismatch, file, found: "attribute '\(name)': \(found.kind) found, \(expected) expected")
  }

  /// The path that HDF5 knows an object of the index by.
  private func known(_ object: String) throws -> String {
    guard exists(object) else { throw HDF5Error(.missing, file, found: "no object '\(object)'") }
    let path = normalized(object)
    return path.isEmpty ? "/" : path
  }
}
