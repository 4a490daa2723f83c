import Foundation
import MMoEModels
import MMoETensor
import TestSupport
import Testing

@testable import MMoEConfig
@testable import MMoETrain

/// The words of `finetune.*` are the roles that parameters have from birth.
@Suite struct RoleTests {
  let engine = try! Engine(threads: 1)

  /// What a name says about the role, apart from the code that gives it: the first rule that matches.
  static let names: [(pattern: String, role: ParameterRole)] =
    [
      ("*norm.*", .norms), ("*norm1.*", .norms), ("*norm2.*", .norms), ("*norm3.*", .norms),
      ("*.attention.*", .attention),
      ("*.cross.*", .attention), ("*.mlp.*", .mlp), ("*.moe.shared.*", .mlp), ("*.moe.experts.*", .experts),
      ("*.moe.gate*", .router), ("*.moe.coefficient.*", .router), ("patch_embedding.*", .embeddings),
      ("class_token", .embeddings), ("*_positions", .embeddings), ("*_embedding", .embeddings),
      ("audio_embedding.*", .embeddings), ("head.*", .head),
      ("language_head.*", .head), ("*_projection.*", .head), ("classifier.*", .head), ("logit_scale", .head),
      ("task_log_variance", .lossWeights),
    ]

  /// Additions to a preset that bring every kind of parameter, by kind of model.
  static func forms(_ kind: ModelKind) -> [[String]] {
    let adapters = ["lora.rank=2", "lora.places=attention,mlp,experts"]
    let own: [[String]] =
      switch kind {
      case .vit: [["model.class_token=true"]]
      case .gpt: [["model.tied_head=false"], ["model.positions=rotary", "model.norm=rms"]]
      default:
        [
          ["model.tied_head=false", "objective.uncertainty=true", "moe.task_routing=true"],
          [
            "fusion.kind=late", "model.pre_norm=true", "model.class_token=true", "fusion.cross_blocks=2",
            "moe.groups=none", "moe.balance=none",
          ],
        ]
      }
    return [[], adapters, ["moe.post_norm=true"]] + own + own.map { $0 + adapters }
  }

  private func models() throws -> [(name: String, config: RunConfig, parameters: [Parameter])] {
    var found: [(String, RunConfig, [Parameter])] = []
    for preset in ProjectHome.presets.names {
      var base = RunConfig()
      try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &base)
      for variant in ["dense"] + MoEVariant.all.map(\.name) {
        for form in RoleTests.forms(base.model.kind) {
          var config = base
          let hierarchical = variant == "hierarchical" ? ["moe.sources=1:input,1:attention,1:output"] : []
          let joined = ["shared", "scmoe"].contains(variant) ? ["moe.combine=cg1"] : []
          try RunConfig.table.set(
            ["moe.first=1", "moe.variant=\(variant)"] + hierarchical + joined + form, in: &config)
          config.model.layers = min(config.model.layers, 4)
          let model = try config.model.skeleton.makeModel(seed: nil, engine: engine)
          found.append(("\(preset) \(variant) \(form)", config, model.parameters))
        }
      }
    }
    return found
  }

  /// Every parameter of every preset and variant has the role that its name says, and a word covers all of that role.
  @Test func everyParameterHasItsRole() throws {
    let rules = RoleTests.names.map { (pattern: PathPattern($0.pattern), role: $0.role) }
    var roles: [ParameterRole: Set<String>] = [:]
    var seen: Set<[String]> = []
    for (name, config, parameters) in try models() {
      for parameter in parameters {
        let expected = rules.first { $0.pattern.matches(parameter.path) }?.role
        #expect(parameter.role == expected, "\(name): \(parameter.path)")
        roles[parameter.role, default: []].insert(parameter.path)
      }
      guard seen.insert(parameters.map(\.path)).inserted else { continue }
      for role in Set(parameters.map(\.role)) where Set(parameters.map(\.role)).count > 1 {
        var tuning = FineTuneConfig()
        tuning.freeze = [role.rawValue]
        let hasAdapters = config.model.lora.rank > 0
        guard !hasAdapters || parameters.contains(where: { $0.path.contains(".lora_") && $0.role != role }) else {
          continue
        }
        let plan = try UpdatePlan(tuning, parameters, stacks: config.model.stacks)
        for (parameter, parts) in zip(parameters, plan.parts) where parameter.role == role {
          #expect(parts.isEmpty, "\(name): \(role.rawValue) leaves \(parameter.path)")
        }
      }
    }
    #expect(Set(roles.keys) == Set(ParameterRole.allCases))
    for path in ["patch_positions", "blocks.6.cross.key_value.weight", "blocks.1.moe.shortcut_norm3.weight"] {
      #expect(roles.values.contains { $0.contains(path) }, "\(path)")
    }
  }

  /// A skeleton has the names of the real model.
  @Test func skeletonsHaveTheSameNames() throws {
    for preset in ["debug", "gpt-toy", "pairs-emoji"] {
      var config = RunConfig()
      try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
      for form in RoleTests.forms(config.model.kind) {
        var other = config
        try RunConfig.table.set(form, in: &other)
        let (whole, small) = (
          try other.model.makeModel(seed: nil, engine: engine),
          try other.model.skeleton.makeModel(seed: nil, engine: engine)
        )
        #expect(whole.parameters.map(\.path) == small.parameters.map(\.path))
        #expect(whole.parameters.map(\.experts) == small.parameters.map(\.experts))
      }
    }
  }

  /// Words and patterns are checked from the configuration alone.
  @Test(
    arguments: [
      ("pairs-emoji", ["model.classes=0", "finetune.train_only=classifier.*"], nil),
      ("pairs-emoji", ["finetune.freeze=head"], nil), ("pairs-emoji", ["finetune.train_only=mlp"], nil),
      (
        "pairs-emoji", ["fusion.kind=late", "moe.groups=none", "moe.balance=none", "finetune.freeze=blocks.7.cross.*"],
        nil
      ),
      ("gpt-toy", ["finetune.freeze=head"], "'head' matches no parameter"),
      ("gpt3-moe-xl", ["finetune.freeze=blocks.23.moe.experts.0007.*"], nil),
      ("gpt3-moe-xl", ["finetune.freeze=blocks.24.*"], "'blocks.24.*' matches no parameter"),
      ("debug", ["finetune.lr_scale=cross=2"], "'cross' matches no parameter"),
      ("debug", ["finetune.freeze=*"], "nothing is left to train"),
      ("debug", ["moe.variant=dense", "finetune.train_only=router"], "'router' matches no parameter"),
      (
        "pairs-emoji", ["objective.contrastive=0", "finetune.train_only=text_projection.*"],
        "objective.contrastive is 0, so nothing trains image_projection.weight"
      ),
    ] as [(String, [String], String?)])
  func placesAreCheckedBefore(preset: String, settings: [String], error: String?) throws {
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
    try RunConfig.table.set(settings, in: &config)
    guard let error else { return try config.requirePlaces() }
    #expect { try config.requirePlaces() } throws: { "\($0)".contains(error) }
  }
}
