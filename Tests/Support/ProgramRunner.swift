import Foundation

/// Runs the `mmoe` program that was built beside the tests.
public enum ProgramRunner {
  public struct Result: Sendable {
    public let status: Int32
    public let output: String
    public let errors: String
  }

  /// The program's path: the test runner lies in the same build folder.
  public static let program: String = {
    let runner =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: runner).deletingLastPathComponent().appendingPathComponent("mmoe").path
  }()

  /// The package's folder.
  public static let package: String = {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
  }()

  /// Runs a program to its end.
  ///
  /// - Parameter output: takes standard output, which the result then lacks.
  public static func run(
    _ arguments: [String], program: String = ProgramRunner.program, in folder: String? = nil,
    environment: [String: String] = [:], output: FileHandle? = nil
  ) throws -> Result {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, own in own }
    if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
    // Files, not pipes: a pipe that nobody reads would stop the program.
    let base = NSTemporaryDirectory() + "mmoe-output-" + UUID().uuidString
    let (out, err) = (base + ".out", base + ".err")
    defer { for file in [out, err] { unlink(file) } }
    for file in [out, err] { try Data().write(to: URL(fileURLWithPath: file)) }
    process.standardOutput = output ?? FileHandle(forWritingAtPath: out)
    process.standardError = FileHandle(forWritingAtPath: err)
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return Result(
      status: process.terminationReason == .exit
        ? process.terminationStatus : 128 + process.terminationStatus,
      output: (try? String(contentsOfFile: out, encoding: .utf8)) ?? "",
      errors: (try? String(contentsOfFile: err, encoding: .utf8)) ?? "")
  }
}
