import Foundation
import MMoEData
import MMoEFiles
import MMoEReport

/// What a training state comes from, in digests and counts: nothing that depends on a machine, a folder or a command, so that
/// equal runs have equal checkpoints.
package struct RunOrigin: Sendable, Equatable {
  /// The parts of the training data, by split.
  package var data: [DatasetSplit: DataPart] = [:]
  /// Digests of the weights that the run started from, in the order of `--init-from`; empty for random ones.
  package var initialWeights: [String] = []
  package init() {}

  private struct Stored: Codable {
    var data: [String: DataPart]
    var initialWeights: [String]?

    enum CodingKeys: String, CodingKey {
      case data
      case initialWeights = "initial_weights"
    }
  }

  /// One line of JSON, keys sorted, as a checkpoint has it.
  package var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    let parts = Dictionary(uniqueKeysWithValues: data.map { ($0.key.rawValue, $0.value) })
    let stored = Stored(data: parts, initialWeights: initialWeights.isEmpty ? nil : initialWeights)
    guard let bytes = try? encoder.encode(stored) else { preconditionFailure("texts and whole numbers encode") }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// - Throws: `TrainError` naming the file whose attribute is something else.
  package init(json: String, file: String) throws {
    do {
      let stored = try JSONDecoder().decode(Stored.self, from: Data(json.utf8))
      for (name, part) in stored.data {
        guard let split = DatasetSplit(rawValue: name) else { throw TrainError(name) }
        data[split] = part
      }
      initialWeights = stored.initialWeights ?? []
    } catch {
      throw TrainError(
        file, field: "attribute origin", found: "'\(json.prefix(60))'",
        expected: "digests of data as `mmoe train` writes them", remedy: "the file was changed")
    }
  }
}
