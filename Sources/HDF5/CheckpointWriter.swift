import CHDF5
import Foundation
import MMoEFiles

/// Writes one checkpoint: an HDF5 file behind mmoe's user block, under a temporary name until
/// `finish` has made it durable.
///
/// The same content written in the same order gives the same bytes. After any error the temporary
/// file is gone, an earlier file of the name is unchanged, and further calls throw. Not for use
/// from several threads at once; it may be used on any one.
package final class CheckpointWriter {
  private let file: String
  private let temporary: DurableFile
  /// The same file, as HDF5 and checksums see it.
  private let open: OpenFile
  /// nil once the file is complete, abandoned or failed.
  private var id: mmoe_h5_id?
  private var postponed: [Postponed] = []
  private var parts: [CheckpointPart] = []
  /// Writes large datasets; made for the first one.
  private var blocks: BlockWriter?
  private var digests = BlockDigests()
  /// Up to where the disk has been asked for room.
  private var room = 0

  /// A small dataset that must be aligned: HDF5 aligns by size alone, so it gets its storage at the
  /// end, when nothing but such datasets is stored any more.
  private struct Postponed {
    let path: String
    let type: mmoe_h5_type
    let values: [UInt8]
  }

  /// Storage of this many bytes or more, and all that asks for it, starts at a multiple of it.
  package static let alignment = 4096

  /// Starts a checkpoint that will be at `path`, and removes temporary files of dead writers beside
  /// it.
  ///
  /// - Throws: `HDF5Error` when the folder is missing or cannot be written.
  package init(path: String) throws {
    file = path
    do {
      temporary = try DurableFile(path, leftovers: .ofExtension)
    } catch {
      throw HDF5Error(.unwritable, path, error.message)
    }
    let descriptor = dup(temporary.descriptor)
    guard descriptor >= 0 else {
      throw HDF5Error(.unwritable, path, found: "cannot be written: \(systemReason(errno))")
    }
    open = OpenFile(descriptor: descriptor)
    do {
      id = try HDF5Library.shared.call(path, .unwritable) { fault in
        valid(
          mmoe_h5_create(
            open.descriptor, UInt64(UserBlock.size), UInt64(Self.alignment), fault))
      }
    } catch {
      temporary.remove()
      throw error
    }
  }

  deinit { abandon() }

  /// Gives the checkpoint up and removes its temporary file; nothing happens after `finish`.
  package func abandon() {
    guard let id else { return }
    self.id = nil
    _ = blocks?.end()
    blocks = nil
    HDF5Library.shared.sync { mmoe_h5_discard(id) }
    temporary.remove()
  }

  /// Writes a dataset of float32, and the groups above it.
  ///
  /// - Parameters:
  ///   - path: groups and name joined by `/`.
  ///   - values: as many as the product of `shape`, row-major; read before this returns.
  ///   - aligned: start at a multiple of `alignment` in the file, also when smaller than that.
  /// - Throws: `HDF5Error` when the disk is full, the path exists or is no path.
  package func writeFloats(
    _ path: String, shape: [Int], _ values: UnsafePointer<Float>, aligned: Bool = false
  ) throws {
    try write(path, MMOE_H5_FLOAT32, shape, stride: 4, UnsafeRawPointer(values), aligned: aligned)
  }

  /// Writes a dataset of float32; as above.
  ///
  /// - Throws: `HDF5Error`, also when `shape` and the number of values differ.
  package func writeFloats(
    _ path: String, shape: [Int], _ values: [Float], aligned: Bool = false
  ) throws {
    try write(path, MMOE_H5_FLOAT32, shape, values, aligned: aligned)
  }

  /// Writes a dataset of float64.
  ///
  /// - Throws: `HDF5Error`, also when `shape` and the number of values differ.
  package func writeDoubles(_ path: String, shape: [Int], _ values: [Double]) throws {
    try write(path, MMOE_H5_FLOAT64, shape, values, aligned: false)
  }

  /// Writes a dataset of int64.
  ///
  /// - Throws: `HDF5Error`, also when `shape` and the number of values differ.
  package func writeInt64s(_ path: String, shape: [Int], _ values: [Int64]) throws {
    try write(path, MMOE_H5_INT64, shape, values, aligned: false)
  }

  /// Writes a dataset of uint8 with one axis.
  ///
  /// - Throws: `HDF5Error` when the disk is full, the path exists or is no path.
  package func writeBytes(_ path: String, _ values: [UInt8]) throws {
    try write(path, MMOE_H5_UINT8, [values.count], values, aligned: false)
  }

  /// Makes datasets of a part that is complete datasets of this file too.
  ///
  /// - Throws: `HDF5Error` when the disk is full, or a path exists.
  package func link(_ paths: [String], to part: CheckpointPart) throws {
    for path in paths { try call { mmoe_h5_link($0, path, part.name, $1) } }
    parts.append(part)
  }

  /// Sets a string attribute (UTF-8, any length) of a group or dataset that exists; "/" is the
  /// root.
  ///
  /// - Throws: `HDF5Error` when there is no such object, or the attribute exists.
  package func setAttribute(_ name: String, _ value: String, of object: String = "/") throws {
    guard !value.utf8.contains(0) else {
      throw failed("attribute '\(name)': contains a zero byte, which HDF5 strings cannot")
    }
    try call { mmoe_h5_write_string($0, object, name, value, $1) }
  }

  /// Sets an int64 attribute; as above.
  ///
  /// - Throws: `HDF5Error` when there is no such object, or the attribute exists.
  package func setAttribute(_ name: String, _ value: Int, of object: String = "/") throws {
    var stored = Int64(value)
    try call { mmoe_h5_write_number($0, object, name, MMOE_H5_INT64, &stored, $1) }
  }

  /// Sets a float64 attribute; as above.
  ///
  /// - Throws: `HDF5Error` when there is no such object, or the attribute exists.
  package func setAttribute(_ name: String, _ value: Double, of object: String = "/") throws {
    var stored = value
    try call { mmoe_h5_write_number($0, object, name, MMOE_H5_FLOAT64, &stored, $1) }
  }

  /// Completes the file, writes its user block, makes it durable and gives it its name.
  ///
  /// - Returns: the file as a part of another one.
  /// - Throws: `HDF5Error`, with the earlier file of this name unchanged.
  @discardableResult
  package func finish() throws -> CheckpointPart {
    if !parts.isEmpty {
      try setAttribute(CheckpointPart.attribute, parts.map(\.line).joined(separator: "\n"))
    }
    do {
      try complete()
      let length = open.length
      // Gives back the room that was not needed.
      guard ftruncate(open.descriptor, off_t(length)) == 0 else {
        throw failed("cannot be cut to its length: \(systemReason(errno))")
      }
      let checksum = try CheckpointFile.checksum(open, file, end: length, known: digests)
      let block = UserBlock(fileBytes: length, checksum: checksum).encoded
      guard pwrite(open.descriptor, block, block.count, 0) == block.count else {
        throw failed("cannot write its user block: \(systemReason(errno))")
      }
      do { try temporary.commit() } catch { throw HDF5Error(.unwritable, file, error.message) }
      return CheckpointPart(name: FilePath.name(of: file), bytes: length, checksum: checksum)
    } catch {
      temporary.remove()
      throw error
    }
  }
}

