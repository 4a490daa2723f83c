import Foundation
import MMoEFiles

/// A program whose output is read while it runs.
final class ChildProcess {
  private let process = Process()
  private let standardOutput = Pipe()
  private let standardError = Pipe()
  private let ended = DispatchSemaphore(value: 0)

  /// Starts it.
  ///
  /// - Throws: `DataError` where it cannot be.
  init(_ executable: String, _ arguments: [String], input: FileHandle = .nullDevice) throws {
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.standardInput = input
    process.standardOutput = standardOutput
    process.standardError = standardError
    process.terminationHandler = { [ended] _ in ended.signal() }
    do { try process.run() } catch {
      throw DataError(executable, found: "cannot be run (\(error.localizedDescription))")
    }
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  /// What comes next of its output; empty at the end.
  func read(upTo count: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while true {
        let got = Foundation.read(standardOutput.fileHandleForReading.fileDescriptor, buffer.baseAddress, count)
        if got < 0, errno == EINTR { continue }
        guard got >= 0 else { throw DataError("a pipe", found: "cannot be read: \(systemReason(errno))") }
        filled = got
        return
      }
    }
  }

  /// Waits for its end.
  ///
  /// - Returns: the first line that it wrote to standard error, and its exit status; that of a signal is above 128.
  func wait() -> (message: String, status: Int32) {
    let said = (try? standardError.fileHandleForReading.readToEnd()) ?? Data()
    ended.wait()
    let line = String(decoding: said, as: UTF8.self).split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
    return (line, process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus)
  }

  /// Ends it before it is done: at once, since it may have inherited that other signals are blocked.
  func stop() {
    kill(process.processIdentifier, SIGKILL)
    ended.wait()
  }

  /// All of its output, and its exit status.
  func output() throws -> (bytes: [UInt8], status: Int32) {
    var bytes: [UInt8] = []
    while true {
      let more = try read(upTo: 4096)
      guard !more.isEmpty else { break }
      bytes += more
    }
    return (bytes, wait().status)
  }
}
