import CHDF5

/// Types of elements that are read.
package enum HDF5ElementType: String, Sendable, CaseIterable {
  case float16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64

  package var isFloat: Bool { self == .float16 || self == .float32 || self == .float64 }

  /// Cases stand in the order of `mmoe_h5_type`.
  init?(_ type: mmoe_h5_type) {
    let index = Int(type.rawValue)
    guard Self.allCases.indices.contains(index) else { return nil }
    self = Self.allCases[index]
  }
}

/// What a file says of one dataset.
package struct HDF5Dataset: Sendable, Equatable {
  /// Groups and name, joined by `/`, without a leading one.
  package let path: String
  package let type: HDF5ElementType
  /// Empty for a scalar.
  package let shape: [Int]
  /// Number of elements.
  package let count: Int
  /// Place of the first element in the file in bytes, user block included; nil when the storage is
  /// empty or not contiguous.
  package let fileOffset: Int?
}

/// A member of a group.
package struct HDF5Entry: Sendable, Equatable {
  package enum Kind: Sendable { case group, dataset }

  package let name: String
  package let kind: Kind
}

/// A path without slashes at its ends, as the index keeps it; the root is "".
func normalized(_ path: String) -> String {
  // By bytes: a `Character` may be a slash with an accent on it.
  let slash = UInt8(ascii: "/")
  let start = path.utf8.drop { $0 == slash }
  guard let last = start.lastIndex(where: { $0 != slash }) else { return "" }
  return String(Substring(start[...last]))
}
