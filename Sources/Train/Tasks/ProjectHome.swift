import Foundation

/// Where the project's own files are: presets in `configs/`, embedded data in `datasets/`.
public enum ProjectHome {
  /// The folder above the program that holds `configs/`; the program lies in `.build/…`, links are followed.
  public static let path: String = {
    let program =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
      ?? CommandLine.arguments[0]
    var folder = URL(fileURLWithPath: program).resolvingSymlinksInPath()
    while folder.path != "/" {
      folder.deleteLastPathComponent()
      let marker = folder.appendingPathComponent("configs/vit-tiny.yaml").path
      if FileManager.default.fileExists(atPath: marker) { return folder.path }
    }
    return FileManager.default.currentDirectoryPath
  }()

  /// Where data is kept that was made from other data, and can be made again: below the project's folder, or in the
  /// folder that the environment variable MMOE_CACHE names, for a project that several users share.
  public static var cache: String {
    ProcessInfo.processInfo.environment["MMOE_CACHE"].flatMap { $0.isEmpty ? nil : $0 } ?? path + "/datasets/generated"
  }

  /// The presets that come with the project.
  public static var presets: PresetLoader { PresetLoader(directories: [path + "/configs"]) }
}
