import Foundation
import MMoEFiles

/// A tensor to be written: its name, shape and row-major numbers.
package struct SafetensorsTensor {
  package let name: String
  package let shape: [Int]
  package let values: UnsafeBufferPointer<Float>

  package init(name: String, shape: [Int], values: UnsafeBufferPointer<Float>) {
    self.name = name
    self.shape = shape
    self.values = values
  }
}

extension SafetensorsFile {
  /// Writes tensors as F32, sorted by name: equal content gives equal bytes. The file appears under its name only when
  /// it is complete.
  ///
  /// - Parameters:
  ///   - tensors: must stay in place until the call returns.
  ///   - metadata: text beside the tensors, such as `format`.
  /// - Throws: `DataError` naming the file: a name that stands twice or is reserved, or the system's reason.
  package static func write(
    _ tensors: [SafetensorsTensor], metadata: [String: String] = [:], to path: String
  ) throws {
    let sorted = tensors.sorted { $0.name < $1.name }
    var last = SafetensorsHeader.metadataKey
    for tensor in sorted {
      precondition(tensor.values.count == tensor.shape.reduce(1, *), "\(tensor.name): values and shape differ")
      guard tensor.name != last, tensor.name != SafetensorsHeader.metadataKey else {
        throw DataError(
          path, found: "tensor '\(tensor.name)': the name stands twice or is reserved", expected: "another")
      }
      last = tensor.name
    }
    let file = try DurableFile(path)
    let header = try SafetensorsHeader.encoded(
      sorted.map { ($0.name, .float32, $0.shape) }, metadata: metadata)
    try header.withUnsafeBytes { try file.write($0, at: 0) }
    var offset = header.count
    for tensor in sorted where !tensor.values.isEmpty {
      let bytes = UnsafeRawBufferPointer(tensor.values)
      try file.write(bytes, at: offset)
      offset += bytes.count
    }
    try file.commit()
  }
}
