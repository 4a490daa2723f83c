import Foundation
import MMoEData
import MMoEFiles

/// Where the project's own files are: presets in `configs/`, embedded data in `datasets/`.
package enum ProjectHome {
  /// The folder above the program that holds `configs/`; the program lies in `.build/…`, links are followed. Nil for a program
  /// that was moved elsewhere.
  package static let checkout: String? = {
    let program =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
      ?? CommandLine.arguments[0]
    var folder = URL(fileURLWithPath: program).resolvingSymlinksInPath()
    while folder.path != "/" {
      folder.deleteLastPathComponent()
      let marker = folder.appendingPathComponent("configs/vit-tiny.yaml").path
      if FileManager.default.fileExists(atPath: marker) { return folder.path }
    }
    return nil
  }()

  /// That folder, or the current one.
  package static let path = checkout ?? FileManager.default.currentDirectoryPath

  /// Where data is kept that was made from other data, and can be made again: in the folder that the environment variable
  /// MMOE_CACHE names; else in `$XDG_CACHE_HOME/mmoe`, by default `~/.cache/mmoe`; else, where no home can be written, in
  /// `datasets/generated` of the project.
  package static var cache: String { cache(of: path, ProcessInfo.processInfo.environment) }

  package static func cache(of project: String, _ environment: [String: String]) -> String {
    func named(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    if let own = named("MMOE_CACHE") { return own }
    var candidates: [String] = []
    if let base = named("XDG_CACHE_HOME"), base.hasPrefix("/") {
      candidates = [FilePath.join(base, "mmoe")]
      // A relative path is none, says the specification of base directories. A home that is not there is nobody's.
    } else if let home = named("HOME"), FileManager.default.fileExists(atPath: home) {
      candidates = [FilePath.join(home, ".cache/mmoe")]
    }
    candidates.append(generated(of: project))
    return candidates.first(where: isWritable) ?? candidates[0]
  }

  /// Where earlier versions made such data, and somebody may have made it ready for all users of a checkout.
  package static var generated: String { generated(of: path) }

  private static func generated(of project: String) -> String { FilePath.join(project, "datasets/generated") }

  /// The path of something in the cache: where the project's folder has it, it is used from there.
  package static func cached(_ name: String) -> String {
    let ready = FilePath.join(generated, name)
    let isNamed = !(ProcessInfo.processInfo.environment["MMOE_CACHE"] ?? "").isEmpty
    return !isNamed && FileManager.default.fileExists(atPath: ready) ? ready : FilePath.join(cache, name)
  }

  /// The folder for the files of a public set that is fetched: beside those that users put there, or in the cache.
  package static func external(_ name: String) -> String {
    let own = FilePath.join(path, "datasets/external")
    let isNamed = !(ProcessInfo.processInfo.environment["MMOE_CACHE"] ?? "").isEmpty
    return FilePath.join(!isNamed && isWritable(own) ? own : FilePath.join(cache, "external"), name)
  }

  /// Runs what may fill the cache. Where that fails since nothing can be written there, the error says what to do.
  package static func filling<Result>(_ folder: String = cache, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch  where (error is DataError || error is FileFailure) && "\(error)".hasPrefix(folder) && !isWritable(folder) {
      throw DataError("\(error), or set MMOE_CACHE to a folder that can be written")
    }
  }

  /// Whether a folder, or the nearest one above it that exists, can be written.
  private static func isWritable(_ folder: String) -> Bool {
    if access(folder, W_OK) == 0 { return true }
    let parent = FilePath.folder(of: folder)
    return errno == ENOENT && parent != folder && isWritable(parent)
  }

  /// The presets that come with the project.
  package static var presets: PresetLoader { PresetLoader(directories: [path + "/configs"]) }
}