extension CheckpointWriter {
  /// Ends the HDF5 part of the work: postponed datasets, metadata, close.
  private func complete() throws {
    let status = blocks?.end() ?? 0
    blocks = nil
    guard status == 0 else { throw failed("cannot be written: \(systemReason(status))\(Self.remedy)") }
    if !postponed.isEmpty {
      try close()
      id = try HDF5Library.shared.call(file, .unwritable, remedy: Self.remedy) { fault in
        valid(mmoe_h5_extend(open.descriptor, UInt64(Self.alignment), fault))
      }
      for dataset in postponed {
        try call { mmoe_h5_fill($0, dataset.path, dataset.type, dataset.values, $1) }
      }
      postponed = []
    }
    try close()
  }

  private func close() throws {
    try call { mmoe_h5_close($0, $1) }
    id = nil
  }

  private func write<Element: BitwiseCopyable>(
    _ path: String, _ type: mmoe_h5_type, _ shape: [Int], _ values: [Element], aligned: Bool
  ) throws {
    guard elements(shape) == values.count else {
      throw failed("dataset '\(path)': \(values.count) values found, shape \(shape) expected")
    }
    try values.withUnsafeBytes {
      try write(
        path, type, shape, stride: MemoryLayout<Element>.stride, $0.baseAddress, aligned: aligned)
    }
  }

