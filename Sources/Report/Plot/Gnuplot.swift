import Foundation
import MMoEFiles

/// Draws PNG files with gnuplot (Debian: `gnuplot-nox`, fonts `fonts-dejavu-core`) as a child
/// process.
package struct Gnuplot: Sendable {
  /// The program's path.
  package let executable: String

  /// Finds gnuplot; nil where it is not installed.
  ///
  /// - Parameter searchPath: the folders to look in, as in `PATH`, which is the default.
  package init?(searchPath: String? = nil) {
    guard let found = SearchPath.find("gnuplot", searchPath: searchPath) else { return nil }
    executable = found
  }

  /// - Parameter file: the picture to draw, for the message.
  /// - Throws: where gnuplot is not installed.
  package static func required(for file: String) throws(ReportError) -> Gnuplot {
    guard let gnuplot = Gnuplot() else {
      throw ReportError(
        file, found: "found no gnuplot on the PATH",
        remedy: "install it with `apt-get install gnuplot-nox fonts-dejavu-core`")
    }
    return gnuplot
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
  package func render(
    _ script: String, to file: String, size: (width: Int, height: Int), timeout: Double = 60
  ) throws(ReportError) {
    do {
      try draw(script, to: file, size: size, timeout: timeout)
    } catch let error as ReportError {
      throw error
    } catch let error as FileFailure {
      throw ReportError(error.fault)
    } catch {
      throw ReportError(file, found: "cannot be written (\(systemReason(of: error)))")
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
    // The user's own start-up file must not change our plots.
    let complaint = try DrawingProgram.run(
      executable, ["--default-settings", "plot.gp"], in: folder, timeout: timeout)

    let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47]
    let picture = try? Data(contentsOf: folder.appendingPathComponent("plot.png"))
    guard complaint.isEmpty, let picture, picture.starts(with: signature) else {
      let reason = complaint.isEmpty ? "it drew nothing" : complaint
      throw ReportError(file, found: "gnuplot failed: \(reason)")
    }
    try DurableFile.write(picture, to: file)
  }
}

/// Text as a gnuplot string, in which nothing is special.
func gnuplotText(_ text: String) -> String {
  "'"
    + text.split(whereSeparator: \.isNewline).joined(separator: " ")
    .replacingOccurrences(of: "'", with: "''") + "'"
}

/// Words at the places 0, 1, 2 … of an axis, as `set xtics (…)` takes them.
func gnuplotTics(_ labels: [String]) -> String {
  labels.enumerated().map { "\(gnuplotText($1)) \($0)" }.joined(separator: ", ")
}

/// A number as gnuplot reads it.
func gnuplotNumber(_ value: Double) -> String { value.isFinite ? "\(value)" : "NaN" }
