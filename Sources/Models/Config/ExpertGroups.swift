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
    /// Hidden width of its experts; nil = that of the model's.
    public let hidden: Int?
  }

  /// The group that every token may enter.
  public static let shared = "shared"

  public let groups: [Group]
  /// Experts of all groups.
  public var count: Int { groups.last?.experts.upperBound ?? 0 }

  /// - Parameter text: `vision:4,language:2,shared:2`; a count may be 0. `vision:4@96` are four experts that are 96 wide.
  /// - Throws: `ModelError` for anything else.
  public init(_ text: String) throws {
    var groups: [Group] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let words = part.split(separator: ":", omittingEmptySubsequences: false).map { $0.filter { $0 != " " } }
      let sizes = words.last!.split(separator: "@", omittingEmptySubsequences: false).map { Int($0) }
      guard words.count == 2, !words[0].isEmpty, let size = sizes[0], (0...16384).contains(size),
        sizes.count == 1 || (sizes.count == 2 && (1...1_048_576).contains(sizes[1] ?? 0))
      else {
        throw ModelError(
          "moe.groups has '\(part)', expected a name, a count and perhaps a width, such as vision:4@96,language:2,shared:2"
        )
      }
      guard !groups.contains(where: { $0.name == words[0] }) else {
        throw ModelError("moe.groups names \(words[0]) twice; give each group one count")
      }
      let start = groups.last?.experts.upperBound ?? 0
      groups.append(Group(name: words[0], experts: start..<start + size, hidden: sizes.count == 2 ? sizes[1] : nil))
    }
    self.groups = groups
  }

  /// As it is written.
  public var description: String {
    groups.map { "\($0.name):\($0.experts.count)\($0.hidden.map { "@\($0)" } ?? "")" }.joined(separator: ",")
  }

  /// Neighboring experts of one width, named by the first group among them.
  ///
  /// - Parameter standard: width of groups that say none.
  func stacks(standard: Int) -> [Group] {
    groups.filter { !$0.experts.isEmpty }.reduce(into: []) { stacks, group in
      let width = group.hidden ?? standard
      guard let last = stacks.last, last.hidden == width else {
        return stacks.append(Group(name: group.name, experts: group.experts, hidden: width))
      }
      stacks[stacks.count - 1] = Group(
        name: last.name, experts: last.experts.lowerBound..<group.experts.upperBound, hidden: width)
    }
  }

  /// Some of the groups, side by side.
  func keeping(_ names: [String]) -> ExpertGroups {
    var count = 0
    return ExpertGroups(
      groups: groups.filter { names.contains($0.name) }.map { group in
        defer { count += group.experts.count }
        return Group(name: group.name, experts: count..<count + group.experts.count, hidden: group.hidden)
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
