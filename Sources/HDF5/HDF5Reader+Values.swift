import CHDF5
import Foundation
import MMoEFiles
import Synchronization

extension HDF5Reader {
  /// Reads a whole dataset into memory that the caller owns, without a copy between; float64 and
  /// integers are rounded to float32.
  ///
  /// - Parameters:
  ///   - destination: room for `count` elements.
  ///   - count: the number of elements that the dataset must have.
  /// - Throws: `HDF5Error` when it is missing, has another number of elements, or cannot be read.
  package func readFloats(
    _ path: String, into destination: UnsafeMutablePointer<Float>, count: Int
  ) throws {
    let dataset = try dataset(path)
    guard dataset.count == count else {
      throw HDF5Error(
        .mismatch, file,
        found: "dataset '\(path)': \(dataset.count) elements of shape \(dataset.shape) found, \(count) expected")
    }
    try read(dataset, as: MMOE_H5_FLOAT32, into: destination)
  }

  /// All elements, row-major, as float32.
  ///
  /// - Throws: `HDF5Error` when the dataset is missing or cannot be read.
  package func readFloats(_ path: String) throws -> [Float] {
    try values(dataset(path), as: MMOE_H5_FLOAT32)
  }

  /// All elements, row-major, as float64.
  ///
  /// - Throws: `HDF5Error` when the dataset is missing or cannot be read.
  package func readDoubles(_ path: String) throws -> [Double] {
    try values(dataset(path), as: MMOE_H5_FLOAT64)
  }

  /// All elements of a dataset of integers, row-major.
  ///
  /// - Throws: `HDF5Error` when it is missing, holds floats or cannot be read.
  package func readInt64s(_ path: String) throws -> [Int64] {
    let dataset = try dataset(path)
    // Unsigned ones of 64 bits would be clipped in silence.
    guard !dataset.type.isFloat, dataset.type != .uint64 else {
      throw wrongType(dataset, expected: "integers within 64 bits")
    }
    return try values(dataset, as: MMOE_H5_INT64)
  }

  /// All elements of a dataset of uint8.
  ///
  /// - Throws: `HDF5Error` when it is missing, has another type or cannot be read.
  package func readBytes(_ path: String) throws -> [UInt8] {
    let dataset = try dataset(path)
    guard dataset.type == .uint8 else { throw wrongType(dataset, expected: "uint8") }
    return try values(dataset, as: MMOE_H5_UINT8)
  }

  private func wrongType(_ dataset: HDF5Dataset, expected: String) -> HDF5Error {
    HDF5Error(.mismatch, file, found: "dataset '\(dataset.path)': holds \(dataset.type.rawValue), \(expected) expected")
  }

  /// Allocates for what the index has checked against the file's length.
  private func values<Element: BitwiseCopyable>(
    _ dataset: HDF5Dataset, as type: mmoe_h5_type
  ) throws -> [Element] {
    try [Element](unsafeUninitializedCapacity: dataset.count) { buffer, count in
      guard let start = buffer.baseAddress, dataset.count > 0 else { return }
      try read(dataset, as: type, into: start)
      count = dataset.count
    }
  }

  private func read(
    _ dataset: HDF5Dataset, as type: mmoe_h5_type, into destination: UnsafeMutableRawPointer
  ) throws {
    guard dataset.count > 0 else { return }
    let owner = owner(of: dataset)
    guard owner === self else { return try owner.read(owner.dataset(dataset.path), as: type, into: destination) }
    if type == MMOE_H5_FLOAT32, dataset.type == .float32, let place = dataset.fileOffset,
      dataset.count * 4 >= Self.piece
    {
      return try read(dataset, at: place, into: destination)
    }
    try HDF5Library.shared.call(file, .refused) { fault in
      succeeded(
        mmoe_h5_read(id, dataset.path, type, UInt64(dataset.count), destination, fault))
    }
  }

  /// What one thread copies at a time.
  private static let piece = 1 << 20

  /// Reads a large dataset that is stored as it is in memory, on all cores.
  private func read(_ dataset: HDF5Dataset, at place: Int, into destination: UnsafeMutableRawPointer) throws {
    let bytes = dataset.count * 4
    let status = Atomic<Int32>(0)
    nonisolated(unsafe) let destination = destination
    DispatchQueue.concurrentPerform(iterations: (bytes + Self.piece - 1) / Self.piece) { number in
      let start = number * Self.piece
      let found = mmoe_read_all(
        open.descriptor, destination + start, min(Self.piece, bytes - start), UInt64(place + start))
      if found != 0 { status.store(found, ordering: .relaxed) }
    }
    let found = status.load(ordering: .relaxed)
    guard found == 0 else {
      throw HDF5Error(
        .unreadable, file,
        found:
          "dataset '\(dataset.path)': \(found < 0 ? "the file became shorter while it was read" : systemReason(found))")
    }
  }
}
