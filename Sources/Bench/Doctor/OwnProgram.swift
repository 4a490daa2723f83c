import Foundation

/// This program once more, as a child with a time limit.
enum OwnProgram {
  struct Result: Sendable {
    let status: Int32
    let output: String
    let errors: String
    /// Whether it was ended because it took too long.
    let isLate: Bool
  }

  /// - Parameters:
  ///   - environment: variables beside this process's own.
  ///   - timeout: seconds after which it is ended.
  /// - Returns: nil where it cannot be started.
  static func run(_ arguments: [String], environment: [String: String] = [:], timeout: Double) -> Result? {
    let manager = FileManager.default
    let folder = manager.temporaryDirectory.appendingPathComponent("mmoe-doctor-\(UUID().uuidString)")
    guard (try? manager.createDirectory(at: folder, withIntermediateDirectories: true)) != nil else { return nil }
    defer { try? manager.removeItem(at: folder) }
    // Files, not pipes: one that nobody reads would stop it.
    let files = ["output", "errors"].map { folder.appendingPathComponent($0) }
    for file in files where !manager.createFile(atPath: file.path, contents: nil) { return nil }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, own in own }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try? FileHandle(forWritingTo: files[0])
    process.standardError = try? FileHandle(forWritingTo: files[1])
    let ended = DispatchSemaphore(value: 0)
    process.terminationHandler = { _ in ended.signal() }
    guard (try? process.run()) != nil else { return nil }
    let isLate = ended.wait(timeout: .now() + timeout) != .success
    if isLate {
      kill(process.processIdentifier, SIGKILL)
      // Not for ever: where the system refuses a thread, nobody hears of the end.
      _ = ended.wait(timeout: .now() + 1)
    }
    let texts = files.map { (try? String(contentsOf: $0, encoding: .utf8)) ?? "" }
    return Result(
      status: isLate ? SIGKILL : process.terminationStatus, output: texts[0], errors: texts[1], isLate: isLate)
  }
}
