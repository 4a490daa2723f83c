import MMoEReport

/// What `mmoe doctor` found out about one topic.
struct Finding: Sendable {
  /// One word, such as "memory".
  let topic: String
  /// What there is, for a person.
  var lines: [String] = []
  /// The same as numbers and words, for a program.
  var values: [String: JSONValue] = [:]
  /// What makes mmoe slower than it could be, or lacks without being needed, each with its remedy.
  var notes: [String] = []
  /// What does not work, each with its remedy.
  var problems: [String] = []

  init(_ topic: String) { self.topic = topic }

  var json: JSONValue {
    .object([
      "topic": .string(topic), "values": .object(values), "notes": .array(notes.map { .string($0) }),
      "problems": .array(problems.map { .string($0) }),
    ])
  }
}
