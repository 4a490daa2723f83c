import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport

/// What is kept that can be made again.
enum CacheCheck {
  static func run() -> Finding { finding(ProjectHome.caches) }

  /// - Parameter folders: the one that is written first, then those that are only read.
  static func finding(_ folders: [String]) -> Finding {
    var finding = Finding("caches")
    var values: [JSONValue] = []
    for (index, folder) in folders.enumerated() {
      let entries = entries(of: folder)
      guard index == 0 || !entries.isEmpty else { continue }
      let sizes = entries.map { "\($0.name) \(HumanFormat.bytes($0.bytes))" }
      finding.lines.append(
        "\(folder)\(index == 0 ? "" : " (only read)"): "
          + (sizes.isEmpty ? "empty" : sizes.joined(separator: ", ")))
      values.append(
        .object([
          "path": .string(folder), "written": .bool(index == 0),
          "entries": .object(Dictionary(uniqueKeysWithValues: entries.map { ($0.name, .int($0.bytes)) })),
        ]))
    }
    finding.values["folders"] = .array(values)
    return finding
  }

  private static func entries(of folder: String) -> [(name: String, bytes: Int)] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0 != ".gitkeep" && $0 != ".gitignore" }.sorted().map {
      ($0, bytes(below: FilePath.join(folder, $0)))
    }
  }

  /// What a file, or all files of a folder, take of the disk. Links count as themselves.
  private static func bytes(below path: String) -> Int {
    func own(_ path: String) -> Int {
      var status = stat()
      return lstat(path, &status) == 0 ? Int(status.st_blocks) * 512 : 0
    }
    let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
    return names.reduce(own(path)) { $0 + own(FilePath.join(path, $1)) }
  }
}
