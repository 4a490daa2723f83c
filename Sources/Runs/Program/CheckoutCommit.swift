import Foundation
import MMoEFiles

/// The commit that a program was built from, as far as the checkout that it stands in tells.
///
/// It is looked up when somebody asks, so that a commit makes no build do anything. The sources are those of the program
/// as long as none of them is newer than it, which is how a build decides, too.
struct CheckoutCommit: Equatable {
  /// Whether the sources are those of the commit.
  enum Sources: Equatable {
    case committed, changed
    /// git is not installed, or may not look into somebody else's checkout.
    case unknown
    /// They were written after the program.
    case newer
  }

  let hash: String
  let sources: Sources

  /// Twelve digits, and what else must be known of the sources.
  var short: String { hash.prefix(12) + words }
  var long: String { hash + words }

  private var words: String {
    switch sources {
    case .committed: ""
    case .changed: " with uncommitted changes"
    case .unknown: ", perhaps with uncommitted changes"
    case .newer: " or an earlier one: sources are newer than the program"
    }
  }

  /// - Parameters:
  ///   - program: its file.
  ///   - project: the folder above it with the project's files; nil where there is none.
  /// - Returns: nil where the sources are not there, or in no repository.
  init?(of program: String, project: String?) {
    guard let project else { return nil }
    // In the cache of a checkout that cannot be written, the folders are links into it.
    let sources = FilePath.resolved(FilePath.join(project, "Sources"))
    let checkout = FilePath.folder(of: sources)
    guard FileManager.default.fileExists(atPath: sources),
      let hash = CheckoutCommit.head(of: checkout)
    else { return nil }
    self.hash = hash
    let built = CheckoutCommit.modified(program)
    let paths = FileManager.default.enumerator(atPath: sources)?.compactMap { $0 as? String } ?? []
    let files = paths.map { FilePath.join(sources, $0) } + [FilePath.join(checkout, "Package.swift")]
    self.sources =
      files.contains { CheckoutCommit.modified($0) > built } ? .newer : CheckoutCommit.changes(in: checkout)
  }

  /// Seconds since 1970.
  private static func modified(_ file: String) -> Double {
    var status = stat()
    guard stat(file, &status) == 0 else { return 0 }
    return Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) / 1e9
  }

  /// The commit that a checkout is at. Read without git, which may not be installed and refuses other people's checkouts.
  static func head(of checkout: String) -> String? {
    func text(_ file: String) -> String? {
      (try? String(contentsOfFile: file, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
    }
    func hash(_ text: String?) -> String? { text.flatMap { $0.count >= 40 && $0.allSatisfy(\.isHexDigit) ? $0 : nil } }
    var folder = FilePath.join(checkout, ".git")
    // Of a further work tree it is a file that names the folder.
    if let pointer = text(folder), pointer.hasPrefix("gitdir: ") {
      let named = String(pointer.dropFirst("gitdir: ".count))
      folder = named.hasPrefix("/") ? named : FilePath.join(checkout, named)
    }
    guard let head = text(FilePath.join(folder, "HEAD")) else { return nil }
    guard head.hasPrefix("ref: ") else { return hash(head) }
    let name = String(head.dropFirst("ref: ".count))
    let common = text(FilePath.join(folder, "commondir")).map { $0.hasPrefix("/") ? $0 : FilePath.join(folder, $0) }
    for place in [folder, common ?? folder] {
      if let found = hash(text(FilePath.join(place, name))) { return found }
      let packed = (text(FilePath.join(place, "packed-refs")) ?? "").split(separator: "\n")
      if let line = packed.first(where: { $0.hasSuffix(" " + name) }) {
        return hash(line.split(separator: " ").first.map(String.init))
      }
    }
    return nil
  }

  private static func changes(in checkout: String) -> Sources {
    guard let git = SearchPath.find("git") else { return .unknown }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: git)
    // Without locks: another git may be at work there. No program that the checkout's settings name is started.
    process.arguments = [
      "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", checkout, "status", "--porcelain", "--", "Sources",
      "Package.swift",
    ]
    let output = Pipe()
    (process.standardOutput, process.standardError) = (output, FileHandle.nullDevice)
    process.standardInput = FileHandle.nullDevice
    // A caller within a hook of another repository has variables that name that one.
    process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("GIT_") }
    guard (try? process.run()) != nil else { return .unknown }
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationReason == .exit, process.terminationStatus == 0 else { return .unknown }
    return text.isEmpty ? .committed : .changed
  }
}
