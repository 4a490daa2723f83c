import CHDF5
import Foundation
import MMoEFiles

/// An HDF5 file whose tree has been checked, open for reading. Safe to use from several threads.
///
/// Paths join groups and name with `/`; a leading one is optional, and dots belong to names.
package final class HDF5Reader: Sendable {
  /// The path that it was opened by, as errors name it.
  package let file: String
  /// The file's length, without its parts.
  package let bytes: Int
  let id: mmoe_h5_id
  let open: OpenFile
  private let index: HDF5Index
  /// Files beside this one that have some of its datasets, by name.
  private let parts: [ExactName: HDF5Reader]

  /// Opens a checkpoint after verifying that it is complete and unchanged.
  ///
  /// Its parts are opened and verified too.
  ///
  /// - Throws: `HDF5Error`, see `CheckpointFile.verify`; also for a part that is missing, or is not the one that belongs
  ///   to this file.
  package convenience init(checkpoint path: String) throws {
    let file = try OpenFile(reading: path)
    _ = try CheckpointFile.verify(file, path)
    try HDF5Reader.probe(file, path)
    try self.init(file, path, bytes: file.length, allowsParts: true)
  }

  /// Opens a part of the checkpoint `owner`. It has no parts itself.
  private convenience init(part: CheckpointPart, of owner: String) throws {
    let path = FilePath.join(FilePath.folder(of: owner), part.name)
    let file = try OpenFile(reading: path)
    let found = try CheckpointFile.verify(file, path)
    guard found.bytes == part.bytes, found.checksum == part.checksum else {
      throw HDF5Error(
        .damaged, path,
        found:
          "of another step than \(owner): checksum \(CheckpointFile.hex(found.checksum)) found, \(CheckpointFile.hex(part.checksum)) expected",
        remedy: "copy both again or use an earlier checkpoint")
    }
    try HDF5Reader.probe(file, path)
    try self.init(file, path, bytes: file.length, allowsParts: false)
  }

  /// Opens any other HDF5 file. A child process reads it first and makes a clean copy in memory,
  /// since the HDF5 library may crash on malformed files.
  ///
  /// The copy keeps numbers of all kinds and sizes (16-bit floats become 32-bit ones) and
  /// attributes that are one string or number. The file must not be larger than 4 GiB.
  ///
  /// - Parameter seconds: how long the child may take; other HDF5 work waits for it.
  /// - Throws: `HDF5Error` when the file is malformed, holds something that is refused (links that
  ///   leave the file or point inside it, virtual or external storage, filters other than deflate,
  ///   shuffle and fletcher32, elements other than numbers), or crashes the library.
  package convenience init(foreign path: String, seconds: Double = 30) throws {
    let original = try OpenFile(reading: path)
    guard original.length <= Self.largestForeignFile else {
      throw HDF5Error(
        .refused, path, "\(original.length) bytes; expected at most \(Self.largestForeignFile)")
    }
    let copy = try HDF5Library.shared.call(path, .refused) { fault -> Int32? in
      let descriptor = mmoe_h5_copy_foreign(
        original.descriptor, UInt64(original.length), seconds, fault)
      return descriptor >= 0 ? descriptor : nil
    }
    let file = OpenFile(descriptor: copy)
    try self.init(file, path, bytes: file.length, allowsParts: false)
  }

  private static let largestForeignFile = 4 << 30

  /// A checksum says that a checkpoint is whole, not who made it: a stranger's may be whole and malformed. So a child
  /// process walks through the tree first, which is small.
  private static func probe(_ file: OpenFile, _ path: String) throws {
    _ = try HDF5Library.shared.call(path, .refused) { fault -> Bool? in
      mmoe_h5_probe(file.descriptor, UInt64(file.length), 30, fault) ? true : nil
    }
  }

  private init(_ open: OpenFile, _ path: String, bytes: Int, allowsParts: Bool) throws {
    let id = try HDF5Library.shared.call(path, .refused) { fault in
      valid(mmoe_h5_open(open.descriptor, fault))
    }
    self.id = id
    self.open = open
    self.bytes = bytes
    file = path
    do {
      var index = try HDF5Index(id, file: path, bytes: bytes, allowsParts: allowsParts)
      parts = try HDF5Reader.parts(index.parts, of: path, id)
      try index.complete(from: parts)
      self.index = index
    } catch {
      HDF5Library.shared.sync { mmoe_h5_end_reading(id) }
      throw error
    }
  }

  /// Opens the files that links name.
  private static func parts(
    _ names: Set<ExactName>, of path: String, _ id: mmoe_h5_id
  ) throws -> [ExactName: HDF5Reader] {
    guard !names.isEmpty else { return [:] }
    let text = try HDF5Library.shared.call(path, .refused) { fault -> String? in
      var value = mmoe_h5_attribute()
      guard mmoe_h5_read_attribute(id, "/", CheckpointPart.attribute, &value, fault) else { return nil }
      defer { mmoe_h5_free(value.text) }
      return value.text.map { String(cString: $0) } ?? ""
    }
    let known = text.split(separator: "\n").compactMap { CheckpointPart(line: $0) }
    var parts: [ExactName: HDF5Reader] = [:]
    for name in names.sorted() {
      guard let part = known.first(where: { ExactName($0.name) == name }) else {
        throw HDF5Error(
          .refused, path, found: "links to \(name.text), which its attribute \(CheckpointPart.attribute) does not name")
      }
      parts[name] = try HDF5Reader(part: part, of: path)
    }
    return parts
  }

  /// The files that this one consists of, itself first.
  package var files: [(file: String, bytes: Int)] {
    [(file, bytes)] + parts.sorted { $0.key < $1.key }.map { ($0.value.file, $0.value.bytes) }
  }

  /// The file that has a dataset of the index.
  func owner(of dataset: HDF5Dataset) -> HDF5Reader { index.part(of: dataset.path).flatMap { parts[$0] } ?? self }

  deinit {
    HDF5Library.shared.sync { mmoe_h5_end_reading(id) }
  }

  /// All datasets of the file, parents before members and by increasing name.
  package var datasets: [HDF5Dataset] { index.datasets }

  /// Whether there is a group or dataset at `path`.
  package func exists(_ path: String) -> Bool {
    let path = normalized(path)
    return index.dataset(path) != nil || index.members(path) != nil
  }

  /// The members of a group by increasing name; "" is the root.
  ///
  /// - Throws: `HDF5Error` when there is no such group.
  package func list(_ group: String) throws -> [HDF5Entry] {
    guard let members = index.members(normalized(group)) else {
      throw HDF5Error(.missing, file, found: "no group '\(group)'")
    }
    return members
  }

  /// Type, shape and place of a dataset.
  ///
  /// - Throws: `HDF5Error` when there is no such dataset.
  package func dataset(_ path: String) throws -> HDF5Dataset {
    guard let dataset = index.dataset(normalized(path)) else {
      let found = index.members(normalized(path)) == nil ? "no dataset" : "a group, not a dataset:"
      throw HDF5Error(.missing, file, found: "\(found) '\(path)'")
    }
    return dataset
  }

  /// Extents of a dataset, empty for a scalar.
  ///
  /// - Throws: `HDF5Error` when there is no such dataset.
  package func shape(_ path: String) throws -> [Int] { try dataset(path).shape }
}
