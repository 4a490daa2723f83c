import Foundation
import MMoEFiles

/// The files of a folder of pairs, and which of them a line means.
struct PairFiles {
  private let folder: String
  private let root: String
  private let files: [String]
  private let walked: LeftOut
  /// By name, whichever of Unicode's forms a line has it in.
  private let byName: [String: String]
  /// Paths without links of the files that lines name.
  private var real: Set<String> = []

  init(_ walk: FolderWalk, in folder: String) {
    self.folder = folder
    root = PairFiles.resolved(folder) ?? folder
    files = walk.files
    walked = walk.leftOut
    byName = Dictionary(walk.files.map { ($0, $0) }) { first, _ in first }
  }

  /// The path below the folder of the file that a line names.
  ///
  /// - Throws: `DataError` for a file that is missing, or outside of the folder by its name or by a link.
  mutating func find(_ name: String, _ field: String, place: String) throws -> String {
    let parts = name.split(separator: "/").filter { $0 != "." }
    guard !name.hasPrefix("/"), !parts.isEmpty, !parts.contains("..") else {
      throw DataError(
        place, field: "the \(field)", found: "\(name)", expected: "the name of a file below \(folder)",
        remedy: "copy it there and name it without .. and a leading /")
    }
    let plain = parts.joined(separator: "/")
    var isFolder: ObjCBool = false
    let found = [plain, byName[plain] ?? plain].first {
      FileManager.default.fileExists(atPath: FilePath.join(folder, $0), isDirectory: &isFolder)
    }
    guard let found, !isFolder.boolValue, let path = PairFiles.resolved(FilePath.join(folder, found)) else {
      throw DataError(place, found: "the file \(folder)/\(name) is missing", remedy: "add it or remove the line")
    }
    guard path.hasPrefix(root == "/" ? root : root + "/") else {
      throw DataError(
        place, found: "\(folder)/\(found) is a link to \(path)", expected: "a file below \(folder)",
        remedy: "copy it there")
    }
    real.insert(path)
    return found
  }

  /// The files that a record names, as they are called below the folder.
  ///
  /// - Throws: `DataError` for files that are missing or too many, and for a field of files that no format reads.
  mutating func find(_ record: PairRecord) throws -> [String: [String]] {
    for (field, values) in record.otherFields {
      guard let value = values.first(where: isFile) else { continue }
      throw DataError(
        record.place, field: "the field \(field)",
        found: "the file \(value), but nothing that reads \(field) is registered",
        expected: SampleFormat.registry.names.joined(separator: " or "), remedy: "mend its name or leave the field out")
    }
    var found: [String: [String]] = [:]
    for format in SampleFormat.registry.values {
      guard let names = record.files[format.field] else { continue }
      guard format.allowsSeveral || names.count == 1 else {
        throw DataError(
          record.place, field: "the field \(format.field)", found: "a list of \(names.count)", expected: "one file",
          remedy: "give every one a line of its own")
      }
      for name in names {
        let path = try find(name, format.field, place: record.place)
        if !found[format.field, default: []].contains(path) { found[format.field, default: []].append(path) }
      }
    }
    return found
  }

  /// What no description has in its names: endings of files that models learn from.
  private static let suffixes: Set<String> = [
    "png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "wav", "flac", "mp3", "ogg", "opus", "m4a", "mp4", "avi",
    "mov", "mkv", "webm", "npy", "npz", "pt", "ply", "obj",
  ]

  /// Whether a value means a file of the folder: one that is there, or that is called like one.
  private func isFile(_ value: String) -> Bool {
    byName[value] != nil
      || (!value.contains("://") && PairFiles.suffixes.contains(ImageFormat.suffix(of: value))
        && value.contains("."))
  }

  /// Every file below the folder that one of the lines' formats reads must be named: one that is not would be passed over
  /// silently.
  ///
  /// - Parameter formats: of the fields that lines have.
  /// - Returns: the other files, which are left out.
  /// - Throws: `DataError` naming a file without a line.
  func requireCaptions(named: [String], formats: [SampleFormat]) throws -> LeftOut {
    let kinds = formats.map(\.kinds).joined(separator: " or ")
    let named = Set(named)
    var leftOut = walked
    var missing: [String] = []
    for name in files where name != PairFolder.fileName && !named.contains(name) {
      if !formats.contains(where: { $0.reads(name) }) {
        leftOut.add("files that are no \(kinds) by their names", name)
      } else if !(PairFiles.resolved(FilePath.join(folder, name)).map(real.contains) ?? false) {
        missing.append(name)
      }
    }
    guard let first = missing.first else { return leftOut }
    throw DataError(
      "\(folder)/\(first)",
      found:
        "no line of \(PairFolder.fileName) names it\(missing.count > 1 ? " (nor \(missing.count - 1) other \(kinds) files)" : "")",
      remedy: "add captions, or remove the file")
  }

  private static func resolved(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
