import MMoEData
import MMoEReport

/// What `--dry-run` finds in the data of a run. Nothing is made of it: no shards, no pictures.
public struct DataSurvey {
  package let path: String
  /// Names and counts, in the order in which they are shown.
  package private(set) var counts: [(name: String, value: Int)] = []
  package private(set) var notes: [String] = []

  public init(_ path: String) { self.path = path }

  package var json: JSONValue {
    var fields: [String: JSONValue] = ["path": .string(path), "notes": .array(notes.map { .string($0) })]
    for (name, value) in counts { fields[name.replacing(" ", with: "_")] = .int(value) }
    return .object(fields)
  }

  public mutating func count(_ name: String, _ value: Int) { counts.append((name, value)) }
  public mutating func note(_ lines: [String]) { notes += lines }

  /// What another survey found, its counts with a word before their names.
  mutating func add(_ other: DataSurvey, as word: String) {
    counts += other.counts.map { ("\(word) \($0.name)", $0.value) }
    notes += other.notes
  }
}
