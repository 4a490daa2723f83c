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
  mutating func find(_ name: String, place: String) throws -> String {
    let parts = name.split(separator: "/").filter { $0 != "." }
    guard !name.hasPrefix("/"), !parts.isEmpty, !parts.contains("..") else {
      throw DataError(
        place, field: "the image", found: "\(name)", expected: "the name of a file below \(folder)",
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

  /// Every PNG file below the folder must be named: one that is not would be passed over silently.
  ///
  /// - Returns: the other files, which are left out.
  /// - Throws: `DataError` naming a PNG file without a line.
  func requireCaptions(named: [String]) throws -> LeftOut {
    let named = Set(named)
    var leftOut = walked
    var missing: [String] = []
    for name in files where name != PairFolder.fileName && !named.contains(name) {
      if !ImageFormat.reads(name) {
        leftOut.add("files that are no \(ImageFormat.names) by their names", name)
      } else if !(PairFiles.resolved(FilePath.join(folder, name)).map(real.contains) ?? false) {
        missing.append(name)
      }
    }
    guard let first = missing.first else { return leftOut }
    throw DataError(
      "\(folder)/\(first)",
      found:
        "no line of \(PairFolder.fileName) names it\(missing.count > 1 ? " (nor \(missing.count - 1) other \(ImageFormat.names) files)" : "")",
      remedy: "add captions, or remove the file")
  }

  private static func resolved(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
