import Foundation
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// What an analysis found: words, numbers and pictures.
struct AnalysisOutput {
  /// For a terminal.
  var text: String
  var tables: [(name: String, table: CSVTable)]
  /// Nil where there is nothing to draw.
  var figures: [(name: String, figure: PlotFigure?)]
  var pictures: [(name: String, image: RGBImage?)] = []
  var json: [String: JSONValue]

  /// Writes tables and pictures into a folder, which is made where it is missing.
  ///
  /// - Returns: the files.
  /// - Throws: `StudyError` for a folder that cannot be written, `ReportError` when gnuplot is missing.
  func write(to folder: String) throws -> [String] {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw StudyError(
        folder, found: "cannot be created (\(systemReason(of: error)))", remedy: "choose a writable --out")
    }
    var files: [String] = []
    func write(_ name: String, _ bytes: Data) throws {
      let file = folder + "/" + name
      try DurableFile.write(bytes, to: file)
      files.append(file)
    }
    for (name, table) in tables { try write(name, Data(table.text.utf8)) }
    for case (let name, let figure?) in figures {
      try figure.write(to: folder + "/" + name)
      files.append(folder + "/" + name)
    }
    for case (let name, let image?) in pictures { try write(name, Data(image.png())) }
    return files
  }
}
