import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETrain

/// Weights of models of one modality each as those of one model of several: `--init-from vision=F --init-from language=G`.
///
/// In late fusion each becomes the tower of its modality. In early fusion their experts become the groups of their
/// modalities (a group of another size takes them in turn, a dense model's MLP becomes each of them), everything
/// else of the blocks is that of the model named first; gates and shared experts are nobody's.
final class TowerWeights: WeightSource {
  struct Part {
    let modality: any Modality
    let source: any WeightSource
  }

  let parts: [Part]
  private(set) var model = ModelConfig()
  private(set) var arrays: [(name: String, shape: [Int])] = []
  private var places: [String: (source: any WeightSource, name: String)] = [:]

  /// - Throws: `WeightsError` where a source is not a model of its modality.
  init(_ parts: [Part]) throws {
    self.parts = parts
    model.kind = .multimodal
    for part in parts {
      guard let expected = part.modality.single?.kind else {
        throw WeightsError(
          "--init-from \(part.modality.name)=\(part.source.path): there is no model of \(part.modality.name) alone; leave it out"
        )
      }
      guard part.source.model.kind == expected else {
        throw WeightsError(
          "--init-from \(part.modality.name)=\(part.source.path): a model of kind \(part.source.model.kind.rawValue), expected \(expected.rawValue)"
        )
      }
    }
  }

  var path: String { parts.map { "\($0.modality.name)=\($0.source.path)" }.joined(separator: ", ") }
  var files: [String] { parts.flatMap(\.source.files) }
  var classes: [String]? { parts.lazy.compactMap(\.source.classes).first }
  var bringsForm: Bool { false }
  var tokenizerFiles: [String: [UInt8]]? { text?.tokenizerFiles }
  func tokenizer() throws -> (any Tokenizer)? { try text?.tokenizer() }

  private var text: (any WeightSource)? { parts.first { $0.modality.name == LanguageModality.name }?.source }

  func floats(_ name: String) throws -> [Float] {
    guard let place = places[name] else { preconditionFailure("no array \(name)") }
    return try place.source.floats(place.name)
  }

  /// Gives the arrays the names that they have in a model.
  ///
  /// - Throws: `ModelError` for groups that cannot be read.
  func fit(_ target: ModelConfig) throws {
    (arrays, places, model) = ([], [:], target)
    let groups = try target.moe.groups.map { try ExpertGroups($0) }
    for (number, part) in parts.enumerated() {
      let (own, name) = (part.source.model, part.modality.name)
      part.modality.single?.adopt(&model, own)
      let isLate = target.fusion.kind == .late
      let first =
        isLate
        ? zip(target.towerModalities, target.stacks).prefix { $0.0.name != name }.reduce(0) { $0 + $1.1 } : 0
      let experts = groups?.groups.first { $0.name == name }?.experts ?? 0..<target.moe.experts
      for (array, shape) in part.source.arrays {
        var found = TowerWeights.names(
          of: array, part.modality, isLate: isLate, first: first, experts: isLate ? nil : experts, in: own,
          takesRest: isLate || number == 0, target)
        // What becomes nothing is named in the report.
        if found.isEmpty { found = ["\(name):\(array)"] }
        for renamed in found where places[renamed] == nil {
          arrays.append((renamed, shape))
          places[renamed] = (part.source, array)
        }
      }
    }
  }

  /// The arrays that one of a source's becomes.
  ///
  /// - Parameters:
  ///   - first: number that its first block has.
  ///   - experts: those of its group; nil where it keeps its own numbers.
  ///   - takesRest: whether what is of no modality is its own.
  private static func names(
    of name: String, _ modality: any Modality, isLate: Bool, first: Int, experts: Range<Int>?, in own: ModelConfig,
    takesRest: Bool, _ target: ModelConfig
  ) -> [String] {
    if let end = modality.single?.arrays[name] { return [end] }
    if let rest = PathPattern("norm.*").captures(in: name)?[0] {
      return takesRest ? [isLate ? "\(modality.sample)_norm.\(rest)" : name] : []
    }
    let words = name.split(separator: ".", maxSplits: 2).map(String.init)
    guard words.count == 3, words[0] == "blocks", let block = Int(words[1]) else { return [] }
    let base = "blocks.\(first + block)."
    guard let experts else { return [base + words[2]] }
    func all(_ number: (Int) -> Bool, _ rest: String) -> [String] {
      experts.filter { number($0 - experts.lowerBound) }.map {
        "\(base)moe.experts.\(CheckpointLayout.number($0)).\(rest)"
      }
    }
    if let found = PathPattern("moe.experts.*.*").captures(in: words[2]), let expert = Int(found[0]) {
      return all({ $0 % own.moe.experts == expert }, found[1])
    }
    let mlp = PathPattern("mlp.*").captures(in: words[2])?[0]
    let rest = takesRest && !words[2].hasPrefix("moe.gate") ? [base + words[2]] : []
    // A dense model's MLP, where the block now has experts.
    return rest + (target.isMoE(block) ? mlp.map { all({ _ in true }, $0) } ?? [] : [])
  }
}
