import Foundation

/// Programs of others that `scripts/test --with-peers` installs and compares with.
public enum Peers {
  /// Why tests that need them are skipped elsewhere.
  public static let reason: String = "needs the programs of others: scripts/test --with-peers"

  /// Python with the packages of `Tests/Peers/requirements.txt`; nil without `--with-peers`.
  public static let python = ProcessInfo.processInfo.environment["MMOE_PEERS"].map { $0 + "/bin/python" }

  /// Whether they are there.
  public static var arePresent: Bool { python != nil }

  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  /// What a script of `Tests/Peers` prints.
  public static func run(_ script: String, _ arguments: [String]) throws -> Data {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return try output(of: python ?? "python3", [folder.appending(path: "Peers/\(script)").path] + arguments)
  }

  /// What a program prints.
  ///
  /// - Throws: `Failure` with its status and the end of what it says.
  public static func output(of program: String, _ arguments: [String]) throws -> Data {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [program] + arguments
    let (output, errors) = (Pipe(), FileManager.default.temporaryDirectory.appending(path: UUID().uuidString))
    FileManager.default.createFile(atPath: errors.path, contents: nil)
    defer { try? FileManager.default.removeItem(at: errors) }
    process.standardOutput = output
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      let said = String(decoding: (try? Data(contentsOf: errors)) ?? Data(), as: UTF8.self)
      throw Failure(description: "\(program) ended with \(process.terminationStatus): \(said.suffix(2000))")
    }
    return data
  }
}
