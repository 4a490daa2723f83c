import Foundation
import MMoEFiles

/// Speech of `espeak-ng`.
struct SpeechProgram: Sendable {
  static let package = "espeak-ng"
  private let executable: String

  /// - Parameter name: a program that takes the arguments of `espeak-ng`, by its name on the `PATH` or its path.
  /// - Throws: `DataError` naming the package when the program is missing.
  init(_ name: String) throws {
    guard let found = name.contains("/") ? name : SearchPath.find(name),
      FileManager.default.isExecutableFile(atPath: found)
    else {
      throw DataError(
        name, found: "no such program",
        remedy:
          "speech comes from a Debian package: sudo apt-get install -y --no-install-recommends \(SpeechProgram.package)"
      )
    }
    executable = found
  }

  /// Speaks a text into a WAV file.
  ///
  /// - Parameter voice: such as `en-us+f3`, an accent with a variant.
  /// - Throws: `DataError` for a program that fails, such as for a voice that it does not have, and one that wrote no recording.
  func speak(_ text: String, voice: String, to path: String) throws {
    let process = Process()
    let messages = Pipe()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = ["-v", voice, "-w", path, "--", text]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = messages
    process.standardError = messages
    let ended = DispatchSemaphore(value: 0)
    process.terminationHandler = { _ in ended.signal() }
    do { try process.run() } catch {
      throw DataError(executable, found: "cannot be run (\(error.localizedDescription))")
    }
    // To the end: a program whose messages nobody reads would wait.
    let said = String(decoding: (try? messages.fileHandleForReading.readToEnd()) ?? Data(), as: UTF8.self)
    ended.wait()
    guard process.terminationReason == .exit, process.terminationStatus == 0 else {
      let line = said.split(whereSeparator: \.isNewline).first.map(String.init) ?? "no message"
      throw DataError(
        executable, found: "status \(process.terminationStatus) for the voice \(voice) (\(line))",
        remedy: "see its voices with `espeak-ng --voices` and choose others")
    }
    _ = try Recording(contentsOf: path)
  }
}
