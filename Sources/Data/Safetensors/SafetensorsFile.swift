import Foundation
import MMoEFiles

/// A safetensors file, mapped into memory: only the tensors that are read are loaded. The file must not be shortened
/// while it is open.
package final class SafetensorsFile: @unchecked Sendable {
  package let path: String
  /// The text that the file carries beside its tensors.
  package var metadata: [String: String] { header.metadata }
  /// All tensors' names, sorted.
  package let names: [String]

  private let header: SafetensorsHeader
  private let file: MappedFile

  /// Maps a file and checks its header; the tensors are not read.
  ///
  /// - Throws: `DataError` naming the file, the tensor, what was found and what was expected.
  package init(_ path: String) throws {
    self.path = path
    file = try MappedFile(path)
    let size = file.bytes.count
    guard size >= 8 else {
      throw DataError(path, found: "\(size) bytes", expected: "a safetensors file, which has 8 and more")
    }
    header = try SafetensorsHeader(file.bytes, fileSize: size, of: path)
    names = header.entries.keys.sorted()
  }

  private var bytes: UnsafeRawBufferPointer { file.bytes }

  /// The shape of a tensor, or nil where the file has none of that name.
  package func shape(_ name: String) -> [Int]? { header.entries[name]?.shape }

  /// The type of a tensor's numbers, or nil where the file has none of that name.
  package func type(_ name: String) -> SafetensorsType? { header.entries[name]?.type }

  /// Copies a tensor, row-major, as float32: F16 and BF16 are exact, F64 is rounded.
  ///
  /// - Parameters:
  ///   - shape: what the caller expects.
  ///   - destination: as many floats as the shape has elements.
  /// - Throws: `DataError` naming file and tensor: missing, of another shape, or of a type that no weights have.
  package func copy(_ name: String, shape: [Int], to destination: UnsafeMutableBufferPointer<Float>) throws {
    let entry = try entry(name)
    guard entry.shape == shape else {
      throw DataError(path, found: "tensor '\(name)': shape \(entry.shape)", expected: "\(shape)")
    }
    precondition(destination.count == entry.count, "\(destination.count) floats for shape \(shape)")
    try convert(entry, name, destination)
  }

  /// A tensor as float32, row-major; see `copy`.
  ///
  /// - Throws: `DataError` naming file and tensor: missing, or of a type that no weights have.
  package func floats(_ name: String) throws -> [Float] {
    let entry = try entry(name)
    return try [Float](unsafeUninitializedCapacity: entry.count) { buffer, count in
      try convert(entry, name, UnsafeMutableBufferPointer(rebasing: buffer[..<entry.count]))
      count = entry.count
    }
  }

  private func entry(_ name: String) throws -> SafetensorsHeader.Entry {
    guard let entry = header.entries[name] else {
      let some = names.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
      throw DataError(path, found: "no tensor '\(name)'", remedy: "the file has \(names.count), such as \(some)")
    }
    return entry
  }

  private func convert(
    _ entry: SafetensorsHeader.Entry, _ name: String, _ destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let source = bytes.baseAddress! + header.dataOffset + entry.range.lowerBound
    let count = entry.count
    switch entry.type {
    case .float32:
      UnsafeMutableRawBufferPointer(destination).copyMemory(
        from: UnsafeRawBufferPointer(start: source, count: 4 * count))
    case .bfloat16:
      for i in 0..<count {
        let bits = UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
        destination[i] = Float(bitPattern: UInt32(bits) << 16)
      }
    case .float16:
      for i in 0..<count {
        let bits = UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
        destination[i] = Float(Float16(bitPattern: bits))
      }
    case .float64:
      for i in 0..<count {
        let bits = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 8 * i, as: UInt64.self))
        destination[i] = Float(Double(bitPattern: bits))
      }
    default:
      throw DataError(
        path, found: "tensor '\(name)': dtype is \(entry.type.rawValue)", expected: "weights of F32, F16, BF16 or F64",
        remedy: "whole numbers are packed or no weights, so give a file of plain ones")
    }
  }
}
