import Synchronization

/// Values by the names under which users choose them, in the order in which they were registered.
///
/// What the project ships stands in the registry from the beginning. A program that imports the modules adds its own before
/// it reads a configuration that names it; help, errors and listings then name it too.
public final class Registry<Value: Sendable>: Sendable {
  private typealias Entry = (name: String, value: Value)

  /// What a value is called in messages, such as `router`.
  package let noun: String
  private let entries: Mutex<[Entry]>

  /// - Parameter values: what there is from the beginning; names must differ.
  package init(_ noun: String, _ values: [(name: String, value: Value)]) {
    self.noun = noun
    precondition(Set(values.map(\.name)).count == values.count, "two values of one name among each \(noun)")
    entries = Mutex(values)
  }

  /// Adds a value.
  ///
  /// - Throws: `RegistryError` for a name that is taken, or that could not be written in a configuration: letters, digits,
  ///   `.`, `-` and `_` can.
  public func register(_ name: String, _ value: Value) throws(RegistryError) {
    let isWritable =
      !name.isEmpty && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || ".-_".contains($0)) }
    guard isWritable else {
      throw RegistryError(
        field: "the name of a \(noun)", found: "'\(name)'", expected: "letters, digits, '.', '-' and '_'")
    }
    let isNew = entries.withLock { entries in
      guard !entries.contains(where: { $0.name == name }) else { return false }
      entries.append((name, value))
      return true
    }
    guard isNew else {
      throw RegistryError(
        field: "the \(noun) \(name)", found: "registered already", expected: "one registration",
        remedy: "choose another name, or register it once")
    }
  }

  public subscript(_ name: String) -> Value? { entries.withLock { $0.first { $0.name == name }?.value } }
  public var names: [String] { entries.withLock { $0.map(\.name) } }
  public var values: [Value] { entries.withLock { $0.map(\.value) } }
  /// All names, for messages.
  package var listing: String { names.joined(separator: ", ") }
}

/// What is wrong with a registration.
public struct RegistryError: FaultError {
  public let fault: Fault
  public init(_ fault: Fault) { self.fault = fault }
}
