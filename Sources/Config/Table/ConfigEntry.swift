/// One key of a configuration: its name, the property it stands for and the values it takes.
package struct ConfigEntry<Root>: Sendable {
  /// The dotted key, such as `moe.experts`.
  package let key: String
  /// Completes "expected …", such as "an integer from 1 to 8".
  package let expected: String
  /// What the key means, for the help.
  package let summary: String
  /// Names of the kinds of model for which the key does something; nil = all of them.
  package internal(set) var holders: [String]?
  let write: @Sendable (ConfigInput, inout Root) throws(ConfigMismatch) -> Void
  let read: @Sendable (Root) -> RenderedValue

  package init<Value>(
    _ key: String, _ path: WritableKeyPath<Root, Value> & Sendable, _ kind: ConfigKind<Value>,
    _ summary: String
  ) {
    self.key = key
    expected = kind.expected
    self.summary = summary
    write = { input, root throws(ConfigMismatch) in root[keyPath: path] = try kind.parse(input) }
    read = { kind.render($0[keyPath: path]) }
  }
}

extension ConfigEntry {
  /// Its value as text; `--set key=value` gives it back.
  package func value(in root: Root) -> String { read(root).plain }

  /// A whole number. `range: 0 ... .max` has no upper limit.
  package static func int(
    _ key: String, _ path: WritableKeyPath<Root, Int> & Sendable,
    range: ClosedRange<Int> = .min ... .max, _ summary: String
  ) -> Self { Self(key, path, .int(in: range), summary) }

  /// A finite number. `range: 0 ... .infinity` has no upper limit, and a lower limit of
  /// `.leastNonzeroMagnitude` reads "greater than 0".
  package static func double(
    _ key: String, _ path: WritableKeyPath<Root, Double> & Sendable,
    range: ClosedRange<Double> = -.infinity ... .infinity, _ summary: String
  ) -> Self { Self(key, path, .double(in: range), summary) }

  /// `true` or `false`, no other words.
  package static func bool(
    _ key: String, _ path: WritableKeyPath<Root, Bool> & Sendable, _ summary: String
  ) -> Self { Self(key, path, .bool, summary) }

  /// Any text, taken as it is written.
  package static func string(
    _ key: String, _ path: WritableKeyPath<Root, String> & Sendable, _ summary: String
  ) -> Self { Self(key, path, .text, summary) }

  /// One of an enumeration's raw values.
  package static func choice<Value>(
    _ key: String, _ path: WritableKeyPath<Root, Value> & Sendable, _ summary: String
  ) -> Self
  where Value: RawRepresentable & CaseIterable & Sendable, Value.RawValue == String {
    Self(key, path, .choice, summary)
  }

  /// One of a registry's names.
  package static func name(
    _ key: String, _ path: WritableKeyPath<Root, String> & Sendable,
    of names: @autoclosure @escaping @Sendable () -> [String], _ summary: String
  ) -> Self { Self(key, path, .name(of: names), summary) }

  /// A whole number, or `none`.
  package static func optionalInt(
    _ key: String, _ path: WritableKeyPath<Root, Int?> & Sendable,
    range: ClosedRange<Int> = .min ... .max, _ summary: String
  ) -> Self { Self(key, path, ConfigKind.int(in: range).optional, summary) }

  /// A finite number, or `none`.
  package static func optionalDouble(
    _ key: String, _ path: WritableKeyPath<Root, Double?> & Sendable,
    range: ClosedRange<Double> = -.infinity ... .infinity, _ summary: String
  ) -> Self { Self(key, path, ConfigKind.double(in: range).optional, summary) }

  /// Any text, or `none`.
  package static func optionalString(
    _ key: String, _ path: WritableKeyPath<Root, String?> & Sendable, _ summary: String
  ) -> Self { Self(key, path, ConfigKind.text.optional, summary) }

  /// A list of values that are written as words, each as `expected` says.
  package static func list<Value: LosslessStringConvertible & Sendable>(
    _ key: String, _ path: WritableKeyPath<Root, [Value]> & Sendable, _ expected: String, example: String,
    _ summary: String
  ) -> Self { Self(key, path, ConfigKind.word(expected).list(example: example), summary) }

  /// A list of texts without commas: `[a, b]`, on the command line also `a,b`.
  ///
  /// - Parameter example: stands in "a list such as […]".
  package static func strings(
    _ key: String, _ path: WritableKeyPath<Root, [String]> & Sendable, example: String, _ summary: String
  ) -> Self { Self(key, path, ConfigKind.text.list(example: example), summary) }

  /// A list of whole numbers, each within the range: `[1, 2]`, on the command line also `1,2`.
  package static func ints(
    _ key: String, _ path: WritableKeyPath<Root, [Int]> & Sendable,
    range: ClosedRange<Int> = .min ... .max, _ summary: String
  ) -> Self { Self(key, path, ConfigKind.int(in: range).list(example: "1, 2"), summary) }
}
