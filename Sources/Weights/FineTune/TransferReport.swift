import MMoEFiles
import MMoEReport
import MMoETrain

/// What became of every array when a model was filled from another's weights.
struct TransferReport {
  enum Outcome: String, CaseIterable {
    /// Under its own name and as it was.
    case loaded
    /// From arrays of another name, or a mean of several.
    case copied
    /// Fitted to another input, output or number of experts.
    case resized
    /// Of the new model, started fresh.
    case missing
    /// Of the old model, not used.
    case skipped
  }

  private struct Entry {
    let outcome: Outcome
    let name: String
    let shape: [Int]
    let note: String?
  }

  private let source: String
  private var entries: [Entry] = []

  init(source: String) { self.source = source }

  mutating func add(_ outcome: Outcome, _ name: String, _ shape: [Int], note: String? = nil) {
    entries.append(Entry(outcome: outcome, name: name, shape: shape, note: note))
  }

  func count(_ outcome: Outcome) -> Int { entries.count { $0.outcome == outcome } }
  /// Whether arrays were made from others: the model computes something else than the old one.
  var hasNewForm: Bool {
    entries.contains { $0.outcome == .copied || ($0.outcome == .resized && $0.name.contains(".moe.")) }
  }
  func names(_ outcome: Outcome) -> [String] { entries.filter { $0.outcome == outcome }.map(\.name) }

  /// - Throws: `WeightsError` when no matrix of the new model comes from the old one: vectors alone fit by chance.
  func requireSomething() throws {
    func isTaken(_ entry: Entry) -> Bool { entry.outcome != .missing && entry.outcome != .skipped }
    guard !entries.contains(where: { isTaken($0) && $0.shape.count > 1 }) else { return }
    let wanted = entries.first { $0.outcome == .missing && $0.shape.count > 1 }
    let there = entries.first { $0.outcome == .skipped && $0.shape.count > 1 }
    func shown(_ entry: Entry?) -> String { entry.map { "\($0.name) \($0.shape)" } ?? "nothing" }
    throw WeightsError(
      "--init-from \(source)",
      found:
        "none of its arrays fits the new model, which has \(shown(wanted))\(wanted?.note.map { " (\($0))" } ?? "") where the source has \(shown(there))",
      remedy: "use the source's model.* settings or --map")
  }

  /// A line for each outcome; what is not simply loaded is listed, alike arrays of several blocks and experts as one.
  func lines() -> [String] {
    var lines: [String] = []
    for outcome in Outcome.allCases {
      let found = entries.filter { $0.outcome == outcome }
      guard !found.isEmpty else { continue }
      let numbers = HumanFormat.count(found.reduce(0) { $0 + $1.shape.reduce(1, *) })
      lines.append("\(outcome.rawValue) \(found.count) arrays, \(numbers) numbers")
      guard outcome != .loaded else { continue }
      var groups: [(text: String, count: Int)] = []
      for entry in found {
        let note = entry.note.map { ": \(TransferReport.withoutNumbers($0))" } ?? ""
        let text = TransferReport.withoutNumbers(entry.name) + note
        if let place = groups.firstIndex(where: { $0.text == text }) {
          groups[place].count += 1
        } else {
          groups.append((text, 1))
        }
      }
      lines += groups.map { "  \($0.text)\($0.count > 1 ? " (\($0.count))" : "")" }
    }
    return lines
  }

  /// `blocks.3.moe.experts.0007.fc1.weight` → `blocks.*.moe.experts.*.fc1.weight`.
  private static func withoutNumbers(_ text: String) -> String {
    text.split(separator: " ", omittingEmptySubsequences: false).map { word in
      word.split(separator: ".", omittingEmptySubsequences: false).enumerated()
        .map { index, part in index > 0 && Int(part) != nil ? "*" : String(part) }.joined(separator: ".")
    }.joined(separator: " ")
  }
}