  private func write(
    _ path: String, _ type: mmoe_h5_type, _ shape: [Int], stride: Int, _ values: UnsafeRawPointer?,
    aligned: Bool
  ) throws {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard !parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }), !path.utf8.contains(0)
    else {
      throw failed("dataset '\(path)': not a path; expected names joined by '/'")
    }
    guard let count = elements(shape) else {
      throw failed("dataset '\(path)': shape \(shape); expected extents that fit into memory")
    }
    let extents = shape.map { UInt64($0) }
    let bytes = count * stride
    // Such a dataset has a whole block wherever it begins.
    if bytes >= 2 * BlockDigests.block, let values {
      var place: UInt64 = 0
      try call { mmoe_h5_reserve($0, path, type, Int32(shape.count), extents, &place, $1) }
      return try write(path, values, bytes, at: Int(place))
    }
    let postpones = aligned && bytes > 0 && bytes < Self.alignment
    try call {
      mmoe_h5_write(
        $0, path, type, Int32(shape.count), extents, bytes > 0 && !postpones ? values : nil, $1)
    }
    if postpones {
      let copy = [UInt8](UnsafeRawBufferPointer(start: values, count: bytes))
      postponed.append(Postponed(path: path, type: type, values: copy))
    }
  }

  /// Writes a large dataset's values into the storage that HDF5 has reserved for them.
  private func write(_ path: String, _ values: UnsafeRawPointer, _ bytes: Int, at place: Int) throws {
    let whole = BlockDigests.whole(in: place..<place + bytes)
    let (first, last) = (whole.lowerBound * BlockDigests.block, whole.upperBound * BlockDigests.block)
    keepRoom(until: place + bytes)
    let writer = blocks ?? BlockWriter(open)
    blocks = writer
    var status = writer.write(whole, values + (first - place), &digests)
    // The ends share their blocks with neighbors, so they are read again for the checksum: better from the page cache.
    for part in [place..<first, last..<place + bytes] where status == 0 && !part.isEmpty {
      status = mmoe_write_all(
        open.descriptor, values + (part.lowerBound - place), part.count, UInt64(part.lowerBound))
    }
    guard status == 0 else {
      throw failed("cannot write dataset '\(path)': \(systemReason(status))\(Self.remedy)")
    }
  }

  /// Without this every write would get its own piece of the disk, and reading the file would take half as long again.
  private func keepRoom(until end: Int) {
    guard end > room else { return }
    let more = max(end, room + min(room, 256 << 20))
    mmoe_keep_room(open.descriptor, UInt64(room), UInt64(more))
    room = more
  }

  /// Product of the extents; nil when one is negative or the product beyond any memory.
  private func elements(_ shape: [Int]) -> Int? {
    var count = 1
    for extent in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard extent >= 0, !overflow, product < 1 << 48 else { return nil }
      count = product
    }
    return count
  }

  /// Runs a shim function on the open file; abandons the checkpoint when it fails.
  private func call(
    _ function: (mmoe_h5_id, UnsafeMutablePointer<CChar>) -> Bool
  ) throws {
    guard let id else {
      throw HDF5Error(.unwritable, file, found: "the checkpoint is complete or abandoned already")
    }
    do {
      try HDF5Library.shared.call(file, .unwritable, remedy: Self.remedy) {
        succeeded(function(id, $0))
      }
    } catch {
      abandon()
      throw error
    }
  }

  /// Abandons the checkpoint.
  private func failed(_ message: String) -> HDF5Error {
    abandon()
    return HDF5Error(.unwritable, file, message)
  }

  private static let remedy = "; nothing was replaced"
}
