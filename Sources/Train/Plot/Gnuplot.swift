import Foundation

/// Draws PNG files with gnuplot (Debian: `gnuplot-nox`, fonts `fonts-dejavu-core`) as a child
/// process.
public struct Gnuplot: Sendable {
  /// The program's path.
  public let executable: String

  /// Finds gnuplot; nil where it is not installed.
  ///
  /// - Parameter searchPath: the folders to look in, as in `PATH`, which is the default.
  public init?(searchPath: String? = nil) {
    let path = searchPath ?? ProcessInfo.processInfo.environment["PATH"] ?? ""
    let candidates = path.split(separator: ":").map { "\($0)/gnuplot" }
    guard let found = candidates.first(where: FileManager.default.isExecutableFile(atPath:))
    else { return nil }
    executable = found
  }

  /// Runs a script that draws one picture, and puts the picture in place under its final name in
  /// one step: whoever looks sees the old file or the new one, whole.
  ///
  /// - Parameters:
  ///   - script: gnuplot commands with their data in data blocks, without `set terminal` and
  ///     `set output`.
  ///   - file: the PNG file to write.
  ///   - size: the picture's size in pixels.
  ///   - timeout: seconds after which gnuplot is stopped.
  public func render(
    _ script: String, to file: String, size: (width: Int, height: Int), timeout: Double = 60
  ) throws(PlotError) {
    do {
      try draw(script, to: file, size: size, timeout: timeout)
    } catch let error as PlotError {
      throw error
    } catch {
      throw PlotError("\(file): cannot be written (\(systemReason(of: error)))")
    }
  }

  private func draw(
    _ script: String, to file: String, size: (width: Int, height: Int), timeout: Double
  ) throws {
    let manager = FileManager.default
    let folder = manager.temporaryDirectory.appendingPathComponent("mmoe-plot-\(UUID().uuidString)")
    try manager.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? manager.removeItem(at: folder) }

    let head = """
      set terminal pngcairo size \(size.width),\(size.height) font 'DejaVu Sans,13' linewidth 1.4
      set output 'plot.png'
      set encoding utf8

      """
    try Data((head + script).utf8).write(to: folder.appendingPathComponent("plot.gp"))
    let complaint = try run(in: folder, timeout: timeout)

    let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47]
    let picture = try? Data(contentsOf: folder.appendingPathComponent("plot.png"))
    guard complaint.isEmpty, let picture, picture.starts(with: signature) else {
      let reason = complaint.isEmpty ? "it drew nothing" : complaint
      throw PlotError("\(file): gnuplot failed: \(reason)")
    }
    // `atomic` writes beside the final name and renames.
    try picture.write(to: URL(fileURLWithPath: file), options: .atomic)
  }

  /// Runs `plot.gp` in its folder. Returns what went wrong, in one line; empty if nothing did.
  private func run(in folder: URL, timeout: Double) throws -> String {
    // Messages go to a file: a pipe that nobody reads would block gnuplot once full.
    let messages = folder.appendingPathComponent("messages.txt")
    try Data().write(to: messages)
    let output = try FileHandle(forWritingTo: messages)
    defer { try? output.close() }

    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    // The user's own start-up file must not change our plots.
    process.arguments = ["--default-settings", "plot.gp"]
    process.currentDirectoryURL = folder
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    let ended = DispatchSemaphore(value: 0)
    process.terminationHandler = { _ in ended.signal() }
    try process.run()
    guard ended.wait(timeout: .now() + timeout) == .success else {
      kill(process.processIdentifier, SIGKILL)
      ended.wait()
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

/// Text as a gnuplot string, in which nothing is special.
func gnuplotText(_ text: String) -> String {
  "'"
    + text.split(whereSeparator: \.isNewline).joined(separator: " ")
    .replacingOccurrences(of: "'", with: "''") + "'"
}

/// A number as gnuplot reads it.
func gnuplotNumber(_ value: Double) -> String { value.isFinite ? "\(value)" : "NaN" }
