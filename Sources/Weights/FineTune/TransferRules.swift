import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// What a user says about which weights go where: `TARGET = SOURCE`, patterns with as many stars on both sides at most.
///
///     blocks.*.moe.experts.* = blocks.*.mlp.*        # what the stars stand for in the target fills the source's
///     head.* = none                                  # starts fresh
///     * = *                                          # the same name
///
/// The first rule whose target matches counts. What no rule matches is taken from where `DerivedSource` says, where source
/// and target are models of one kind, and starts fresh otherwise.
struct TransferRules {
  enum Answer: Equatable {
    case from(String)
    case fresh
  }

  private let rules: [(target: PathPattern, source: PathPattern?)]

  /// - Parameter texts: rules, or files with a rule a line and `#` before comments.
  /// - Throws: `WeightsError` naming the file, the line and what is no rule.
  init(_ texts: [String]) throws {
    var rules: [(PathPattern, PathPattern?)] = []
    for text in texts {
      if text.contains("=") {
        rules.append(try TransferRules.rule(text, at: "--map"))
        continue
      }
      guard FileManager.default.fileExists(atPath: text) else {
        throw WeightsError(
          "--map \(text)", found: "no such file", expected: "one, or a rule such as 'blocks.* = blocks.*'")
      }
      let content = String(decoding: try readFile(text, limit: 1 << 20), as: UTF8.self)
      for (number, line) in content.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
        let rule = line.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces)
        if !rule.isEmpty { rules.append(try TransferRules.rule(rule, at: "\(text):\(number + 1)")) }
      }
    }
    self.rules = rules
  }

  var isEmpty: Bool { rules.isEmpty }

  /// What the rules say of an array of the new model; nil = nothing.
  func answer(for target: String) -> Answer? {
    for rule in rules {
      guard let captures = rule.target.captures(in: target) else { continue }
      return rule.source.map { .from($0.filled(with: captures)) } ?? .fresh
    }
    return nil
  }

  private static func rule(_ text: String, at place: String) throws -> (PathPattern, PathPattern?) {
    let sides = text.split(separator: "=", omittingEmptySubsequences: false)
      .map { $0.trimmingCharacters(in: .whitespaces) }
    guard sides.count == 2, !sides[0].isEmpty, !sides[1].isEmpty else {
      throw WeightsError(
        place, found: "'\(text)'", expected: "TARGET = SOURCE such as 'blocks.*.mlp.* = blocks.*.mlp.*'")
    }
    guard sides[1] != "none" else { return (PathPattern(sides[0]), nil) }
    let (target, source) = (PathPattern(sides[0]), PathPattern(sides[1]))
    guard source.stars <= target.stars else {
      throw WeightsError(
        place, found: "'\(text)': \(source.stars) stars in the source",
        expected: "at most the target's \(target.stars), which fill them")
    }
    return (target, source)
  }
}
