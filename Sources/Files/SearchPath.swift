import Foundation

/// Programs by their names.
package enum SearchPath {
  /// The path of a program; nil where it is not installed.
  ///
  /// - Parameter searchPath: the folders to look in, as in `PATH`, which is the default.
  package static func find(_ name: String, searchPath: String? = nil) -> String? {
    let path = searchPath ?? ProcessInfo.processInfo.environment["PATH"] ?? ""
    return path.split(separator: ":").map { "\($0)/\(name)" }
      .first(where: FileManager.default.isExecutableFile(atPath:))
  }
}
