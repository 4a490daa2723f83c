import Foundation

/// Programs that draw, as child processes.
package enum DrawingProgram {
  /// Runs a program in a folder to its end.
  ///
  /// - Parameter timeout: seconds after which it is stopped.
  /// - Returns: what went wrong, in one line; empty if nothing did.
  package static func run(
    _ executable: String, _ arguments: [String], in folder: URL, timeout: Double
  ) throws -> String {
    // Messages go to a file: a pipe that nobody reads would block the program once full.
    let messages = folder.appendingPathComponent("messages.txt")
    try Data().write(to: messages)
    let output = try FileHandle(forWritingTo: messages)
    defer { try? output.close() }

    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.currentDirectoryURL = folder
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    let ended = DispatchSemaphore(value: 0)
    process.terminationHandler = { _ in ended.signal() }
    try process.run()
    guard ended.wait(timeout: .now() + timeout) == .success else {
      kill(process.processIdentifier, SIGKILL)
      // Not for ever: where the system refuses a thread, nobody hears of the end.
      _ = ended.wait(timeout: .now() + 1)
      return "not done after \(HumanFormat.duration(timeout)), so it was stopped"
    }
    if process.terminationReason == .exit, process.terminationStatus == 0 { return "" }
    let text = (try? String(contentsOf: messages, encoding: .utf8)) ?? ""
    let lines = text.split(whereSeparator: \.isNewline)
      .map { $0.trimmingCharacters(in: .whitespaces) }
      .filter { !$0.isEmpty && $0 != "^" }
    return lines.isEmpty
      ? "it ended with status \(process.terminationStatus)" : lines.suffix(2).joined(separator: " ")
  }
}
