import MMoEFiles

/// An expert bank cut into named groups, and who may enter which: a token routes within the group of its modality's name
/// and the group `shared`.
///
/// The list is open: a further modality is a further name. Groups stand side by side in the bank, so that the ranks of
/// expert parallelism hold whole groups where the sizes allow it.
public struct ExpertGroups: Sendable, Equatable, CustomStringConvertible {
  public struct Group: Sendable, Equatable {
    public let name: String
    public let experts: Range<Int>
  }

  /// The group that every token may enter.
  public static let shared = "shared"

  public let groups: [Group]
  /// Experts of all groups.
  public var count: Int { groups.last?.experts.upperBound ?? 0 }

  /// - Parameter text: `vision:4,language:2,shared:2`; a count may be 0.
  /// - Throws: `ModelError` for anything else.
  public init(_ text: String) throws {
    var groups: [Group] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let words = part.split(separator: ":", omittingEmptySubsequences: false).map { $0.filter { $0 != " " } }
      guard words.count == 2, !words[0].isEmpty, let size = Int(words[1]), (0...16384).contains(size) else {
        throw ModelError("moe.groups has '\(part)', expected a name and a count, such as vision:4,language:2,shared:2")
      }
      guard !groups.contains(where: { $0.name == words[0] }) else {
        throw ModelError("moe.groups names \(words[0]) twice; give each group one count")
      }
      let start = groups.last?.experts.upperBound ?? 0
      groups.append(Group(name: words[0], experts: start..<start + size))
    }
    self.groups = groups
  }

  /// As it is written.
  public var description: String { groups.map { "\($0.name):\($0.experts.count)" }.joined(separator: ",") }

  /// Some of the groups, side by side.
  func keeping(_ names: [String]) -> ExpertGroups {
    var count = 0
    return ExpertGroups(
      groups: groups.filter { names.contains($0.name) }.map { group in
        defer { count += group.experts.count }
        return Group(name: group.name, experts: count..<count + group.experts.count)
      })
  }

  private init(groups: [Group]) { self.groups = groups }

  /// Whether a token of a modality may take each expert, `[E]`.
  public func allowed(_ modality: String) -> [Bool] {
    groups.flatMap { group in
      group.experts.map { _ in group.name == modality || group.name == ExpertGroups.shared }
    }
  }

  /// Checks that every modality has as many experts as its tokens choose.
  ///
  /// - Parameters:
  ///   - modalities: of the model.
  ///   - choices: experts that one call of a gate needs.
  /// - Throws: `ModelError` naming the first that has not, or a group that nobody may enter.
  func require(_ modalities: [String], choices: Int) throws {
    let valid = modalities + [ExpertGroups.shared]
    if let foreign = groups.first(where: { !valid.contains($0.name) }) {
      throw ModelError(
        "moe.groups has the group \(foreign.name), which no token may enter; valid are \(valid.joined(separator: ", "))"
      )
    }
    for modality in modalities {
      let count = allowed(modality).count { $0 }
      guard count >= choices else {
        throw ModelError(
          "moe.groups leaves tokens of \(modality) \(count) experts of which they choose \(choices); raise \(modality) or \(ExpertGroups.shared)"
        )
      }
    }
  }
}
