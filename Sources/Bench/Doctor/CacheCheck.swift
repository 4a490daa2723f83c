import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport

/// What is kept that can be made again.
enum CacheCheck {
  static func run() -> Finding { finding(ProjectHome.cache, earlier: ProjectHome.generated) }

  /// - Parameters:
  ///   - cache: where such data is made.
  ///   - earlier: where data sets that are there already are used.
  static func finding(_ cache: String, earlier: String) -> Finding {
    var finding = Finding("caches")
    var values: [JSONValue] = []
    let folders = cache == earlier ? [cache] : [cache, earlier]
    for (index, folder) in folders.enumerated() {
      let entries = CacheCheck.entries(of: folder)
      guard index == 0 || !entries.isEmpty else { continue }
      if index == 1, let tokens = entries.first(where: { $0.name == "tokens" }) {
        finding.notes.append(
          "\(folder)/tokens (\(HumanFormat.bytes(tokens.bytes))) is of an earlier version and not used any more; remove it"
        )
      }
      let sizes = entries.map { "\($0.name) \(HumanFormat.bytes($0.bytes))" }
      finding.lines.append(
        "\(folder)\(index == 0 ? "" : " (only read)"): "
          + (sizes.isEmpty ? "empty" : sizes.joined(separator: ", ")))
      values.append(
        .object([
          "path": .string(folder), "written": .bool(index == 0),
          "entries": .object(Dictionary(uniqueKeysWithValues: entries.map { ($0.name, JSONValue.int($0.bytes)) })),
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
