import Foundation
import MMoEFiles
import MMoEReport
import MMoETrain

/// One finished run of a study: a line of its `rows.jsonl`.
package struct StudyRow: Codable, Equatable, Sendable {
  package enum Purpose: String, Codable, Sendable {
    /// A trial of a learning rate.
    case search
    case run
  }

  var purpose: Purpose
  var variant: String
  var seed: Int
  var learningRate: Double
  /// Of everything that decides the result.
  var configuration: String
  var steps: Int
  /// Mean validation loss in nats, without capacity limits; nil where training diverged.
  var validationLoss: Double?
  /// The task's other validation metrics.
  var metrics: [String: Double]
  /// Mean training loss of the last steps, on what the loader gave (augmented in vision).
  var trainLoss: Double?
  /// Processor time of the whole run on all threads, evaluations included: unlike the clock it says the same when other
  /// programs compute beside it. Nil where the run was interrupted and went on.
  var cpuSeconds: Double?
  var parameters: Int
  var activeParameters: Int
  /// Floating-point operations of the whole training.
  var flops: Double

  /// The validation loss or one of the metrics; nil where training diverged.
  func value(of measure: String) -> Double? {
    guard measure != MetricName.validationLoss else { return validationLoss }
    return validationLoss == nil ? nil : metrics[measure]
  }

  enum CodingKeys: String, CodingKey {
    case purpose, variant, seed, configuration, steps, metrics, parameters, flops
    case learningRate = "learning_rate"
    case validationLoss = "val_loss"
    case trainLoss = "train_loss"
    case cpuSeconds = "cpu_seconds"
    case activeParameters = "active_parameters"
  }
}

/// The finished runs of a study, in a file that grows by a line as each ends.
final class StudyRecord {
  private(set) var rows: [StudyRow] = []
  private let path: String
  /// Nil where rows are only read.
  private let file: AppendFile?

  /// Opens the file, or makes an empty one. A last line that a crash cut off is removed.
  ///
  /// - Parameter isReadOnly: nothing is made or removed, as where another process may be writing.
  /// - Throws: `StudyError` naming file and line of what is no row, or `ReportError`.
  init(_ path: String, isReadOnly: Bool = false) throws {
    self.path = path
    file = isReadOnly ? nil : try AppendFile(path)
    let bytes = [UInt8](FileManager.default.contents(atPath: path) ?? Data())
    var start = 0
    while let newline = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
      guard let row = try? JSONDecoder().decode(StudyRow.self, from: Data(bytes[start..<newline])) else {
        throw StudyError(
          "\(path):\(rows.count + 1)", expected: "a study's row", found: "another text", remedy: "remove the line")
      }
      rows.append(row)
      start = newline + 1
    }
    if start < bytes.count { try file?.truncate(to: start) }
  }

  func append(_ row: StudyRow) throws {
    guard let file else { preconditionFailure("opened for reading only") }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try file.append(Array(try encoder.encode(row)) + [0x0A])
    try file.synchronize()
    rows.append(row)
  }

  /// The row of a run, or nil while it is to be made.
  ///
  /// - Throws: `StudyError` when it was made with another configuration.
  func row(
    _ purpose: StudyRow.Purpose, _ variant: String, seed: Int, learningRate: Double, configuration: String
  ) throws -> StudyRow? {
    let found = rows.firstIndex {
      $0.purpose == purpose && $0.variant == variant && $0.seed == seed && $0.learningRate == learningRate
    }
    guard let found else { return nil }
    guard rows[found].configuration == configuration else {
      throw StudyError(
        "\(path):\(found + 1)",
        found:
          "variant \(variant), seed \(seed) was run with another configuration (\(rows[found].configuration), now \(configuration))",
        remedy: "give another --out, or remove the line")
    }
    return rows[found]
  }
}
